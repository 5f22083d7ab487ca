//! What became of events that were published together.

use std::collections::VecDeque;
use std::sync::Arc;

use macula_wire::Sequence;

use super::{Abandoned, Claim, EventId, abandoned};
use crate::Error;
use crate::event::Origin;

/// What became of consecutive events, which is the same for each of them. Otherwise as a [`Receipt`](super::Receipt).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Receipts {
    /// The first of them; the others have the sequences that follow. `None` where a client had them published.
    pub first: Option<EventId>,
    /// How many events these are, at least 1.
    pub count: u64,
    /// How many receivers were known when they were published.
    pub matched: u32,
    /// How many have been handed them, or acknowledged them where they do so themselves.
    pub acked: u32,
    /// For how many the time to live ended first.
    pub expired: u32,
    /// How many ended, were away for longer than their lease, or rejected them.
    pub dropped: u32,
}

impl Receipts {
    /// Whether every receiver that was known has each of the events.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.acked == self.matched
    }
}

/// Receipts that are being made, of events that were published together. Dropping it changes nothing for the events.
#[derive(Debug)]
pub struct PendingReceipts {
    /// Where the events come from, unless a member publishes them in its name.
    origin: Option<Arc<Origin>>,
    /// In the order of the events; each with the sequence of the first event that is waited for.
    claims: VecDeque<(Claim, Sequence)>,
}

impl PendingReceipts {
    pub(crate) const fn new(origin: Option<Arc<Origin>>) -> Self {
        Self {
            origin,
            claims: VecDeque::new(),
        }
    }

    /// Adds those of the next events, the first of which has the sequence `first`.
    pub(crate) fn push(&mut self, claim: Claim, first: Sequence) {
        self.claims.push_back((claim, first));
    }

    /// Of how many events the receipt has not been handed out.
    #[must_use]
    pub fn left(&self) -> u64 {
        let each = self.claims.iter().map(|(claim, _)| u64::from(claim.left()));
        each.fold(0, u64::saturating_add)
    }

    /// Waits until all is known that becomes of the next event, in the order of publishing, and returns it, with those behind
    /// it of which the same is known. `None` when there is none left.
    ///
    /// # Errors
    ///
    /// As [`PendingReceipt::receipt`](super::PendingReceipt::receipt); nothing more comes then of the events of one batch.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the same is told next time.
    pub async fn next(&mut self) -> Option<Result<Receipts, Error>> {
        loop {
            let (claim, first) = self.claims.front_mut()?;
            let (count, outcomes) = match claim.next().await {
                Some(Ok(known)) => known,
                Some(Err(Abandoned)) => {
                    self.claims.pop_front();
                    return Some(Err(abandoned()));
                }
                None => {
                    self.claims.pop_front();
                    continue;
                }
            };
            let count = u64::from(count);
            let sequence = std::mem::replace(first, first.plus(count));
            let origin = self.origin.as_ref();
            return Some(Ok(Receipts {
                first: origin.map(|origin| EventId::new(origin, sequence)),
                count,
                matched: outcomes.matched,
                acked: outcomes.acked,
                expired: outcomes.expired,
                dropped: outcomes.dropped,
            }));
        }
    }

    /// Waits until all is known that becomes of all of them. Those that follow each other and share it are one.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the receipts up.
    pub async fn receipts(mut self) -> Result<Vec<Receipts>, Error> {
        let mut all: Vec<Receipts> = Vec::new();
        while let Some(next) = self.next().await {
            let next = next?;
            match all.last_mut() {
                Some(last) if last.joins(&next) => {
                    last.count = last.count.saturating_add(next.count);
                }
                _ => all.push(next),
            }
        }
        Ok(all)
    }
}

impl Receipts {
    /// Whether `next` goes on where these end, and says the same.
    fn joins(&self, next: &Self) -> bool {
        let end = self
            .first
            .as_ref()
            .map(|first| first.sequence.plus(self.count));
        let begin = next.first.as_ref().map(|first| first.sequence);
        let figures = |of: &Self| (of.matched, of.acked, of.expired, of.dropped);
        end == begin && figures(self) == figures(next)
    }
}
