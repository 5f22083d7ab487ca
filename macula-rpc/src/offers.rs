//! Who serves what: the registrations of this node, and the other members as far as that is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use macula_wire::{NodeId, Procedure};

use crate::providers::Providers;
use crate::{Candidate, Config, Provider};

/// What has changed about a procedure of this node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// It is served with this weight now.
    Announce(Procedure, u32),
    /// Nobody here serves it any more.
    Withdraw(Procedure),
}

/// The offers of everybody, as the map that tables are made of, and what is still to be said of our own.
///
/// Methods that may change the map say whether they did.
#[derive(Debug)]
pub(crate) struct Offers {
    providers: Arc<Providers>,
    /// The distinct procedures of this node, each with the sum of the weights.
    own: BTreeMap<Procedure, u32>,
    /// Those of them that were announced, and with what weight.
    announced: BTreeMap<Procedure, u32>,
    /// Procedures in which the two may differ.
    touched: BTreeSet<Procedure>,
    /// What other members offer.
    heard: BTreeMap<NodeId, BTreeMap<Procedure, u32>>,
    /// How many offers all other members have together.
    count: usize,
    max_offers: usize,
    max_procedures: usize,
    refused: u64,
}

impl Offers {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            providers: Arc::default(),
            own: BTreeMap::new(),
            announced: BTreeMap::new(),
            touched: BTreeSet::new(),
            heard: BTreeMap::new(),
            count: 0,
            max_offers: config.max_offers,
            max_procedures: config.max_procedures,
            refused: 0,
        }
    }

    /// A registration of this node more.
    pub(crate) fn add(&mut self, procedure: &Procedure, provider: Provider, weight: u32) -> bool {
        let changed = self.put(procedure, provider, weight);
        self.sum_up(procedure);
        changed
    }

    /// A registration of this node less.
    pub(crate) fn remove(&mut self, procedure: &Procedure, provider: Provider) -> bool {
        let changed = self.take(procedure, provider);
        self.sum_up(procedure);
        changed
    }

    /// Another member offers a procedure, or with another weight. Beyond the limits it is refused, and counted.
    pub(crate) fn offer(&mut self, node: NodeId, procedure: &Procedure, weight: u32) -> bool {
        let known = self.heard.get(&node);
        if !known.is_some_and(|known| known.contains_key(procedure)) {
            let has = known.map_or(0, BTreeMap::len);
            if has >= self.max_procedures || self.count >= self.max_offers {
                self.refused = self.refused.saturating_add(1);
                return false;
            }
            self.count = self.count.saturating_add(1);
        }
        let known = self.heard.entry(node).or_default();
        known.insert(procedure.clone(), weight);
        self.put(procedure, Provider::Member(node), weight)
    }

    /// Another member offers a procedure no more.
    pub(crate) fn unoffer(&mut self, node: NodeId, procedure: &Procedure) -> bool {
        let Some(known) = self.heard.get_mut(&node) else {
            return false;
        };
        if known.remove(procedure).is_none() {
            return false;
        }
        if known.is_empty() {
            self.heard.remove(&node);
        }
        self.count = self.count.saturating_sub(1);
        self.take(procedure, Provider::Member(node))
    }

    /// Forgets all that a member offers.
    pub(crate) fn forget(&mut self, node: NodeId) -> bool {
        let known = self.heard.get(&node);
        let procedures = known.into_iter().flat_map(BTreeMap::keys).cloned();
        let procedures: Vec<Procedure> = procedures.collect();
        let mut changed = false;
        for procedure in &procedures {
            changed |= self.unoffer(node, procedure);
        }
        changed
    }

    /// Forgets what other members offer of a procedure.
    pub(crate) fn forget_procedure(&mut self, procedure: &Procedure) -> bool {
        let list = self.providers.get(procedure);
        let list = list.into_iter().flat_map(|list| list.iter());
        let nodes = list.filter_map(|candidate| match candidate.provider {
            Provider::Member(node) => Some(node),
            Provider::Local(_) | Provider::Session(..) => None,
        });
        let nodes: Vec<NodeId> = nodes.collect();
        let mut changed = false;
        for node in nodes {
            changed |= self.unoffer(node, procedure);
        }
        changed
    }

    /// The next of what changed about the procedures of this node, in their order.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        while let Some(procedure) = self.touched.pop_first() {
            let own = self.own.get(&procedure).copied();
            if own == self.announced.get(&procedure).copied() {
                continue;
            }
            let Some(weight) = own else {
                self.announced.remove(&procedure);
                return Some(Change::Withdraw(procedure));
            };
            self.announced.insert(procedure.clone(), weight);
            return Some(Change::Announce(procedure, weight));
        }
        None
    }

    /// The distinct procedures of this node.
    pub(crate) fn own_procedures(&self) -> usize {
        self.own.len()
    }

    /// Whether somebody on this node provides `procedure`.
    pub(crate) fn is_own(&self, procedure: &Procedure) -> bool {
        self.own.contains_key(procedure)
    }

    pub(crate) fn of(&self, member: &NodeId) -> impl Iterator<Item = (&Procedure, &u32)> {
        self.heard.get(member).into_iter().flatten()
    }

    /// The other members that offer something.
    pub(crate) fn members(&self) -> impl Iterator<Item = &NodeId> {
        self.heard.keys()
    }

    /// How many procedures other members offer, each counted for each of them.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// How much was refused because of the limits.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn snapshot(&self) -> Arc<Providers> {
        Arc::clone(&self.providers)
    }

    /// Finds out what the registrations of a procedure on this node amount to.
    fn sum_up(&mut self, procedure: &Procedure) {
        let list = self.providers.get(procedure);
        let here = list
            .into_iter()
            .flat_map(|list| list.iter())
            .filter(|candidate| candidate.provider.is_here());
        let weight = here.fold(None, |sum: Option<u32>, candidate| {
            Some(sum.unwrap_or(0).saturating_add(candidate.weight))
        });
        match weight {
            Some(weight) => self.own.insert(procedure.clone(), weight),
            None => self.own.remove(procedure),
        };
        self.touched.insert(procedure.clone());
    }

    fn put(&mut self, procedure: &Procedure, provider: Provider, weight: u32) -> bool {
        let candidate = Candidate { provider, weight };
        let mut list = self.list(procedure);
        match list.binary_search_by_key(&provider, |other| other.provider) {
            Ok(at) => match list.get_mut(at) {
                Some(known) if *known != candidate => *known = candidate,
                _ => return false,
            },
            Err(at) => list.insert(at, candidate),
        }
        Arc::make_mut(&mut self.providers).insert(procedure.clone(), list.into());
        true
    }

    fn take(&mut self, procedure: &Procedure, provider: Provider) -> bool {
        let mut list = self.list(procedure);
        let Ok(at) = list.binary_search_by_key(&provider, |other| other.provider) else {
            return false;
        };
        list.remove(at);
        let providers = Arc::make_mut(&mut self.providers);
        if list.is_empty() {
            providers.remove(procedure);
        } else {
            providers.insert(procedure.clone(), list.into());
        }
        true
    }

    fn list(&self, procedure: &Procedure) -> Vec<Candidate> {
        let list = self.providers.get(procedure);
        list.map(|list| list.to_vec()).unwrap_or_default()
    }
}
