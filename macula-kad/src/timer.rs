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
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    by_timer: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Sets the deadline of `timer`, whatever it was.
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        if let Some(before) = self.by_timer.insert(timer, at) {
            self.by_time.remove(&(before, timer));
        }
        self.by_time.insert((at, timer));
    }

    /// Sets the deadline of `timer` if it has none, or a later one.
    pub(crate) fn arm(&mut self, timer: Timer, at: Instant) {
        if self.by_timer.get(&timer).is_none_or(|due| at < *due) {
            self.set(timer, at);
        }
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.by_time.first().copied()?;
        if at > now {
            return None;
        }
        self.cancel(timer);
        Some(timer)
    }
}
