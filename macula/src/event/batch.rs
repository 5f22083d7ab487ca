//! Events that are handed out together, where they lie.

use std::iter::FusedIterator;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_wire::message::Priority;
use macula_wire::{ContentType, Epoch, Header, NodeId, Sequence, Topic};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Delivery, Event};
use crate::Error;
use crate::codec::decode;
use crate::plane::reliable::Token;
use crate::queue::{Head, Place, is_past};

/// What [`Subscription::next_batch`](crate::Subscription::next_batch) hands out.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeliveryBatch<'a> {
    /// Consecutive events of one publisher and topic, at least one.
    Events(Events<'a>),
    /// One delivery that is no [`Delivery::Event`].
    Other(Delivery),
}

/// Consecutive events of one publisher and topic, in order. An event is handed out, and counts as delivered, when the
/// iterator yields it: those that it did not yield come with the next batch, or next delivery.
///
/// It ends early where the time to live of the rest is over; a gap tells them then.
#[derive(Debug)]
pub struct Events<'a> {
    head: &'a Head,
    place: &'a mut Place,
}

impl<'a> Events<'a> {
    pub(crate) const fn new(head: &'a Head, place: &'a mut Place) -> Self {
        Self { head, place }
    }

    /// Who published them.
    #[must_use]
    pub fn publisher(&self) -> NodeId {
        self.head.origin.publisher
    }

    /// Their topic.
    #[must_use]
    pub fn topic(&self) -> &'a Topic {
        &self.head.origin.topic
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = EventRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<EventRef<'a>> {
        if is_past(self.head.expires) {
            return None;
        }
        self.place.pop(self.head)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let most = usize::try_from(self.place.left()).ok();
        let least = most.filter(|_| self.head.expires.is_none());
        (least.unwrap_or(0), most)
    }
}

impl FusedIterator for Events<'_> {}

/// An event that lies among others that came with it. Reading it costs no allocation and no atomic operation.
///
/// It says the same as an [`Event`]; [`to_event`](Self::to_event) makes one, to be kept beyond the batch.
#[derive(Debug)]
pub struct EventRef<'a> {
    head: &'a Head,
    payload: &'a [u8],
    sequence: Sequence,
    /// By which the application says what becomes of it, where it does.
    token: Option<Box<Token>>,
}

impl<'a> EventRef<'a> {
    #[inline]
    pub(crate) const fn new(
        head: &'a Head,
        payload: &'a [u8],
        sequence: Sequence,
        token: Option<Box<Token>>,
    ) -> Self {
        Self {
            head,
            payload,
            sequence,
            token,
        }
    }

    /// Who published it.
    #[must_use]
    pub fn publisher(&self) -> NodeId {
        self.head.origin.publisher
    }

    /// The publisher's run.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.head.origin.epoch
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &'a Topic {
        &self.head.origin.topic
    }

    /// The place among the publisher's events of this epoch and topic, from 0.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The class it travelled in.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.head.origin.priority
    }

    /// What the payload is.
    #[must_use]
    pub const fn content_type(&self) -> &'a ContentType {
        &self.head.content
    }

    /// The payload, where it was read from the network.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The payload, to be kept: it shares the memory of the whole batch.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.head.bytes.slice_ref(self.payload)
    }

    /// The payload as a value, by its content type.
    ///
    /// # Errors
    ///
    /// As [`Event::value`].
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode(self.content_type(), self.payload)
    }

    /// The headers, ascending by key.
    #[must_use]
    pub fn headers(&self) -> &'a [Header] {
        self.single().map_or(&[], Event::headers)
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, key: &str) -> Option<&'a Bytes> {
        self.single()?.header(key)
    }

    /// The ordering key.
    #[must_use]
    pub fn key(&self) -> Option<&'a Bytes> {
        self.single()?.key()
    }

    /// The id by which the publisher names it for whoever must not see it twice.
    #[must_use]
    pub fn dedup_id(&self) -> Option<&'a Bytes> {
        self.single()?.dedup_id()
    }

    /// Whether it was published to stay as the last value of its topic.
    #[must_use]
    pub fn is_retained(&self) -> bool {
        self.single().is_some_and(Event::is_retained)
    }

    /// How much of its time to live is left; `None` if it has no end.
    #[must_use]
    pub fn ttl_left(&self) -> Option<Duration> {
        if let Some(event) = self.single() {
            return event.ttl_left();
        }
        let expires = self.head.expires?;
        Some(expires.saturating_duration_since(Instant::now()))
    }

    /// As [`Event::attempt`].
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.token.as_ref().map_or(0, |token| token.attempt())
    }

    /// As [`Event::ack`].
    pub fn ack(&self) {
        if let Some(token) = &self.token {
            token.ack();
        }
    }

    /// As [`Event::nack`].
    pub fn nack(&self, delay: Duration) {
        if let Some(token) = &self.token {
            token.retry(delay);
        }
    }

    /// As [`Event::reject`].
    pub fn reject(&self) {
        if let Some(token) = &self.token {
            token.reject();
        }
    }

    /// The event by itself, to be kept: it shares the memory of the whole batch.
    #[must_use]
    pub fn to_event(&self) -> Event {
        self.event(self.token.clone())
    }

    #[inline]
    pub(crate) fn into_event(mut self) -> Event {
        let token = self.token.take();
        self.event(token)
    }

    #[inline]
    fn event(&self, token: Option<Box<Token>>) -> Event {
        if let Some(event) = self.single() {
            return Event {
                token,
                ..event.clone()
            };
        }
        Event {
            origin: Arc::clone(&self.head.origin),
            sequence: self.sequence,
            content: self.head.content.clone(),
            payload: self.to_bytes(),
            token,
            envelope: None,
            expires: self.head.expires,
        }
    }

    /// The event itself, if it came alone.
    fn single(&self) -> Option<&'a Event> {
        self.head.single.as_deref()
    }
}
