//! A declared topic as its owner holds it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_wire::message::Priority;
use macula_wire::{ContentType, ErrorCode, Topic};
use tokio::sync::oneshot;

use crate::Error;
use crate::plane::Plane;
use crate::plane::topic::{BatchKey, NotTaken, OwnTopic, Payload, Promise};
use crate::receipt::{EventId, PendingReceipt, Qos};

/// How events are published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishOptions {
    /// What the payloads are; by default opaque bytes.
    pub content: ContentType,
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
        let own = plane.own_topic(topic, options.priority)?;
        let made = Self {
            plane,
            topic: own,
            key: BatchKey {
                content: options.content,
                ttl_ms: None,
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
        self.put(payload.into()).await
    }

    async fn put(&self, payload: impl Payload) -> Result<(), Error> {
        let promise = match self.qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce => Some(Promise {
                room: self.plane.reserved(payload.len()).await,
                receipt: None,
            }),
        };
        let put = self.topic.put(&self.plane, &self.key, payload, promise);
        put.await.map(drop)
    }

    /// Publishes an event as with [`Qos::AtLeastOnce`], whatever the publisher's is, waiting for room in the replay buffer
    /// for `patience` at most. What becomes of the event the receipt tells.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and [`ErrorCode::BUFFER_FULL`] if there was no room in time. The event is not published
    /// then.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish_with_receipt(
        &self,
        payload: impl Into<Bytes>,
        patience: Duration,
    ) -> Result<PendingReceipt, Error> {
        self.check_keeps()?;
        let payload = payload.into();
        let (give, outcomes) = oneshot::channel();
        let put = async {
            let promise = Promise {
                room: self.plane.reserved(payload.len()).await,
                receipt: Some(give),
            };
            let put = self
                .topic
                .put(&self.plane, &self.key, payload, Some(promise));
            put.await
        };
        let sequence = tokio::time::timeout(patience, put)
            .await
            .map_err(|_| buffer_full(patience))??;
        let origin = &self.topic.origin;
        let id = EventId {
            publisher: origin.publisher,
            epoch: origin.epoch,
            topic: origin.topic.clone(),
            sequence,
        };
        Ok(PendingReceipt { id, outcomes })
    }

    /// A client has its events kept by its member.
    fn check_keeps(&self) -> Result<(), Error> {
        if self.plane.uplink.is_none() {
            return Ok(());
        }
        let detail = "a client publishes at most once: use a node";
        Err(Error::new(ErrorCode::UNSUPPORTED_FEATURE, detail))
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
        self.put(payload).await
    }

    /// Publishes an event if that needs no waiting.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::WOULD_BLOCK`] where [`publish`](Self::publish) would wait, and its errors. The event is not
    /// published then.
    pub fn try_publish(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        let blocks = |detail| Err(Error::new(ErrorCode::WOULD_BLOCK, detail));
        let payload = payload.into();
        let mut promise = None;
        if self.qos == Qos::AtLeastOnce {
            let Some(room) = self.plane.reserve(payload.len()) else {
                return blocks("the replay buffer is full: wait, or use publish");
            };
            let receipt = None;
            promise = Some(Promise { room, receipt });
        }
        let put = self
            .topic
            .try_put(&self.plane, &self.key, &payload, &mut promise);
        match put {
            Ok(_) => Ok(()),
            Err(NotTaken::Refused(error)) => Err(error),
            Err(NotTaken::NoRoom) => {
                blocks("the batch before has not left yet: wait, or use publish")
            }
        }
    }

    /// Waits until every event published so far was handed to the queues of links and subscribers.
    pub async fn flush(&self) {
        self.topic.flushed().await;
    }
}

fn buffer_full(patience: Duration) -> Error {
    Error::new(
        ErrorCode::BUFFER_FULL,
        format!(
            "there was no room in the replay buffer within {patience:?}: subscribers do not keep up, or are away"
        ),
    )
}
