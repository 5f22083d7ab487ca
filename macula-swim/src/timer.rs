//! What falls due, and when.

use std::collections::{BTreeMap, BTreeSet};

use macula_wire::{Instant, NodeId, ProbeId};

/// What falls due. Those of one moment fire in this order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    /// An answer to a direct probe is late.
    Direct(ProbeId),
    /// An answer on the reliable way is late, too.
    Repeated(ProbeId),
    /// A probe has failed.
    Verdict(ProbeId),
    /// A probe on behalf of another is late.
    Nack(ProbeId),
    /// A probe on behalf of another is of no use any more.
    Relay(ProbeId),
    /// A neighbour may have been silent for too long.
    Watch(NodeId),
    /// A link to a stranger that is to be probed is late.
    Stranger(NodeId),
    /// An accused member is to be probed.
    Check(NodeId),
    /// A suspicion has run out.
    Suspicion(NodeId),
    /// This node may refute again, and has to.
    Refute,
    /// The next member is to be probed.
    Round,
    /// News is to be sent.
    Gossip,
    /// A part of the membership is to be sent to who asked for it.
    State,
    /// An answer to a join is late.
    Join(NodeId),
    /// A link is missing.
    Connect(NodeId),
    /// One of the dead is to be tried again.
    Revive,
    /// The membership is to be compared with another's.
    Sync,
    /// The longest dead is to be forgotten.
    Forget,
}

/// At most one deadline for each timer.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    by_timer: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Sets the deadline of `timer`, whatever it was.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.cancel(timer);
        self.by_timer.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    /// Sets the deadline of `timer` if it has none.
    pub(crate) fn arm(&mut self, timer: Timer, at: Instant) {
        if !self.by_timer.contains_key(&timer) {
            self.set(timer, at);
        }
    }

    /// When `timer` is due.
    pub(crate) fn at(&self, timer: Timer) -> Option<Instant> {
        self.by_timer.get(&timer).copied()
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.by_time.clear();
        self.by_timer.clear();
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_has_one_deadline_and_fires_once() {
        let at = Instant::from_millis;
        let mut timers = Timers::default();
        timers.set(Timer::Round, at(5));
        timers.set(Timer::Round, at(9));
        timers.arm(Timer::Round, at(1));
        timers.arm(Timer::Gossip, at(9));
        timers.set(Timer::Revive, at(7));
        timers.cancel(Timer::Revive);
        assert_eq!(timers.next(), Some(at(9)));
        assert_eq!(timers.pop_due(at(8)), None);
        assert_eq!(timers.pop_due(at(9)), Some(Timer::Round));
        assert_eq!(timers.pop_due(at(9)), Some(Timer::Gossip));
        assert_eq!((timers.pop_due(at(9)), timers.next()), (None, None));
    }
}
