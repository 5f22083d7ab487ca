//! What falls due, and when.

use std::collections::{BTreeMap, BTreeSet};

use macula_wire::message::RecordKind;
use macula_wire::{Instant, Key, RecordId, RequestId};

use crate::kad::QueryId;

/// What falls due. Those of one moment fire in this order; requests keep their own time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Timer {
    /// The answer to a request takes too long.
    Request(RequestId),
    /// A lookup has taken long enough.
    Deadline(QueryId),
    /// The table is to be refreshed.
    Refresh,
    /// A record of this node is to be renewed.
    Renew(RecordId),
    /// The closest are to be told of records of this node.
    Tell,
    /// Nodes came and went, so records may have others to keep them.
    Moves,
    /// Records are to be compared with the others that ought to keep them.
    Replicate,
    /// The time of some records is over.
    Expire,
    /// The watches of some peers are over.
    Watchers,
    /// A watch of this node is to be renewed.
    Watch(Key, RecordKind),
    /// Whoever waits for all that is under a watched key has waited long enough.
    Ready(Key, RecordKind),
    /// The time of some records that are watched is over.
    Seen,
}

/// At most one deadline for each timer.
///
/// There is a renewal for each record of this node, and few of all others: renewals stand apart, in half the room that a
/// timer with a key takes.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    renewals: Deadlines<RecordId>,
    others: Deadlines<Timer>,
}

/// At most one deadline for each of some things.
#[derive(Debug)]
struct Deadlines<T> {
    by_time: BTreeSet<(Instant, T)>,
    of: BTreeMap<T, Instant>,
}

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Self {
            by_time: BTreeSet::new(),
            of: BTreeMap::new(),
        }
    }
}

impl<T: Copy + Ord> Deadlines<T> {
    fn set(&mut self, what: T, at: Instant) {
        if let Some(before) = self.of.insert(what, at) {
            self.by_time.remove(&(before, what));
        }
        self.by_time.insert((at, what));
    }

    fn cancel(&mut self, what: T) {
        if let Some(at) = self.of.remove(&what) {
            self.by_time.remove(&(at, what));
        }
    }

    fn first(&self) -> Option<(Instant, T)> {
        self.by_time.first().copied()
    }
}

impl Timers {
    /// Sets the deadline of `timer`, whatever it was.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        if let Timer::Renew(record) = timer {
            self.renewals.set(record, at);
        } else {
            self.others.set(timer, at);
        }
    }

    /// Sets the deadline of `timer` if it has none, or a later one.
    pub(crate) fn arm(&mut self, timer: Timer, at: Instant) {
        if self.at(timer).is_none_or(|due| at < due) {
            self.set(timer, at);
        }
    }

    /// When `timer` is due.
    fn at(&self, timer: Timer) -> Option<Instant> {
        let at = if let Timer::Renew(record) = timer {
            self.renewals.of.get(&record)
        } else {
            self.others.of.get(&timer)
        };
        at.copied()
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Timer::Renew(record) = timer {
            self.renewals.cancel(record);
        } else {
            self.others.cancel(timer);
        }
    }

    /// The first of all.
    fn first(&self) -> Option<(Instant, Timer)> {
        let renewal = self.renewals.first();
        let renewal = renewal.map(|(at, record)| (at, Timer::Renew(record)));
        renewal.into_iter().chain(self.others.first()).min()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.first().map(|(at, _)| at)
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.first()?;
        if at > now {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::Random;

    use super::*;

    #[test]
    fn timers_fire_once_and_in_order() {
        let mut random = Random::new(3);
        let mut timers = Timers::default();
        let mut model: BTreeMap<Timer, Instant> = BTreeMap::new();
        for _ in 0..20_000 {
            let number = u8::try_from(random.below(6)).unwrap();
            let kinds = [
                Timer::Request(RequestId::new(u64::from(number))),
                Timer::Renew(RecordId::from_bytes([number; 16])),
                Timer::Tell,
                Timer::Watch(Key::from_bytes([number; 32]), RecordKind::Value),
            ];
            let timer = kinds[random.index(kinds.len())];
            let at = Instant::from_millis(random.below(50));
            match random.below(5) {
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
                2 => {
                    timers.arm(timer, at);
                    let due = model.entry(timer).or_insert(at);
                    *due = at.min(*due);
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
