//! When a suspected member counts as dead: the one place that decides it.

use std::sync::Arc;

use macula_wire::NodeId;
use macula_wire::message::{SignedAccusation, Update};

use crate::own::Claim;

/// The most accusers that are kept and passed on for one suspicion, this node not counted.
pub(crate) const MAX_ACCUSERS: usize = 3;
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
    finding: Finding,
    others: Vec<Accuser>,
    own: Option<Arc<SignedAccusation>>,
}

impl Suspicion {
    pub(crate) const fn new() -> Self {
        Self {
            finding: Finding::None,
            others: Vec::new(),
            own: None,
        }
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

    /// Whether this node should look for itself: not if it has, and not if more than enough others did, because in a
    /// large realm a suspected member would be probed by everybody at once.
    pub(crate) fn needs_check(&self) -> bool {
        self.finding == Finding::None && self.others.len() < MAX_ACCUSERS
    }

    /// What follows when the time is up.
    pub(crate) fn verdict(&self) -> Verdict {
        match self.finding {
            Finding::Failed => Verdict::Dead,
            Finding::Answered => Verdict::Alive,
            Finding::None if self.others.len() >= ENOUGH_ACCUSERS => Verdict::Dead,
            Finding::None => Verdict::Unsure,
        }
    }

    /// Whether nothing is gained by waiting: this node's probe has failed, and somebody's time is up already.
    pub(crate) fn is_settled(&self) -> bool {
        self.finding == Finding::Failed && self.confirmations() > 0
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
        let mut suspicion = Suspicion::new();
        for _ in 0..100 {
            suspicion.accused(Claim::Suspect, by(1));
            suspicion.accused(Claim::Dead, by(1));
        }
        assert_eq!(suspicion.verdict(), Verdict::Unsure);
        assert!(suspicion.needs_check());
        suspicion.accused(Claim::Suspect, by(2));
        assert_eq!(suspicion.verdict(), Verdict::Dead);
    }

    #[test]
    fn what_one_has_seen_counts_more_than_what_one_is_told() {
        let mut suspicion = Suspicion::new();
        for number in 1..9 {
            suspicion.accused(Claim::Dead, by(number));
        }
        assert_eq!(suspicion.confirmations(), MAX_ACCUSERS);
        assert!(!suspicion.needs_check() && !suspicion.is_settled());
        suspicion.answered();
        assert_eq!(suspicion.verdict(), Verdict::Alive);
        suspicion.failed(by(0));
        assert_eq!(suspicion.verdict(), Verdict::Dead);
        assert!(suspicion.is_settled());
        assert_eq!(suspicion.updates().count(), MAX_ACCUSERS + 1);
    }

    #[test]
    fn a_failed_probe_of_ones_own_is_enough_in_time() {
        let mut suspicion = Suspicion::new();
        suspicion.failed(by(0));
        assert_eq!(suspicion.verdict(), Verdict::Dead);
        assert!(!suspicion.is_settled(), "but the time has to pass");
    }
}
