//! When a suspected member counts as dead: the one place that decides it.

use std::sync::Arc;

use macula_wire::message::{SignedAccusation, Update};
use macula_wire::{Instant, NodeId};

use crate::own::Claim;

/// The most accusers that are kept and passed on for one suspicion, this node not counted.
pub(crate) const MAX_ACCUSERS: usize = 4;
/// How many accusers are believed without a probe of one's own.
const ENOUGH_ACCUSERS: usize = 2;

/// What this node's own probes have shown since the suspicion began.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Finding {
    /// Nothing yet.
    None,
    /// A probe has failed.
    Failed,
    /// The member has answered.
    Answered,
}

/// What follows from a suspicion whose time is up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// The member is dead.
    Dead,
    /// It is there: the accusers are mistaken, or lie.
    Alive,
    /// One accuser alone is not enough: this node has to look for itself.
    Unsure,
}

/// Somebody's accusation.
#[derive(Clone, Debug)]
struct Accuser {
    node: NodeId,
    claim: Claim,
    accusation: Arc<SignedAccusation>,
}

/// The suspicion of one member in one version of its record.
#[derive(Clone, Debug)]
pub(crate) struct Suspicion {
    /// Since when this node has waited for a refutation.
    since: Instant,
    /// Whether it was prolonged for want of accusers.
    prolonged: bool,
    finding: Finding,
    others: Vec<Accuser>,
    own: Option<Arc<SignedAccusation>>,
}

impl Suspicion {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            prolonged: false,
            finding: Finding::None,
            others: Vec::new(),
            own: None,
        }
    }

    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// Lets the wait begin anew.
    pub(crate) const fn restart(&mut self, now: Instant) {
        self.since = now;
    }

    /// Whether it may be prolonged, which happens once.
    pub(crate) const fn prolong(&mut self) -> bool {
        let first = !self.prolonged;
        self.prolonged = true;
        first
    }

    /// How many have accused the member, this node included.
    pub(crate) fn accusers(&self) -> usize {
        let own = usize::from(self.finding == Finding::Failed);
        self.others.len().saturating_add(own)
    }

    /// Whether the accusation says anything new.
    pub(crate) fn wants(&self, accuser: NodeId, claim: Claim) -> bool {
        match self.others.iter().find(|other| other.node == accuser) {
            Some(known) => known.claim == Claim::Suspect && claim == Claim::Dead,
            None => self.others.len() < MAX_ACCUSERS,
        }
    }

    /// Takes in what another says.
    pub(crate) fn accused(&mut self, claim: Claim, accusation: Arc<SignedAccusation>) {
        let node = accusation.accusation.accuser;
        if !self.wants(node, claim) {
            return;
        }
        self.others.retain(|other| other.node != node);
        self.others.push(Accuser {
            node,
            claim,
            accusation,
        });
    }

    /// Takes in that this node's own probe has failed.
    pub(crate) fn failed(&mut self, own: Arc<SignedAccusation>) {
        self.finding = Finding::Failed;
        self.own = Some(own);
    }

    /// Takes in that the member has answered this node's own probe.
    pub(crate) const fn answered(&mut self) {
        self.finding = Finding::Answered;
    }

    pub(crate) const fn finding(&self) -> Finding {
        self.finding
    }

    /// Whether this node should still look for itself, however many others say that they did: one member that lies can
    /// make accusers up.
    pub(crate) fn needs_check(&self) -> bool {
        self.finding == Finding::None
    }

    /// How many others have accused the member.
    pub(crate) fn others(&self) -> usize {
        self.others.len()
    }

    /// What follows when the time is up. Plain SWIM believes whatever it was told.
    pub(crate) fn verdict(&self, two_accusers: bool) -> Verdict {
        let enough = if two_accusers { ENOUGH_ACCUSERS } else { 1 };
        match self.finding {
            Finding::Failed => Verdict::Dead,
            Finding::Answered if two_accusers => Verdict::Alive,
            Finding::None | Finding::Answered if self.others.len() >= enough => Verdict::Dead,
            Finding::None | Finding::Answered => Verdict::Unsure,
        }
    }

    /// Whether somebody's time is up already, and this node would say the same when its own is.
    pub(crate) fn is_confirmed(&self, two_accusers: bool) -> bool {
        self.confirmations() > 0 && self.verdict(two_accusers) == Verdict::Dead
    }

    /// How many others have declared the member dead.
    pub(crate) fn confirmations(&self) -> usize {
        let dead = |other: &&Accuser| other.claim == Claim::Dead;
        self.others.iter().filter(dead).count()
    }

    /// Another's declaration that the member is dead.
    pub(crate) fn confirmation(&self) -> Option<&Arc<SignedAccusation>> {
        let dead = self.others.iter().find(|other| other.claim == Claim::Dead);
        dead.map(|other| &other.accusation)
    }

    /// The accusations, to be told to the member or to a third.
    pub(crate) fn updates(&self) -> impl Iterator<Item = Update> {
        let own = self.own.iter().cloned().map(Update::Suspect);
        let others = self.others.iter();
        own.chain(others.map(|other| other.claim.update(other.accusation.clone())))
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;
    use macula_wire::message::Accusation;
    use macula_wire::{Epoch, Incarnation, Signature};

    use super::*;

    fn by(number: usize) -> Arc<SignedAccusation> {
        Arc::new(SignedAccusation {
            accusation: Accusation {
                subject: node_id(99),
                epoch: Epoch::new(1),
                incarnation: Incarnation::new(1),
                accuser: node_id(number),
            },
            signature: Signature::from_bytes([0; 64]),
        })
    }

    #[test]
    fn one_accuser_alone_is_never_enough() {
        let mut suspicion = Suspicion::new(Instant::ZERO);
        for _ in 0..100 {
            suspicion.accused(Claim::Suspect, by(1));
            suspicion.accused(Claim::Dead, by(1));
        }
        assert_eq!(suspicion.verdict(true), Verdict::Unsure);
        assert!(suspicion.needs_check());
        assert_eq!(
            suspicion.verdict(false),
            Verdict::Dead,
            "plain SWIM believes it"
        );
        assert!(suspicion.prolong() && !suspicion.prolong());
        suspicion.accused(Claim::Suspect, by(2));
        assert_eq!(suspicion.verdict(true), Verdict::Dead);
    }

    #[test]
    fn what_one_has_seen_counts_more_than_what_one_is_told() {
        let mut suspicion = Suspicion::new(Instant::ZERO);
        for number in 1..9 {
            suspicion.accused(Claim::Dead, by(number));
        }
        assert_eq!(suspicion.confirmations(), MAX_ACCUSERS);
        assert!(suspicion.needs_check() && suspicion.is_confirmed(true));
        suspicion.answered();
        assert_eq!(suspicion.verdict(true), Verdict::Alive);
        assert!(!suspicion.is_confirmed(true) && suspicion.is_confirmed(false));
        suspicion.failed(by(0));
        assert_eq!(suspicion.verdict(true), Verdict::Dead);
        assert!(suspicion.is_confirmed(true));
        assert_eq!(suspicion.updates().count(), MAX_ACCUSERS + 1);
    }

    #[test]
    fn a_failed_probe_of_ones_own_is_enough_in_time() {
        let mut suspicion = Suspicion::new(Instant::ZERO);
        suspicion.failed(by(0));
        assert_eq!(suspicion.verdict(true), Verdict::Dead);
        assert!(!suspicion.is_confirmed(true), "but the time has to pass");
        assert_eq!(suspicion.accusers(), 1);
    }
}
