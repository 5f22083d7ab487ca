//! How a subscription queues.

use std::time::Duration;

use macula_wire::{ErrorCode, Pattern, PatternSegment};

use crate::Error;
use crate::keep::Wanted;
use crate::plane::reliable::AckMode;

/// What happens when a subscription's queue is full.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest events make room; a [`Gap`](crate::Gap) tells which. The default.
    #[default]
    DropOldest,
    /// The newest events are refused; a [`Gap`](crate::Gap) tells which.
    DropNewest,
    /// Nothing is dropped here: the link that events come by waits, and in the end its sender. Events of other
    /// subscriptions that come by the same link and class wait too, so this is for applications that keep up.
    Block,
    /// Of the events with one topic and key only the newest waits, whether the queue is full or not; an event without a
    /// key has its topic for a key. With more keys than room, the oldest event makes room.
    /// [`Lagged`](crate::Delivery::Lagged) tells how many were dropped.
    LatestPerKey,
    /// The subscription ends: what waits can still be taken, then comes [`Closed`](crate::Delivery::Closed).
    Disconnect,
}

/// Which order events are handed out in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Order {
    /// All events of each publisher and topic, in the order in which they were published. The default.
    #[default]
    PerKey,
    /// Of each publisher and topic only the newest event that waits, as soon as it has come, and none older than one that was
    /// handed over; [`Lagged`](crate::Delivery::Lagged) tells how many were dropped.
    Latest,
    /// Each event as soon as it has come, also while earlier ones are missing, which come when they are found. Each comes
    /// once, and what is given up is told as a [`Gap`](crate::Gap) once, when it is. Events with a
    /// [`dedup_id`](crate::EventOptions::dedup_id) come in their order, and so do events that are kept and what a subscription
    /// begins with.
    None,
}

/// Which earlier events a subscription begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum History {
    /// The last so many of each publisher and topic.
    Last(u32),
    /// Those that were published so long ago at most.
    Since(Duration),
}

/// How a subscription queues, and what it begins with.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SubscribeOptions {
    /// The window: the most events that wait; at least 1, by default 1,024. With [`Overflow::Block`] one batch more.
    pub max_events: usize,
    /// The most payload bytes that wait, at least 1, by default 8 MiB. One event always fits.
    pub max_bytes: usize,
    /// What happens beyond that; by default the oldest events make room. Events that are kept
    /// ([`Qos::AtLeastOnce`](crate::Qos::AtLeastOnce)) are never dropped by it: they wait at their sender, all in order.
    pub overflow: Overflow,
    /// Which order events are handed out in; by default all in their order.
    pub order: Order,
    /// Whether it begins with the last values that publishers retained; by default not. The first segment of the pattern is no
    /// wildcard then.
    pub last: bool,
    /// Which earlier events it begins with, as far as anybody keeps them; by default none. The first segment of the
    /// pattern is no wildcard then.
    pub history: Option<History>,
    pub(crate) ack: AckMode,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            max_events: 1_024,
            max_bytes: 8 << 20,
            overflow: Overflow::DropOldest,
            order: Order::PerKey,
            last: false,
            history: None,
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

    /// The application says what becomes of each event that is kept, by [`Event::ack`](crate::Event::ack),
    /// [`Event::nack`](crate::Event::nack) or [`Event::reject`](crate::Event::reject). Without a word it gets the event again
    /// after `redeliver_after`, at least 1 ms; when it was handed over `max_deliver` times, 0 for no limit, the event is
    /// rejected instead. By default taking an event acknowledges it.
    #[must_use]
    pub const fn manual_acks(mut self, redeliver_after: Duration, max_deliver: u32) -> Self {
        self.ack = AckMode::Manual {
            redeliver_after,
            max_deliver,
        };
        self
    }

    /// In this order.
    #[must_use]
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Beginning with the last values of the topics: of each publisher and topic the event that was retained last, as
    /// [`Retained`](crate::Delivery::Retained), before any other event. One that was published less than two seconds
    /// before may be missed.
    #[must_use]
    pub const fn last(mut self) -> Self {
        self.last = true;
        self
    }

    /// Beginning with earlier events, as far as their publishers or nodes of the role `store` keep them.
    #[must_use]
    pub const fn history(mut self, history: History) -> Self {
        self.history = Some(history);
        self
    }

    /// Whether events are handed out ahead of their turn.
    pub(crate) const fn takes_early(&self) -> bool {
        matches!(self.order, Order::Latest | Order::None)
    }

    /// Whether it begins with anything from before it.
    pub(crate) const fn begins(&self) -> bool {
        self.last || self.history.is_some()
    }

    pub(crate) const fn wanted(&self) -> Wanted {
        Wanted {
            last: self.last,
            history: self.history,
        }
    }

    /// Refuses what no queue can be.
    pub(crate) fn check(&self, pattern: &Pattern) -> Result<(), Error> {
        let invalid = |detail| Err(Error::new(ErrorCode::INVALID_ARGUMENT, detail));
        if self.max_events == 0 || self.max_bytes == 0 {
            return invalid("a window of nothing would get no event: let at least 1 event wait");
        }
        if self.order == Order::Latest && self.overflow == Overflow::Block {
            return invalid(
                "order `latest` drops what is older, and overflow `block` nothing: choose one of them",
            );
        }
        let first = pattern.segments().next();
        if self.begins() && !matches!(first, Some(PatternSegment::Literal(_))) {
            return invalid(
                "last values and history are found by the first segment of the pattern, which is a wildcard here",
            );
        }
        Ok(())
    }
}
