//! 0x10 to 0x1F: events.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::GroupInterest;
use crate::content::{Header, MAX_HEADERS, check_headers};
use crate::envelope::{Audience, Envelope};
use crate::field::{UNLIMITED, record, tagged};
use crate::limit::{MAX_CHAIN, MAX_KEY_LEN};
use crate::{
    ContentType, EncodeError, Epoch, NodeId, Pattern, RequestId, Sequence, Signature,
    SubscriptionId, Topic, TopicAlias, check,
};

tagged! {
    /// The class of an event; each has a stream of its own on every link.
    pub enum Priority as "priority" {
        /// Before all others.
        Realtime = 0,
        /// Before most.
        High = 1,
        /// The default.
        Normal = 2,
        /// When nothing else waits.
        Bulk = 3,
    }
}

tagged! {
    /// What is promised about the delivery of an event.
    pub enum Qos as "qos" {
        /// At most once; loss is counted and told.
        AtMostOnce = 0,
        /// Kept and repeated until each subscriber has it.
        AtLeastOnce = 1,
        /// The same, and kept on disk before it is acknowledged to the publisher.
        Durable = 2,
    }
}

record! {
    /// PUBLISH: an event with options of its own, from a client to its member.
    pub struct Publish {
        /// Asks for a RECEIPT under this number.
        pub request: Option<RequestId>,
        /// The topic.
        pub topic: Topic,
        /// What is promised.
        pub qos: Qos,
        /// Whether the event stays as the last value of its topic.
        pub retain: bool,
        /// How long it is worth delivering, in milliseconds; `None` for ever.
        pub ttl_ms: Option<u32>,
        /// Events with one key keep their order where others need not; 1 to 64 bytes.
        pub key: Option<Bytes> [MAX_KEY_LEN],
        /// Names the event for whoever must not see it twice; 1 to 64 bytes.
        pub dedup: Option<Bytes> [MAX_KEY_LEN],
        /// What the payload is.
        pub content: ContentType,
        /// At most 32, strictly ascending by key.
        pub headers: Vec<Header> [MAX_HEADERS],
        /// Whose applications it is for; `None` for everybody that subscribed.
        pub audience: Option<Box<Audience>>,
        /// The payload.
        pub payload: Bytes [UNLIMITED],
    }
    check check_publish
}

fn check_publish(publish: &Publish) -> Result<(), EncodeError> {
    check::filled("key", publish.key.as_ref())?;
    check::filled("dedup", publish.dedup.as_ref())?;
    check_headers(&publish.headers)
}

record! {
    /// SUBSCRIBE: a client asks for events. Answered by ACK or ERROR; no event comes before the ACK.
    pub struct Subscribe {
        /// Names the answer.
        pub request: RequestId,
        /// Names the subscription on this link.
        pub subscription: SubscriptionId,
        /// What is wanted.
        pub pattern: Pattern,
        /// The group that it is of; `None` for every event.
        pub group: Option<GroupInterest>,
        /// Whether events may come ahead of their turn, and then once more in it.
        pub early: bool,
    }
}

record! {
    /// UNSUBSCRIBE: a client ends a subscription. Answered by ACK or ERROR.
    pub struct Unsubscribe {
        /// Names the answer.
        pub request: RequestId,
        /// That of the SUBSCRIBE.
        pub subscription: SubscriptionId,
    }
}

record! {
    /// EVENT: one event by itself, with its topic by name.
    pub struct Event {
        /// How many more nodes may pass it on. Not signed.
        pub hops: u8,
        /// Who published.
        pub publisher: NodeId,
        /// The publisher's run.
        pub epoch: Epoch,
        /// The topic.
        pub topic: Topic,
        /// The place among the publisher's events of this epoch and topic.
        pub sequence: Sequence,
        /// How long it is worth delivering, in milliseconds from when it was sent; `None` for ever.
        pub ttl_ms: Option<u32>,
        /// What the payload is.
        pub content: ContentType,
        /// What goes with it beside the payload.
        pub envelope: Option<Box<Envelope>>,
        /// The publisher's signature, as for a batch of one.
        pub signature: Option<Signature>,
        /// The payload.
        pub payload: Bytes [UNLIMITED],
    }
}

record! {
    /// ALIAS: the number that stands for a topic in the batches of one publisher and epoch.
    ///
    /// Sent on each event stream before the first batch that uses it. Sent again, it tells that every event before
    /// `next` that did not come was dropped on purpose.
    pub struct Alias {
        /// Whose numbers these are.
        pub publisher: NodeId,
        /// The publisher's run.
        pub epoch: Epoch,
        /// The number.
        pub alias: TopicAlias,
        /// What it stands for.
        pub topic: Topic,
        /// The sequence of the next event on this stream.
        pub next: Sequence,
        /// The publisher's certificates (DER, leaf first) where the publisher is not the sender; otherwise none.
        pub chain: Vec<Bytes> [MAX_CHAIN],
    }
    check check_alias
}

fn check_alias(alias: &Alias) -> Result<(), EncodeError> {
    check::certificates(&alias.chain)
}

record! {
    /// GAP: a publisher is lost. What it published on a topic in that run from `from` on, if anything, will not come.
    ///
    /// From a member to its clients, which cannot see who is lost; for events that were dropped on the way, an
    /// [`Alias`] tells.
    pub struct Gap {
        /// Who is lost.
        pub publisher: NodeId,
        /// The run that ended.
        pub epoch: Epoch,
        /// The topic.
        pub topic: Topic,
        /// The first sequence that did not come.
        pub from: Sequence,
    }
}

record! {
    /// RECEIPT: what became of an event.
    pub struct Receipt {
        /// That of the PUBLISH.
        pub request: RequestId,
        /// How many sessions it was owed to when it was published; at least the sum of what follows.
        pub matched: u32,
        /// How many of them have it.
        pub acked: u32,
        /// For how many its time to live ended.
        pub expired: u32,
        /// For how many it was dropped.
        pub dropped: u32,
    }
    check check_receipt
}

/// What became of the event at each session is counted once.
fn check_receipt(receipt: &Receipt) -> Result<(), EncodeError> {
    let told = [receipt.acked, receipt.expired, receipt.dropped]
        .into_iter()
        .fold(0_u64, |sum, count| sum.saturating_add(u64::from(count)));
    check::require(told <= u64::from(receipt.matched), "matched", told)
}
