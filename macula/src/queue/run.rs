//! Consecutive events that wait together.

use std::sync::Arc;

use macula_wire::batch::EntriesIter;
use macula_wire::{ContentType, Entries, Sequence};
use tokio::time::Instant;

use crate::event::{Event, Gap, GapCause, Origin};
use crate::plane::reliable::Credit;

/// Consecutive events of one origin without envelopes. They are cut apart when they are handed out.
#[derive(Debug)]
pub(crate) struct EventRun {
    pub(super) origin: Arc<Origin>,
    content: ContentType,
    pub(super) next: Sequence,
    pub(super) left: u64,
    pub(super) bytes: usize,
    entries: EntriesIter,
    expires: Option<Instant>,
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
            origin,
            content,
            next: base,
            left: u64::try_from(entries.count()).unwrap_or(u64::MAX),
            bytes: entries.encoded().len(),
            entries: entries.iter(),
            expires,
            credit: None,
        };
        run.skip(skip);
        run
    }

    /// The first of the events, as many as `credit` is for, whose sender is told by it what becomes of them.
    pub(crate) fn with(mut self, credit: Credit) -> Self {
        self.left = self.left.min(credit.left());
        self.credit = Some(credit);
        self
    }

    /// Leaves out the first events. How many that were.
    pub(super) fn skip(&mut self, count: u64) -> u64 {
        let count = count.min(self.left);
        for _ in 0..count {
            if let Some(skipped) = self.entries.next() {
                self.bytes = self.bytes.saturating_sub(skipped.len());
            }
        }
        self.next = self.next.plus(count);
        self.left = self.left.saturating_sub(count);
        count
    }

    /// How many events are left.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }

    /// The next event, if it has no time to live that would have to be looked at.
    #[inline]
    pub(crate) fn pop_lasting(&mut self) -> Option<Event> {
        if self.expires.is_some() {
            return None;
        }
        self.pop()
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.left = self.left.checked_sub(1)?;
        let payload = self.entries.next()?;
        let sequence = self.next;
        self.next = sequence.next();
        self.bytes = self.bytes.saturating_sub(payload.len());
        let token = self.credit.as_mut().and_then(Credit::hand_over);
        Some(Event {
            origin: Arc::clone(&self.origin),
            sequence,
            content: self.content.clone(),
            payload,
            envelope: None,
            token,
            expires: self.expires,
        })
    }

    pub(super) fn is_expired(&self) -> bool {
        is_past(self.expires)
    }

    /// What is left of it, as a gap.
    pub(super) fn as_expired(&self) -> Gap {
        let (from, to) = (self.next, self.next.plus(self.left));
        Gap::range(Arc::clone(&self.origin), from, Some(to), GapCause::Expired)
    }
}

/// Whether the time has come. Asks the clock only if there is one.
pub(super) fn is_past(expires: Option<Instant>) -> bool {
    expires.is_some_and(|at| at <= Instant::now())
}
