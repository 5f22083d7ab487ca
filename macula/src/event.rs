//! What a subscriber gets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_wire::message::Priority;
use macula_wire::{ContentType, Epoch, NodeId, Sequence, Topic};

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
    pub(crate) token: Option<Token>,
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

    /// How often it was handed to this subscription, or to others of its group, before. 0 unless the subscription
    /// acknowledges by itself.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.token.as_ref().map_or(0, Token::attempt)
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
}

/// Why events are missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GapCause {
    /// A sender dropped them, because the link to this node was full or absent.
    Dropped,
    /// This subscriber took them too slowly, and its queue dropped them by its policy.
    Overflow,
    /// The publisher was lost or began a new run; how many events of the old run are missing is unknown.
    PublisherLost,
}

impl GapCause {
    /// The name in output for machines: `dropped`, `overflow` or `publisher-lost`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Overflow => "overflow",
            Self::PublisherLost => "publisher-lost",
        }
    }
}

/// Events that this subscriber matched and will not get.
#[derive(Clone, Debug)]
pub struct Gap {
    pub(crate) origin: Arc<Origin>,
    pub(crate) from: Sequence,
    pub(crate) to: Option<Sequence>,
    pub(crate) cause: GapCause,
}

impl Gap {
    /// Whose events are missing.
    #[must_use]
    pub fn publisher(&self) -> NodeId {
        self.origin.publisher
    }

    /// The run they are missing from.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.origin.epoch
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.origin.topic
    }

    /// The sequence of the first missing event.
    #[must_use]
    pub fn from(&self) -> Sequence {
        self.from
    }

    /// The sequence after the last missing event; `None` if it is not known.
    #[must_use]
    pub fn to(&self) -> Option<Sequence> {
        self.to
    }

    /// How many are missing; `None` if it is not known.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        self.to.map(|to| to.since(self.from))
    }

    /// Why.
    #[must_use]
    pub fn cause(&self) -> GapCause {
        self.cause
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
}
