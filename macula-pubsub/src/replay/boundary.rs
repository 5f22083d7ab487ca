//! What the replay buffer is told and given, and what it wants done.

use std::time::Duration;

use macula_wire::message::{Balance, EventAck, Priority, RefusalCause, Resend};
use macula_wire::{ChannelRun, DeliveryId, NodeId};

use crate::Destination;

/// Whose room an event takes in the buffer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "an event is one of these")]
pub enum Custody {
    /// It was published on this node.
    Own,
    /// It came by a channel and goes on to subscribers and clients of this node.
    Transit,
    /// Its publisher is lost, and this node sends it in its place. It is always taken.
    Inherited,
}

/// Where an event that goes on came from: the channel, and the id of the first event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "names a place in a channel")]
pub struct Upstream {
    /// The node that sent it.
    pub peer: NodeId,
    /// The class of the channel.
    pub class: Priority,
    /// Its numbering.
    pub run: ChannelRun,
    /// The id there of the first of the events.
    pub first: DeliveryId,
}

/// Names the receipts of events that were published together, which are being made.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ReceiptId(pub(super) u64);

/// A group that is owed an event, and who of it could get it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "whoever publishes constructs it")]
pub struct GroupOffer {
    /// Its name.
    pub name: String,
    /// How one is chosen.
    pub balance: Balance,
    /// Those of the group, each once, at least one.
    pub candidates: Vec<Destination>,
    /// A hash of the ordering key, for [`Balance::Hash`].
    pub key: u64,
    /// How often the event may be handed over before it counts as rejected; 0 for as often as it takes.
    pub max_deliver: u32,
    /// Who gets it first, in the place of the one that the balance would choose.
    pub chosen: Option<Destination>,
}

/// Events that are to be kept: consecutive ones of one topic, encoded together.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever publishes constructs it")]
pub struct Offer<T> {
    /// The events, as whoever sends them wants them.
    pub payload: T,
    /// How many there are, at least 1; exactly 1 for a group.
    pub count: u32,
    /// How many bytes of the buffer they take.
    pub bytes: usize,
    /// The class that they travel in.
    pub class: Priority,
    /// How long they are worth delivering; `None` for ever.
    pub ttl: Option<Duration>,
    /// Whose room they take.
    pub custody: Custody,
    /// Who is owed each of them.
    pub owed: Vec<Destination>,
    /// The group of which one is owed them, in the place of `owed`.
    pub group: Option<GroupOffer>,
    /// How often they were handed to others of the group before.
    pub attempt: u32,
    /// Where they came from, if not from this node.
    pub upstream: Option<Upstream>,
    /// The receipts that count them, if any do, and the place there of the first one.
    pub receipts: Option<(ReceiptId, u32)>,
}

/// Why events were not taken. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The room for events of this custody is used up.
    #[error("the replay buffer is full: {events} events, {bytes} bytes")]
    Full {
        /// How many wait.
        events: usize,
        /// How many bytes they take.
        bytes: usize,
    },
    /// The ids are used up, a group has no candidate or more than one event, or there is no event.
    #[error("the offer makes no sense")]
    Invalid,
}

/// What became of an event at one destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "an event ends in one of these ways"
)]
pub enum Outcome {
    /// Each application concerned has it.
    Acked,
    /// Its time to live ended.
    Expired,
    /// Whoever wanted it is gone.
    Gone,
    /// It was rejected, or tried as often as it may be.
    Rejected,
}

impl From<RefusalCause> for Outcome {
    fn from(cause: RefusalCause) -> Self {
        match cause {
            RefusalCause::Gone => Self::Gone,
            RefusalCause::Expired => Self::Expired,
            RefusalCause::Rejected => Self::Rejected,
        }
    }
}

/// What happened outside.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever feeds the machine constructs them"
)]
pub enum ReplayInput {
    /// There is a link, or another one than before: what is not settled is sent again.
    Up(Destination),
    /// The link is lost. What is owed waits for the lease.
    Down(Destination),
    /// It is thought dead: others of its groups get what was meant for it, where there are any.
    Lost(Destination),
    /// It is gone for good, or has begun a new run: what was owed is dropped, or goes to others of its group.
    Gone(Destination),
    /// A receiver tells how far it has come.
    Ack(Destination, EventAck),
    /// A receiver lacks events.
    Resend(Destination, Resend),
    /// A subscription of this node has come to the end of some events.
    Settled {
        /// The subscription.
        to: Destination,
        /// The first.
        first: DeliveryId,
        /// The last.
        last: DeliveryId,
        /// What became of them.
        outcome: Outcome,
    },
    /// A subscription of this node gets an event again, or another of its group does, unless it is settled before. Said
    /// anew, it takes the place of what was said.
    Retry {
        /// The subscription.
        to: Destination,
        /// The event.
        id: DeliveryId,
        /// When, from now; at least 1 ms.
        delay: Duration,
        /// The event is rejected then instead if it was handed over so often; 0 for never.
        max_deliver: u32,
    },
}

/// Events for one destination, in its turn.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Transmit<T> {
    /// Nothing that the destination is owed lies between this and `first`.
    pub prev: DeliveryId,
    /// The id of the first event.
    pub first: DeliveryId,
    /// How many there are.
    pub count: u32,
    /// The place of the first one in the payload.
    pub offset: u32,
    /// The lowest id that is not settled there.
    pub floor: DeliveryId,
    /// The group that it is for.
    pub group: Option<String>,
    /// How often it was handed over before.
    pub attempt: u32,
    /// The events.
    pub payload: T,
}

/// What the caller has to do.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReplayOutput<T> {
    /// Something can be sent: call [`Replay::next`](super::Replay::next) until it has nothing, whenever there is room.
    Ready(Destination, Priority),
    /// What became of consecutive events, of each the same.
    Receipts {
        /// The receipts that count them.
        id: ReceiptId,
        /// The place there of the first.
        first: u32,
        /// The place of the last.
        last: u32,
        /// How many destinations each was owed to.
        matched: u32,
        /// How many have it.
        acked: u32,
        /// For how many its time to live ended.
        expired: u32,
        /// For how many it was dropped or rejected.
        dropped: u32,
    },
    /// Events that came by a channel are settled here.
    Settled {
        /// The channel.
        peer: NodeId,
        /// Its class.
        class: Priority,
        /// Its numbering.
        run: ChannelRun,
        /// The first id there.
        first: DeliveryId,
        /// The last.
        last: DeliveryId,
        /// What became of them.
        outcome: Outcome,
    },
    /// An event of this node was rejected by somebody who was owed it.
    Dead {
        /// The events.
        payload: T,
        /// Its place among them.
        offset: u32,
    },
    /// A peer broke a rule; nothing has changed.
    Misbehaved(Destination, ReplayOffence),
}

/// What a receiver did wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayOffence {
    /// It acknowledged an id that was never sent to it.
    #[error("an acknowledgement of what was never sent")]
    AckBeyond,
    /// It asks for what follows an id that was never sent to it.
    #[error("a resend of what was never sent")]
    ResendBeyond,
}
