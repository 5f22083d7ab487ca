//! How many calls run at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use macula_wire::{Instant, NodeId};

/// How long a caller that was refused counts as one that wants a slot.
const WANT: Duration = Duration::from_secs(1);
/// How many callers are remembered that were refused. More share what is left as they come.
const MAX_WAITING: usize = 1_024;

/// A bound on how many calls run at a time, and how many do. Clones share it.
#[derive(Clone, Debug)]
pub struct Slots {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: u32,
    used: AtomicU32,
    callers: Mutex<BTreeMap<NodeId, Caller>>,
}

/// A caller that has calls here, or was refused lately.
#[derive(Clone, Copy, Debug, Default)]
struct Caller {
    running: u32,
    /// How many slots it got since it is remembered.
    served: u64,
    /// Until when it counts as one that wants a slot.
    wants_until: Option<Instant>,
}

impl Caller {
    fn wants(&self, now: Instant) -> bool {
        self.wants_until.is_some_and(|until| now < until)
    }
}

impl Slots {
    /// Room for `limit` calls.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            shared: Arc::new(Shared {
                limit,
                used: AtomicU32::new(0),
                callers: Mutex::default(),
            }),
        }
    }

    /// The bound.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.shared.limit
    }

    /// How many calls run.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// A slot, if one is free; it is free again when it is dropped.
    pub(crate) fn take(&self) -> Option<Slot> {
        let more = |used: u32| used.checked_add(1).filter(|more| *more <= self.limit());
        self.shared
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()
            .map(|_| Slot {
                slots: self.clone(),
                caller: None,
            })
    }

    /// A slot for a caller, if one is free and not wanted more by others.
    ///
    /// As long as several want more than there is, each gets as many: a free slot is left for whoever was refused within
    /// the last second and has fewer, or as many and got fewer so far.
    pub(crate) fn take_for(&self, caller: NodeId, now: Instant) -> Option<Slot> {
        let mut callers = self.callers();
        let free = self.limit().saturating_sub(self.used());
        if free == 0 || free <= claimed(&mut callers, &caller, now) {
            if callers.len() < MAX_WAITING || callers.contains_key(&caller) {
                callers.entry(caller).or_default().wants_until = Some(now + WANT);
            }
            return None;
        }
        let mut slot = self.take()?;
        slot.caller = Some(caller);
        let entry = callers.entry(caller).or_default();
        entry.running = entry.running.saturating_add(1);
        entry.served = entry.served.saturating_add(1);
        Some(slot)
    }

    /// A panic elsewhere while it was locked leaves a count that is wrong by one at worst.
    fn callers(&self) -> MutexGuard<'_, BTreeMap<NodeId, Caller>> {
        let callers = &self.shared.callers;
        callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of the free slots others have more right to than `caller`: those that want some and have fewer, or at a draw
/// were served less often.
fn claimed(callers: &mut BTreeMap<NodeId, Caller>, caller: &NodeId, now: Instant) -> u32 {
    let wanted = |one: &Caller| one.wants_until.is_some();
    if !callers
        .iter()
        .any(|(other, one)| other != caller && wanted(one))
    {
        return 0;
    }
    callers.retain(|_, one| one.running > 0 || one.wants(now));
    let own = callers.get(caller).copied().unwrap_or_default();
    let others = callers.iter().filter(|(other, _)| *other != caller);
    let waiting = others.filter(|(_, one)| one.wants(now));
    waiting.fold(0, |sum, (_, one)| {
        let behind = own.running.saturating_sub(one.running);
        let draw = own.running == one.running && one.served < own.served;
        sum.saturating_add(behind).saturating_add(u32::from(draw))
    })
}

/// A slot in use.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    caller: Option<NodeId>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.shared.used.fetch_sub(1, Ordering::Relaxed);
        let Some(caller) = self.caller else {
            return;
        };
        let mut callers = self.slots.callers();
        if let Some(one) = callers.get_mut(&caller) {
            one.running = one.running.saturating_sub(1);
            if one.running == 0 && one.wants_until.is_none() {
                callers.remove(&caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::Random;

    use super::*;

    #[test]
    fn a_slot_is_free_again_when_it_is_dropped() {
        let slots = Slots::new(2);
        let first = slots.take();
        let second = slots.take();
        assert!(first.is_some() && second.is_some());
        assert!(slots.take().is_none());
        assert_eq!(slots.used(), 2);
        drop(first);
        assert!(slots.take().is_some());
        assert_eq!((slots.used(), slots.limit()), (1, 2));
    }

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn one_caller_alone_gets_all_and_two_share() {
        let slots = Slots::new(4);
        let mut held: Vec<Slot> = (0..4)
            .filter_map(|_| slots.take_for(node(1), at(0)))
            .collect();
        assert_eq!(held.len(), 4);
        assert!(slots.take_for(node(2), at(0)).is_none());
        held.pop();
        // The free one is kept for the caller that was refused.
        assert!(slots.take_for(node(1), at(1)).is_none());
        let second = slots.take_for(node(2), at(2));
        assert!(second.is_some());
        // The first has three and the second one: the next is for the second again.
        held.pop();
        assert!(slots.take_for(node(1), at(3)).is_none());
        // Once nobody else has wanted one for a second, it is anybody's.
        assert!(slots.take_for(node(1), at(1_100)).is_some());
    }

    /// Callers that try at very different rates get alike, as long as each wants more than it gets.
    #[test]
    fn callers_that_try_more_often_get_no_more() {
        let slots = Slots::new(10);
        let mut random = Random::new(3);
        let mut running: Vec<(u64, u8, Slot)> = Vec::new();
        let mut served = [0_u32; 4];
        for now in 0..20_000 {
            running.retain(|(until, _, _)| *until > now);
            for _ in 0..40 {
                // One of them tries as often as all others together.
                let who = u8::try_from(random.below(6).saturating_sub(2)).unwrap();
                if let Some(slot) = slots.take_for(node(who), at(now)) {
                    served[usize::from(who)] += 1;
                    running.push((now + 5 + random.below(10), who, slot));
                }
            }
        }
        let (least, most) = (*served.iter().min().unwrap(), *served.iter().max().unwrap());
        assert!(f64::from(most) <= f64::from(least) * 1.2, "{served:?}");
        assert!(served.iter().sum::<u32>() > 15_000, "{served:?}");
    }

    #[test]
    fn what_is_remembered_of_callers_is_bounded() {
        let slots = Slots::new(1);
        let _held = slots.take_for(node(0), at(0));
        for number in 0..5_000_u32 {
            let mut bytes = [9; 32];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            assert!(slots.take_for(NodeId::from_bytes(bytes), at(1)).is_none());
        }
        assert!(slots.callers().len() <= MAX_WAITING);
    }
}
