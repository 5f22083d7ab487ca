//! Handing events to the subscribers of this node.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use macula_realm::Tenant;
use macula_transport::OutFrame;
use macula_wire::{Batch, Envelope, SealedBatch};
use tokio::time::Instant;

use super::Plane;
use super::counters::add;
use super::route::Receivers;
use crate::event::{Event, Origin};
use crate::queue::{EventRun, History, Pushed};

/// When the time to live of a batch ends, and where what it ended for is counted.
#[derive(Clone, Debug)]
pub(crate) struct Expires {
    pub(crate) at: Instant,
    pub(crate) dropped: Arc<AtomicU64>,
}

impl Plane {
    /// When a time to live that begins now ends.
    pub(super) fn expires(&self, ttl_ms: Option<u32>) -> Option<Expires> {
        let ttl = Duration::from_millis(u64::from(ttl_ms?));
        Some(Expires {
            at: Instant::now().checked_add(ttl)?,
            dropped: Arc::clone(&self.expired),
        })
    }

    /// Delivers a sealed batch to the local receivers and makes it ready for links.
    pub(super) fn prepare(
        &self,
        origin: &Arc<Origin>,
        sealed: SealedBatch,
        receivers: &Receivers,
        expires: Option<&Expires>,
        history: u32,
    ) -> OutFrame {
        if receivers.queues.is_empty() && !self.prover.signs() && history == 0 {
            return OutFrame::from(sealed);
        }
        let mut batch = sealed.open();
        self.deliver(origin, &batch, 0, receivers, expires);
        if history > 0 {
            self.hold(origin, &batch, expires.map(|expires| expires.at), history);
        }
        self.prover
            .sign(&self.realm, &origin.topic, &mut batch)
            .unwrap_or_else(|| OutFrame::from(sealed))
    }

    /// Keeps the events of a batch of this node, of its topic at most `count`.
    pub(super) fn hold(
        &self,
        origin: &Arc<Origin>,
        batch: &Batch,
        expires: Option<Instant>,
        count: u32,
    ) {
        let unix_ms = self.clock.unix_ms();
        let mut sequence = batch.base;
        for entry in &batch.entries {
            let (envelope, payload) = if batch.enveloped {
                let Ok((envelope, payload)) = Envelope::split(&entry) else {
                    continue;
                };
                (Some(Arc::new(envelope)), payload)
            } else {
                (None, entry)
            };
            let event = Event {
                token: None,
                origin: Arc::clone(origin),
                sequence,
                content: batch.content.clone(),
                payload,
                envelope,
                expires,
            };
            sequence = sequence.next();
            self.archive.hold(&event, History::Last(count), unix_ms);
        }
    }

    /// Hands the events of a batch from the one at `skip` on to the local subscribers among `receivers`.
    pub(super) fn deliver(
        &self,
        origin: &Arc<Origin>,
        batch: &Batch,
        skip: u64,
        receivers: &Receivers,
        expires: Option<&Expires>,
    ) {
        let expires = expires.map(|expires| expires.at);
        if receivers.queues.is_empty() {
            return;
        }
        if batch.enveloped {
            return self.deliver_enveloped(origin, batch, skip, receivers, expires);
        }
        for queue in &receivers.queues {
            let run = EventRun::new(
                Arc::clone(origin),
                batch.content.clone(),
                batch.base,
                &batch.entries,
                skip,
                expires,
            );
            self.count(queue.push(run));
        }
    }

    fn deliver_enveloped(
        &self,
        origin: &Arc<Origin>,
        batch: &Batch,
        skip: u64,
        receivers: &Receivers,
        expires: Option<Instant>,
    ) {
        let subscribers = u64::try_from(receivers.queues.len()).unwrap_or(u64::MAX);
        let mut sequence = batch.base;
        for entry in &batch.entries {
            let at = sequence;
            sequence = at.next();
            if at.since(batch.base) < skip {
                continue;
            }
            // That every entry begins with an envelope was found when the batch was read.
            let Ok((envelope, payload)) = Envelope::split(&entry) else {
                continue;
            };
            if !self.is_for_us(origin, &envelope) {
                add(&self.counters.not_addressed, subscribers);
                continue;
            }
            if self.is_repeated(origin, &envelope) {
                add(&self.counters.dropped_repeated, subscribers);
                continue;
            }
            let event = Event {
                origin: Arc::clone(origin),
                sequence: at,
                content: batch.content.clone(),
                payload,
                envelope: Some(Arc::new(envelope)),
                expires,
                token: None,
            };
            for queue in &receivers.queues {
                self.count(queue.push_event(event.clone()));
            }
        }
    }

    pub(super) fn count(&self, pushed: Pushed) {
        // What made room for others was counted as delivered when it came.
        let kept = pushed.owed.saturating_sub(pushed.dropped);
        add(&self.counters.events_delivered, kept);
        add(&self.counters.dropped_overflow, pushed.dropped);
    }

    /// Whether subscribers of this node are among those that an event is for.
    pub(crate) fn is_for_us(&self, origin: &Origin, envelope: &Envelope) -> bool {
        envelope.audience.as_ref().is_none_or(|audience| {
            let tenant = self.own.tenant.as_ref().map(Tenant::as_str);
            audience.admits(&origin.publisher, &self.own.node, self.own.roles, tenant)
        })
    }

    pub(super) fn is_repeated(&self, origin: &Origin, envelope: &Envelope) -> bool {
        envelope.dedup.as_ref().is_some_and(|id| {
            let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
            !repeats.is_first(self.clock.now(), origin.publisher, id)
        })
    }
}
