//! Events that are published together.

use macula_wire::batch::{BatchBuilder, MAX_BATCH_EVENTS};
use macula_wire::varint::{self, MAX_VARINT_LEN};

use super::Publisher;
use crate::Error;
use crate::plane::topic::{NotTaken, stored, too_large};

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
    /// Publishes all events of `batch` in their order, which leaves it empty. Otherwise as [`publish`](Self::publish); what
    /// is [kept](crate::Qos) is published one by one, and counts as published when all of it is.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish). What was not published stays in `batch`: all of it, or, where events are kept, the
    /// last ones.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, what was not published is still in `batch`.
    pub async fn publish_batch(&self, batch: &mut EventBatch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let max = self.plane.max_payload_len;
        if batch.longest > max {
            return Err(too_large(batch.longest, max));
        }
        if self.qos.keeps() {
            return Box::pin(self.put_each(batch)).await;
        }
        match self.topic.try_take_all(&self.plane, &self.key, batch) {
            Ok(()) => Ok(()),
            Err(NotTaken::Refused(error)) => Err(error),
            Err(NotTaken::NoRoom) => {
                Box::pin(self.topic.take_all(&self.plane, &self.key, batch)).await
            }
        }
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

    /// Publishes events that are kept.
    async fn put_each(&self, batch: &mut EventBatch) -> Result<(), Error> {
        let mut told = Vec::new();
        while let Some(payload) = batch.first() {
            let (_, is_stored) = self.put(&self.key, payload, None).await?;
            batch.remove_first();
            told.extend(is_stored);
        }
        for is_stored in told {
            stored(is_stored).await?;
        }
        Ok(())
    }
}
