//! The order of events that are kept, over all topics of this process.
//!
//! Events of one topic wait together for their batch, and batches of several topics may leave in any order. So an event that
//! is to be kept is taken only when all that other topics took before it has its ids: these ascend in the order of
//! publishing then, and channels carry events in the order of their ids.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use macula_wire::TopicAlias;

use super::OwnTopic;
use crate::plane::Plane;

/// The topics that have taken events which are to be kept, and were not offered to the replay buffer yet.
#[derive(Debug, Default)]
pub(crate) struct Unordered(Mutex<BTreeMap<TopicAlias, Arc<OwnTopic>>>);

impl Unordered {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicAlias, Arc<OwnTopic>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, topic: &Arc<OwnTopic>) {
        self.lock()
            .entry(topic.feed.alias)
            .or_insert_with(|| Arc::clone(topic));
    }

    pub(super) fn remove(&self, topic: &OwnTopic) {
        self.lock().remove(&topic.feed.alias);
    }

    /// The topics but for this one.
    fn but(&self, topic: &OwnTopic) -> Vec<Arc<OwnTopic>> {
        let topics = self.lock();
        let others = topics
            .iter()
            .filter(|(alias, _)| **alias != topic.feed.alias);
        others.map(|(_, other)| Arc::clone(other)).collect()
    }
}

impl OwnTopic {
    /// Whether nothing of another topic has to be kept first.
    pub(crate) fn is_next(&self, plane: &Plane) -> bool {
        plane.reliable.unordered.but(self).is_empty()
    }

    /// Waits until all that other topics have taken so far is kept.
    pub(super) async fn after_others(&self, plane: &Plane) {
        let others = plane.reliable.unordered.but(self);
        let taken: Vec<_> = others
            .into_iter()
            .map(|other| {
                let next = other.lock().next.get();
                (other, next)
            })
            .collect();
        for (other, next) in taken {
            other.offered_to(next).await;
        }
    }

    /// Waits until every event before the sequence `next` was offered to the replay buffer.
    async fn offered_to(&self, next: u64) {
        loop {
            let changed = self.room.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.offered.load(Ordering::Acquire) >= next || !self.lock().sending {
                return;
            }
            // It need not wait for company.
            self.full.notify_one();
            changed.await;
        }
    }
}
