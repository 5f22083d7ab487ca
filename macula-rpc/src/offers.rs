//! Who serves what: the registrations of this node, and the other members as far as that is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use macula_wire::message::Invoke;
use macula_wire::{NodeId, Pattern};

use crate::lookup::Lookup;
use crate::providers::Providers;
use crate::standing::Standing;
use crate::{Candidate, Candidates, Config, Offer, OfferKey, Provider, RegisterError, Slots};

/// What has changed about a pattern of this node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// It is served so now.
    Announce(Pattern, Offer),
    /// Nobody here serves it any more.
    Withdraw(Pattern),
}

/// What one registration of this node offers, and the bound on its calls.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) offer: Offer,
    pub(crate) slots: Slots,
}

/// What another member offers, and the calls of this node that it has.
#[derive(Debug)]
struct Heard {
    slots: Slots,
    offers: BTreeMap<Pattern, Offer>,
}

/// The offers of everybody, as the map that tables are made of, and what is still to be said of our own.
///
/// Methods that may change the map say whether they did.
#[derive(Debug)]
pub(crate) struct Offers {
    own_node: NodeId,
    providers: Arc<Providers>,
    wild: Arc<Lookup>,
    /// Whether patterns with wildcards have changed since `wild` was made.
    is_wild_stale: bool,
    /// The registrations of this node.
    own: BTreeMap<Pattern, BTreeMap<Provider, Own>>,
    announced: BTreeMap<Pattern, Offer>,
    /// Patterns of this node of which something else may have to be announced.
    touched: BTreeSet<Pattern>,
    /// Patterns of this node that somebody else holds, with why its registrations have to end.
    ousted: BTreeMap<Pattern, RegisterError>,
    /// What other members offer.
    heard: BTreeMap<NodeId, Heard>,
    /// Who offers a pattern.
    offering: BTreeMap<Pattern, BTreeSet<NodeId>>,
    /// How many offers all other members have together.
    count: usize,
    max_offers: usize,
    max_procedures: usize,
    refused: u64,
}

impl Offers {
    pub(crate) fn new(config: &Config, own_node: NodeId) -> Self {
        Self {
            own_node,
            providers: Arc::default(),
            wild: Arc::default(),
            is_wild_stale: false,
            own: BTreeMap::new(),
            announced: BTreeMap::new(),
            touched: BTreeSet::new(),
            ousted: BTreeMap::new(),
            heard: BTreeMap::new(),
            offering: BTreeMap::new(),
            count: 0,
            max_offers: config.max_offers,
            max_procedures: config.max_procedures,
            refused: 0,
        }
    }

    /// Whether a registration of this policy would be out from the beginning.
    pub(crate) fn conflict(&self, pattern: &Pattern, invoke: Invoke) -> Option<RegisterError> {
        let standing = self.standing(pattern)?;
        conflict(&standing, invoke)
    }

    /// A registration of this node more, or another weight of one.
    pub(crate) fn add(&mut self, pattern: &Pattern, provider: Provider, own: Own) -> bool {
        self.own
            .entry(pattern.clone())
            .or_default()
            .insert(provider, own);
        self.touched.insert(pattern.clone());
        self.refresh(pattern)
    }

    /// The registrations of this node of one pattern.
    pub(crate) fn own_of(&self, pattern: &Pattern) -> impl Iterator<Item = (&Provider, &Own)> {
        self.own.get(pattern).into_iter().flatten()
    }

    /// A registration of this node less.
    pub(crate) fn remove(&mut self, pattern: &Pattern, provider: Provider) -> bool {
        if let Some(own) = self.own.get_mut(pattern) {
            own.remove(&provider);
            if own.is_empty() {
                self.own.remove(pattern);
                self.ousted.remove(pattern);
            }
        }
        self.touched.insert(pattern.clone());
        self.refresh(pattern)
    }

    /// Another member offers a pattern, or with other words. Beyond the limits it is refused, and counted.
    pub(crate) fn offer(&mut self, node: NodeId, pattern: &Pattern, offer: Offer) -> bool {
        let known = self.heard.get(&node).map(|heard| &heard.offers);
        match known.and_then(|offers| offers.get(pattern)) {
            Some(before) if *before == offer => return false,
            Some(_) => {}
            None => {
                let has = known.map_or(0, BTreeMap::len);
                if has >= self.max_procedures || self.count >= self.max_offers {
                    self.refused = self.refused.saturating_add(1);
                    return false;
                }
                self.count = self.count.saturating_add(1);
            }
        }
        let heard = self.heard.entry(node).or_insert_with(|| Heard {
            slots: Slots::new(u32::MAX),
            offers: BTreeMap::new(),
        });
        heard.offers.insert(pattern.clone(), offer);
        let nodes = self.offering.entry(pattern.clone()).or_default();
        nodes.insert(node);
        self.refresh(pattern)
    }

    /// Another member offers a pattern no more.
    pub(crate) fn unoffer(&mut self, node: NodeId, pattern: &Pattern) -> bool {
        let Some(heard) = self.heard.get_mut(&node) else {
            return false;
        };
        if heard.offers.remove(pattern).is_none() {
            return false;
        }
        if heard.offers.is_empty() {
            self.heard.remove(&node);
        }
        if let Some(nodes) = self.offering.get_mut(pattern) {
            nodes.remove(&node);
            if nodes.is_empty() {
                self.offering.remove(pattern);
            }
        }
        self.count = self.count.saturating_sub(1);
        self.refresh(pattern)
    }

    /// Forgets all that a member offers.
    pub(crate) fn forget(&mut self, node: NodeId) -> bool {
        let known = self.heard.get(&node).into_iter();
        let patterns = known.flat_map(|heard| heard.offers.keys()).cloned();
        let patterns: Vec<Pattern> = patterns.collect();
        let mut changed = false;
        for pattern in &patterns {
            changed |= self.unoffer(node, pattern);
        }
        changed
    }

    /// Forgets what other members offer under a key.
    pub(crate) fn forget_key(&mut self, key: &OfferKey) -> bool {
        let under = self.offering.iter();
        let under = under.filter(|(pattern, _)| OfferKey::of_pattern(pattern) == *key);
        let all =
            under.flat_map(|(pattern, nodes)| nodes.iter().map(|node| (*node, pattern.clone())));
        let all: Vec<(NodeId, Pattern)> = all.collect();
        let mut changed = false;
        for (node, pattern) in all {
            changed |= self.unoffer(node, &pattern);
        }
        changed
    }

    /// The next of what changed about the patterns of this node, in their order.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        while let Some(pattern) = self.touched.pop_first() {
            let own = self.summed(&pattern);
            if own.as_ref() == self.announced.get(&pattern) {
                continue;
            }
            let Some(offer) = own else {
                self.announced.remove(&pattern);
                return Some(Change::Withdraw(pattern));
            };
            self.announced.insert(pattern.clone(), offer.clone());
            return Some(Change::Announce(pattern, offer));
        }
        None
    }

    /// The next pattern whose registrations of this node have to end, and why.
    pub(crate) fn next_ousted(&mut self) -> Option<(Pattern, RegisterError)> {
        self.ousted.pop_first()
    }

    /// The distinct patterns of this node.
    pub(crate) fn own_patterns(&self) -> usize {
        self.own.len()
    }

    /// Whether somebody on this node serves `pattern`.
    pub(crate) fn is_own(&self, pattern: &Pattern) -> bool {
        self.own.contains_key(pattern)
    }

    pub(crate) fn of(&self, member: &NodeId) -> impl Iterator<Item = (&Pattern, &Offer)> {
        let heard = self.heard.get(member).into_iter();
        heard.flat_map(|heard| heard.offers.iter())
    }

    /// The other members that offer something.
    pub(crate) fn members(&self) -> impl Iterator<Item = &NodeId> {
        self.heard.keys()
    }

    /// How many patterns other members offer, each counted for each of them.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// How much was refused because of the limits.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn snapshot(&mut self) -> (Arc<Providers>, Arc<Lookup>) {
        if std::mem::take(&mut self.is_wild_stale) {
            self.wild = Arc::new(Lookup::of(&self.providers));
        }
        (Arc::clone(&self.providers), Arc::clone(&self.wild))
    }

    /// What the registrations of a pattern on this node amount to.
    fn summed(&self, pattern: &Pattern) -> Option<Offer> {
        let mut all = self.own_of(pattern).map(|(_, own)| &own.offer);
        let mut sum = all.next()?.clone();
        for offer in all {
            sum.weight = sum.weight.saturating_add(offer.weight);
            sum.concurrency = sum.concurrency.saturating_add(offer.concurrency);
            sum.since_ms = sum.since_ms.min(offer.since_ms);
            sum.takeover |= offer.takeover;
            sum.zone = sum.zone.or_else(|| offer.zone.clone());
        }
        Some(sum)
    }

    fn standing(&self, pattern: &Pattern) -> Option<Standing> {
        let own = self.summed(pattern);
        let own = own.as_ref().map(|offer| (self.own_node, offer));
        Standing::of(own.into_iter().chain(self.others(pattern)))
    }

    fn others<'a>(
        &'a self,
        pattern: &'a Pattern,
    ) -> impl Iterator<Item = (NodeId, &'a Offer)> + Clone {
        let nodes = self.offering.get(pattern).into_iter().flatten();
        nodes.filter_map(move |node| {
            let heard = self.heard.get(node)?;
            Some((*node, heard.offers.get(pattern)?))
        })
    }

    /// Brings the map up to date with all that is offered of a pattern.
    fn refresh(&mut self, pattern: &Pattern) -> bool {
        let standing = self.standing(pattern);
        let is_out = |standing: &Standing| !standing.within.contains(&self.own_node);
        let why = standing.as_ref().filter(|standing| is_out(standing));
        let why = why.and_then(|standing| {
            let (_, own) = self.own_of(pattern).next()?;
            Some(conflict(standing, own.offer.invoke).unwrap_or(RegisterError::Taken))
        });
        match why {
            Some(why) => self.ousted.insert(pattern.clone(), why),
            None => self.ousted.remove(pattern),
        };
        let Some(standing) = standing else {
            let gone = self.providers.contains_key(pattern);
            if gone {
                Arc::make_mut(&mut self.providers).remove(pattern);
            }
            self.is_wild_stale |= gone && !pattern.is_exact();
            return gone;
        };
        let list = self.counting(pattern, &standing);
        let before = self.providers.get(pattern);
        let now = Candidates::going_on(
            pattern.clone(),
            standing.invoke,
            self.own_node,
            list,
            before,
        );
        if before == Some(&now) {
            return self.ousted.contains_key(pattern);
        }
        Arc::make_mut(&mut self.providers).insert(pattern.clone(), now);
        self.is_wild_stale |= !pattern.is_exact();
        true
    }

    /// Those who count, as callers see them.
    fn counting(&self, pattern: &Pattern, standing: &Standing) -> Vec<Candidate> {
        let is_in = standing.within.contains(&self.own_node);
        let own = self.own_of(pattern).filter(|_| is_in);
        let own = own.map(|(provider, own)| candidate(*provider, &own.offer, own.slots.clone()));
        let others = self.others(pattern);
        let others = others.filter(|(node, _)| standing.within.contains(node));
        let others = others.filter_map(|(node, offer)| {
            let slots = self.heard.get(&node)?.slots.clone();
            Some(candidate(Provider::Member(node), offer, slots))
        });
        own.chain(others).collect()
    }
}

fn candidate(provider: Provider, offer: &Offer, slots: Slots) -> Candidate {
    Candidate {
        provider,
        weight: offer.weight,
        zone: offer.zone.clone(),
        since_ms: offer.since_ms,
        concurrency: offer.concurrency,
        slots,
    }
}

/// Why a registration of this policy is out, where it is.
fn conflict(standing: &Standing, invoke: Invoke) -> Option<RegisterError> {
    if standing.invoke != invoke {
        let held = standing.invoke;
        return Some(RegisterError::Conflict { held });
    }
    (invoke == Invoke::Single).then_some(RegisterError::Taken)
}
