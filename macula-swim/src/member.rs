//! One member, as this node knows it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{MemberRecord, SignedAccusation, SignedRecord};
use macula_wire::{Epoch, Incarnation, Instant, NodeId};

/// The place of a member in this node's table, from 0 and without holes; 0 is this node.
///
/// It is a number of this node alone. When a member is forgotten, the last one takes its place.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberIndex(pub(crate) u32);

impl MemberIndex {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for MemberIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

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
    pub(crate) index: MemberIndex,
    pub(crate) record: Arc<SignedRecord>,
    pub(crate) state: State,
    pub(crate) since: Instant,
    /// Whether it has been heard from since the link to it came up, so that it knows this node.
    pub(crate) greeted: bool,
    /// What shows that it is dead.
    pub(crate) evidence: Option<Arc<SignedAccusation>>,
    /// When it was last told that it is dead.
    pub(crate) told: Option<Instant>,
    /// How often its link was asked for in vain.
    pub(crate) attempts: u32,
    pub(crate) allowance: Allowance,
}

impl Member {
    pub(crate) const fn new(index: MemberIndex, record: Arc<SignedRecord>, now: Instant) -> Self {
        Self {
            index,
            record,
            state: State::Alive,
            since: now,
            greeted: false,
            evidence: None,
            told: None,
            attempts: 0,
            allowance: Allowance {
                left: 0,
                filled: None,
            },
        }
    }

    /// Its place in this node's table.
    #[must_use]
    pub const fn index(&self) -> MemberIndex {
        self.index
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

    /// The version of its record.
    pub(crate) fn version(&self) -> (Epoch, Incarnation) {
        (self.record().epoch, self.record().incarnation)
    }
}

/// How many accusations a peer may still bring: full again after a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowance {
    left: u32,
    filled: Option<Instant>,
}

impl Allowance {
    /// Takes one, if any is left.
    pub(crate) fn take(&mut self, now: Instant, max: u32) -> bool {
        let stale = |filled: Instant| now.saturating_since(filled) >= Duration::from_secs(1);
        if self.filled.is_none_or(stale) {
            self.left = max;
            self.filled = Some(now);
        }
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_full_again_after_a_second() {
        let mut allowance = Allowance::default();
        let mut count = |millis| {
            let now = Instant::from_millis(millis);
            (0..10).filter(|_| allowance.take(now, 3)).count()
        };
        assert_eq!([count(0), count(999), count(1_000)], [3, 0, 3]);
    }
}
