//! One member, as this node knows it.

use std::sync::Arc;

use macula_wire::message::{MemberRecord, SignedAccusation, SignedRecord};
use macula_wire::{Epoch, Incarnation, Instant, NodeId};

/// What this node believes of a member.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the protocol knows these four")]
pub enum State {
    /// It takes part.
    Alive,
    /// It does not answer, and may still say that it is there.
    Suspect,
    /// It has not answered for long enough.
    Dead,
    /// It said goodbye.
    Left,
}

impl State {
    /// Whether the member takes part, as far as is known.
    #[must_use]
    pub const fn is_present(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// How many members are in each state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Those that take part, this node included.
    pub alive: usize,
    /// Those that do not answer.
    pub suspect: usize,
    /// Those that were declared dead and are not forgotten.
    pub dead: usize,
    /// Those that left and are not forgotten.
    pub left: usize,
}

impl Counts {
    /// Those that take part or are suspected.
    #[must_use]
    pub const fn present(&self) -> usize {
        self.alive.saturating_add(self.suspect)
    }

    pub(crate) const fn of_mut(&mut self, state: State) -> &mut usize {
        match state {
            State::Alive => &mut self.alive,
            State::Suspect => &mut self.suspect,
            State::Dead => &mut self.dead,
            State::Left => &mut self.left,
        }
    }
}

/// A member, as this node knows it.
#[derive(Clone, Debug)]
pub struct Member {
    pub(crate) record: Arc<SignedRecord>,
    pub(crate) state: State,
    pub(crate) since: Instant,
    /// What shows that it is dead.
    pub(crate) evidence: Option<Arc<SignedAccusation>>,
    /// How often its link was asked for in vain.
    pub(crate) attempts: u32,
}

impl Member {
    pub(crate) const fn new(record: Arc<SignedRecord>, now: Instant) -> Self {
        Self {
            record,
            state: State::Alive,
            since: now,
            evidence: None,
            attempts: 0,
        }
    }

    /// Its id.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.record.record.node
    }

    /// What it says of itself, without the signature.
    #[must_use]
    pub fn record(&self) -> &MemberRecord {
        &self.record.record
    }

    /// What it says of itself, signed.
    #[must_use]
    pub const fn signed(&self) -> &Arc<SignedRecord> {
        &self.record
    }

    /// What this node believes of it.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// What shows that it is dead, if it is.
    pub(crate) fn evidence(&self) -> Option<Arc<SignedAccusation>> {
        self.evidence.clone()
    }

    /// The version of its record.
    pub(crate) fn version(&self) -> (Epoch, Incarnation) {
        (self.record().epoch, self.record().incarnation)
    }
}
