//! Events that their senders keep until they are settled, on their way to the application.

use std::collections::VecDeque;

use super::{EventRun, Item};
use crate::event::Gap;

/// They are not dropped by any policy, so they wait apart from those that may be, each in its place among them.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Each with the number of events that came before it and may be dropped.
    items: VecDeque<(u64, Item)>,
    events: u64,
    bytes: usize,
}

/// The most gaps that wait here; more are not told.
const MAX_GAPS: usize = 1_024;

impl Kept {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) const fn has_room(&self, max_events: u64, max_bytes: usize) -> bool {
        self.events < max_events && (self.bytes < max_bytes || self.events == 0)
    }

    /// Adds events behind `after` others.
    pub(super) fn push(&mut self, after: u64, run: EventRun) {
        self.events = self.events.saturating_add(run.left);
        self.bytes = self.bytes.saturating_add(run.bytes);
        self.items.push_back((after, Item::Run(run)));
    }

    pub(super) fn push_gap(&mut self, after: u64, gap: Gap) {
        let events = usize::try_from(self.events).unwrap_or(usize::MAX);
        if self.items.len() < MAX_GAPS.saturating_add(events) {
            self.items.push_back((after, Item::Gap(gap)));
        }
    }

    /// The next, if of the others as many have `left` as came before it, and none that is `told_first` stands there.
    pub(super) fn pop(&mut self, left: u64, told_first: bool) -> Option<Item> {
        if told_first || self.items.front().is_none_or(|(after, _)| *after > left) {
            return None;
        }
        let (_, item) = self.items.pop_front()?;
        if let Item::Run(run) = &item {
            self.events = self.events.saturating_sub(run.left);
            self.bytes = self.bytes.saturating_sub(run.bytes);
        }
        Some(item)
    }
}
