//! Events that are published together.

use std::sync::Arc;

use macula_wire::batch::{BatchBuilder, MAX_BATCH_EVENTS};
use macula_wire::varint::{self, MAX_VARINT_LEN};

use super::Publisher;
use crate::Error;
use crate::plane::topic::{NotTaken, Promise, Wanted, check_len, stored};
use crate::receipt::PendingReceipts;

/// How many bytes a batch holds, with the lengths of its payloads.
const MAX_BYTES: usize = 64 << 10;

/// Small payloads of one topic, gathered by an application that publishes more than a million of them a second: adding one
/// is a copy, and [`Publisher::publish_batch`] takes the buffer over as it is.
///
/// It holds 4,096 events or 64 KiB. It can be filled again once it was published.
#[derive(Clone, Debug, Default)]
pub struct EventBatch {
    /// Each payload behind its length.
    encoded: Vec<u8>,
    /// How much of that was published.
    at: usize,
    count: usize,
    longest: usize,
    /// What the last batch took, so that the next one reserves it at once.
    usual: usize,
}

impl EventBatch {
    /// A batch without events.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            encoded: Vec::new(),
            at: 0,
            count: 0,
            longest: 0,
            usual: 0,
        }
    }

    /// How many events it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an event, copying its payload. `false`, and nothing is added, if there is no room for it; the first always has
    /// room. Payloads of 4 KiB and more are better published by themselves, which copies nothing.
    #[inline]
    #[must_use = "an event that has no room is not added"]
    pub fn push(&mut self, payload: &[u8]) -> bool {
        let more = payload.len().saturating_add(MAX_VARINT_LEN);
        let is_full =
            self.count >= MAX_BATCH_EVENTS || self.encoded_len().saturating_add(more) > MAX_BYTES;
        if is_full && self.count > 0 {
            return false;
        }
        if self.encoded.capacity() == 0 {
            self.encoded.reserve(self.usual.max(more));
        }
        let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        varint::put(&mut self.encoded, length);
        self.encoded.extend_from_slice(payload);
        self.count = self.count.saturating_add(1);
        self.longest = self.longest.max(payload.len());
        true
    }

    /// Takes all events out again.
    pub fn clear(&mut self) {
        self.encoded.clear();
        self.emptied();
    }

    pub(crate) const fn encoded_len(&self) -> usize {
        self.encoded.len().saturating_sub(self.at)
    }

    /// Moves all events to a batch of their topic. How many those are.
    pub(crate) fn move_to(&mut self, batch: &mut BatchBuilder) -> u64 {
        let count = self.count;
        if self.at > 0 {
            self.encoded.drain(..self.at);
        }
        // With the byte that ends a batch.
        self.usual = self.encoded.len().saturating_add(1);
        batch.append(count, &mut self.encoded);
        self.emptied();
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    const fn emptied(&mut self) {
        self.at = 0;
        self.count = 0;
        self.longest = 0;
    }

    /// The first payload.
    fn first(&self) -> Option<&[u8]> {
        let (first, _) = macula_wire::Entries::split_first(self.encoded.get(self.at..)?)?;
        Some(first)
    }

    /// Takes the first event out.
    fn remove_first(&mut self) {
        let rest = self.encoded.get(self.at..).unwrap_or_default();
        let after = macula_wire::Entries::split_first(rest).map_or(0, |(_, after)| after.len());
        self.at = self.encoded.len().saturating_sub(after);
        self.count = self.count.saturating_sub(1);
        if self.count == 0 {
            self.clear();
        }
    }
}

impl Publisher {
    /// Publishes all events of `batch` in their order, which leaves it empty. Otherwise as [`publish`](Self::publish). What is
    /// [kept](crate::Qos) waits until there is room for all of it; a client has its member keep one event after the other.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish). What was not published stays in `batch`: all of it, or, where a client has it kept, the
    /// last ones.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, what was not published is still in `batch`.
    pub async fn publish_batch(&self, batch: &mut EventBatch) -> Result<(), Error> {
        self.check_batch(batch)?;
        if batch.is_empty() {
            return Ok(());
        }
        if self.qos.keeps() {
            let kept = Box::pin(self.keep_batch(batch, Wanted::Nothing));
            return kept.await.map(drop);
        }
        match self
            .topic
            .try_take_all(&self.plane, &self.key, batch, &mut None)
        {
            Ok(_) => Ok(()),
            Err(NotTaken::Refused(error)) => Err(error),
            Err(NotTaken::NoRoom) => {
                let taken = self.topic.take_all(&self.plane, &self.key, batch, None);
                Box::pin(taken).await.map(drop)
            }
        }
    }

    /// Publishes all events of `batch` as with [`Qos::AtLeastOnce`](crate::Qos::AtLeastOnce), whatever the publisher's is.
    /// What becomes of each the receipts tell, those that share it together. Otherwise as
    /// [`publish_batch`](Self::publish_batch).
    ///
    /// # Errors
    ///
    /// As [`publish_batch`](Self::publish_batch).
    ///
    /// # Cancel safety
    ///
    /// As [`publish_batch`](Self::publish_batch).
    pub async fn publish_batch_with_receipts(
        &self,
        batch: &mut EventBatch,
    ) -> Result<PendingReceipts, Error> {
        self.check_batch(batch)?;
        if batch.is_empty() {
            return Ok(self.no_receipts());
        }
        self.keep_batch(batch, Wanted::Receipt).await
    }

    fn check_batch(&self, batch: &EventBatch) -> Result<(), Error> {
        check_len(batch.longest, self.plane.max_payload_len)
    }

    fn no_receipts(&self) -> PendingReceipts {
        let is_ours = self.plane.uplink.is_none();
        PendingReceipts::new(is_ours.then(|| Arc::clone(&self.topic.origin)))
    }

    /// Publishes events that are kept, in the place of one after the other.
    async fn keep_batch(
        &self,
        batch: &mut EventBatch,
        wanted: Wanted,
    ) -> Result<PendingReceipts, Error> {
        if self.plane.uplink.is_some() {
            return Box::pin(self.keep_by_member(batch, wanted)).await;
        }
        let (events, bytes) = (batch.len(), batch.encoded_len());
        let room = self.plane.reserved(events, bytes).await;
        let (promise, is_stored) = Promise::new(&self.plane, room, wanted, self.qos)?;
        let taken = self
            .topic
            .take_all(&self.plane, &self.key, batch, Some(promise));
        let placed = taken.await?;
        if let Some(is_stored) = is_stored {
            stored(is_stored).await?;
        }
        let mut pending = self.no_receipts();
        if let Some(claim) = placed.claim {
            pending.push(claim, placed.sequence);
        }
        Ok(pending)
    }

    /// Publishes events whose payloads are copied, in their order. Otherwise as [`publish_batch`](Self::publish_batch), which
    /// it does as often as it takes.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish). Events before the one that is too large may have been published.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, some of the events may have been published: the first ones.
    pub async fn publish_many<P: AsRef<[u8]>>(
        &self,
        payloads: impl IntoIterator<Item = P>,
    ) -> Result<(), Error> {
        let mut batch = EventBatch::new();
        for payload in payloads {
            let payload = payload.as_ref();
            if !batch.push(payload) {
                self.publish_batch(&mut batch).await?;
                // The first always has room.
                let _: bool = batch.push(payload);
            }
        }
        self.publish_batch(&mut batch).await
    }

    /// Has the member of this client keep one event after the other.
    async fn keep_by_member(
        &self,
        batch: &mut EventBatch,
        wanted: Wanted,
    ) -> Result<PendingReceipts, Error> {
        let mut pending = self.no_receipts();
        while let Some(payload) = batch.first() {
            let (placed, _) = self.put(&self.key, payload, wanted).await?;
            batch.remove_first();
            if let Some(claim) = placed.claim {
                pending.push(claim, placed.sequence);
            }
        }
        Ok(pending)
    }
}
