//! The way of an event into its batch, or to the member that keeps it.

use std::time::Duration;

use bytes::Bytes;
use macula_wire::message::{self, Publish};
use macula_wire::{ErrorCode, Sequence};

use super::{Publisher, Written};
use crate::Error;
use crate::event::EventOptions;
use crate::plane::topic::{
    BatchKey, Enveloped, Payload, Placed, Promise, Stored, Wanted, check_len, stored,
};
use crate::receipt::{Qos, Slip};

impl Publisher {
    pub(super) async fn put_with(
        &self,
        payload: Bytes,
        options: &EventOptions,
        wanted: Wanted,
    ) -> Result<Placed, Error> {
        let (key, envelope) = self.prepared(options, &payload)?;
        let is_kept = wanted == Wanted::Receipt || self.qos.keeps();
        let put = async {
            match envelope {
                Some(Written { envelope, encoded }) => {
                    let event = Enveloped {
                        encoded: &encoded,
                        envelope: &envelope,
                        payload,
                    };
                    self.put(&key, event, wanted).await
                }
                None => self.put(&key, payload, wanted).await,
            }
        };
        let (placed, is_stored) = match options.deadline {
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
        Ok(placed)
    }

    /// Waits for room and takes an event, and says where it is told that it is on disk, if it is to be. It is kept where
    /// somebody waits for its receipt.
    pub(super) async fn put(
        &self,
        key: &BatchKey,
        payload: impl Payload,
        wanted: Wanted,
    ) -> Result<(Placed, Option<Stored>), Error> {
        let is_kept = wanted == Wanted::Receipt || self.qos.keeps();
        if is_kept && self.plane.uplink.is_some() {
            let placed = self.put_by_member(key, &payload, wanted).await?;
            return Ok((placed, None));
        }
        let mut is_stored = None;
        let promise = if is_kept {
            let room = self.plane.reserved(1, payload.encoded_len()).await;
            let (promise, stored) = Promise::new(&self.plane, room, wanted, self.qos)?;
            is_stored = stored;
            Some(promise)
        } else {
            None
        };
        let placed = self.topic.put(&self.plane, key, payload, promise).await?;
        Ok((placed, is_stored))
    }

    /// A client has its events kept by its member, which publishes them in its own name.
    async fn put_by_member(
        &self,
        key: &BatchKey,
        payload: &impl Payload,
        wanted: Wanted,
    ) -> Result<Placed, Error> {
        check_len(payload.len(), self.plane.max_payload_len)?;
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
        let (slip, claim) = match wanted {
            Wanted::Receipt => Some(Slip::single()).unzip(),
            Wanted::Nothing => (None, None),
        };
        let asked = self.plane.ask_to_publish(publish, origin.priority, slip);
        asked.await?;
        // Under which sequence the member publishes it, it does not say.
        let sequence = Sequence::new(0);
        Ok(Placed { sequence, claim })
    }

    /// Publishes a plain event that could not be taken at once.
    pub(super) async fn put_plain(&self, payload: impl Payload) -> Result<(), Error> {
        if let (_, Some(is_stored)) = self.put(&self.key, payload, Wanted::Nothing).await? {
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
