//! Consecutive events that wait together.

use std::sync::Arc;

use bytes::Bytes;
use macula_wire::{ContentType, Entries, Sequence};
use tokio::time::Instant;

use crate::event::{Event, EventRef, Events, Gap, GapCause, Origin};
use crate::plane::reliable::{Credit, Token};

/// Consecutive events of one origin without envelopes, or one event of any kind. They are cut apart when they are handed
/// out.
#[derive(Debug)]
pub(crate) struct EventRun {
    head: Head,
    place: Place,
}

/// What the events of a run share.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) origin: Arc<Origin>,
    pub(crate) content: ContentType,
    /// Each payload behind its length; of a single event, its payload.
    pub(crate) bytes: Bytes,
    pub(crate) expires: Option<Instant>,
    /// The event, if the run was made of one.
    pub(crate) single: Option<Box<Event>>,
}

/// Which events of a run come next.
#[derive(Debug)]
pub(crate) struct Place {
    /// Where the next one stands.
    at: usize,
    next: Sequence,
    left: u64,
    /// Whom to tell what becomes of the events, if they are kept until then.
    credit: Option<Credit>,
}

impl EventRun {
    /// The events of `entries` from the one at `skip` on, which are worth delivering until `expires`.
    pub(crate) fn new(
        origin: Arc<Origin>,
        content: ContentType,
        base: Sequence,
        entries: &Entries,
        skip: u64,
        expires: Option<Instant>,
    ) -> Self {
        let mut run = Self {
            head: Head {
                origin,
                content,
                bytes: entries.encoded().clone(),
                expires,
                single: None,
            },
            place: Place {
                at: 0,
                next: base,
                left: u64::try_from(entries.count()).unwrap_or(u64::MAX),
                credit: None,
            },
        };
        run.skip(skip);
        run
    }

    /// A run of one event, which was taken from its queue.
    pub(crate) fn single(event: Event) -> Self {
        Self {
            place: Place {
                at: 0,
                next: event.sequence,
                left: 1,
                credit: None,
            },
            head: Head {
                origin: Arc::clone(&event.origin),
                content: event.content.clone(),
                bytes: event.payload.clone(),
                // It has been handed over, and ends no more.
                expires: None,
                single: Some(Box::new(event)),
            },
        }
    }

    /// The first of the events, as many as `credit` is for, whose sender is told by it what becomes of them.
    pub(crate) fn with(mut self, credit: Credit) -> Self {
        self.cut_to(credit.left());
        self.place.credit = Some(credit);
        self
    }

    /// Leaves out what comes after the first `count` events.
    pub(super) fn cut_to(&mut self, count: u64) {
        self.place.left = self.place.left.min(count);
    }

    /// Leaves out the first events. How many that were.
    pub(super) fn skip(&mut self, count: u64) -> u64 {
        let count = count.min(self.place.left);
        for _ in 0..count {
            self.place.payload(&self.head);
        }
        self.place.next = self.place.next.plus(count);
        self.place.left = self.place.left.saturating_sub(count);
        count
    }

    /// The events of a range, which lies within it, without anybody to be told what becomes of them.
    pub(super) fn part(&self, from: Sequence, to: Sequence) -> Self {
        let mut part = Self {
            head: self.head.clone(),
            place: Place {
                credit: None,
                ..self.place
            },
        };
        part.skip(from.since(self.first()));
        part.cut_to(to.since(from));
        if part.head.single.is_none() {
            // No more is held, and counted, than what it hands out.
            let begin = part.place.at;
            let next = part.place.next;
            for _ in 0..part.place.left {
                part.place.payload(&part.head);
            }
            part.head.bytes = part.head.bytes.slice(begin..part.place.at);
            (part.place.at, part.place.next) = (0, next);
        }
        part
    }

    pub(super) const fn origin(&self) -> &Arc<Origin> {
        &self.head.origin
    }

    /// The sequence of the next event.
    pub(super) const fn first(&self) -> Sequence {
        self.place.next
    }

    /// How many events are left.
    pub(crate) const fn left(&self) -> u64 {
        self.place.left
    }

    /// What is left in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.head.bytes.len().saturating_sub(self.place.at)
    }

    /// The events that are left, to be handed out where they lie.
    pub(crate) const fn events(&mut self) -> Events<'_> {
        Events::new(&self.head, &mut self.place)
    }

    /// The next event, if it has no time to live that would have to be looked at.
    #[inline]
    pub(crate) fn pop_lasting(&mut self) -> Option<Event> {
        if self.head.expires.is_some() {
            return None;
        }
        self.pop()
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.place.pop(&self.head).map(EventRef::into_event)
    }

    pub(super) fn is_expired(&self) -> bool {
        is_past(self.head.expires)
    }

    /// What is left of it, as a gap.
    pub(super) fn as_expired(&self) -> Gap {
        let (from, to) = (self.first(), self.first().plus(self.left()));
        let origin = Arc::clone(self.origin());
        Gap::range(origin, from, Some(to), GapCause::Expired)
    }
}

impl Place {
    /// How many events are left.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }

    /// Hands out the next event of `head`.
    #[inline]
    pub(crate) fn pop<'a>(&mut self, head: &'a Head) -> Option<EventRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        let sequence = self.next;
        self.next = sequence.next();
        let payload = self.payload(head)?;
        Some(EventRef::new(head, payload, sequence, self.token(head)))
    }

    /// The next payload of `head`.
    #[inline]
    fn payload<'a>(&mut self, head: &'a Head) -> Option<&'a [u8]> {
        let rest = head.bytes.get(self.at..)?;
        if head.single.is_some() {
            return Some(rest);
        }
        let (payload, after) = Entries::split_first(rest)?;
        self.at = head.bytes.len().saturating_sub(after.len());
        Some(payload)
    }

    fn token(&mut self, head: &Head) -> Option<Box<Token>> {
        match (&mut self.credit, &head.single) {
            (Some(credit), _) => credit.hand_over(),
            (None, Some(event)) => event.token.clone(),
            (None, None) => None,
        }
    }
}

/// Whether the time has come. Asks the clock only if there is one.
pub(crate) fn is_past(expires: Option<Instant>) -> bool {
    expires.is_some_and(|at| at <= Instant::now())
}
