//! Which batches are kept for neighbours, oldest first.

use std::collections::VecDeque;

use macula_wire::Instant;

use super::TreeConfig;

/// What a batch takes beside its bytes, so that many small ones count.
pub(super) const OVERHEAD: usize = 64;

/// The order in which batches were kept, and what they take together. The batches stand in their sources.
#[derive(Debug, Default)]
pub(super) struct Cache {
    order: VecDeque<(Instant, u32, u64)>,
    bytes: usize,
}

impl Cache {
    pub(super) fn add(&mut self, now: Instant, source: u32, base: u64, bytes: usize) {
        self.order.push_back((now, source, base));
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(OVERHEAD);
    }

    /// Takes note that a batch is kept no more.
    pub(super) fn freed(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes.saturating_add(OVERHEAD));
    }

    /// The batch that is to make room next, if one has to: its source, and its first sequence.
    pub(super) fn surplus(&mut self, now: Instant, config: &TreeConfig) -> Option<(u32, u64)> {
        let (at, source, base) = *self.order.front()?;
        let many = self.order.len() > config.cache_bytes / OVERHEAD;
        let old = now.saturating_since(at) > config.cache_time;
        if self.bytes <= config.cache_bytes && !many && !old {
            return None;
        }
        self.order.pop_front();
        Some((source, base))
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}
