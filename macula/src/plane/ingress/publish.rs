//! Events that a client has this member publish, and keep until their receivers have them.

use std::sync::Arc;

use macula_pubsub::Source;
use macula_transport::{OutFrame, OutboxError};
use macula_wire::message::{self, Ack, Message, Publish, Receipt};
use macula_wire::{Envelope, ErrorCode, RequestId};

use super::Ingress;
use crate::Error;
use crate::plane::counters::add;
use crate::plane::links::Attached;
use crate::plane::rights::denied;
use crate::plane::topic::{BatchKey, Enveloped, Promise, Stored, Wanted, stored};
use crate::receipt::{Claim, Qos};

/// What there is to wait for once an event was taken.
#[derive(Debug)]
struct Taken {
    stored: Option<Stored>,
    claim: Option<Claim>,
}

impl Ingress {
    /// Whether the client may have events kept in the name of this member.
    fn may_have_kept(&self, publish: &Publish) -> bool {
        let is_session = self.is_local() || matches!(self.source, Source::Session(_));
        is_session && self.may_publish(&publish.topic)
    }

    /// Publishes an event of a client in the name of this member, and answers. The client's stream waits for room in the
    /// buffer; what becomes of the event is told by a task of its own.
    pub(super) async fn publish_kept(&self, publish: Publish) {
        let request = publish.request;
        match (self.keep_for_client(publish).await, request) {
            (Ok(taken), Some(request)) => {
                let following = follow(Arc::clone(&self.attached), request, taken);
                self.plane.tasks.spawn("receipt", following);
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                tracing::debug!(%error, "event of a client refused");
                if request.is_some() {
                    tell(&self.attached, &Message::from(error.report(request)));
                }
            }
        }
    }

    async fn keep_for_client(&self, publish: Publish) -> Result<Taken, Error> {
        if !self.may_have_kept(&publish) {
            add(&self.plane.counters.denied, 1);
            return Err(denied("publish on", publish.topic.as_str()));
        }
        let envelope = Envelope {
            headers: publish.headers,
            key: publish.key,
            dedup: publish.dedup,
            audience: publish.audience,
            retain: publish.retain,
        };
        if envelope.reserved_header().is_some() {
            add(&self.plane.counters.denied, 1);
            let detail = "a header whose key begins with `$` is reserved";
            return Err(Error::new(ErrorCode::DENIED, detail));
        }
        self.plane.check_publish(&publish.topic)?;
        let own = self.plane.own_topic(&publish.topic, self.priority)?;
        own.declare(&self.plane).await?;
        let qos = match publish.qos {
            message::Qos::Durable => Qos::Durable,
            _ => Qos::AtLeastOnce,
        };
        let wanted = match publish.request {
            Some(_) => Wanted::Receipt,
            None => Wanted::Nothing,
        };
        let mut encoded = Vec::new();
        let enveloped = envelope != Envelope::EMPTY;
        if enveloped {
            envelope.encode(&mut encoded).map_err(|error| {
                Error::caused(ErrorCode::INVALID_ARGUMENT, error.to_string(), error)
            })?;
        }
        let length = encoded.len().saturating_add(publish.payload.len());
        let room = self.plane.reserved(1, length).await;
        let (promise, stored) = Promise::new(&self.plane, room, wanted, qos)?;
        let key = BatchKey {
            content: publish.content,
            ttl_ms: publish.ttl_ms,
            enveloped,
        };
        let payload = publish.payload;
        let placed = if enveloped {
            let event = Enveloped {
                encoded: &encoded,
                envelope: &envelope,
                payload,
            };
            own.put(&self.plane, &key, event, Some(promise)).await?
        } else {
            own.put(&self.plane, &key, payload, Some(promise)).await?
        };
        let claim = placed.claim;
        Ok(Taken { stored, claim })
    }
}

/// Tells a client when its event is kept, and what became of it.
async fn follow(attached: Arc<Attached>, request: RequestId, taken: Taken) {
    if let Some(waiting) = taken.stored
        && let Err(error) = stored(waiting).await
    {
        return tell(&attached, &Message::from(error.report(Some(request))));
    }
    tell(&attached, &Message::from(Ack { request }));
    if let Some(mut claim) = taken.claim
        && let Some(Ok((_, outcomes))) = claim.next().await
    {
        let receipt = Receipt {
            request,
            matched: outcomes.matched,
            acked: outcomes.acked,
            expired: outcomes.expired,
            dropped: outcomes.dropped,
        };
        tell(&attached, &Message::from(receipt));
    }
}

/// A client that does not read its answers loses its link.
fn tell(attached: &Attached, message: &Message) {
    let pushed = OutFrame::message(message).map(|frame| attached.link.control().try_push(frame));
    if let Ok(Err(OutboxError::Full { .. })) = pushed {
        let detail = "the client does not read its answers";
        attached.link.close(ErrorCode::OVERLOADED, detail);
    }
}
