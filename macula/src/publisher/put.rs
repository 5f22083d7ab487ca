//! The way of an event into its batch, or to the member that keeps it.

use std::time::Duration;

use bytes::Bytes;
use macula_wire::message::{self, Publish};
use macula_wire::{ErrorCode, Sequence};
use tokio::sync::oneshot;

use super::{Publisher, Written};
use crate::Error;
use crate::event::EventOptions;
use crate::plane::topic::{BatchKey, Enveloped, Payload, Promise, Stored, stored, too_large};
use crate::receipt::{Outcomes, Qos};

impl Publisher {
    pub(super) async fn put_with(
        &self,
        payload: Bytes,
        options: &EventOptions,
        receipt: Option<oneshot::Sender<Outcomes>>,
    ) -> Result<Sequence, Error> {
        let (key, envelope) = self.prepared(options, &payload)?;
        let is_kept = receipt.is_some() || self.qos.keeps();
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
        let (sequence, is_stored) = match options.deadline {
            None => put.await?,
            Some(deadline) => {
                let done = tokio::time::timeout(deadline, put).await;
                done.map_err(|_| no_room(deadline, is_kept))??
            }
        };
        // It is published by now: the deadline was for room.
        if let Some(is_stored) = is_stored {
            stored(is_stored).await?;
        }
        Ok(sequence)
    }

    /// Waits for room and takes an event, and says where it is told that it is on disk, if it is to be. It is kept where
    /// somebody waits for its receipt.
    pub(super) async fn put(
        &self,
        key: &BatchKey,
        payload: impl Payload,
        receipt: Option<oneshot::Sender<Outcomes>>,
    ) -> Result<(Sequence, Option<Stored>), Error> {
        let is_kept = receipt.is_some() || self.qos.keeps();
        if is_kept && self.plane.uplink.is_some() {
            let taken = self.put_by_member(key, &payload, receipt).await;
            return taken.map(|sequence| (sequence, None));
        }
        let mut is_stored = None;
        let promise = if is_kept {
            let room = self.plane.reserved(payload.encoded_len()).await;
            let (promise, stored) = Promise::new(&self.plane, room, receipt, self.qos)?;
            is_stored = stored;
            Some(promise)
        } else {
            None
        };
        let sequence = self.topic.put(&self.plane, key, payload, promise).await?;
        Ok((sequence, is_stored))
    }

    /// A client has its events kept by its member, which publishes them in its own name.
    async fn put_by_member(
        &self,
        key: &BatchKey,
        payload: &impl Payload,
        receipt: Option<oneshot::Sender<Outcomes>>,
    ) -> Result<Sequence, Error> {
        let max = self.plane.max_payload_len;
        if payload.len() > max {
            return Err(too_large(payload.len(), max));
        }
        let (envelope, payload) = payload.apart();
        let origin = &self.topic.origin;
        let publish = Publish {
            request: None,
            topic: origin.topic.clone(),
            qos: match self.qos {
                Qos::AtMostOnce | Qos::AtLeastOnce => message::Qos::AtLeastOnce,
                Qos::Durable => message::Qos::Durable,
            },
            retain: envelope.retain,
            ttl_ms: key.ttl_ms,
            key: envelope.key,
            dedup: envelope.dedup,
            content: key.content.clone(),
            headers: envelope.headers,
            audience: envelope.audience,
            payload,
        };
        let asked = self.plane.ask_to_publish(publish, origin.priority, receipt);
        // Under which sequence the member publishes it, it does not say.
        asked.await.map(|()| Sequence::new(0))
    }

    /// Publishes a plain event that could not be taken at once.
    pub(super) async fn put_plain(&self, payload: impl Payload) -> Result<(), Error> {
        if let (_, Some(is_stored)) = self.put(&self.key, payload, None).await? {
            stored(is_stored).await?;
        }
        Ok(())
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
