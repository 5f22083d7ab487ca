//! Events that their senders keep until they are settled, on their way to the application.

use std::collections::VecDeque;

use super::run::is_past;
use super::waiting::Item;
use super::{EventRun, Queue};
use crate::event::{Event, Gap};
use crate::plane::reliable::Credit;

/// They are not dropped by any policy, so they wait apart from those that may be, each in its place among them.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Each with the number of events that came before it and may be dropped.
    items: VecDeque<(u64, Waits)>,
    events: u64,
    bytes: usize,
}

#[derive(Debug)]
enum Waits {
    Run(EventRun),
    One(Event, Credit),
    Gap(Gap),
}

/// The most gaps that wait here; more are not told one by one.
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
        self.events = self.events.saturating_add(run.left());
        self.bytes = self.bytes.saturating_add(run.bytes());
        self.items.push_back((after, Waits::Run(run)));
    }

    pub(super) fn push_event(&mut self, after: u64, event: Event, credit: Credit) {
        self.events = self.events.saturating_add(1);
        self.bytes = self.bytes.saturating_add(event.payload.len());
        self.items.push_back((after, Waits::One(event, credit)));
    }

    /// Adds a gap, or says how many events it tells of if there is no room for it.
    pub(super) fn push_gap(&mut self, after: u64, gap: Gap) -> Result<(), u64> {
        let events = usize::try_from(self.events).unwrap_or(usize::MAX);
        if self.items.len() >= MAX_GAPS.saturating_add(events) {
            return Err(gap.lost);
        }
        self.items.push_back((after, Waits::Gap(gap)));
        Ok(())
    }

    /// The next, if of the others as many have `left` as came before it, and none that is `told_first` stands there.
    pub(super) fn pop(&mut self, left: u64, told_first: bool) -> Option<Item> {
        if told_first || self.items.front().is_none_or(|(after, _)| *after > left) {
            return None;
        }
        let (_, item) = self.items.pop_front()?;
        let item = match item {
            Waits::Run(run) => Item::Run(run),
            Waits::One(mut event, mut credit) => {
                if !is_past(event.expires) {
                    event.token = credit.hand_over();
                }
                Item::One(event)
            }
            Waits::Gap(gap) => Item::Gap(gap),
        };
        self.events = self.events.saturating_sub(item.events());
        self.bytes = self.bytes.saturating_sub(item.bytes());
        Some(item)
    }
}

impl Queue {
    /// Whether there is room for events that are kept. They wait at their sender while there is none, so that no policy
    /// drops them.
    pub(crate) fn has_kept_room(&self) -> bool {
        let state = self.lock();
        state.closed.is_none()
            && state
                .kept
                .has_room(self.max_events(), self.options.max_bytes)
    }

    /// Adds events that their sender keeps until they are settled. Whether there is room is [asked](Self::has_kept_room)
    /// before.
    pub(crate) fn push_kept(&self, run: EventRun, credit: Credit) {
        {
            let mut state = self.lock();
            if state.closed.is_some() {
                return;
            }
            let after = state.came;
            state.kept.push(after, run.with(credit));
        }
        self.readable.notify_one();
    }

    /// Adds one event that its sender keeps. Otherwise as [`push_kept`](Self::push_kept).
    pub(crate) fn push_kept_event(&self, event: Event, credit: Credit) {
        {
            let mut state = self.lock();
            if state.closed.is_some() {
                return;
            }
            let after = state.came;
            state.kept.push_event(after, event, credit);
        }
        self.readable.notify_one();
    }
}
