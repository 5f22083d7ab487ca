//! Events ahead of their turn, for whoever needs no order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use macula_wire::{Batch, Envelope, Frame, Pattern, SubscriptionId, Topic, limit};
use tokio::time::Instant;

use super::Plane;
use super::counters::add;
use super::deliver::Expires;
use super::egress::Feed;
use super::ingress::with_hops;
use super::route::Receivers;
use crate::event::{Event, Origin};
use crate::queue::{EventRun, Pushed};

/// The subscriptions of a client that need no order. There are as many as it may have.
#[derive(Debug, Default)]
pub(crate) struct Unordered(Mutex<BTreeMap<SubscriptionId, Pattern>>);

impl Unordered {
    pub(crate) fn add(&self, subscription: SubscriptionId, pattern: Pattern) {
        self.with(|known| known.insert(subscription, pattern));
    }

    pub(crate) fn remove(&self, subscription: SubscriptionId) {
        self.with(|known| known.remove(&subscription));
    }

    /// Whether one of them is for a topic.
    fn wants(&self, topic: &Topic) -> bool {
        self.with(|known| known.values().any(|pattern| pattern.matches(topic)))
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<SubscriptionId, Pattern>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Plane {
    /// Hands a batch before which others are missing to those who need no order. It comes in its turn as well.
    pub(super) fn hand_out_early(
        &self,
        origin: &Arc<Origin>,
        feed: &Feed,
        batch: &Batch,
        frame: &Frame,
        receivers: &Receivers,
        expires: Option<&Expires>,
    ) {
        let expires = expires.map(|expires| expires.at);
        if expires.is_some_and(|at| at <= Instant::now()) {
            return;
        }
        self.deliver_early(origin, batch, receivers, expires);
        let links = receivers.links.iter();
        for attached in links.filter(|attached| attached.unordered.wants(&origin.topic)) {
            if let Some(out) = with_hops(frame, limit::EARLY_HOPS) {
                let egress = attached.egress(origin.priority);
                egress.send_early(&attached.link, feed, out);
            }
        }
    }

    /// The same for the subscribers of this node.
    pub(super) fn deliver_early(
        &self,
        origin: &Arc<Origin>,
        batch: &Batch,
        receivers: &Receivers,
        expires: Option<Instant>,
    ) {
        let now = self.clock.now();
        let queues = receivers.queues.iter();
        for queue in queues.filter(|queue| queue.takes_early()) {
            if batch.enveloped {
                for event in self.events_without_id(origin, batch, expires) {
                    self.count_early(queue.push_early_event(now, event));
                }
                continue;
            }
            let run = EventRun::new(
                Arc::clone(origin),
                batch.content.clone(),
                batch.base,
                &batch.entries,
                0,
                expires,
            );
            self.count_early(queue.push_early(now, run));
        }
    }

    /// The events of a batch that are for this node, but for those of which only the first under their id is handed out: which
    /// one that is their order says.
    fn events_without_id<'a>(
        &'a self,
        origin: &'a Arc<Origin>,
        batch: &'a Batch,
        expires: Option<Instant>,
    ) -> impl Iterator<Item = Event> + 'a {
        let mut sequence = batch.base;
        batch.entries.iter().filter_map(move |entry| {
            let at = sequence;
            sequence = at.next();
            let (envelope, payload) = Envelope::split(&entry).ok()?;
            if envelope.dedup.is_some() || !self.is_for_us(origin, &envelope) {
                return None;
            }
            Some(Event {
                token: None,
                origin: Arc::clone(origin),
                sequence: at,
                content: batch.content.clone(),
                payload,
                envelope: Some(Arc::new(envelope)),
                expires,
            })
        })
    }

    fn count_early(&self, pushed: Pushed) {
        add(&self.counters.events_early, pushed.owed);
        self.count(pushed);
    }
}
