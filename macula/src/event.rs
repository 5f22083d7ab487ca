//! What a subscriber gets.

mod batch;
mod gap;
mod letter;
mod options;

pub use batch::{DeliveryBatch, EventRef, Events};
pub use gap::{Gap, GapCause};
pub(crate) use letter::DEAD_LETTER_HEADER;
pub use letter::DeadLetter;
pub(crate) use options::encoded;
pub use options::{EventOptions, Subscribers};

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_wire::message::Priority;
use macula_wire::{ContentType, Envelope, Epoch, Header, NodeId, Sequence, Topic};
use tokio::time::Instant;

use crate::Error;

use crate::plane::reliable::Token;

/// Where events come from: one publisher's run and one topic. Shared by all of its events.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Origin {
    pub(crate) publisher: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) topic: Topic,
    pub(crate) priority: Priority,
}

/// An event as it reaches a subscriber. Cloning shares the payload.
#[derive(Clone, Debug)]
pub struct Event {
    pub(crate) origin: Arc<Origin>,
    pub(crate) sequence: Sequence,
    pub(crate) content: ContentType,
    pub(crate) payload: Bytes,
    /// By which the application says what becomes of it, where it does.
    pub(crate) token: Option<Box<Token>>,
    /// What came with it; `None` where that says nothing.
    pub(crate) envelope: Option<Arc<Envelope>>,
    /// When its time to live ends.
    pub(crate) expires: Option<Instant>,
}

impl Event {
    /// Who published it.
    #[must_use]
    pub fn publisher(&self) -> NodeId {
        self.origin.publisher
    }

    /// The publisher's run.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.origin.epoch
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.origin.topic
    }

    /// The place among the publisher's events of this epoch and topic, from 0.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The class it travelled in.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.origin.priority
    }

    /// What the payload is.
    #[must_use]
    pub fn content_type(&self) -> &ContentType {
        &self.content
    }

    /// How often it was handed to this subscription, or may have been to others of its group, before. 0 unless the subscription
    /// acknowledges by itself or shares in a group.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.token.as_ref().map_or(0, |token| token.attempt())
    }

    /// Says that the application is done with the event. Of what is said of an event the first counts.
    ///
    /// It changes nothing where the subscription does not acknowledge [by itself](crate::SubscribeOptions::manual_acks), or
    /// the event is not [kept](crate::Qos::AtLeastOnce).
    pub fn ack(&self) {
        if let Some(token) = &self.token {
            token.ack();
        }
    }

    /// Says that the application wants the event again after `delay`, at least 1 ms; in a group another may get it. When it
    /// was handed over as often as it may be, it is rejected. Otherwise as [`ack`](Self::ack).
    pub fn nack(&self, delay: Duration) {
        if let Some(token) = &self.token {
            token.retry(delay);
        }
    }

    /// Says that nobody can do anything with the event: its publisher's node makes it a dead letter. Otherwise as
    /// [`ack`](Self::ack).
    pub fn reject(&self) {
        if let Some(token) = &self.token {
            token.reject();
        }
    }

    /// The payload: a slice of what was read from the network.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The headers, ascending by key.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        self.envelope
            .as_deref()
            .map_or(&[], |envelope| &envelope.headers)
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, key: &str) -> Option<&Bytes> {
        let headers = self.headers();
        let at = headers
            .binary_search_by(|header| header.key.as_str().cmp(key))
            .ok()?;
        headers.get(at).map(|header| &header.value)
    }

    /// The ordering key.
    #[must_use]
    pub fn key(&self) -> Option<&Bytes> {
        self.envelope.as_deref()?.key.as_ref()
    }

    /// The id by which the publisher names it for whoever must not see it twice.
    #[must_use]
    pub fn dedup_id(&self) -> Option<&Bytes> {
        self.envelope.as_deref()?.dedup.as_ref()
    }

    /// Whether it was published to stay as the last value of its topic.
    #[must_use]
    pub fn is_retained(&self) -> bool {
        self.envelope
            .as_deref()
            .is_some_and(|envelope| envelope.retain)
    }

    /// How much of its time to live is left; `None` if it has no end. What has none left is not handed out.
    #[must_use]
    pub fn ttl_left(&self) -> Option<Duration> {
        self.expires
            .map(|at| at.saturating_duration_since(Instant::now()))
    }
}

/// What [`Subscription::next`](crate::Subscription::next) hands out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// An event.
    Event(Event),
    /// Events are missing here, between what was handed out before and what follows.
    Gap(Gap),
    /// So many events were dropped since the last delivery whose places are not told one by one: newer ones of the same
    /// key took their place, or there were too many gaps to remember.
    Lagged(u64),
    /// The last value of a topic, from before the subscription. It comes before the events of the topic; see
    /// [`SubscribeOptions::last`](crate::SubscribeOptions::last).
    Retained(Event),
    /// The subscription has ended, and nothing follows.
    Closed(ClosedReason),
}

/// Why a subscription has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClosedReason {
    /// The node has shut down.
    Stopped,
    /// The link to the member is lost.
    LinkLost(Error),
    /// The application took events too slowly, and [`Overflow::Disconnect`](crate::Overflow::Disconnect) was chosen.
    Overflow,
}

impl ClosedReason {
    /// The name in output for machines: `stopped`, `link-lost` or `overflow`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::LinkLost(_) => "link-lost",
            Self::Overflow => "overflow",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Event;

    /// Events are moved several times on their way to the application; beyond 128 bytes each move is a call.
    #[test]
    fn events_stay_small() {
        assert!(size_of::<Event>() <= 120, "{}", size_of::<Event>());
    }
}
