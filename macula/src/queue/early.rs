//! Events ahead of their turn, for subscriptions that need no order or only the newest.

use std::ops::Range;
use std::sync::Arc;

use macula_wire::{Instant, Sequence};

use super::waiting::{Item, key_of};
use super::{EventRun, Order, Pushed, Queue, State};
use crate::event::{Event, Gap};

impl Queue {
    /// Whether events are handed out ahead of their turn.
    pub(crate) const fn takes_early(&self) -> bool {
        self.options.takes_early()
    }

    /// Adds events before whose turn others are missing, as far as this may be and they did not come before, dropping by
    /// policy. They come in their turn as well, by [`push`](Self::push), or in a gap.
    pub(crate) fn push_early(&self, now: Instant, run: EventRun) -> Pushed {
        self.add_early(now, &Item::Run(run))
    }

    /// The same for one event.
    pub(crate) fn push_early_event(&self, now: Instant, event: Event) -> Pushed {
        self.add_early(now, &Item::One(event))
    }

    fn add_early(&self, now: Instant, item: &Item) -> Pushed {
        let mut state = self.lock();
        let (origin, from) = item.place();
        let key = key_of(origin);
        let beginning = state.beginning.as_ref();
        let waits = beginning.is_some_and(|beginning| beginning.holds(&key));
        if waits || state.closed.is_some() {
            return Pushed::default();
        }
        let Some(ahead) = state.ahead.as_mut() else {
            return Pushed::default();
        };
        let (publisher, epoch, topic) = key;
        let newest = ahead.end(publisher, epoch, &topic);
        let events = from..from.plus(item.events());
        let new = ahead.take(now, publisher, epoch, &topic, events);
        let pushed = self.push_parts(&mut state, item, new, newest);
        drop(state);
        self.readable.notify_one();
        pushed
    }

    /// Adds events whose turn has come, but for those that were handed out ahead of it.
    pub(super) fn push_in_turn(&self, state: &mut State, item: Item) -> Pushed {
        let ahead = state.ahead.as_mut().filter(|ahead| !ahead.is_empty());
        let Some(ahead) = ahead else {
            return self.push_new(state, item);
        };
        let (origin, from) = item.place();
        let (publisher, epoch, topic) = key_of(origin);
        let newest = ahead.end(publisher, epoch, &topic);
        let events = from..from.plus(item.events());
        let left = ahead.pass(publisher, epoch, &topic, events.clone());
        if *left == [events] && self.options.order == Order::None {
            return self.push_new(state, item);
        }
        self.push_parts(state, &item, left, newest)
    }

    /// Adds parts of an item. Where only the newest event is wanted, those before `newest` are dropped: a newer one was handed
    /// out.
    fn push_parts(
        &self,
        state: &mut State,
        item: &Item,
        parts: Vec<Range<Sequence>>,
        newest: Option<Sequence>,
    ) -> Pushed {
        let mut pushed = Pushed::default();
        for part in parts {
            let is_older = newest.is_some_and(|newest| part.end <= newest);
            let one = if is_older && self.options.order == Order::Latest {
                state.supersede(part.end.since(part.start))
            } else {
                self.push_new(state, item.part(part.start, part.end))
            };
            pushed.owed = pushed.owed.saturating_add(one.owed);
            pushed.dropped = pushed.dropped.saturating_add(one.dropped);
        }
        pushed
    }
}

impl State {
    /// Drops events because a newer one was handed out.
    fn supersede(&mut self, count: u64) -> Pushed {
        self.counts.superseded = self.counts.superseded.saturating_add(count);
        self.lagged = self.lagged.saturating_add(count);
        Pushed {
            owed: count,
            dropped: count,
        }
    }

    /// A gap as it is, or what is left of it without events that were handed out ahead of their turn, which had come.
    pub(super) fn without_early(&mut self, gap: Gap) -> Result<Gap, Vec<Gap>> {
        let (Some(ahead), Some(to)) = (&mut self.ahead, gap.to) else {
            return Ok(gap);
        };
        if ahead.is_empty() {
            return Ok(gap);
        }
        let (publisher, epoch, topic) = key_of(&gap.origin);
        let left = ahead.pass(publisher, epoch, &topic, gap.from..to);
        if *left == [gap.from..to] {
            return Ok(gap);
        }
        let part = |range: Range<Sequence>| {
            let origin = Arc::clone(&gap.origin);
            Gap::range(origin, range.start, Some(range.end), gap.cause)
        };
        Err(left.into_iter().map(part).collect())
    }
}
