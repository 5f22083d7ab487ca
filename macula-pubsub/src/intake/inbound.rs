//! One channel, as its receiver sees it.

use std::collections::BTreeMap;

use macula_wire::limit::MAX_ACK_RANGES;
use macula_wire::message::{
    Deliver, DeliveryRange, DeliveryRefusal, EventAck, Priority, RefusalCause, Resend,
};
use macula_wire::{ChannelRun, DeliveryId, Instant};

use super::{IntakeOffence, Taken};
use crate::Outcome;
use crate::ids::Ids;

/// See the module.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) run: ChannelRun,
    /// The last id that came in order.
    pub(super) cursor: u64,
    /// What was taken and is not settled.
    unsettled: Ids,
    /// What was refused and the sender may not know of, by the first id.
    refused: BTreeMap<u64, Refused>,
    max_refused: usize,
    pub(super) heard: Instant,
    /// When the sender is asked again for what is missing, if something is.
    pub(super) lacks_until: Option<Instant>,
    /// Whether something was dropped for want of room.
    pub(super) is_stalled: bool,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    last: u64,
    cause: RefusalCause,
    told: bool,
}

impl Inbound {
    pub(super) const fn new(run: ChannelRun, begin: u64, max_refused: usize) -> Self {
        Self {
            run,
            cursor: begin,
            unsettled: Ids::none(),
            refused: BTreeMap::new(),
            max_refused,
            heard: Instant::ZERO,
            lacks_until: None,
            is_stalled: false,
        }
    }

    /// Says what to do with what a DELIVER tells of, and goes on behind it if that is new.
    pub(super) fn judge(&mut self, deliver: &Deliver, has_room: bool) -> Taken {
        let first = deliver.first.get();
        let last = first
            .saturating_add(u64::from(deliver.count))
            .saturating_sub(1);
        if last <= self.cursor {
            return Taken::Duplicate;
        }
        if first <= self.cursor {
            return Taken::Violation(IntakeOffence::Overlap);
        }
        if deliver.prev.get() > self.cursor {
            return Taken::Hole;
        }
        if !has_room {
            return Taken::NoRoom;
        }
        self.cursor = last;
        self.unsettled.add(first, last);
        Taken::New
    }

    /// Takes note of what came to its end. Whether any of it had not before.
    pub(super) fn settled(&mut self, first: u64, last: u64, outcome: Outcome) -> bool {
        if first > last {
            return false;
        }
        let taken = self.unsettled.remove(first, last);
        let cause = match outcome {
            Outcome::Acked => return !taken.is_empty(),
            Outcome::Expired => RefusalCause::Expired,
            Outcome::Gone => RefusalCause::Gone,
            Outcome::Rejected => RefusalCause::Rejected,
        };
        for (first, last) in taken.ranges() {
            self.refuse(first, last, cause);
        }
        !taken.is_empty()
    }

    fn refuse(&mut self, first: u64, mut last: u64, cause: RefusalCause) {
        let mut first = first;
        // Neighbours of the same cause that the sender does not know of either are one.
        let before = self.refused.range(..first).next_back();
        if let Some((start, one)) = before.map(|(start, one)| (*start, *one))
            && one.joins(cause)
            && one.last.checked_add(1) == Some(first)
        {
            self.refused.remove(&start);
            first = start;
        }
        if let Some(next) = last.checked_add(1)
            && let Some(one) = self.refused.get(&next).copied()
            && one.joins(cause)
        {
            self.refused.remove(&next);
            last = one.last;
        }
        let told = false;
        self.refused.insert(first, Refused { last, cause, told });
        while self.refused.len() > self.max_refused.max(1) {
            self.refused.pop_first();
        }
    }

    /// What the sender has settled below `floor` need not be told any more.
    pub(super) fn forget_below(&mut self, floor: u64) {
        while let Some((first, one)) = self.refused.first_key_value() {
            if one.last >= floor {
                return;
            }
            let first = *first;
            self.refused.remove(&first);
        }
    }

    /// The sender may have missed what was told.
    pub(super) fn tell_all(&mut self) {
        for one in self.refused.values_mut() {
            one.told = false;
        }
    }

    pub(super) const fn resend(&self, class: Priority) -> Resend {
        Resend {
            run: self.run,
            class,
            after: DeliveryId::new(self.cursor),
        }
    }

    /// How far it has come, and whether a further message has to tell the rest of what was refused.
    pub(super) fn ack(&mut self, class: Priority) -> (EventAck, bool) {
        let mut refused = Vec::new();
        let mut end = self.cursor;
        let mut more = false;
        for (first, one) in self.refused.iter_mut().filter(|(_, one)| !one.told) {
            if refused.len() >= MAX_ACK_RANGES {
                // Nothing may count as acknowledged that is refused in a later message.
                end = end.min(first.saturating_sub(1));
                more = true;
                break;
            }
            one.told = true;
            refused.push(DeliveryRefusal {
                range: range(*first, one.last),
                cause: one.cause,
            });
        }
        let first = self.unsettled.first();
        let upto = first
            .map_or(self.cursor, |first| first.saturating_sub(1))
            .min(end);
        let ack = EventAck {
            run: self.run,
            class,
            upto: DeliveryId::new(upto),
            acked: self.settled_beyond(upto, end),
            refused,
        };
        (ack, more)
    }

    /// The first ranges behind the first one that is not settled, up to `end`.
    fn settled_beyond(&self, upto: u64, end: u64) -> Vec<DeliveryRange> {
        let mut ranges = Vec::new();
        let mut at = upto.saturating_add(1);
        let open = self.unsettled.ranges().chain([(u64::MAX, u64::MAX)]);
        for (first, last) in open {
            if ranges.len() >= MAX_ACK_RANGES || at > end {
                break;
            }
            let until = first.saturating_sub(1).min(end);
            if at <= until && at > upto.saturating_add(1) {
                ranges.push(range(at, until));
            }
            at = last.saturating_add(1);
        }
        ranges
    }
}

impl Refused {
    fn joins(&self, cause: RefusalCause) -> bool {
        self.cause == cause && !self.told
    }
}

const fn range(first: u64, last: u64) -> DeliveryRange {
    DeliveryRange {
        first: DeliveryId::new(first),
        last: DeliveryId::new(last),
    }
}
