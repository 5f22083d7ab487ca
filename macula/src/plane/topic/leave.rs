//! How a batch leaves: by links, along a tree, or not at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use macula_wire::batch::BatchHead;
use macula_wire::message::Priority;
use macula_wire::{Envelope, Instant, SealedBatch, Sequence, limit};

use super::{BatchKey, OwnTopic, Waiting};
use crate::event::{Event, Gap, GapCause};
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::plane::egress::Sent;
use crate::plane::links::Attached;
use crate::plane::reliable::{Owed, Parcel};
use crate::plane::route::Receivers;
use crate::plane::trees::Trees;
use crate::plane::unsent::Unsent;

/// How long after its last event a tree may take to bring it to everybody: as long as nodes wait for what is missing.
const STILL: Duration = Duration::from_secs(2);

/// How long a topic has sent nothing when its next event leaves by itself, from the task that publishes it. Whoever
/// publishes more often than that gives a task to send them together, and goes on.
const QUIET: Duration = Duration::from_micros(50);

impl OwnTopic {
    /// Takes what waits as a batch.
    pub(super) fn seal(&self, waiting: &mut Waiting, ttl_ms: Option<u32>) -> Option<SealedBatch> {
        let count = u64::try_from(waiting.builder.count()).unwrap_or(u64::MAX);
        let bytes = u64::try_from(waiting.builder.encoded_len()).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let head = BatchHead {
            hops: limit::DEFAULT_HOPS,
            publisher: self.origin.publisher,
            epoch: self.origin.epoch,
            alias: self.feed.alias,
            base: Sequence::new(waiting.next.get().saturating_sub(count)),
            ttl_ms,
            content: waiting.key.content.clone(),
            enveloped: waiting.key.enveloped,
            signature: None,
        };
        // A frame beyond 16 MiB cannot be: a batch holds one payload over 64 KiB at most, and that one was checked.
        waiting.builder.seal(&head).ok().flatten()
    }

    /// Sends the only event of a topic that has been quiet, if its receivers take it without waiting. To hand it to another
    /// task would cost it more than all else here. Whether nothing waits to be sent any more.
    pub(super) fn send_at_once(&self, plane: &Arc<Plane>) -> bool {
        let now = plane.clock.now();
        let receivers = self
            .route
            .resolve(plane, &self.origin.topic, macula_pubsub::Source::Own);
        let sealed = {
            let mut waiting = self.lock();
            let is_quiet = waiting
                .sent
                .is_none_or(|sent| now.saturating_since(sent) >= QUIET);
            let is_kept = self.is_kept.load(Ordering::Acquire);
            if is_kept || !is_quiet || !takes_at_once(&receivers, self.priority()) {
                return false;
            }
            waiting.sent = Some(now);
            let ttl_ms = waiting.key.ttl_ms;
            self.seal(&mut waiting, ttl_ms)
                .map(|sealed| (sealed, ttl_ms))
        };
        if let Some((sealed, ttl_ms)) = sealed {
            self.send(plane, &receivers, sealed, ttl_ms);
        }
        // Others may have published meanwhile.
        let is_done = self.is_done(plane);
        self.room.notify_waiters();
        is_done
    }

    /// Whether nothing waits, so that nobody is on the way to send it from here on.
    pub(super) fn is_done(&self, plane: &Plane) -> bool {
        let mut waiting = self.lock();
        if waiting.builder.is_empty() && waiting.sending {
            waiting.sending = false;
            plane.reliable.unordered.remove(self);
        }
        !waiting.sending
    }

    /// Sends a batch to everybody, and along the tree of its topic if there is one.
    pub(super) async fn leave(
        &self,
        plane: &Plane,
        receivers: &Receivers,
        sealed: SealedBatch,
        ttl_ms: Option<u32>,
    ) {
        let trees = plane.trees.get().filter(|_| receivers.by_tree);
        let publish = |trees: &Trees| trees.publish(plane, &self.origin, &self.feed, &sealed);
        let along = trees.and_then(publish);
        self.send(plane, receivers, sealed, ttl_ms);
        if let (Some(input), Some(trees)) = (along, trees) {
            let now_ms = plane.clock.now().as_nanos() / 1_000_000;
            self.along_ms.store(now_ms.max(1), Ordering::Relaxed);
            trees.tell(input).await;
        }
    }

    /// How long the events that went along a tree may still be on their way. What is kept goes straight, and would overtake
    /// them.
    pub(super) fn until_still(&self, plane: &Plane) -> Option<Duration> {
        let along_ms = self.along_ms.load(Ordering::Relaxed);
        if along_ms == 0 {
            return None;
        }
        let still = Instant::from_millis(along_ms) + STILL;
        let left = still.saturating_since(plane.clock.now());
        (!left.is_zero()).then_some(left)
    }

    /// Waits as long. Cancel safe.
    pub(super) async fn tree_is_still(&self, plane: &Plane) {
        if let Some(left) = self.until_still(plane) {
            tokio::time::sleep(left).await;
        }
    }

    /// The time to live of a batch ended before it could leave: its receivers are told that it is missing.
    pub(super) fn give_up(&self, plane: &Plane, receivers: &Receivers, sealed: &SealedBatch) {
        let count = u64::try_from(sealed.events).unwrap_or(u64::MAX);
        let (from, next) = (sealed.base, sealed.base.plus(count));
        if !self.origin.topic.is_reserved() {
            add(&plane.counters.events_published, count);
        }
        add(&plane.expired, count.saturating_mul(receivers.count()));
        for queue in &receivers.queues {
            let origin = Arc::clone(&self.origin);
            queue.push_gap(Gap::range(origin, from, Some(next), GapCause::Expired));
        }
        for attached in &receivers.links {
            attached
                .egress(self.priority())
                .skip(&self.feed, from, next);
        }
    }

    fn send(&self, plane: &Plane, receivers: &Receivers, sealed: SealedBatch, ttl_ms: Option<u32>) {
        let count = u64::try_from(sealed.events).unwrap_or(u64::MAX);
        if !self.origin.topic.is_reserved() {
            add(&plane.counters.events_published, count);
        }
        let base = sealed.base;
        let history = self.history.load(Ordering::Relaxed);
        let expires = plane.expires(ttl_ms);
        let expires = expires.as_ref();
        let frame = plane.prepare(&self.origin, sealed, receivers, expires, history);
        for attached in &receivers.links {
            let egress = attached.egress(self.priority());
            if egress.send(
                &attached.link,
                &self.feed,
                base,
                count,
                frame.clone(),
                expires,
            ) == Sent::Dropped
            {
                add(&plane.counters.dropped_outbox, count);
            }
        }
        plane.send_when_linked(&receivers.unlinked, || Unsent {
            feed: Arc::clone(&self.feed),
            priority: self.priority(),
            base,
            count,
            frame: frame.clone(),
            expires: expires.cloned(),
        });
    }

    /// Lets an event stay as the last value. A client's does so at its member.
    pub(super) fn retain(
        &self,
        plane: &Plane,
        key: &BatchKey,
        sequence: Sequence,
        envelope: &Envelope,
        payload: &Bytes,
    ) {
        if plane.uplink.is_some() {
            return;
        }
        let event = Event {
            token: None,
            origin: Arc::clone(&self.origin),
            sequence,
            content: key.content.clone(),
            payload: payload.clone(),
            envelope: Some(Arc::new(envelope.clone())),
            expires: plane.expires(key.ttl_ms).map(|expires| expires.at),
        };
        if !plane.archive.retain(&event, plane.clock.unix_ms()) {
            tracing::debug!(topic = %self.origin.topic, "a value is too large to be retained");
        }
    }

    /// Keeps a batch until everybody who is owed it now has it.
    pub(super) async fn keep(
        &self,
        plane: &Arc<Plane>,
        receivers: &Receivers,
        sealed: SealedBatch,
        mut owed: Owed,
    ) {
        if let Some(trees) = plane.trees.get() {
            trees.go_straight(&self.origin.topic);
        }
        let count = u64::try_from(sealed.events).unwrap_or(u64::MAX);
        if !self.origin.topic.is_reserved() {
            add(&plane.counters.events_published, count);
        }
        let batch = sealed.open();
        let behind = batch.base.plus(count).get();
        let history = self.history.load(Ordering::Relaxed);
        if history > 0 {
            let expires = plane.expires(batch.ttl_ms).map(|expires| expires.at);
            plane.hold(&self.origin, &batch, expires, history);
        }
        owed.to.clone_from(&receivers.destinations);
        owed.groups.clone_from(&receivers.groups);
        let parcel = Parcel::new(
            Arc::clone(&self.origin),
            Arc::clone(&self.feed),
            batch,
            sealed.into(),
        );
        plane.keep(&parcel, owed).await;
        self.offered.fetch_max(behind, Ordering::AcqRel);
        self.room.notify_waiters();
    }
}

/// Whether no receiver has to be waited for, and no link has anything left to write; all get the events from here.
fn takes_at_once(receivers: &Receivers, priority: Priority) -> bool {
    let is_idle = |attached: &Arc<Attached>| {
        let outbox = attached.egress(priority).outbox(&attached.link);
        !attached.is_held() && outbox.queued_bytes() == 0
    };
    let is_direct =
        receivers.unlinked.is_empty() && receivers.groups.is_empty() && !receivers.by_tree;
    is_direct
        && receivers.queues.iter().all(|queue| queue.is_ready())
        && receivers.links.iter().all(is_idle)
}

/// Waits for each receiver that may still be waited for; see [`Egress::wait_for_room`](crate::plane::egress::Egress::wait_for_room).
pub(crate) async fn wait_for_room(plane: &Plane, receivers: &Receivers, priority: Priority) {
    for queue in &receivers.queues {
        queue.ready().await;
    }
    for attached in &receivers.links {
        attached.released().await;
        let egress = attached.egress(priority);
        egress
            .wait_for_room(&attached.link, plane.clock.now())
            .await;
    }
    for attached in &receivers.branches {
        let egress = attached.egress(priority);
        egress
            .wait_for_room_along(&attached.link, plane.clock.now())
            .await;
    }
}
