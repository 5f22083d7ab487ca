//! How many calls run at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A bound on how many calls run at a time, and how many do. Clones share it.
#[derive(Clone, Debug)]
pub struct Slots {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: u32,
    used: AtomicU32,
}

impl Slots {
    /// Room for `limit` calls.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            shared: Arc::new(Shared {
                limit,
                used: AtomicU32::new(0),
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
            })
    }
}

/// A slot in use.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.shared.used.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
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
}
