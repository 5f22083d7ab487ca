//! The bounded queue of one subscription.

mod begin;
mod counts;
mod early;
mod kept;
mod latest;
mod options;
mod run;
mod take;
#[cfg(test)]
mod tests;
mod waiting;

pub(crate) use begin::Earlier;
pub use counts::SubscriptionCounts;
pub use options::{History, Order, Overflow, SubscribeOptions};
pub(crate) use run::{EventRun, Head, Place, is_past};

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use macula_pubsub::Ahead;
use macula_wire::Sequence;
use tokio::sync::Notify;

use self::begin::Beginning;
use self::kept::Kept;
use self::latest::Latest;
use self::waiting::{Item, Waiting};
use crate::event::{ClosedReason, Event, Gap, Origin};
use crate::plane::reliable::AckMode;

/// How many ranges of events may be handed out ahead of their turn; beyond that events come in their turn.
const MAX_EARLY: usize = 1_024;

/// What became of events that were pushed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Pushed {
    /// So many were owed to the subscription.
    pub(crate) owed: u64,
    /// The policy dropped so many, of them or of others.
    pub(crate) dropped: u64,
}

/// Where events wait.
#[derive(Debug)]
enum Store {
    All(Waiting),
    Latest(Box<Latest>),
}

#[derive(Debug)]
struct State {
    store: Store,
    /// How many events ever came into the store.
    came: u64,
    /// What is kept by its sender until it is settled, beside what may be dropped.
    kept: Kept,
    /// What was handed out ahead of its turn, where that may be.
    ahead: Option<Box<Ahead>>,
    /// What the subscription begins with, until that is over.
    beginning: Option<Box<Beginning>>,
    /// Drops that are told without their places.
    lagged: u64,
    counts: SubscriptionCounts,
    closed: Option<ClosedReason>,
    /// Whether the end was told.
    is_over: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    options: SubscribeOptions,
    state: Mutex<State>,
    readable: Notify,
    room: Notify,
    /// How many events expired in all queues of this process.
    expired: Arc<AtomicU64>,
}

impl Queue {
    /// An empty queue. What expires in it is counted in `expired` too.
    pub(crate) fn new(options: SubscribeOptions, expired: Arc<AtomicU64>) -> Self {
        let is_latest =
            options.overflow == Overflow::LatestPerKey || options.order == Order::Latest;
        let store = if is_latest {
            Store::Latest(Box::default())
        } else {
            Store::All(Waiting::new(options.order != Order::None))
        };
        let ahead = options
            .takes_early()
            .then(|| Box::new(Ahead::new(MAX_EARLY)));
        Self {
            options,
            state: Mutex::new(State {
                store,
                came: 0,
                kept: Kept::default(),
                ahead,
                beginning: None,
                lagged: 0,
                counts: SubscriptionCounts::default(),
                closed: None,
                is_over: false,
            }),
            readable: Notify::new(),
            room: Notify::new(),
            expired,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn max_events(&self) -> u64 {
        u64::try_from(self.options.max_events.max(1)).unwrap_or(u64::MAX)
    }

    fn is_full(&self, state: &State) -> bool {
        let (events, bytes) = state.waiting();
        events >= self.max_events() || bytes >= self.options.max_bytes.max(1)
    }

    fn is_over(&self, state: &State) -> bool {
        let (events, bytes) = state.waiting();
        events > self.max_events() || (bytes > self.options.max_bytes && events > 1)
    }

    /// How its application says that it is done with an event that is kept.
    pub(crate) const fn ack_mode(&self) -> AckMode {
        self.options.ack
    }

    /// Whether [`ready`](Self::ready) returns at once.
    pub(crate) fn is_ready(&self) -> bool {
        if self.options.overflow != Overflow::Block {
            return true;
        }
        let state = self.lock();
        state.closed.is_some() || !self.is_full(&state)
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
                if state.closed.is_some() || !self.is_full(&state) {
                    return;
                }
            }
            room.await;
        }
    }

    /// Adds events, dropping by policy.
    pub(crate) fn push(&self, mut run: EventRun) -> Pushed {
        let mut state = self.lock();
        state.skip_known(&mut run);
        if run.left() == 0 || state.closed.is_some() {
            return Pushed::default();
        }
        let pushed = self.push_in_turn(&mut state, Item::Run(run));
        drop(state);
        self.readable.notify_one();
        pushed
    }

    /// Adds one event, dropping by policy.
    pub(crate) fn push_event(&self, event: Event) -> Pushed {
        let mut state = self.lock();
        if state.closed.is_some() || state.is_known(&event) {
            return Pushed::default();
        }
        let pushed = self.push_in_turn(&mut state, Item::One(event));
        drop(state);
        self.readable.notify_one();
        pushed
    }

    /// Adds events that were not handed out before.
    fn push_new(&self, state: &mut State, item: Item) -> Pushed {
        if let Store::All(_) = state.store {
            return self.push_item(state, item);
        }
        let mut pushed = Pushed {
            owed: item.events(),
            dropped: 0,
        };
        let mut add = |state: &mut State, event| {
            let dropped = self.push_latest(state, event);
            pushed.dropped = pushed.dropped.saturating_add(dropped);
        };
        match item {
            Item::Run(mut run) => {
                while let Some(event) = run.pop() {
                    add(state, event);
                }
            }
            Item::One(event) => add(state, event),
            Item::Gap(_) => {}
        }
        pushed
    }

    fn push_item(&self, state: &mut State, item: Item) -> Pushed {
        match self.options.overflow {
            Overflow::DropNewest | Overflow::Disconnect => self.push_or_refuse(state, item),
            Overflow::DropOldest | Overflow::Block | Overflow::LatestPerKey => {
                let owed = item.events();
                state.push(item);
                let mut dropped = 0;
                if self.options.overflow == Overflow::DropOldest {
                    while self.is_over(state) && state.drop_oldest() {
                        dropped = u64::saturating_add(dropped, 1);
                    }
                }
                Pushed { owed, dropped }
            }
        }
    }

    fn push_or_refuse(&self, state: &mut State, mut item: Item) -> Pushed {
        let (events, bytes) = state.waiting();
        let room = self.max_events().saturating_sub(events);
        let is_too_long = bytes.saturating_add(item.bytes()) > self.options.max_bytes && events > 0;
        let taken = if is_too_long {
            0
        } else {
            room.min(item.events())
        };
        let owed = item.events();
        let refused = owed.saturating_sub(taken);
        let (origin, sequence) = item.place();
        let origin = Arc::clone(origin);
        if let (true, Store::All(waiting)) = (taken > 0, &mut state.store) {
            waiting.place_refused();
        }
        if refused > 0 {
            let from = sequence.plus(taken);
            state.remember(&origin, from, from.plus(refused));
            if self.options.overflow == Overflow::Disconnect {
                state.closed = Some(ClosedReason::Overflow);
            }
        }
        if taken > 0 {
            if let Item::Run(run) = &mut item {
                run.cut_to(taken);
            }
            state.push(item);
        }
        Pushed {
            owed,
            dropped: refused,
        }
    }

    /// Adds an event to those of which only the newest waits. How many were dropped for it.
    fn push_latest(&self, state: &mut State, event: Event) -> u64 {
        let order = self.options.order;
        state.came = state.came.saturating_add(1);
        let mut dropped = 0_u64;
        if let Store::Latest(latest) = &mut state.store
            && latest.push(order, event)
        {
            state.counts.superseded = state.counts.superseded.saturating_add(1);
            dropped = 1;
        }
        while self.is_over(state)
            && let Store::Latest(latest) = &mut state.store
            && latest.drop_oldest(order)
        {
            state.counts.overflow = state.counts.overflow.saturating_add(1);
            dropped = dropped.saturating_add(1);
        }
        state.lagged = state.lagged.saturating_add(dropped);
        dropped
    }

    /// Adds a gap that was made before this queue.
    pub(crate) fn push_gap(&self, gap: Gap) {
        {
            let mut state = self.lock();
            if state.closed.is_some() {
                return;
            }
            match state.without_early(gap) {
                Ok(gap) => self.add_gap(&mut state, gap),
                Err(parts) => parts
                    .into_iter()
                    .for_each(|part| self.add_gap(&mut state, part)),
            }
        }
        self.readable.notify_one();
    }

    fn add_gap(&self, state: &mut State, gap: Gap) {
        let lost = gap.lost;
        let max = self.options.max_events;
        let refuses = self.refuses_newest();
        let after = state.came;
        let told = if state.kept.is_empty() {
            match &mut state.store {
                Store::All(waiting) => waiting.push_gap(gap, refuses, max),
                Store::Latest(latest) => latest.push_gap(gap, max),
            }
        } else {
            state.kept.push_gap(after, gap).is_ok()
        };
        if !told {
            state.lagged = state.lagged.saturating_add(lost);
        }
    }

    const fn refuses_newest(&self) -> bool {
        matches!(
            self.options.overflow,
            Overflow::DropNewest | Overflow::Disconnect
        )
    }

    /// Ends the queue: what waits can still be taken, and then why.
    pub(crate) fn close(&self, reason: ClosedReason) {
        self.lock().closed.get_or_insert(reason);
        self.readable.notify_one();
        self.room.notify_waiters();
    }

    /// What became of the events so far.
    pub(crate) fn counts(&self) -> SubscriptionCounts {
        self.lock().counts
    }
}

impl State {
    fn waiting(&self) -> (u64, usize) {
        match &self.store {
            Store::All(waiting) => (waiting.events, waiting.bytes),
            Store::Latest(latest) => (latest.events, latest.bytes),
        }
    }

    /// The next of what is kept, if it is its turn.
    fn take_kept(&mut self) -> Option<Item> {
        let left = self.came.saturating_sub(self.waiting().0);
        let is_gap_first = match &self.store {
            Store::All(waiting) => waiting.is_gap_first(),
            Store::Latest(_) => false,
        };
        self.kept.pop(left, is_gap_first)
    }

    fn push(&mut self, item: Item) {
        self.came = self.came.saturating_add(item.events());
        if let Store::All(waiting) = &mut self.store {
            waiting.push(item);
        }
    }

    fn remember(&mut self, origin: &Arc<Origin>, from: Sequence, to: Sequence) {
        let count = to.since(from);
        self.counts.overflow = self.counts.overflow.saturating_add(count);
        let told = match &mut self.store {
            Store::All(waiting) => waiting.remember(origin, from, to),
            Store::Latest(_) => false,
        };
        if !told {
            self.lagged = self.lagged.saturating_add(count);
        }
    }

    /// `false` if no event waits.
    fn drop_oldest(&mut self) -> bool {
        let Store::All(waiting) = &mut self.store else {
            return false;
        };
        let Some(told) = waiting.drop_oldest() else {
            return false;
        };
        self.counts.overflow = self.counts.overflow.saturating_add(1);
        if !told {
            self.lagged = self.lagged.saturating_add(1);
        }
        true
    }
}
