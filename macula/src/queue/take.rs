//! Taking what waits, for the owner of the subscription.

use std::sync::atomic::Ordering;

use super::waiting::Item;
use super::{EventRun, Overflow, Queue, State, Store};
use crate::event::Delivery;

/// What the owner of the subscription finds.
pub(super) enum Found {
    Delivery(Delivery),
    Run(EventRun),
    Nothing,
    End,
}

impl Queue {
    /// The next delivery, which may be of the `current` run; `None` after the end. Cancel safe.
    pub(crate) async fn next(&self, current: &mut Option<EventRun>) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.more(current).await? {
                return Some(delivery);
            }
            if let Some(event) = current.as_mut().and_then(EventRun::pop) {
                return Some(Delivery::Event(event));
            }
        }
    }

    /// Sees to it that `current` has an event, or gives the delivery that comes before any; `None` after the end. Cancel
    /// safe.
    pub(crate) async fn more(&self, current: &mut Option<EventRun>) -> Option<Option<Delivery>> {
        loop {
            if let Some(run) = current.as_mut().filter(|run| run.left() > 0) {
                if run.is_expired() {
                    let gap = run.as_expired();
                    *current = None;
                    self.correct_expired(gap.lost);
                    return Some(Some(Delivery::Gap(gap)));
                }
                return Some(None);
            }
            *current = None;
            let readable = self.readable.notified();
            match self.take() {
                Found::Delivery(delivery) => return Some(Some(delivery)),
                Found::Run(run) => *current = Some(run),
                Found::End => return None,
                Found::Nothing => readable.await,
            }
        }
    }

    /// Events that were counted as delivered when their run was taken have expired meanwhile.
    fn correct_expired(&self, count: u64) {
        let mut state = self.lock();
        state.counts.delivered = state.counts.delivered.saturating_sub(count);
        state.counts.expired = state.counts.expired.saturating_add(count);
        drop(state);
        self.expired.fetch_add(count, Ordering::Relaxed);
    }

    fn take(&self) -> Found {
        let mut state = self.lock();
        if let Some(found) = state.take_beginning() {
            return found;
        }
        if state.lagged > 0 {
            return Found::Delivery(Delivery::Lagged(std::mem::take(&mut state.lagged)));
        }
        let refuses = self.refuses_newest();
        let item = state.take_kept().or_else(|| match &mut state.store {
            Store::All(waiting) => waiting.pop(refuses),
            Store::Latest(latest) => latest.pop(self.options.order),
        });
        let Some(item) = item else {
            return state.take_end();
        };
        let count = item.events();
        let found = if let Some(gap) = item.expired() {
            state.counts.expired = state.counts.expired.saturating_add(count);
            self.expired.fetch_add(count, Ordering::Relaxed);
            Found::Delivery(Delivery::Gap(gap))
        } else {
            state.counts.delivered = state.counts.delivered.saturating_add(count);
            match item {
                Item::Run(run) => Found::Run(run),
                Item::One(event) => Found::Delivery(Delivery::Event(event)),
                Item::Gap(gap) => Found::Delivery(Delivery::Gap(gap)),
            }
        };
        drop(state);
        if count > 0 && self.options.overflow == Overflow::Block {
            self.room.notify_waiters();
        }
        found
    }
}

impl State {
    fn take_end(&mut self) -> Found {
        match &self.closed {
            None => Found::Nothing,
            Some(_) if self.is_over => Found::End,
            Some(reason) => {
                let reason = reason.clone();
                self.is_over = true;
                Found::Delivery(Delivery::Closed(reason))
            }
        }
    }
}
