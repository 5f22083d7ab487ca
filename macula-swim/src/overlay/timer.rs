//! What falls due in the overlay, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use macula_wire::{EdgeToken, Instant, NodeId};

use super::Overlay;

/// What falls due. Those of one moment fire in this order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Timer {
    /// An exchange of edges has taken too long.
    Deal(EdgeToken),
    /// Edges are missing, or too many.
    Repair,
    /// A node is to be offered an edge.
    Mate,
    /// Neighbours are to be told of each other.
    Lists,
    /// Newcomers that are under way are late.
    Admit,
    /// The next edge is to be checked.
    Check,
    /// An edge may be exchanged.
    Flip,
    /// Known nodes are to be exchanged.
    Shuffle,
    /// A lost node is to be tried.
    Lost,
    /// Somebody thought lost is back.
    Bridge,
    /// A link may not be needed any more.
    Release(NodeId),
}

/// At most one deadline for each timer.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    by_timer: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Sets the deadline of `timer`, whatever it was.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.cancel(timer);
        self.by_timer.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    /// Sets the deadline of `timer` if it has none or a later one.
    pub(super) fn hasten(&mut self, timer: Timer, at: Instant) {
        if self.by_timer.get(&timer).is_none_or(|due| *due > at) {
            self.set(timer, at);
        }
    }

    pub(super) fn is_armed(&self, timer: Timer) -> bool {
        self.by_timer.contains_key(&timer)
    }

    pub(super) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }
}

impl Overlay {
    /// Sets `timer` to fire after `pause`; a moment from now at least.
    pub(super) fn after(&mut self, timer: Timer, pause: Duration) {
        let pause = pause.max(Duration::from_millis(1));
        self.timers.set(timer, self.now + pause);
    }

    /// Sets `timer` to fire after `pause` at the latest.
    pub(super) fn hasten(&mut self, timer: Timer, pause: Duration) {
        let pause = pause.max(Duration::from_millis(1));
        self.timers.hasten(timer, self.now + pause);
    }

    /// A random duration below `width`.
    pub(super) fn within(&mut self, width: Duration) -> Duration {
        let nanos = u64::try_from(width.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.below(nanos))
    }

    /// The duration give or take a quarter, so that what began together does not go on in step.
    pub(super) fn about(&mut self, duration: Duration) -> Duration {
        let quarter = crate::config::part(duration, 4);
        let half = self.within(quarter.saturating_mul(2));
        duration.saturating_sub(quarter).saturating_add(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_can_be_hastened_and_not_delayed() {
        let at = Instant::from_millis;
        let mut timers = Timers::default();
        timers.hasten(Timer::Repair, at(9));
        timers.hasten(Timer::Repair, at(5));
        timers.hasten(Timer::Repair, at(7));
        assert_eq!(timers.next(), Some(at(5)));
        assert_eq!(timers.pop_due(at(4)), None);
        assert_eq!(timers.pop_due(at(5)), Some(Timer::Repair));
        assert!(!timers.is_armed(Timer::Repair));
    }
}
