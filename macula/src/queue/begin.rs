//! What a subscription begins with: earlier events, before those that come.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use macula_wire::Sequence;

use super::run::EventRun;
use super::take::Found;
use super::waiting::{Item, Key, key_of};
use super::{Queue, State, Store};
use crate::event::{Delivery, Event, Gap, GapCause, Origin};

/// An event from before the subscription.
#[derive(Debug)]
pub(crate) enum Earlier {
    /// The last value of a topic.
    Retained(Event),
    /// One of the events that were kept.
    Kept(Event),
    /// What was kept of an origin ends before this sequence.
    End(Arc<Origin>, Sequence),
}

/// Holds what comes back until what was before it is there, and sees to it that nothing comes twice at the seam.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    /// What was before, to be handed out first.
    earlier: VecDeque<Delivery>,
    /// Whether more of it may come; nothing is handed out until then.
    is_open: bool,
    /// The first event of each origin that did not come with what was before. What comes from before it was handed out
    /// already; and what is missing from it on, if `true`, is a gap.
    next: BTreeMap<Key, (Sequence, bool)>,
}

impl Beginning {
    /// Whether events of an origin wait for what was before them.
    pub(super) fn holds(&self, key: &Key) -> bool {
        self.is_open || self.next.contains_key(key)
    }

    fn is_over(&self) -> bool {
        !self.is_open && self.earlier.is_empty() && self.next.is_empty()
    }
}

impl Queue {
    /// Lets what comes wait until [`begin`](Self::begin).
    pub(crate) fn hold(&self) {
        let mut state = self.lock();
        state.beginning.get_or_insert_default().is_open = true;
    }

    /// Hands out `earlier` first, and then what has come and comes. Without [`hold`](Self::hold) it does nothing.
    pub(crate) fn begin(&self, earlier: Vec<Earlier>) {
        {
            let mut state = self.lock();
            let Some(mut beginning) = state.beginning.take() else {
                return;
            };
            beginning.is_open = false;
            for one in earlier {
                beginning.take_in(one);
            }
            state.join(&mut beginning);
            if !beginning.is_over() {
                state.beginning = Some(beginning);
            }
        }
        self.readable.notify_one();
    }
}

impl Beginning {
    fn take_in(&mut self, one: Earlier) {
        match one {
            Earlier::Retained(event) => {
                let next = self.next.entry(key_of(&event.origin));
                let next = next.or_insert((event.sequence, false));
                next.0 = next.0.max(event.sequence.next());
                self.earlier.push_back(Delivery::Retained(event));
            }
            Earlier::Kept(event) => {
                let key = key_of(&event.origin);
                let next = self.next.entry(key).or_insert((event.sequence, true));
                // The same event may be kept by several nodes; a value that is retained is told as such.
                if event.sequence >= next.0 {
                    next.0 = event.sequence.next();
                    self.earlier.push_back(Delivery::Event(event));
                }
            }
            Earlier::End(origin, end) => {
                let next = self.next.entry(key_of(&origin)).or_insert((end, true));
                *next = (next.0.max(end), true);
            }
        }
    }
}

impl State {
    /// Puts the seam right between what was before and what has come meanwhile.
    fn join(&mut self, beginning: &mut Beginning) {
        let first = self.first_waiting();
        beginning.earlier.retain(|delivery| {
            let (Delivery::Event(event) | Delivery::Retained(event)) = delivery else {
                return true;
            };
            let first = first.get(&key_of(&event.origin));
            first.is_none_or(|first| event.sequence < *first)
        });
        let (counts, waiting) = (&mut self.counts, &mut self.store);
        let earlier = u64::try_from(beginning.earlier.len()).unwrap_or(u64::MAX);
        counts.delivered = counts.delivered.saturating_add(earlier);
        for (key, first) in first {
            let Some((next, is_followed)) = beginning.next.remove(&key) else {
                continue;
            };
            if let (true, true, Store::All(waiting)) = (is_followed, first > next, &mut *waiting) {
                waiting.tell_before(&key, next, first);
            }
        }
    }

    /// Where what waits begins, for each origin.
    fn first_waiting(&self) -> BTreeMap<Key, Sequence> {
        let mut first = BTreeMap::new();
        let mut note = |origin: &Arc<Origin>, at: Sequence| {
            let known = first.entry(key_of(origin)).or_insert(at);
            *known = (*known).min(at);
        };
        match &self.store {
            Store::All(waiting) => waiting.each_place(&mut note),
            Store::Latest(latest) => latest.each_place(&mut note),
        }
        first
    }

    /// What the owner of the subscription finds while it begins; `None` when that is over.
    pub(super) fn take_beginning(&mut self) -> Option<Found> {
        let beginning = self.beginning.as_mut()?;
        if beginning.is_open && self.closed.is_none() {
            return Some(Found::Nothing);
        }
        let delivery = beginning.earlier.pop_front();
        if beginning.is_over() {
            self.beginning = None;
        }
        delivery.map(Found::Delivery)
    }

    /// Leaves out of `run` what was handed out before; tells what is missing between that and the run.
    pub(super) fn skip_known(&mut self, run: &mut EventRun) {
        let (origin, first) = (Arc::clone(run.origin()), run.first());
        if let Some(next) = self.leave_beginning(&origin, first, first.plus(run.left())) {
            run.skip(next.since(first));
        }
    }

    /// Whether an event was handed out before.
    pub(super) fn is_known(&mut self, event: &Event) -> bool {
        let (origin, first) = (Arc::clone(&event.origin), event.sequence);
        let next = self.leave_beginning(&origin, first, first.next());
        next.is_some_and(|next| next > first)
    }

    /// Where what is new of `first..end` begins, if that was not all new anyway.
    fn leave_beginning(
        &mut self,
        origin: &Arc<Origin>,
        first: Sequence,
        end: Sequence,
    ) -> Option<Sequence> {
        let beginning = self.beginning.as_mut().filter(|it| !it.is_open)?;
        let key = key_of(origin);
        let (next, is_followed) = *beginning.next.get(&key)?;
        if end > next || first >= next {
            beginning.next.remove(&key);
        }
        if beginning.is_over() {
            self.beginning = None;
        }
        if first > next && is_followed {
            let origin = Arc::clone(origin);
            let gap = Gap::range(origin, next, Some(first), GapCause::Dropped);
            self.push(Item::Gap(gap));
        }
        (next > first).then_some(next)
    }
}
