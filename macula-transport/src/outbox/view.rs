//! What can be seen of a queue.

use std::sync::atomic::Ordering;

use super::{Outbox, Phase};

impl Outbox {
    /// Whether a frame would be accepted.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let state = self.shared.lock();
        state.phase == Phase::Open && state.queued < self.shared.max
    }

    /// Whether pushes are refused for good.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().phase != Phase::Open
    }

    /// How many bytes wait or are being written.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.lock().queued
    }

    /// The bound in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        self.shared.max
    }

    /// How many frames were handed to the stream.
    #[must_use]
    pub fn sent_frames(&self) -> u64 {
        self.shared.frames.load(Ordering::Relaxed)
    }

    /// How many bytes were handed to the stream.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// How often a push found no room.
    #[must_use]
    pub fn full_events(&self) -> u64 {
        self.shared.full.load(Ordering::Relaxed)
    }
}
