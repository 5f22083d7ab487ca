//! A declared topic as its owner holds it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_wire::message::Priority;
use macula_wire::{ContentType, Envelope, ErrorCode, Sequence, Topic};
use tokio::sync::oneshot;

use crate::Error;
use crate::event::{EventOptions, encoded};
use crate::keep::{MAX_RETAINED, MAX_RETAINED_LEN};
use crate::matching::Matching;
use crate::plane::Plane;
use crate::plane::topic::{BatchKey, Enveloped, NotTaken, OwnTopic, Payload, Promise, too_large};
use crate::receipt::{EventId, Outcomes, PendingReceipt, Qos};

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
    /// What is promised of the events; by default [`Qos::AtMostOnce`]. Once a topic has had an event of
    /// [`Qos::AtLeastOnce`] on a node, all of its events wait for the same buffer, so that their order holds.
    pub qos: Qos,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            content: ContentType::Bytes,
            history: 0,
            priority: Priority::Normal,
            qos: Qos::AtMostOnce,
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

    /// With this promise.
    #[must_use]
    pub const fn qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }
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
        let made = Self {
            plane,
            topic: own,
            key: BatchKey {
                content: options.content,
                ttl_ms: None,
                enveloped: false,
            },
            qos: options.qos,
        };
        if options.qos == Qos::AtLeastOnce {
            made.check_keeps()?;
        }
        Ok(made)
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
            None => Box::pin(self.put(&self.key, payload, None)).await.map(drop),
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
        let put = self.put_with(payload.into(), options, None);
        put.await.map(drop)
    }

    /// Publishes an event as with [`Qos::AtLeastOnce`], whatever the publisher's is. What becomes of it the receipt tells.
    /// Otherwise as [`publish_with`](Self::publish_with).
    ///
    /// # Errors
    ///
    /// As [`publish_with`](Self::publish_with), and [`ErrorCode::UNSUPPORTED_FEATURE`] on a client.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish_with_receipt(
        &self,
        payload: impl Into<Bytes>,
        options: &EventOptions,
    ) -> Result<PendingReceipt, Error> {
        self.check_keeps()?;
        let (give, outcomes) = oneshot::channel();
        let sequence = self.put_with(payload.into(), options, Some(give)).await?;
        let origin = &self.topic.origin;
        let id = EventId {
            publisher: origin.publisher,
            epoch: origin.epoch,
            topic: origin.topic.clone(),
            sequence,
        };
        Ok(PendingReceipt { id, outcomes })
    }

    /// A client cannot have its events kept.
    fn check_keeps(&self) -> Result<(), Error> {
        if self.plane.uplink.is_none() {
            return Ok(());
        }
        let detail = "a client publishes at most once: use a node";
        Err(Error::new(ErrorCode::UNSUPPORTED_FEATURE, detail))
    }

    async fn put_with(
        &self,
        payload: Bytes,
        options: &EventOptions,
        receipt: Option<oneshot::Sender<Outcomes>>,
    ) -> Result<Sequence, Error> {
        let (key, envelope) = self.prepared(options, &payload)?;
        let is_kept = receipt.is_some() || self.qos == Qos::AtLeastOnce;
        let put = async {
            match envelope {
                Some(Written { envelope, encoded }) => {
                    let event = Enveloped {
                        encoded: &encoded,
                        envelope: &envelope,
                        payload,
                    };
                    self.put(&key, event, receipt).await
                }
                None => self.put(&key, payload, receipt).await,
            }
        };
        let Some(deadline) = options.deadline else {
            return put.await;
        };
        let done = tokio::time::timeout(deadline, put).await;
        done.map_err(|_| no_room(deadline, is_kept))?
    }

    /// Waits for room and takes an event. It is kept where somebody waits for its receipt.
    async fn put(
        &self,
        key: &BatchKey,
        payload: impl Payload,
        receipt: Option<oneshot::Sender<Outcomes>>,
    ) -> Result<Sequence, Error> {
        let is_kept = receipt.is_some() || self.qos == Qos::AtLeastOnce;
        let promise = if is_kept {
            let room = self.plane.reserved(payload.encoded_len()).await;
            Some(Promise { room, receipt })
        } else {
            None
        };
        self.topic.put(&self.plane, key, payload, promise).await
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
            None => Box::pin(self.put(&self.key, payload, None)).await.map(drop),
        }
    }

    /// Takes an event if there is room, as there mostly is: this way needs no future of several hundred bytes, which would
    /// cost as much as the rest. `None` if it has to wait.
    fn put_at_once(&self, payload: &impl Payload) -> Option<Result<(), Error>> {
        if self.qos == Qos::AtLeastOnce {
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
    /// [`ErrorCode::WOULD_BLOCK`] where [`publish`](Self::publish) would wait, and its errors. The event is not
    /// published then.
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
        if self.qos == Qos::AtLeastOnce {
            let Some(room) = self.plane.reserve(payload.encoded_len()) else {
                let detail = "the replay buffer is full: wait, or use publish";
                return Err(Error::new(ErrorCode::WOULD_BLOCK, detail));
            };
            let receipt = None;
            promise = Some(Promise { room, receipt });
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

fn no_room(deadline: Duration, is_kept: bool) -> Error {
    if is_kept {
        let detail = format!(
            "there was no room in the replay buffer within {deadline:?}: subscribers do not keep up, or are away"
        );
        return Error::new(ErrorCode::BUFFER_FULL, detail);
    }
    Error::new(
        ErrorCode::DEADLINE_EXCEEDED,
        format!("there was no room for the event within {deadline:?}"),
    )
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
