//! A declared topic as its owner holds it.

mod batch;
mod options;
mod put;

pub use batch::EventBatch;
pub use options::PublishOptions;

use std::sync::Arc;

use bytes::Bytes;
use macula_wire::{ContentType, Envelope, ErrorCode, Topic};

use crate::Error;
use crate::event::{EventOptions, encoded};
use crate::keep::{MAX_RETAINED, MAX_RETAINED_LEN};
use crate::matching::Matching;
use crate::plane::Plane;
use crate::plane::topic::{
    BatchKey, Enveloped, NotTaken, OwnTopic, Payload, Placed, Promise, Wanted, too_large,
};
use crate::receipt::{EventId, PendingReceipt, Qos};

/// What stands around a value that is retained and its envelope, at most, in bytes.
const RETAINED_AROUND: usize = 512;

/// An envelope, also as bytes.
struct Written {
    envelope: Envelope,
    encoded: Vec<u8>,
}

/// Publishes on one topic. It keeps its route, so an event is a copy into the next batch. Cloning shares the topic.
#[derive(Clone, Debug)]
pub struct Publisher {
    plane: Arc<Plane>,
    topic: Arc<OwnTopic>,
    key: BatchKey,
    qos: Qos,
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
            qos: options.qos,
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

    /// Publishes an event in order with the others of this topic: at most once, or as the publisher's [`Qos`] says.
    ///
    /// It returns when the event stands in the next batch, and waits while the batch before is held up by a link or a
    /// blocking subscriber that is full; a link that takes nothing for 250 ms is given up on until it has room again,
    /// and its subscribers are told of a gap. With [`Qos::AtLeastOnce`] it waits for room in the node's replay buffer, which
    /// holds 16,384 events or 64 MiB that have not been acknowledged yet.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::PAYLOAD_TOO_LARGE`]; the event is not published and nothing else is affected.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        let payload = payload.into();
        match self.put_at_once(&payload) {
            Some(done) => done,
            None => Box::pin(self.put_plain(payload)).await,
        }
    }

    /// Publishes an event with options of its own. Otherwise as [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), [`ErrorCode::INVALID_ARGUMENT`] for options beyond their limits, and, if there was no
    /// room within `options.deadline`, [`ErrorCode::BUFFER_FULL`] for what is to be kept and
    /// [`ErrorCode::DEADLINE_EXCEEDED`] for the rest. The event is not published then.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish_with(
        &self,
        payload: impl Into<Bytes>,
        options: &EventOptions,
    ) -> Result<(), Error> {
        let put = self.put_with(payload.into(), options, Wanted::Nothing);
        put.await.map(drop)
    }

    /// Publishes an event as with [`Qos::AtLeastOnce`], whatever the publisher's is. What becomes of it the receipt tells.
    /// Otherwise as [`publish_with`](Self::publish_with).
    ///
    /// # Errors
    ///
    /// As [`publish_with`](Self::publish_with).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish_with_receipt(
        &self,
        payload: impl Into<Bytes>,
        options: &EventOptions,
    ) -> Result<PendingReceipt, Error> {
        let put = self.put_with(payload.into(), options, Wanted::Receipt);
        let Placed { sequence, claim } = put.await?;
        let Some(claim) = claim else {
            debug_assert!(false, "a receipt was asked for");
            let detail = "the event was published, and its receipt is lost";
            return Err(Error::new(ErrorCode::INTERNAL, detail));
        };
        let is_ours = self.plane.uplink.is_none();
        let id = is_ours.then(|| EventId::new(&self.topic.origin, sequence));
        Ok(PendingReceipt { id, claim })
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
        if !plane.archive.may_retain(&self.topic.origin.topic) {
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
        match self.put_at_once(&payload) {
            Some(done) => done,
            None => Box::pin(self.put_plain(payload)).await,
        }
    }

    /// Takes an event if there is room, as there mostly is: this way needs no future of several hundred bytes, which would
    /// cost as much as the rest. `None` if it has to wait.
    fn put_at_once(&self, payload: &impl Payload) -> Option<Result<(), Error>> {
        if self.qos.keeps() {
            return None;
        }
        match self.topic.try_take(&self.plane, &self.key, payload) {
            Ok(()) => Some(Ok(())),
            Err(NotTaken::Refused(error)) => Some(Err(error)),
            Err(NotTaken::NoRoom) => None,
        }
    }

    /// Publishes an event if that needs no waiting.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::WOULD_BLOCK`] where [`publish`](Self::publish) would wait, its errors, and
    /// [`ErrorCode::UNSUPPORTED_FEATURE`] where it always waits: for events that a client's member or a disk keeps. The event
    /// is not published then.
    pub fn try_publish(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.try_put(&self.key, &payload.into())
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
        match &envelope {
            Some(Written { envelope, encoded }) => {
                let event = Enveloped {
                    encoded,
                    envelope,
                    payload,
                };
                self.try_put(&key, &event)
            }
            None => self.try_put(&key, &payload),
        }
    }

    fn try_put(&self, key: &BatchKey, payload: &impl Payload) -> Result<(), Error> {
        let mut promise = None;
        if self.qos.keeps() {
            if self.plane.uplink.is_some() || self.qos == Qos::Durable {
                let detail = "to keep an event the answer of the node, or of the disk, is waited for: use publish";
                return Err(Error::new(ErrorCode::UNSUPPORTED_FEATURE, detail));
            }
            if !self.topic.is_next(&self.plane) {
                let detail = "events of other topics are on their way: wait, or use publish";
                return Err(Error::new(ErrorCode::WOULD_BLOCK, detail));
            }
            let Some(room) = self.plane.reserve(1, payload.encoded_len()) else {
                let detail = "the replay buffer is full: wait, or use publish";
                return Err(Error::new(ErrorCode::WOULD_BLOCK, detail));
            };
            promise = Some(Promise {
                room,
                wanted: Wanted::Nothing,
                stored: None,
            });
        }
        let put = self.topic.try_put(&self.plane, key, payload, &mut promise);
        put.map(drop).map_err(not_taken)
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
