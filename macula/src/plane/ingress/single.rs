//! Events that come one by one, and those of local clients, which this node publishes as its own.

use std::sync::Arc;

use bytes::Bytes;
use macula_pubsub::Source;
use macula_wire::message::{Alias, Body, Event, Kind, Message, Publish, Qos};
use macula_wire::{Batch, DecodeError, Entries, Envelope, Frame, Topic, TopicAlias};

use super::{Ingress, Proof, unexpected};
use crate::plane::counters::add;
use crate::plane::topic::{BatchKey, Enveloped, Payload};

impl Ingress {
    /// Publishes a client's events, but for the first `skip`, as this node's.
    pub(super) async fn republish(
        &self,
        topic: &Topic,
        batch: &Batch,
        skip: u64,
    ) -> Result<(), DecodeError> {
        let key = BatchKey {
            content: batch.content.clone(),
            ttl_ms: batch.ttl_ms,
            enveloped: batch.enveloped,
        };
        if self.is_presumptuous(batch) {
            let count = u64::try_from(batch.entries.count()).unwrap_or(u64::MAX);
            add(&self.plane.counters.denied, count);
            return Ok(());
        }
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        for entry in batch.entries.iter().skip(skip) {
            if !batch.enveloped {
                self.publish_as_node(topic, &key, entry).await;
            } else if let Ok((envelope, payload)) = Envelope::split(&entry) {
                let length = entry.len().saturating_sub(payload.len());
                let enveloped = Enveloped {
                    encoded: entry.get(..length).unwrap_or_default(),
                    envelope: &envelope,
                    payload,
                };
                self.publish_as_node(topic, &key, enveloped).await;
            }
        }
        Ok(())
    }

    /// Whether a client sets headers that only nodes may set.
    pub(super) fn is_presumptuous(&self, batch: &Batch) -> bool {
        let is_clients = matches!(self.source, Source::Session(_));
        is_clients
            && batch.enveloped
            && batch.entries.iter().any(|entry| {
                Envelope::split(&entry).is_ok_and(|(envelope, _)| {
                    // What an application may not say is not passed on in its name.
                    envelope.reserved_header().is_some()
                })
            })
    }

    async fn publish_as_node(&self, topic: &Topic, key: &BatchKey, payload: impl Payload) {
        let own = self
            .plane
            .check_publish(topic)
            .and_then(|()| self.plane.own_topic(topic, self.priority));
        let taken = match own {
            Ok(own) => match own.declare(&self.plane).await {
                Ok(()) => own.take(&self.plane, key, payload).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            tracing::debug!(%topic, %error, "event of a local client refused");
        }
    }

    /// An event with its topic by name is a batch of one.
    pub(super) async fn on_event(&mut self, event: Event) -> Result<(), DecodeError> {
        let alias = Alias {
            publisher: event.publisher,
            epoch: event.epoch,
            // The last number is kept for events that come by name, one topic at a time.
            alias: TopicAlias::new(u64::MAX),
            topic: event.topic,
            next: event.sequence,
            chain: Vec::new(),
        };
        let Some(proof) = self.proof_of(&alias).filter(|proof| *proof == Proof::Link) else {
            add(&self.plane.counters.dropped_unproven, 1);
            return Ok(());
        };
        let key = (alias.publisher, alias.epoch, alias.alias);
        self.announced
            .insert(key, Arc::new(self.announce(&alias, proof)));
        let mut entry = Vec::new();
        let enveloped = event.envelope.is_some();
        if let Some(envelope) = &event.envelope {
            let encoded = envelope.encode(&mut entry);
            encoded.map_err(|_| DecodeError::NotCanonical)?;
        }
        entry.extend_from_slice(&event.payload);
        let entries =
            Entries::from_payloads([entry.as_slice()]).map_err(|_| DecodeError::UnexpectedEnd)?;
        let batch = Batch {
            hops: event.hops,
            publisher: event.publisher,
            epoch: event.epoch,
            alias: alias.alias,
            base: event.sequence,
            ttl_ms: event.ttl_ms,
            content: event.content,
            enveloped,
            signature: event.signature,
            entries,
        };
        let Ok(bytes) = Message::from(Body::Batch(batch.clone())).to_bytes() else {
            return Ok(());
        };
        let frame = Frame::new(
            Kind::Batch.number(),
            Bytes::from(bytes).slice(macula_wire::limit::HEADER_LEN..),
        );
        self.on_batch(batch, frame).await
    }

    /// An event with options of its own, from a client of this node.
    pub(super) async fn on_publish(&self, publish: Publish) -> Result<(), DecodeError> {
        let is_clients = matches!(self.source, Source::Session(_));
        if publish.qos != Qos::AtMostOnce && (is_clients || self.is_local()) {
            self.publish_kept(publish).await;
            return Ok(());
        }
        if !self.is_local() {
            return Err(unexpected(Kind::Publish));
        }
        let envelope = Envelope {
            headers: publish.headers,
            key: publish.key,
            dedup: publish.dedup,
            audience: publish.audience,
            retain: publish.retain,
        };
        let key = BatchKey {
            content: publish.content,
            ttl_ms: publish.ttl_ms,
            enveloped: envelope != Envelope::EMPTY,
        };
        if envelope.reserved_header().is_some() {
            add(&self.plane.counters.denied, 1);
            return Ok(());
        }
        if !key.enveloped {
            self.publish_as_node(&publish.topic, &key, publish.payload)
                .await;
            return Ok(());
        }
        let mut encoded = Vec::new();
        let written = envelope.encode(&mut encoded);
        written.map_err(|_| DecodeError::NotCanonical)?;
        let enveloped = Enveloped {
            encoded: &encoded,
            envelope: &envelope,
            payload: publish.payload,
        };
        self.publish_as_node(&publish.topic, &key, enveloped).await;
        Ok(())
    }
}
