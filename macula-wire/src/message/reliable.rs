//! 0x19 to 0x1B: events that are kept until their receivers have them.

use alloc::string::String;
use alloc::vec::Vec;

use super::event::Priority;
use crate::field::{record, tagged};
use crate::limit::{MAX_ACK_RANGES, MAX_GROUP_LEN};
use crate::{ChannelRun, DeliveryId, EncodeError, check};

record! {
    /// DELIVER: the next BATCH or EVENT of the stream is kept by its sender until the receiver has acknowledged it.
    ///
    /// The ids are the sender's own and ascend on each channel: the events that one node sends to another in one class.
    pub struct Deliver {
        /// The sender's numbering; a greater one begins anew.
        pub run: ChannelRun,
        /// Nothing that the receiver is owed lies between this id and `first`; 0 before the first.
        pub prev: DeliveryId,
        /// The id of the first event; the others have the ids that follow.
        pub first: DeliveryId,
        /// How many events follow, at least 1.
        pub count: u32,
        /// The lowest id that is not settled at the sender; what the receiver remembers below it is of no use.
        pub floor: DeliveryId,
        /// The group that they are for, at most 64 bytes of visible ASCII; `None` for everybody who wants them.
        pub group: Option<String> [MAX_GROUP_LEN],
        /// How often they were handed to others of the group before.
        pub attempt: u32,
    }
    check check_deliver
}

fn check_deliver(deliver: &Deliver) -> Result<(), EncodeError> {
    let first = deliver.first.get();
    check::require(deliver.count > 0, "count", 0)?;
    check::require(deliver.prev < deliver.first, "prev", deliver.prev.get())?;
    let floor = deliver.floor;
    check::require(floor <= deliver.first, "floor", floor.get())?;
    let more = u64::from(deliver.count).saturating_sub(1);
    check::require(first.checked_add(more).is_some(), "first", first)?;
    deliver
        .group
        .as_deref()
        .map_or(Ok(()), |group| check::word("group", group))
}

tagged! {
    /// How one of a group of subscribers is chosen for an event.
    pub enum Balance as "balance" {
        /// By turns. The default.
        RoundRobin = 0,
        /// Any, each as likely.
        Random = 1,
        /// The same as before, as long as it is there.
        Sticky = 2,
        /// Whoever has the fewest events that are not settled.
        LeastInflight = 3,
        /// By the event's ordering key, or its topic where it has none: the same key goes to the same subscriber.
        Hash = 4,
        /// Those of the publisher's own node before others, by turns.
        LocalFirst = 5,
        /// The first of them that is there; the others only without it.
        Failover = 6,
    }
}

record! {
    /// Some ids in a row.
    pub struct DeliveryRange {
        /// The first of them.
        pub first: DeliveryId,
        /// The last of them.
        pub last: DeliveryId,
    }
    check check_range
}

fn check_range(range: &DeliveryRange) -> Result<(), EncodeError> {
    check::require(range.first <= range.last, "last", range.last.get())
}

tagged! {
    /// Why the receiver takes an event off the sender without having handed it to an application.
    pub enum RefusalCause as "cause" {
        /// Nobody there wants it any more.
        Gone = 0,
        /// Its time to live ended there.
        Expired = 1,
        /// The applications that got it rejected it, or did not acknowledge it as often as it may be tried.
        Rejected = 2,
    }
}

record! {
    /// Ids that end without having been handed to an application.
    pub struct DeliveryRefusal {
        /// Which.
        pub range: DeliveryRange,
        /// Why.
        pub cause: RefusalCause,
    }
}

record! {
    /// EVENT_ACK: how far the receiver of a channel has come. Tells all anew each time.
    pub struct EventAck {
        /// The sender's numbering, as DELIVER said.
        pub run: ChannelRun,
        /// The class of the channel.
        pub class: Priority,
        /// Every id up to this one is settled: handed to each application concerned, or refused.
        pub upto: DeliveryId,
        /// Ids beyond that are settled as well: at most 32 ranges, ascending, with ids between them.
        pub acked: Vec<DeliveryRange> [MAX_ACK_RANGES],
        /// Which of the settled were refused, as far as the sender may not know: at most 32 ranges, ascending.
        pub refused: Vec<DeliveryRefusal> [MAX_ACK_RANGES],
    }
    check check_ack
}

fn check_ack(ack: &EventAck) -> Result<(), EncodeError> {
    let mut before = ack.upto.get();
    for range in &ack.acked {
        // Two ranges without an id between them are one.
        let apart = before
            .checked_add(1)
            .is_some_and(|next| range.first.get() > next);
        check::require(apart, "acked", range.first.get())?;
        before = range.last.get();
    }
    let mut before = None;
    for refusal in &ack.refused {
        let first = refusal.range.first;
        check::require(before < Some(first), "refused", first.get())?;
        before = Some(refusal.range.last);
    }
    Ok(())
}

record! {
    /// RESEND: the receiver of a channel lacks what follows an id.
    pub struct Resend {
        /// The sender's numbering, as DELIVER said.
        pub run: ChannelRun,
        /// The class of the channel.
        pub class: Priority,
        /// The last id that has come in order.
        pub after: DeliveryId,
    }
}
