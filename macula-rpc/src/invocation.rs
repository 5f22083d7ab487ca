//! Which incoming calls may run.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use macula_wire::message::Failure;
use macula_wire::{CallId, ErrorCode, Instant, NodeId};

use crate::slots::Slot;
use crate::{InvocationConfig, Slots};

/// Admits incoming calls: the data plane of a callee. Clones share the state.
///
/// A call id of a caller is answered once, and runs at most once. Ids are remembered while they run and for
/// [`InvocationConfig::window`] after they came in, as long as there is room; behind that, a repeated id is taken for a
/// new call. An id that was refused is spent too: its caller may have gone on to another provider by then, and must not
/// be run here as well. The state is cut into shards by caller, each behind a lock that is held for one lookup.
#[derive(Clone, Debug)]
pub struct Invocations {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    shards: Vec<Mutex<Shard>>,
    /// The most ids of a shard.
    max_ids: usize,
    window: Duration,
    running: Slots,
    admitted: AtomicU64,
    busy: AtomicU64,
    repeated: AtomicU64,
    late: AtomicU64,
}

/// An id of a caller. The id stands first, as a number: it is where keys differ, and the whole comparison then.
type Key = (u128, NodeId);

const fn key(caller: NodeId, call: CallId) -> Key {
    (u128::from_be_bytes(*call.as_bytes()), caller)
}

#[derive(Debug, Default)]
struct Shard {
    running: BTreeSet<Key>,
    recent: BTreeSet<Key>,
    /// The recent ids in the order in which they came, with the time until which each is remembered, or longer if one
    /// before it is.
    order: VecDeque<(Instant, Key)>,
}

impl Invocations {
    /// Nothing runs.
    #[must_use]
    pub fn new(config: &InvocationConfig) -> Self {
        let shards = config.shards.clamp(1, 1_024);
        Self {
            shared: Arc::new(Shared {
                shards: (0..shards).map(|_| Mutex::default()).collect(),
                max_ids: config.max_ids.div_ceil(shards).max(1),
                window: config.window,
                running: Slots::new(config.max_running),
                admitted: AtomicU64::new(0),
                busy: AtomicU64::new(0),
                repeated: AtomicU64::new(0),
                late: AtomicU64::new(0),
            }),
        }
    }

    /// Admits a call to this node, where it [enters](Admission::enter) one registration after the other until one takes
    /// it. It counts as long as the admission is kept.
    ///
    /// # Errors
    ///
    /// `DEADLINE_EXCEEDED` past the deadline; `CALL_GONE` if the id came before; `BUSY` without a free slot of the node.
    /// The call must not run then, nor may its id come again.
    pub fn admit(
        &self,
        now: Instant,
        caller: NodeId,
        call: CallId,
        deadline: Instant,
    ) -> Result<Admission, Failure> {
        let shared = &self.shared;
        if deadline <= now {
            return Err(shared.refuse(&shared.late, ErrorCode::DEADLINE_EXCEEDED, LATE));
        }
        let key = key(caller, call);
        let busy = || shared.refuse(&shared.busy, ErrorCode::BUSY, BUSY);
        let mut shard = shared.shard(&caller).ok_or_else(busy)?;
        shard.expire(now);
        if shard.running.contains(&key) || shard.recent.contains(&key) {
            return Err(shared.refuse(&shared.repeated, ErrorCode::CALL_GONE, REPEATED));
        }
        shard.remember((now + shared.window).max(deadline), key, shared.max_ids);
        let node = shared.running.take().ok_or_else(busy)?;
        shard.running.insert(key);
        drop(shard);
        shared.admitted.fetch_add(1, Ordering::Relaxed);
        Ok(Admission {
            shared: Arc::clone(shared),
            key,
            deadline,
            _slot: node,
        })
    }

    /// Spends the id of a call that is refused without asking for admission, because nobody serves the procedure or the
    /// node takes nothing new.
    pub fn refuse(&self, now: Instant, caller: NodeId, call: CallId, deadline: Instant) {
        let key = key(caller, call);
        let until = (now + self.shared.window).max(deadline);
        if let Some(mut shard) = self.shared.shard(&caller) {
            shard.expire(now);
            if !shard.recent.contains(&key) {
                shard.remember(until, key, self.shared.max_ids);
            }
        }
    }

    /// How many calls run and came, at this moment.
    #[must_use]
    pub fn stats(&self) -> InvocationStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        InvocationStats {
            running: self.shared.running.used(),
            admitted: count(&self.shared.admitted),
            busy: count(&self.shared.busy),
            repeated: count(&self.shared.repeated),
            late: count(&self.shared.late),
        }
    }
}

const BUSY: &str = "the provider has no free slot";
const LATE: &str = "the deadline had passed when the call came in";
const REPEATED: &str = "the call id was used before";

impl Shared {
    /// There is always one; a panic elsewhere while it was locked leaves ids that are at worst remembered too long.
    fn shard(&self, caller: &NodeId) -> Option<MutexGuard<'_, Shard>> {
        let start = caller.as_bytes().first_chunk().copied();
        let shards = u64::try_from(self.shards.len()).ok()?;
        let at = u64::from_le_bytes(start?).checked_rem(shards)?;
        let shard = self.shards.get(usize::try_from(at).ok()?)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn refuse(&self, counter: &AtomicU64, code: ErrorCode, detail: &str) -> Failure {
        counter.fetch_add(1, Ordering::Relaxed);
        Failure::new(code, detail)
    }
}

impl Shard {
    fn expire(&mut self, now: Instant) {
        while let Some((_, key)) = self.order.front().filter(|(until, _)| *until <= now) {
            self.recent.remove(key);
            self.order.pop_front();
        }
    }

    fn remember(&mut self, until: Instant, key: Key, max: usize) {
        if self.order.len() >= max
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.recent.remove(&oldest);
        }
        self.order.push_back((until, key));
        self.recent.insert(key);
    }
}

/// A call that came to this node. Dropping it ends the call and frees its slot of the node, however the call ended.
#[derive(Debug)]
pub struct Admission {
    shared: Arc<Shared>,
    key: Key,
    deadline: Instant,
    _slot: Slot,
}

/// A call that runs by one registration. Dropping it frees the slot.
#[derive(Debug)]
pub struct Entry(#[expect(dead_code, reason = "it is held to be dropped")] Slot);

impl Admission {
    /// Lets the call enter a registration, whose `slots` are those of
    /// [`ProviderTable::slots`](crate::ProviderTable::slots). As long as several callers want more slots than there are,
    /// each gets its share.
    ///
    /// # Errors
    ///
    /// `BUSY` without a free slot for this caller. The call has not run then, and may enter another registration.
    pub fn enter(&self, now: Instant, slots: &Slots) -> Result<Entry, Failure> {
        let shared = &self.shared;
        let slot = slots.take_for(self.caller(), now);
        slot.map(Entry)
            .ok_or_else(|| shared.refuse(&shared.busy, ErrorCode::BUSY, BUSY))
    }

    /// Who calls.
    #[must_use]
    pub const fn caller(&self) -> NodeId {
        self.key.1
    }

    /// The call.
    #[must_use]
    pub const fn call(&self) -> CallId {
        CallId::from_bytes(self.key.0.to_be_bytes())
    }

    /// When nobody waits for the result any more.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Ends the call, as dropping it does.
    pub fn finish(self) {}
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(mut shard) = self.shared.shard(&self.key.1) {
            shard.running.remove(&self.key);
        }
    }
}

/// What became of incoming calls.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct InvocationStats {
    /// How many run.
    pub running: u32,
    /// How many were admitted so far.
    pub admitted: u64,
    /// How many found no free slot.
    pub busy: u64,
    /// How many had an id that came before.
    pub repeated: u64,
    /// How many came behind their deadline.
    pub late: u64,
}
