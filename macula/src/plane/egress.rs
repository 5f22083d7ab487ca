//! Sending events by one link: what was announced on it, and what was dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use macula_transport::{Link, OutFrame, Outbox, OutboxError};
use macula_wire::message::{Alias, Message, Priority};
use macula_wire::{Epoch, Instant, NodeId, Sequence, Topic, TopicAlias};

use super::deliver::Expires;

/// How long a publisher waits for a link that takes nothing before its events are dropped for that link.
const PATIENCE: Duration = Duration::from_millis(250);
/// The same for a link that was given up on not long ago.
const SHORT_PATIENCE: Duration = Duration::from_millis(5);
/// How many bytes wait on a link at most before what goes along a tree waits for it.
const ROOM_ALONG: usize = 512 << 10;
/// How long "not long ago" is, in milliseconds.
const PROBATION_MS: u64 = 10_000;

/// What a receiver has to know before it can read the batches of a publisher and topic.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) publisher: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) alias: TopicAlias,
    pub(crate) topic: Topic,
    /// The publisher's certificates where the sender is not the publisher.
    pub(crate) chain: Vec<Bytes>,
}

#[derive(Debug)]
struct Progress {
    /// The sequence that the receiver was told to expect; `None` before the first ALIAS.
    told: Option<Sequence>,
    /// The first sequence that was to be sent by this link.
    first: Sequence,
    /// The sequence after the last one that was sent or dropped.
    next: Sequence,
    alias: Alias,
}

type Key = (NodeId, Epoch, TopicAlias);

/// The events of one class on their way to one link.
///
/// A batch that finds the outbox full is dropped and remembered; the next one that fits is preceded by an ALIAS that
/// tells the receiver what is missing. So does [`tell_drops`](Self::tell_drops) where no batch follows.
#[derive(Debug)]
pub(crate) struct Egress {
    priority: Priority,
    progress: Mutex<BTreeMap<Key, Progress>>,
    /// What was announced for batches along trees.
    along: Mutex<BTreeSet<Key>>,
    owes_notice: AtomicBool,
    lagging: AtomicBool,
    /// When the link was last given up on, in milliseconds of the plane's clock; 0 for never.
    given_up_ms: AtomicU64,
}

/// Whether a receiver remembers what was announced to it before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Announced {
    /// It does.
    Once,
    /// It forgets what is of an earlier run of the publisher, so it is told before each batch.
    Anew,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sent {
    Queued,
    Dropped,
}

impl Egress {
    pub(crate) fn new(priority: Priority) -> Self {
        Self {
            priority,
            progress: Mutex::new(BTreeMap::new()),
            along: Mutex::new(BTreeSet::new()),
            owes_notice: AtomicBool::new(false),
            lagging: AtomicBool::new(false),
            given_up_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn outbox<'a>(&self, link: &'a Link) -> &'a Outbox {
        link.events(self.priority)
    }

    /// Waits for room, as long as the link deserves it: 250 ms, or 5 ms if it was given up on within the last ten
    /// seconds, and not at all while it is. A link that takes nothing in that time is given up on: its events are
    /// dropped until its outbox has drained to half, and nobody waits for it.
    pub(crate) async fn wait_for_room(&self, link: &Link, now: Instant) {
        let most = self.outbox(link).max_bytes();
        self.wait_for_less(link, now, most).await;
    }

    /// The same for what goes along a tree. Not much of it waits on a link: neighbours know soon what they are to get, and
    /// ask others for what is late.
    pub(crate) async fn wait_for_room_along(&self, link: &Link, now: Instant) {
        self.wait_for_less(link, now, ROOM_ALONG).await;
    }

    async fn wait_for_less(&self, link: &Link, now: Instant, most: usize) {
        let outbox = self.outbox(link);
        let has_room = !outbox.is_closed() && outbox.queued_bytes() < most.min(outbox.max_bytes());
        if has_room || self.lagging.load(Ordering::Relaxed) {
            return;
        }
        let now_ms = now.as_nanos() / 1_000_000;
        let given_up = self.given_up_ms.load(Ordering::Relaxed);
        let on_probation = given_up != 0 && now_ms.saturating_sub(given_up) < PROBATION_MS;
        let patience = if on_probation {
            SHORT_PATIENCE
        } else {
            PATIENCE
        };
        let room = outbox.less_than(most);
        if tokio::time::timeout(patience, room).await.is_err() {
            self.given_up_ms.store(now_ms.max(1), Ordering::Relaxed);
            self.lagging.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a link that was given up on has caught up.
    fn has_recovered(outbox: &Outbox) -> bool {
        outbox.queued_bytes() <= outbox.max_bytes() / 2
    }

    /// Sends `count` events from `base` on, whose encoding is `frame`. What still waits when the batch has `expired` is
    /// not written; instead of it the receiver is told that it is missing.
    pub(crate) fn send(
        &self,
        link: &Link,
        feed: &Feed,
        base: Sequence,
        count: u64,
        frame: OutFrame,
        expires: Option<&Expires>,
    ) -> Sent {
        let outbox = self.outbox(link);
        let mut table = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = table
            .entry((feed.publisher, feed.epoch, feed.alias))
            .or_insert_with(|| Progress::new(feed, base));
        progress.next = base.plus(count);
        let recovering = self.lagging.load(Ordering::Relaxed);
        if recovering && !Self::has_recovered(outbox) {
            self.owes_notice.store(true, Ordering::Relaxed);
            return Sent::Dropped;
        }
        let frame = match expires {
            Some(expires) => progress.expiring(frame, expires, count),
            None => frame,
        };
        let queued = progress
            .announce(outbox, base)
            .and_then(|()| outbox.try_push(frame));
        if queued.is_err() {
            self.owes_notice.store(true, Ordering::Relaxed);
            return Sent::Dropped;
        }
        progress.told = Some(progress.next);
        if recovering {
            self.lagging.store(false, Ordering::Relaxed);
        }
        Sent::Queued
    }

    /// Sends a batch along a tree. It needs no order: what is missing is asked for, and nobody has to be told of it. Whoever
    /// brought it has waited for room.
    pub(crate) fn send_along(&self, link: &Link, feed: &Feed, frame: OutFrame) -> Sent {
        let outbox = self.outbox(link);
        if self.lagging.load(Ordering::Relaxed) && !Self::has_recovered(outbox) {
            return Sent::Dropped;
        }
        let sent = self.push_along(feed, frame, |frames| outbox.try_push_beyond(frames));
        if sent == Sent::Queued {
            self.lagging.store(false, Ordering::Relaxed);
        }
        sent
    }

    /// Sends a batch to a client ahead of its turn, if there is room: it is sent in its turn as well.
    pub(crate) fn send_early(&self, link: &Link, feed: &Feed, frame: OutFrame) -> Sent {
        if self.lagging.load(Ordering::Relaxed) {
            return Sent::Dropped;
        }
        let outbox = self.outbox(link);
        self.push_along(feed, frame, |frames| outbox.try_push(frames))
    }

    /// Sends a batch that needs no order, behind an ALIAS if it is the first.
    fn push_along(
        &self,
        feed: &Feed,
        frame: OutFrame,
        push: impl FnOnce(OutFrame) -> Result<(), OutboxError>,
    ) -> Sent {
        let key = (feed.publisher, feed.epoch, feed.alias);
        let mut along = self.along.lock().unwrap_or_else(PoisonError::into_inner);
        let mut alias = None;
        if !along.contains(&key) {
            let progress = Progress::new(feed, Sequence::new(u64::MAX));
            alias = OutFrame::message(&Message::from(progress.alias)).ok();
        }
        let is_first = alias.is_some();
        let together = OutFrame::joined(alias.into_iter().chain([frame]));
        if push(together).is_err() {
            return Sent::Dropped;
        }
        if is_first {
            along.insert(key);
        }
        Sent::Queued
    }

    /// Whether the link takes more, as far as is known.
    pub(crate) fn takes_more(&self, link: &Link) -> bool {
        Self::has_recovered(self.outbox(link))
    }

    /// Sends events that are kept, or sends them again: `frames` are a DELIVER, what goes before it, and the batch of
    /// `count` events from `base` on. Whether the outbox took them.
    pub(crate) fn send_kept(
        &self,
        link: &Link,
        feed: &Feed,
        base: Sequence,
        count: u64,
        frames: impl Iterator<Item = OutFrame>,
        announced: Announced,
    ) -> bool {
        let outbox = self.outbox(link);
        let mut table = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = table
            .entry((feed.publisher, feed.epoch, feed.alias))
            .or_insert_with(|| Progress::new(feed, base));
        let missing =
            announced == Announced::Anew || progress.told.is_none_or(|told| told != progress.next);
        // What is sent again, and what the receiver had no room for before it, is not to count as missing.
        let next = match announced {
            Announced::Once => progress.next.min(base),
            Announced::Anew => Sequence::new(u64::MAX),
        };
        let alias = if missing {
            progress.alias_frame(next)
        } else {
            None
        };
        let together = OutFrame::joined(alias.into_iter().chain(frames));
        if outbox.try_push(together).is_err() {
            return false;
        }
        progress.next = progress.next.max(base.plus(count));
        progress.told = Some(progress.next);
        true
    }

    /// Takes note that every event before `next` that was not sent is missing here too: the receiver is to be told even
    /// if no batch follows.
    /// A receiver that was told of nothing yet begins at `from`.
    pub(crate) fn skip(&self, feed: &Feed, from: Sequence, next: Sequence) {
        let mut table = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = table
            .entry((feed.publisher, feed.epoch, feed.alias))
            .or_insert_with(|| Progress::new(feed, from));
        progress.next = progress.next.max(next);
        self.owes_notice.store(true, Ordering::Relaxed);
    }

    /// Tells the receiver what was dropped and has not been told yet, as far as there is room.
    pub(crate) fn tell_drops(&self, link: &Link) {
        if !self.owes_notice.load(Ordering::Relaxed) {
            return;
        }
        let outbox = self.outbox(link);
        let mut table = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        for progress in table.values_mut() {
            let next = progress.next;
            if progress.told != Some(next) && progress.announce(outbox, next).is_err() {
                return;
            }
        }
        self.owes_notice.store(false, Ordering::Relaxed);
        if Self::has_recovered(outbox) {
            self.lagging.store(false, Ordering::Relaxed);
        }
    }

    /// Forgets a publisher that is gone.
    pub(crate) fn forget(&self, publisher: NodeId) {
        let mut table = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|(owner, _, _), _| *owner != publisher);
        let mut along = self.along.lock().unwrap_or_else(PoisonError::into_inner);
        along.retain(|(owner, _, _)| *owner != publisher);
    }
}

impl Progress {
    fn new(feed: &Feed, base: Sequence) -> Self {
        Self {
            told: None,
            first: base,
            next: base,
            alias: Alias {
                publisher: feed.publisher,
                epoch: feed.epoch,
                alias: feed.alias,
                topic: feed.topic.clone(),
                next: base,
                chain: feed.chain.clone(),
            },
        }
    }

    /// Makes the receiver expect `next`.
    fn announce(&mut self, outbox: &Outbox, next: Sequence) -> Result<(), OutboxError> {
        let first = self.first;
        if self.told.is_none() {
            self.push_alias(outbox, first)?;
        }
        if self.told != Some(next) {
            self.push_alias(outbox, next)?;
        }
        Ok(())
    }

    /// ALIAS that lets the receiver expect `next`.
    fn alias_frame(&self, next: Sequence) -> Option<OutFrame> {
        let mut alias = self.alias.clone();
        alias.next = next;
        OutFrame::message(&Message::from(alias)).ok()
    }

    /// `frame`, or, once it has expired, word that what it holds is missing.
    fn expiring(&self, frame: OutFrame, expires: &Expires, count: u64) -> OutFrame {
        match self.alias_frame(self.next) {
            Some(instead) => frame.until(expires.at, instead, Arc::clone(&expires.dropped), count),
            None => frame,
        }
    }

    fn push_alias(&mut self, outbox: &Outbox, next: Sequence) -> Result<(), OutboxError> {
        let mut alias = self.alias.clone();
        alias.next = next;
        let frame = OutFrame::message(&Message::from(alias)).map_err(|_| OutboxError::Closed)?;
        outbox.try_push(frame)?;
        self.told = Some(next);
        Ok(())
    }
}
