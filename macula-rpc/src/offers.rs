//! Who serves what: the registrations of this node, and the other members as far as they said.

use std::sync::Arc;

use macula_wire::announce::{Announcer, Changes, Heard, HeardLimits, Offence};
use macula_wire::message::Offer;
use macula_wire::{Instant, NodeId, Procedure, Random};

use crate::providers::Providers;
use crate::{Candidate, Config, Provider};

/// The offers of everybody, as the map that tables are made of, and what is still to be said of our own.
///
/// Methods that may change the map say whether they did.
#[derive(Debug)]
pub(crate) struct Offers {
    providers: Arc<Providers>,
    announcer: Announcer<Procedure, u32>,
    heard: Heard<Procedure, u32>,
}

impl Offers {
    pub(crate) fn new(config: &Config, random: Random) -> Self {
        let limits = HeardLimits {
            max_members: config.max_members,
            max_entries: config.max_procedures,
            max_lease: config.max_lease,
        };
        Self {
            providers: Arc::default(),
            announcer: Announcer::new(config.lease, random),
            heard: Heard::new(limits),
        }
    }

    /// A registration of this node more.
    pub(crate) fn add(&mut self, procedure: &Procedure, provider: Provider, weight: u32) -> bool {
        let changed = self.put(procedure, provider, weight);
        self.announce(procedure);
        changed
    }

    /// A registration of this node less.
    pub(crate) fn remove(&mut self, procedure: &Procedure, provider: Provider) -> bool {
        let changed = self.take(procedure, provider);
        self.announce(procedure);
        changed
    }

    /// What `member` has to be told at the start.
    pub(crate) fn member_up(
        &mut self,
        now: Instant,
        member: NodeId,
    ) -> impl Iterator<Item = Offer> + use<> {
        self.announcer
            .member_up(now, member)
            .into_iter()
            .map(Into::into)
    }

    pub(crate) fn member_down(&mut self, member: &NodeId) -> bool {
        self.announcer.member_down(member);
        let gone = self.heard.forget(member);
        self.forget(*member, &gone)
    }

    pub(crate) fn hear(
        &mut self,
        now: Instant,
        from: NodeId,
        offer: Offer,
    ) -> Result<bool, Offence> {
        let Changes { set, unset } = self.heard.hear(now, from, offer.into())?;
        let mut changed = self.forget(from, &unset);
        for (procedure, weight) in set {
            changed |= self.put(&procedure, Provider::Member(from), weight);
        }
        Ok(changed)
    }

    /// Forgets what nobody renewed.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let mut changed = false;
        while let Some((member, gone)) = self.heard.expire(now) {
            changed |= self.forget(member, &gone);
        }
        changed
    }

    /// The renewal for all members, if it is due.
    pub(crate) fn renewal(&mut self, now: Instant) -> Option<Offer> {
        self.announcer.renewal(now).map(Into::into)
    }

    /// The next part of what changed, for all members.
    pub(crate) fn next_change(&mut self, now: Instant) -> Option<Offer> {
        self.announcer.next_change(now).map(Into::into)
    }

    /// When a lease ends or a renewal is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let renewal = self.announcer.next_renewal();
        renewal.into_iter().chain(self.heard.next_end()).min()
    }

    /// The distinct procedures of this node.
    pub(crate) fn own_procedures(&self) -> usize {
        self.announcer.len()
    }

    /// Whether somebody on this node provides `procedure`.
    pub(crate) fn is_own(&self, procedure: &Procedure) -> bool {
        self.announcer.get(procedure).is_some()
    }

    pub(crate) fn of(&self, member: &NodeId) -> impl Iterator<Item = (&Procedure, &u32)> {
        self.heard.of(member)
    }

    pub(crate) fn snapshot(&self) -> Arc<Providers> {
        Arc::clone(&self.providers)
    }

    /// Says of a procedure of this node what its registrations amount to.
    fn announce(&mut self, procedure: &Procedure) {
        let list = self.providers.get(procedure);
        let here = list
            .into_iter()
            .flat_map(|list| list.iter())
            .filter(|candidate| candidate.provider.is_here());
        let weight = here.fold(None, |sum: Option<u32>, candidate| {
            Some(sum.unwrap_or(0).saturating_add(candidate.weight))
        });
        match weight {
            Some(weight) => self.announcer.set(procedure.clone(), weight),
            None => self.announcer.unset(procedure),
        }
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

    fn forget(&mut self, member: NodeId, procedures: &[Procedure]) -> bool {
        let mut changed = false;
        for procedure in procedures {
            changed |= self.take(procedure, Provider::Member(member));
        }
        changed
    }
}
