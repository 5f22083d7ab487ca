//! The events of a topic that wait for the next batch.

use std::time::Duration;

use macula_wire::batch::BatchBuilder;
use macula_wire::{Instant, Sequence};

use super::BatchKey;
use crate::plane::reliable::Owed;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) builder: BatchBuilder,
    pub(super) key: BatchKey,
    /// The sequence of the next event.
    pub(super) next: Sequence,
    /// Whether a task is on its way to send what waits.
    pub(super) sending: bool,
    /// What was promised to publishers whose events are kept.
    pub(super) owed: Owed,
    /// When the first event of the batch was published, where its time to live counts.
    pub(super) since: Option<Instant>,
    /// When a batch was sent last.
    pub(super) sent: Option<Instant>,
}

impl Waiting {
    /// Whether an event of `key` may still join the batch. What has a time to live does so only while a sixteenth of it
    /// has not passed for the first, because the batch has one time to live for all.
    fn joins(&self, key: &BatchKey, now: impl FnOnce() -> Instant) -> bool {
        if self.builder.is_empty() {
            return true;
        }
        self.key == *key
            && match (key.ttl_ms, self.since) {
                (Some(ttl_ms), Some(since)) => {
                    let most = Duration::from_millis(u64::from(ttl_ms / 16).max(1));
                    now().saturating_since(since) < most
                }
                _ => true,
            }
    }

    /// Makes room for what comes with `key`, as far as it may join the batch. Whether it may.
    pub(super) fn admits(&mut self, key: &BatchKey, now: impl Fn() -> Instant) -> bool {
        if !self.joins(key, &now) {
            return false;
        }
        if self.builder.is_empty() {
            if self.key != *key {
                self.key = key.clone();
            }
            self.since = key.ttl_ms.map(|_| now());
        }
        true
    }

    /// What is left of the time to live; `None` if it is over.
    pub(super) fn ttl_left(&self, now: impl FnOnce() -> Instant) -> Option<Option<u32>> {
        let (Some(ttl_ms), Some(since)) = (self.key.ttl_ms, self.since) else {
            return Some(self.key.ttl_ms);
        };
        let held = u32::try_from(now().saturating_since(since).as_millis()).unwrap_or(u32::MAX);
        ttl_ms.checked_sub(held).filter(|left| *left > 0).map(Some)
    }
}
