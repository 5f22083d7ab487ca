//! What falls due, and when.

use std::collections::{BTreeMap, BTreeSet};

use macula_wire::{Instant, NodeId, ProbeId};

/// What falls due. Those of one moment fire in this order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    /// A probe has to go its next way, or has failed.
    Probe(ProbeId),
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
    /// Urgent news is to be flooded.
    Flood,
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

impl Timer {
    /// Whether there may be one for each member. The others are as few as probes and neighbours.
    const fn is_of_member(self) -> bool {
        matches!(
            self,
            Self::Check(_) | Self::Suspicion(_) | Self::Join(_) | Self::Connect(_)
        )
    }
}

/// At most one deadline for each timer.
///
/// A message sets and cancels timers of probes and watches, of which there are about a dozen: they stand in a list that
/// is searched from end to end, which is faster than a tree. Those of members stand in trees, because there may be
/// thousands after a partition.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    few: Vec<(Instant, Timer)>,
    /// The earliest of the few.
    first: Option<(Instant, Timer)>,
    by_time: BTreeSet<(Instant, Timer)>,
    by_timer: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Sets the deadline of `timer`, whatever it was.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        if timer.is_of_member() {
            self.cancel(timer);
            self.by_timer.insert(timer, at);
            self.by_time.insert((at, timer));
            return;
        }
        match self.few.iter_mut().find(|(_, other)| *other == timer) {
            Some((due, _)) => *due = at,
            None => self.few.push((at, timer)),
        }
        let is_first = self.first.is_some_and(|(_, first)| first == timer);
        if is_first {
            self.first = self.few.iter().min().copied();
        } else if self.first.is_none_or(|first| (at, timer) < first) {
            self.first = Some((at, timer));
        }
    }

    /// Sets the deadline of `timer` if it has none.
    pub(crate) fn arm(&mut self, timer: Timer, at: Instant) {
        if self.at(timer).is_none() {
            self.set(timer, at);
        }
    }

    /// When `timer` is due.
    pub(crate) fn at(&self, timer: Timer) -> Option<Instant> {
        if timer.is_of_member() {
            return self.by_timer.get(&timer).copied();
        }
        let found = self.few.iter().find(|(_, other)| *other == timer);
        found.map(|(at, _)| *at)
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        if timer.is_of_member() {
            if let Some(at) = self.by_timer.remove(&timer) {
                self.by_time.remove(&(at, timer));
            }
            return;
        }
        if let Some(place) = self.few.iter().position(|(_, other)| *other == timer) {
            self.few.swap_remove(place);
            if self.first.is_some_and(|(_, first)| first == timer) {
                self.first = self.few.iter().min().copied();
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn earliest(&self) -> Option<(Instant, Timer)> {
        let of_members = self.by_time.first().copied();
        self.first.into_iter().chain(of_members).min()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.earliest().map(|(at, _)| at)
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.earliest()?;
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

    #[test]
    fn the_list_and_the_trees_together_are_in_order() {
        let mut random = macula_wire::Random::new(7);
        let mut timers = Timers::default();
        let mut model: BTreeMap<Timer, Instant> = BTreeMap::new();
        for _ in 0..20_000 {
            let number = random.below(20);
            let node = macula_testkit::node_id(usize::try_from(number).unwrap());
            let probe = ProbeId::new(number);
            let kinds = [
                Timer::Probe(probe),
                Timer::Watch(node),
                Timer::Suspicion(node),
            ];
            let timer = kinds[random.index(kinds.len())];
            let at = Instant::from_millis(random.below(50));
            match random.below(4) {
                0 => {
                    timers.cancel(timer);
                    model.remove(&timer);
                }
                1 => {
                    let due = model.iter().map(|(timer, at)| (*at, *timer)).min();
                    let due = due.filter(|(due, _)| *due <= at).map(|(_, timer)| timer);
                    assert_eq!(timers.pop_due(at), due);
                    due.map(|due| model.remove(&due));
                }
                _ => {
                    timers.set(timer, at);
                    model.insert(timer, at);
                }
            }
            assert_eq!(timers.next(), model.values().min().copied());
            assert_eq!(timers.at(timer), model.get(&timer).copied());
        }
    }
}
