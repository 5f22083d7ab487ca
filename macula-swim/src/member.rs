//! One member, as this node knows it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use macula_wire::message::{MemberRecord, SignedRecord};
use macula_wire::{Epoch, Incarnation, Instant, NodeId};

use crate::kept::Kept;

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

/// A member, as this node knows it: in 24 bytes, and those of its record.
#[derive(Clone, Debug)]
pub struct Member {
    pub(crate) kept: Kept,
    standing: Standing,
}

/// How a member stands with this node, in one word because there is one for each: its state in the two lowest bits, in the
/// next two how often its link was asked for in vain, and above them since when it is in that state, to sixteen nanoseconds.
#[derive(Clone, Copy)]
struct Standing(u64);

const STATE: u64 = 0b0011;
const ATTEMPTS: u64 = 0b1100;
const ATTEMPTS_AT: u32 = 2;

impl Standing {
    const fn new(state: State, since: Instant) -> Self {
        let state = match state {
            State::Alive => 0,
            State::Suspect => 1,
            State::Dead => 2,
            State::Left => 3,
        };
        Self(since.as_nanos() & !(STATE | ATTEMPTS) | state)
    }

    const fn state(self) -> State {
        match self.0 & STATE {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Dead,
            _ => State::Left,
        }
    }

    const fn since(self) -> Instant {
        Instant::from_nanos(self.0 & !(STATE | ATTEMPTS))
    }

    const fn attempts(self) -> u64 {
        (self.0 & ATTEMPTS) >> ATTEMPTS_AT
    }

    const fn with_attempts(self, attempts: u64) -> Self {
        Self(self.0 & !ATTEMPTS | (attempts << ATTEMPTS_AT) & ATTEMPTS)
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing")
            .field("state", &self.state())
            .field("since", &self.since())
            .field("attempts", &self.attempts())
            .finish()
    }
}

impl Member {
    pub(crate) const fn new(kept: Kept, now: Instant) -> Self {
        let standing = Standing::new(State::Alive, now);
        Self { kept, standing }
    }

    /// Its id.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.kept.node()
    }

    /// Its run.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.version().0
    }

    /// The version of its record within the run.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.version().1
    }

    /// Where it can be dialled, best first; read from its record at each call.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.record().addresses
    }

    /// What it says of itself, without the signature; decoded at each call, as it is kept in a shorter form.
    #[must_use]
    pub fn record(&self) -> MemberRecord {
        self.kept.signed().record
    }

    /// What it says of itself, signed; decoded at each call.
    #[must_use]
    pub fn signed(&self) -> Arc<SignedRecord> {
        Arc::new(self.kept.signed())
    }

    /// What this node believes of it.
    #[must_use]
    pub const fn state(&self) -> State {
        self.standing.state()
    }

    /// Since when, to sixteen nanoseconds.
    #[must_use]
    pub const fn since(&self) -> Instant {
        self.standing.since()
    }

    /// Enters a state, at a time that counts from its start.
    pub(crate) const fn enter(&mut self, state: State, now: Instant) {
        let attempts = self.standing.attempts();
        self.standing = Standing::new(state, now).with_attempts(attempts);
    }

    /// How often its link was asked for in vain; no more than three are counted.
    pub(crate) fn attempts(&self) -> u32 {
        u32::try_from(self.standing.attempts()).unwrap_or(0)
    }

    /// Its link was asked for in vain once more.
    pub(crate) fn attempt(&mut self) {
        let more = self.standing.attempts().saturating_add(1);
        self.standing = self
            .standing
            .with_attempts(more.min(ATTEMPTS >> ATTEMPTS_AT));
    }

    /// Its link is there.
    pub(crate) const fn end_attempts(&mut self) {
        self.standing = self.standing.with_attempts(0);
    }

    /// The version of its record.
    pub(crate) fn version(&self) -> (Epoch, Incarnation) {
        self.kept.version()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_small_and_its_standing_is_what_it_was_told() {
        assert_eq!(size_of::<Member>(), 24);
        let mut member = Member::new(crate::members::tests::kept(1), Instant::ZERO);
        for (attempt, state) in [State::Suspect, State::Dead, State::Left, State::Alive]
            .into_iter()
            .enumerate()
        {
            for at in [Instant::ZERO, Instant::from_millis(7), Instant::FAR_FUTURE] {
                member.enter(state, at);
                assert_eq!(member.state(), state);
                let late = at.saturating_since(member.since());
                assert!(late.as_nanos() < 16 && member.since() <= at);
                assert_eq!(member.attempts(), u32::try_from(attempt).unwrap());
            }
            member.attempt();
        }
        member.attempt();
        assert_eq!(member.attempts(), 3);
        member.end_attempts();
        assert_eq!((member.attempts(), member.state()), (0, State::Alive));
    }
}
