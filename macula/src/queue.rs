//! The bounded queue of one subscription.

mod kept;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use macula_wire::batch::EntriesIter;
use macula_wire::{ContentType, Entries, Sequence};
use tokio::sync::Notify;

use self::kept::Kept;
use crate::event::{Delivery, Event, Gap, GapCause, Origin};
use crate::plane::reliable::{AckMode, Credit};

/// What happens when a subscription's queue is full.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest events make room; a [`Gap`] tells which. The default.
    #[default]
    DropOldest,
    /// The newest events are refused; a [`Gap`] tells which.
    DropNewest,
    /// Nothing is dropped here: the link that events come by waits, and in the end its sender. Events of other
    /// subscriptions that come by the same link and class wait too, so this is for applications that keep up.
    Block,
}

/// How a subscription queues.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SubscribeOptions {
    /// The most events that wait; at least 1, by default 1,024. With [`Overflow::Block`] one batch more.
    pub max_events: usize,
    /// The most payload bytes that wait, by default 8 MiB. One event always fits.
    pub max_bytes: usize,
    /// What happens beyond that; by default the oldest events make room. Events that are published to be kept
    /// ([`Qos::AtLeastOnce`](crate::Qos::AtLeastOnce)) are never dropped by it: they wait at their sender.
    pub overflow: Overflow,
    pub(crate) ack: AckMode,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            max_events: 1_024,
            max_bytes: 8 << 20,
            overflow: Overflow::DropOldest,
            ack: AckMode::Auto,
        }
    }
}

impl SubscribeOptions {
    /// With this policy.
    #[must_use]
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// The application says what becomes of each event that is kept, by [`Event::ack`], [`Event::nack`] or
    /// [`Event::reject`]. Without a word it gets the event again after `redeliver_after`, at least 1 ms; when it was handed
    /// over `max_deliver` times, 0 for no limit, the event is rejected instead. By default taking an event acknowledges it.
    #[must_use]
    pub const fn manual_acks(mut self, redeliver_after: Duration, max_deliver: u32) -> Self {
        self.ack = AckMode::Manual {
            redeliver_after,
            max_deliver,
        };
        self
    }

    /// With room for this many events.
    #[must_use]
    pub const fn max_events(mut self, max_events: usize) -> Self {
        self.max_events = max_events;
        self
    }

    /// With room for this many payload bytes.
    #[must_use]
    pub const fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }
}

/// Consecutive events of one origin.
#[derive(Debug)]
pub(crate) struct EventRun {
    origin: Arc<Origin>,
    content: ContentType,
    next: Sequence,
    left: u64,
    bytes: usize,
    entries: EntriesIter,
    /// Whom to tell what becomes of the events, if they are kept until then.
    credit: Option<Credit>,
}

impl EventRun {
    /// The events of `entries` from the one at `skip` on.
    pub(crate) fn new(
        origin: Arc<Origin>,
        content: ContentType,
        base: Sequence,
        entries: &Entries,
        skip: u64,
    ) -> Self {
        let count = u64::try_from(entries.count()).unwrap_or(u64::MAX);
        let mut iter = entries.iter();
        let mut bytes = entries.encoded().len();
        for _ in 0..skip.min(count) {
            if let Some(skipped) = iter.next() {
                bytes = bytes.saturating_sub(skipped.len());
            }
        }
        Self {
            origin,
            content,
            next: base.plus(skip),
            left: count.saturating_sub(skip),
            bytes,
            entries: iter,
            credit: None,
        }
    }

    /// The first `count` of the events, whose sender is told by `credit` what becomes of them.
    pub(crate) fn kept(mut self, count: u64, credit: Credit) -> Self {
        self.left = self.left.min(count);
        self.credit = Some(credit);
        self
    }

    fn pop(&mut self) -> Option<Event> {
        self.left = self.left.checked_sub(1)?;
        let payload = self.entries.next()?;
        let sequence = self.next;
        self.next = sequence.next();
        self.bytes = self.bytes.saturating_sub(payload.len());
        let token = self.credit.as_mut().and_then(Credit::hand_over);
        Some(Event {
            origin: Arc::clone(&self.origin),
            sequence,
            content: self.content.clone(),
            payload,
            token,
        })
    }
}

#[derive(Debug)]
enum Item {
    Run(EventRun),
    Gap(Gap),
}

/// The most origins of which dropped ranges are remembered; beyond it ranges are counted and not told one by one.
const MAX_PENDING_GAPS: usize = 1_024;

type GapKey = (macula_wire::NodeId, macula_wire::Epoch, macula_wire::Topic);

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// Ranges that the policy dropped and nobody was told of yet, one per origin. Their place is before the first run of
    /// `items` where the oldest are dropped, and behind all items where the newest are refused.
    gaps: BTreeMap<GapKey, Gap>,
    events: u64,
    bytes: usize,
    /// How many events ever came into `items`.
    came: u64,
    /// What is kept by its sender until it is settled, beside what may be dropped.
    kept: Kept,
    closed: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    options: SubscribeOptions,
    state: Mutex<State>,
    readable: Notify,
    room: Notify,
    delivered: AtomicU64,
    dropped: AtomicU64,
}

impl Queue {
    pub(crate) fn new(options: SubscribeOptions) -> Self {
        Self {
            options,
            state: Mutex::new(State::default()),
            readable: Notify::new(),
            room: Notify::new(),
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full(&self, state: &State) -> bool {
        let max = u64::try_from(self.options.max_events.max(1)).unwrap_or(u64::MAX);
        state.events >= max || state.bytes >= self.options.max_bytes.max(1)
    }

    fn is_over(&self, state: &State) -> bool {
        let max = u64::try_from(self.options.max_events.max(1)).unwrap_or(u64::MAX);
        state.events > max || (state.bytes > self.options.max_bytes && state.events > 1)
    }

    /// How its application says that it is done with an event that is kept.
    pub(crate) const fn ack_mode(&self) -> AckMode {
        self.options.ack
    }

    /// Waits until a blocking queue takes more. Returns at once for the other policies and after the end.
    pub(crate) async fn ready(&self) {
        if self.options.overflow != Overflow::Block {
            return;
        }
        loop {
            let room = self.room.notified();
            {
                let state = self.lock();
                if state.closed || !self.is_full(&state) {
                    return;
                }
            }
            room.await;
        }
    }

    /// Adds events, dropping by policy. Returns how many were dropped.
    pub(crate) fn push(&self, run: EventRun) -> u64 {
        if run.left == 0 {
            return 0;
        }
        let mut dropped = 0;
        {
            let mut state = self.lock();
            if state.closed {
                return 0;
            }
            if self.options.overflow == Overflow::DropNewest {
                dropped = self.push_or_refuse(&mut state, run);
            } else {
                state.events = state.events.saturating_add(run.left);
                state.came = state.came.saturating_add(run.left);
                state.bytes = state.bytes.saturating_add(run.bytes);
                state.items.push_back(Item::Run(run));
                if self.options.overflow == Overflow::DropOldest {
                    while self.is_over(&state) && drop_oldest(&mut state) {
                        dropped = u64::saturating_add(dropped, 1);
                    }
                }
            }
        }
        self.readable.notify_one();
        if dropped > 0 {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        dropped
    }

    fn push_or_refuse(&self, state: &mut State, mut run: EventRun) -> u64 {
        let max = u64::try_from(self.options.max_events.max(1)).unwrap_or(u64::MAX);
        let room = max.saturating_sub(state.events);
        let taken =
            if state.bytes.saturating_add(run.bytes) > self.options.max_bytes && state.events > 0 {
                0
            } else {
                room.min(run.left)
            };
        let refused = run.left.saturating_sub(taken);
        if taken > 0 {
            let told = std::mem::take(&mut state.gaps);
            state.items.extend(told.into_values().map(Item::Gap));
        }
        if refused > 0 {
            let from = run.next.plus(taken);
            let to = from.plus(refused);
            remember(&mut state.gaps, &run.origin, from, to);
        }
        if taken > 0 {
            run.left = taken;
            state.events = state.events.saturating_add(taken);
            state.came = state.came.saturating_add(taken);
            state.bytes = state.bytes.saturating_add(run.bytes);
            state.items.push_back(Item::Run(run));
        }
        refused
    }

    /// Whether there is room for events that are kept. They wait at their sender while there is none, so that no policy
    /// drops them.
    pub(crate) fn has_kept_room(&self) -> bool {
        let state = self.lock();
        let max = u64::try_from(self.options.max_events.max(1)).unwrap_or(u64::MAX);
        !state.closed && state.kept.has_room(max, self.options.max_bytes)
    }

    /// Adds events that their sender keeps until they are settled. Whether there is room is [asked](Self::has_kept_room)
    /// before.
    pub(crate) fn push_kept(&self, run: EventRun) {
        {
            let mut state = self.lock();
            if state.closed {
                return;
            }
            let after = state.came;
            state.kept.push(after, run);
        }
        self.readable.notify_one();
    }

    /// Adds a gap that was made before this queue.
    pub(crate) fn push_gap(&self, gap: Gap) {
        {
            let mut state = self.lock();
            if !state.kept.is_empty() {
                let after = state.came;
                state.kept.push_gap(after, gap);
                drop(state);
                return self.readable.notify_one();
            }
            let same =
                |last: &Gap| Arc::ptr_eq(&last.origin, &gap.origin) && last.to == Some(gap.from);
            let full = state.items.len() >= self.options.max_events.saturating_mul(2).max(64);
            let is_last = self.options.overflow == Overflow::DropNewest
                || !state.items.iter().any(|item| matches!(item, Item::Run(_)));
            if is_last && let Some(before) = state.gaps.remove(&key_of(&gap.origin)) {
                state.items.push_back(Item::Gap(before));
            }
            match state.items.back_mut() {
                _ if full => {}
                Some(Item::Gap(last)) if same(last) => last.to = gap.to,
                _ => state.items.push_back(Item::Gap(gap)),
            }
        }
        self.readable.notify_one();
    }

    /// Takes the next run or gap; `None` after the end. Cancel safe.
    pub(crate) async fn next(&self, current: &mut Option<EventRun>) -> Option<Delivery> {
        loop {
            if let Some(event) = current.as_mut().and_then(EventRun::pop) {
                return Some(Delivery::Event(event));
            }
            *current = None;
            let readable = self.readable.notified();
            {
                let mut state = self.lock();
                let left = state.came.saturating_sub(state.events);
                let gap_first = matches!(state.items.front(), Some(Item::Gap(_)));
                match state.kept.pop(left, gap_first) {
                    Some(Item::Gap(gap)) => return Some(Delivery::Gap(gap)),
                    Some(Item::Run(run)) => {
                        self.delivered.fetch_add(run.left, Ordering::Relaxed);
                        *current = Some(run);
                        continue;
                    }
                    None => {}
                }
                let is_told_first = match state.items.front() {
                    Some(Item::Run(_)) => self.options.overflow != Overflow::DropNewest,
                    front => front.is_none(),
                };
                if is_told_first && let Some((_, gap)) = state.gaps.pop_first() {
                    return Some(Delivery::Gap(gap));
                }
                match state.items.pop_front() {
                    Some(Item::Gap(gap)) => return Some(Delivery::Gap(gap)),
                    Some(Item::Run(run)) => {
                        state.events = state.events.saturating_sub(run.left);
                        state.bytes = state.bytes.saturating_sub(run.bytes);
                        self.delivered.fetch_add(run.left, Ordering::Relaxed);
                        *current = Some(run);
                        drop(state);
                        self.room.notify_waiters();
                        continue;
                    }
                    None if state.closed => return None,
                    None => {}
                }
            }
            readable.await;
        }
    }

    /// Ends the queue: what waits can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.readable.notify_one();
        self.room.notify_waiters();
    }

    /// How many events were handed to the application, and how many its policy dropped.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.delivered.load(Ordering::Relaxed),
            self.dropped.load(Ordering::Relaxed),
        )
    }
}

/// Drops the oldest event that waits. `false` if none does.
fn drop_oldest(state: &mut State) -> bool {
    let Some(at) = state
        .items
        .iter()
        .position(|item| matches!(item, Item::Run(_)))
    else {
        return false;
    };
    let Some(Item::Run(run)) = state.items.get_mut(at) else {
        return false;
    };
    let before = run.bytes;
    let origin = Arc::clone(&run.origin);
    let Some(event) = run.pop() else { return false };
    let freed = before.saturating_sub(run.bytes);
    let emptied = run.left == 0;
    let rest = if emptied { run.bytes } else { 0 };
    state.events = state.events.saturating_sub(1);
    state.bytes = state.bytes.saturating_sub(freed).saturating_sub(rest);
    remember(
        &mut state.gaps,
        &origin,
        event.sequence,
        event.sequence.next(),
    );
    if emptied {
        state.items.remove(at);
        settle_gaps(state, at);
    }
    true
}

/// Gaps behind a run come to the front with its end: what was dropped before each goes before it.
fn settle_gaps(state: &mut State, from: usize) {
    let mut at = from;
    while let Some(Item::Gap(gap)) = state.items.get(at) {
        let key = key_of(&gap.origin);
        if let Some(before) = state.gaps.remove(&key) {
            state.items.insert(at, Item::Gap(before));
            at = at.saturating_add(1);
        }
        at = at.saturating_add(1);
    }
}

fn key_of(origin: &Origin) -> GapKey {
    (origin.publisher, origin.epoch, origin.topic.clone())
}

fn remember(gaps: &mut BTreeMap<GapKey, Gap>, origin: &Arc<Origin>, from: Sequence, to: Sequence) {
    let key = key_of(origin);
    let full = gaps.len() >= MAX_PENDING_GAPS;
    match gaps.get_mut(&key) {
        Some(gap) => gap.to = gap.to.max(Some(to)),
        None if full => {}
        None => {
            let gap = Gap {
                origin: Arc::clone(origin),
                from,
                to: Some(to),
                cause: GapCause::Overflow,
            };
            gaps.insert(key, gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::message::Priority;
    use macula_wire::{Epoch, NodeId, Topic};

    use super::*;

    fn origin() -> Arc<Origin> {
        Arc::new(Origin {
            publisher: NodeId::from_bytes([1; 32]),
            epoch: Epoch::new(1),
            topic: Topic::new("a.b").unwrap(),
            priority: Priority::Normal,
        })
    }

    fn run(origin: &Arc<Origin>, base: u64, count: u64) -> EventRun {
        let payloads: Vec<Vec<u8>> = (0..count)
            .map(|n| base.saturating_add(n).to_le_bytes().to_vec())
            .collect();
        let entries = Entries::from_payloads(payloads.iter().map(Vec::as_slice)).unwrap();
        EventRun::new(
            Arc::clone(origin),
            ContentType::Bytes,
            Sequence::new(base),
            &entries,
            0,
        )
    }

    async fn is_ready(queue: &Queue) -> bool {
        tokio::select! {
            biased;
            () = queue.ready() => true,
            () = std::future::ready(()) => false,
        }
    }

    async fn drain(queue: &Queue) -> Vec<String> {
        queue.close();
        let mut current = None;
        let mut found = Vec::new();
        while let Some(delivery) = queue.next(&mut current).await {
            found.push(match delivery {
                Delivery::Event(event) => event.sequence().to_string(),
                Delivery::Gap(gap) => format!("gap {}..{}", gap.from(), gap.to().unwrap()),
            });
        }
        found
    }

    #[tokio::test]
    async fn the_oldest_make_room_and_are_told() {
        let queue = Queue::new(SubscribeOptions::default().max_events(3));
        let origin = origin();
        assert_eq!(queue.push(run(&origin, 0, 2)), 0);
        assert_eq!(queue.push(run(&origin, 2, 3)), 2);
        assert_eq!(drain(&queue).await, ["gap 0..2", "2", "3", "4"]);
    }

    fn dropped(from: u64, to: u64) -> Gap {
        Gap {
            origin: origin(),
            from: Sequence::new(from),
            to: Some(Sequence::new(to)),
            cause: GapCause::Dropped,
        }
    }

    #[tokio::test]
    async fn a_gap_of_the_link_keeps_its_place_among_those_of_the_queue() {
        let queue = Queue::new(SubscribeOptions::default().max_events(3));
        let origin = origin();
        assert_eq!(queue.push(run(&origin, 0, 3)), 0);
        queue.push_gap(dropped(3, 7));
        assert_eq!(queue.push(run(&origin, 7, 5)), 5);
        let told = drain(&queue).await;
        assert_eq!(told, ["gap 0..3", "gap 3..7", "gap 7..9", "9", "10", "11"]);
    }

    #[tokio::test]
    async fn a_gap_of_the_link_comes_behind_what_was_refused_before() {
        for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
            let options = SubscribeOptions::default().max_events(2).overflow(overflow);
            let queue = Queue::new(options);
            let origin = origin();
            queue.push(run(&origin, 0, 4));
            queue.push_gap(dropped(4, 6));
            let told = drain(&queue).await;
            match overflow {
                Overflow::DropOldest => assert_eq!(told, ["gap 0..2", "2", "3", "gap 4..6"]),
                _ => assert_eq!(told, ["0", "1", "gap 2..4", "gap 4..6"]),
            }
        }
    }

    #[tokio::test]
    async fn the_newest_are_refused_and_told_in_their_place() {
        let options = SubscribeOptions::default()
            .max_events(3)
            .overflow(Overflow::DropNewest);
        let queue = Queue::new(options);
        let origin = origin();
        assert_eq!(queue.push(run(&origin, 0, 5)), 2);
        let mut current = None;
        for _ in 0..3 {
            assert!(matches!(
                queue.next(&mut current).await,
                Some(Delivery::Event(_))
            ));
        }
        assert_eq!(queue.push(run(&origin, 5, 1)), 0);
        assert_eq!(drain(&queue).await, ["gap 3..5", "5"]);
    }

    #[tokio::test]
    async fn a_blocking_queue_drops_nothing_and_says_when_it_is_full() {
        let options = SubscribeOptions::default()
            .max_events(2)
            .overflow(Overflow::Block);
        let queue = Queue::new(options);
        assert!(is_ready(&queue).await);
        assert_eq!(queue.push(run(&origin(), 0, 4)), 0);
        assert!(!is_ready(&queue).await);
        let mut current = None;
        assert!(queue.next(&mut current).await.is_some());
        assert!(is_ready(&queue).await);
    }

    #[tokio::test]
    async fn bytes_are_bounded_as_well() {
        let queue = Queue::new(SubscribeOptions::default().max_bytes(20));
        let origin = origin();
        assert_eq!(queue.push(run(&origin, 0, 2)), 0);
        assert_eq!(queue.push(run(&origin, 2, 1)), 1);
        assert_eq!(drain(&queue).await, ["gap 0..1", "1", "2"]);
    }
}
