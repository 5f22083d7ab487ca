//! A declared topic as its owner holds it.

use std::sync::Arc;

use bytes::Bytes;
use macula_wire::message::Priority;
use macula_wire::{ContentType, Envelope, ErrorCode, Topic};

use crate::Error;
use crate::event::{EventOptions, encoded};
use crate::keep::{MAX_RETAINED, MAX_RETAINED_LEN};
use crate::matching::Matching;
use crate::plane::Plane;
use crate::plane::topic::{BatchKey, Enveloped, NotTaken, OwnTopic, too_large};

/// What stands around a value that is retained and its envelope, at most, in bytes.
const RETAINED_AROUND: usize = 512;

/// An envelope, also as bytes.
struct Written {
    envelope: Envelope,
    encoded: Vec<u8>,
}

/// How events are published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishOptions {
    /// What the payloads are; by default opaque bytes.
    pub content: ContentType,
    /// How many of the last events this node keeps in memory for subscriptions that begin with [history](crate::History), at
    /// most 4,096; by default none. Clients keep none: a node of the role `store` does.
    pub history: u32,
    /// The class that the events travel in; by default [`Priority::Normal`]. One topic has one class on a node.
    pub priority: Priority,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            content: ContentType::Bytes,
            history: 0,
            priority: Priority::Normal,
        }
    }
}

impl PublishOptions {
    /// With payloads of this type.
    #[must_use]
    pub fn content(mut self, content: ContentType) -> Self {
        self.content = content;
        self
    }

    /// Keeping this many of the last events.
    #[must_use]
    pub const fn history(mut self, count: u32) -> Self {
        self.history = count;
        self
    }

    /// In this class.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }
}

/// Publishes on one topic. It keeps its route, so an event is a copy into the next batch. Cloning shares the topic.
#[derive(Clone, Debug)]
pub struct Publisher {
    plane: Arc<Plane>,
    topic: Arc<OwnTopic>,
    key: BatchKey,
}

impl Publisher {
    pub(crate) fn new(
        plane: Arc<Plane>,
        topic: &Topic,
        options: PublishOptions,
    ) -> Result<Self, Error> {
        if options.history > 0 && plane.uplink.is_some() {
            return Err(Error::new(
                ErrorCode::UNSUPPORTED_FEATURE,
                "a client keeps no history: a node of the role `store` does",
            ));
        }
        let own = plane.own_topic(topic, options.priority)?;
        own.keep_at_least(options.history);
        Ok(Self {
            plane,
            topic: own,
            key: BatchKey {
                content: options.content,
                ttl_ms: None,
                enveloped: false,
            },
        })
    }

    /// Watches for those who want its events.
    pub(crate) async fn declare(&self) -> Result<(), Error> {
        self.topic.declare(&self.plane).await
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic.origin.topic
    }

    /// Publishes an event, at most once, in order with the others of this topic.
    ///
    /// It returns when the event stands in the next batch, and waits while the batch before is held up by a link or a
    /// blocking subscriber that is full; a link that takes nothing for 250 ms is given up on until it has room again,
    /// and its subscribers are told of a gap.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::PAYLOAD_TOO_LARGE`]; the event is not published and nothing else is affected.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.topic
            .take(&self.plane, &self.key, payload.into())
            .await
    }

    /// Publishes an event with options of its own. Otherwise as [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), [`ErrorCode::INVALID_ARGUMENT`] for options beyond their limits, and
    /// [`ErrorCode::DEADLINE_EXCEEDED`] if there was no room within `options.deadline`. The event is not published then.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish_with(
        &self,
        payload: impl Into<Bytes>,
        options: &EventOptions,
    ) -> Result<(), Error> {
        let payload = payload.into();
        let (key, envelope) = self.prepared(options, &payload)?;
        let taken = async {
            match envelope {
                Some(Written { envelope, encoded }) => {
                    let event = Enveloped {
                        encoded: &encoded,
                        envelope: &envelope,
                        payload,
                    };
                    self.topic.take(&self.plane, &key, event).await
                }
                None => self.topic.take(&self.plane, &key, payload).await,
            }
        };
        match options.deadline {
            None => taken.await,
            Some(deadline) => tokio::time::timeout(deadline, taken).await.map_err(|_| {
                Error::new(
                    ErrorCode::DEADLINE_EXCEEDED,
                    format!("there was no room for the event within {deadline:?}"),
                )
            })?,
        }
    }

    /// What the event shares with others of a batch, and its envelope, also encoded.
    fn prepared(
        &self,
        options: &EventOptions,
        payload: &Bytes,
    ) -> Result<(BatchKey, Option<Written>), Error> {
        let envelope = match options.envelope()? {
            Some(envelope) => {
                let encoded = encoded(&envelope)?;
                if envelope.retain {
                    self.check_retained(encoded.len().saturating_add(payload.len()))?;
                }
                Some(Written { envelope, encoded })
            }
            None => None,
        };
        let key = BatchKey {
            content: options
                .content
                .clone()
                .unwrap_or_else(|| self.key.content.clone()),
            ttl_ms: options.ttl_ms()?,
            enveloped: envelope.is_some(),
        };
        Ok((key, envelope))
    }

    /// Whether so many bytes can stay as the last value of the topic.
    fn check_retained(&self, length: usize) -> Result<(), Error> {
        let plane = &self.plane;
        let is_far = plane
            .uplink
            .as_ref()
            .is_some_and(|uplink| !uplink.link.is_local());
        if is_far {
            return Err(Error::new(
                ErrorCode::UNSUPPORTED_FEATURE,
                "a client that attached over a network cannot retain values: a member or a local client can",
            ));
        }
        let room = MAX_RETAINED_LEN.saturating_sub(RETAINED_AROUND);
        if length > room {
            return Err(too_large(length, room));
        }
        if !plane.keep.may_retain(&self.topic.origin.topic) {
            let detail = format!("this node retains values on {MAX_RETAINED} topics already");
            return Err(Error::new(ErrorCode::QUOTA_EXCEEDED, detail));
        }
        Ok(())
    }

    /// Publishes an event whose payload is copied: for small payloads that are made in a buffer of the caller's, this
    /// needs no allocation. Otherwise as [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish_copy(&self, payload: &[u8]) -> Result<(), Error> {
        self.topic.take(&self.plane, &self.key, payload).await
    }

    /// Publishes an event if that needs no waiting.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::WOULD_BLOCK`] where [`publish`](Self::publish) would wait, and its errors. The event is not
    /// published then.
    pub fn try_publish(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        let taken = self.topic.try_take(&self.plane, &self.key, &payload.into());
        taken.map_err(not_taken)
    }

    /// Publishes an event with options of its own if that needs no waiting.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::WOULD_BLOCK`] where [`publish_with`](Self::publish_with) would wait, and its errors. The event is not
    /// published then.
    pub fn try_publish_with(
        &self,
        payload: impl Into<Bytes>,
        options: &EventOptions,
    ) -> Result<(), Error> {
        let payload = payload.into();
        let (key, envelope) = self.prepared(options, &payload)?;
        let taken = match &envelope {
            Some(Written { envelope, encoded }) => {
                let event = Enveloped {
                    encoded,
                    envelope,
                    payload,
                };
                self.topic.try_take(&self.plane, &key, &event)
            }
            None => self.topic.try_take(&self.plane, &key, &payload),
        };
        taken.map_err(not_taken)
    }

    /// Tells whether anybody wants the events of the topic, and when that changes.
    #[must_use]
    pub fn matching(&self) -> Matching {
        Matching::new(Arc::clone(&self.plane), Arc::clone(&self.topic))
    }

    /// What its payloads are.
    #[must_use]
    pub const fn content(&self) -> &ContentType {
        &self.key.content
    }

    /// Waits until every event published so far was handed to the queues of links and subscribers.
    pub async fn flush(&self) {
        self.topic.flushed().await;
    }
}

fn not_taken(reason: NotTaken) -> Error {
    match reason {
        NotTaken::Refused(error) => error,
        NotTaken::NoRoom => Error::new(
            ErrorCode::WOULD_BLOCK,
            "the batch before has not left yet: wait, or use publish",
        ),
    }
}
