//! A topic that this process publishes on.

mod leave;
mod many;
mod order;
mod payload;
mod promise;
mod waiting;

pub(crate) use leave::wait_for_room;
pub(crate) use order::Unordered;
pub(crate) use payload::{Enveloped, Payload};
pub(crate) use promise::{Placed, Promise, Stored, Wanted, stored};

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::select_all;
use macula_wire::message::Priority;
use macula_wire::{ContentType, ErrorCode};
use tokio::sync::{Notify, OnceCell};

use self::waiting::Waiting;
use super::Plane;
use super::egress::Feed;
use super::links::Attached;
use super::route::{Receivers, RouteCache};
use crate::Error;
use crate::event::Origin;

/// How many payload bytes a batch collects before its publisher waits.
const MAX_BATCH_BYTES: usize = 64 << 10;

/// What all events of one batch share besides their topic.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct BatchKey {
    pub(crate) content: ContentType,
    pub(crate) ttl_ms: Option<u32>,
    /// Whether every event comes with its envelope.
    pub(crate) enveloped: bool,
}

/// A declared topic: its sequence, and the events that wait for the next batch.
#[derive(Debug)]
pub(crate) struct OwnTopic {
    pub(crate) origin: Arc<Origin>,
    pub(crate) feed: Arc<Feed>,
    /// Whether its events are kept until their receivers have them: from the first one on that was published so, because
    /// otherwise later ones would overtake it.
    is_kept: AtomicBool,
    waiting: Mutex<Waiting>,
    route: RouteCache,
    /// When the latest of its events went along a tree, in milliseconds of the plane's clock; 0 for never.
    along_ms: AtomicU64,
    /// Told when the batch was taken, so that there is room for more events.
    room: Notify,
    /// Told when a publisher finds no room, so that the batch need not wait for company.
    full: Notify,
    /// Set when those who want it are watched.
    declared: OnceCell<()>,
    /// How many of its last events are kept.
    history: AtomicU32,
    /// The sequence behind the last event that was offered to the replay buffer.
    offered: AtomicU64,
    /// What its events took in batches so far, in bytes.
    bytes: AtomicU64,
}

/// Why an event was not taken.
pub(crate) enum NotTaken {
    /// What waits has to leave first.
    NoRoom,
    Refused(Error),
}

impl OwnTopic {
    pub(crate) fn new(origin: Arc<Origin>, feed: Feed) -> Self {
        Self {
            origin,
            feed: Arc::new(feed),
            is_kept: AtomicBool::new(false),
            waiting: Mutex::new(Waiting::default()),
            route: RouteCache::default(),
            along_ms: AtomicU64::new(0),
            room: Notify::new(),
            full: Notify::new(),
            declared: OnceCell::new(),
            history: AtomicU32::new(0),
            offered: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Keeps so many of its last events from here on, or more.
    pub(crate) fn keep_at_least(&self, count: u32) {
        self.history.fetch_max(count, Ordering::Relaxed);
    }

    /// Watches for those who want its events, the first time; see [`Plane::watch_topic`].
    pub(crate) async fn declare(&self, plane: &Plane) -> Result<(), Error> {
        let watching = || plane.watch_topic_always(&self.origin.topic);
        self.declared.get_or_try_init(watching).await?;
        Ok(())
    }

    /// Whether those who want its events are watched already.
    pub(crate) fn is_declared(&self) -> bool {
        self.declared.initialized()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many events were published on it in this run, and how many bytes those took that have left.
    pub(crate) fn published(&self) -> (u64, u64) {
        (self.lock().next.get(), self.bytes.load(Ordering::Relaxed))
    }

    /// Whether anybody is owed its events at present.
    pub(crate) fn is_wanted(&self, plane: &Plane) -> bool {
        let topic = &self.origin.topic;
        let receivers = self.route.resolve(plane, topic, macula_pubsub::Source::Own);
        !receivers.is_empty()
    }

    pub(crate) fn priority(&self) -> Priority {
        self.origin.priority
    }

    /// Takes an event into the next batch if there is room, and sees to it that the batch leaves.
    pub(crate) fn try_take(
        self: &Arc<Self>,
        plane: &Arc<Plane>,
        key: &BatchKey,
        payload: &impl Payload,
    ) -> Result<(), NotTaken> {
        self.try_put(plane, key, payload, &mut None).map(drop)
    }

    /// The same, with what is promised where the event is kept, which is taken with it.
    pub(crate) fn try_put(
        self: &Arc<Self>,
        plane: &Arc<Plane>,
        key: &BatchKey,
        payload: &impl Payload,
        promise: &mut Option<Promise>,
    ) -> Result<Placed, NotTaken> {
        check_len(payload.len(), plane.max_payload_len).map_err(NotTaken::Refused)?;
        if promise.is_some() {
            self.is_kept.store(true, Ordering::Release);
        }
        let (sequence, claim, start) = {
            let mut waiting = self.lock();
            let has_room = waiting
                .builder
                .has_room(payload.encoded_len(), MAX_BATCH_BYTES);
            if !has_room || !waiting.admits(key, || plane.clock.now()) {
                self.full.notify_one();
                return Err(NotTaken::NoRoom);
            }
            payload.push(&mut waiting.builder);
            let promise = promise.take();
            let claim = promise.and_then(|promise| self.promise(plane, &mut waiting, promise));
            let sequence = waiting.next;
            waiting.next = sequence.next();
            let start = !std::mem::replace(&mut waiting.sending, true);
            (sequence, claim, start)
        };
        if let Some((envelope, payload)) = payload.retained() {
            self.retain(plane, key, sequence, envelope, payload);
        }
        if start {
            self.start_sending(plane);
        }
        Ok(Placed { sequence, claim })
    }

    /// Sees to it that what waits leaves, when nobody was on the way to send it.
    fn start_sending(self: &Arc<Self>, plane: &Arc<Plane>) {
        if self.send_at_once(plane) {
            return;
        }
        let topic = Arc::clone(self);
        let sender = Arc::clone(plane);
        plane
            .tasks
            .spawn("events", async move { topic.send_waiting(&sender).await });
    }

    /// Takes an event, waiting for room. Cancel safe: dropped before it returns, the event was not taken.
    pub(crate) async fn take(
        self: &Arc<Self>,
        plane: &Arc<Plane>,
        key: &BatchKey,
        payload: impl Payload,
    ) -> Result<(), Error> {
        self.put(plane, key, payload, None).await.map(drop)
    }

    /// The same, with what is promised where the event is kept.
    pub(crate) async fn put(
        self: &Arc<Self>,
        plane: &Arc<Plane>,
        key: &BatchKey,
        payload: impl Payload,
        mut promise: Option<Promise>,
    ) -> Result<Placed, Error> {
        if promise.is_some() {
            self.after_others(plane).await;
        }
        match self.try_put(plane, key, &payload, &mut promise) {
            Ok(placed) => return Ok(placed),
            Err(NotTaken::Refused(error)) => return Err(error),
            Err(NotTaken::NoRoom) => {}
        }
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            match self.try_put(plane, key, &payload, &mut promise) {
                Ok(placed) => return Ok(placed),
                Err(NotTaken::Refused(error)) => return Err(error),
                Err(NotTaken::NoRoom) => room.await,
            }
        }
    }

    /// Keeps its events from here on until their receivers have them.
    pub(crate) fn keep_all(&self) {
        self.is_kept.store(true, Ordering::Release);
    }

    /// Waits until everything taken so far has been handed to the queues of links and subscribers.
    pub(crate) async fn flushed(&self) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if !self.lock().sending {
                return;
            }
            room.await;
        }
    }

    async fn send_waiting(self: Arc<Self>, plane: &Arc<Plane>) {
        loop {
            let receivers =
                self.route
                    .resolve(plane, &self.origin.topic, macula_pubsub::Source::Own);
            if !receivers.groups.is_empty() {
                // One of a group is chosen for each event, and another one if that is lost.
                self.is_kept.store(true, Ordering::Release);
            }
            self.gather(&receivers).await;
            if self.is_kept.load(Ordering::Acquire) {
                self.tree_is_still(plane).await;
            } else {
                wait_for_room(plane, &receivers, self.priority()).await;
            }
            let sealed = {
                let mut waiting = self.lock();
                let ttl = waiting.ttl_left(|| plane.clock.now());
                let is_kept = self.is_kept.load(Ordering::Acquire);
                if is_kept && self.until_still(plane).is_some() {
                    continue;
                }
                // What is kept and has expired goes on, so that its receipt tells.
                let ttl_ms = ttl.unwrap_or_else(|| is_kept.then_some(1));
                let sealed = self.seal(&mut waiting, ttl_ms);
                if sealed.is_none() {
                    waiting.sending = false;
                    plane.reliable.unordered.remove(&self);
                }
                waiting.sent = Some(plane.clock.now());
                let owed = std::mem::take(&mut waiting.owed);
                sealed.map(|sealed| (sealed, is_kept.then_some(owed), ttl))
            };
            self.room.notify_waiters();
            match sealed {
                Some((sealed, Some(owed), _)) => self.keep(plane, &receivers, sealed, owed).await,
                Some((sealed, None, Some(ttl))) => {
                    self.leave(plane, &receivers, sealed, ttl).await;
                }
                Some((sealed, None, None)) => self.give_up(plane, &receivers, &sealed),
                None => return,
            }
            // A topic that has nothing more to send waits for nothing: to be woken when its links have written would cost
            // the event that was just sent a hand-over between threads.
            if self.is_done(plane) {
                return self.room.notify_waiters();
            }
        }
    }

    /// Lets events come together while every link still has something to write: a batch leaves as soon as one link has
    /// nothing left, or when it is full. A quiet topic therefore sends at once, and a busy one sends full batches.
    async fn gather(&self, receivers: &Receivers) {
        let idle = |attached: &Arc<Attached>| {
            let outbox = attached
                .egress(self.priority())
                .outbox(&attached.link)
                .clone();
            Box::pin(async move { outbox.idle().await })
        };
        let links = if receivers.by_tree {
            &receivers.branches
        } else {
            &receivers.links
        };
        match links.as_slice() {
            [] => {}
            [only] => {
                let outbox = only.egress(self.priority()).outbox(&only.link);
                tokio::select! {
                    () = outbox.idle() => {}
                    () = self.full.notified() => {}
                }
            }
            several => {
                tokio::select! {
                    _ = select_all(several.iter().map(idle)) => {}
                    () = self.full.notified() => {}
                }
            }
        }
    }
}

/// Refuses a payload over the limit of this node.
pub(crate) fn check_len(length: usize, max: usize) -> Result<(), Error> {
    if length > max {
        return Err(too_large(length, max));
    }
    Ok(())
}

pub(crate) fn too_large(length: usize, max: usize) -> Error {
    Error::new(
        ErrorCode::PAYLOAD_TOO_LARGE,
        format!(
            "the payload has {length} bytes and the limit is {max}: send less, or raise max_payload on every node"
        ),
    )
}
