//! Ending a node in order.

use std::sync::atomic::Ordering;
use std::time::Duration;

use macula_wire::ErrorCode;

use super::Node;
use crate::event::ClosedReason;
use crate::machine::NodeMachine;

/// How long a shutdown waits for what was published to leave, at most.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a node that leaves waits for its neighbours to become neighbours of each other, at most.
const PART_TIMEOUT: Duration = Duration::from_millis(500);
/// How often it looks whether they have.
const LOOK_PERIOD: Duration = Duration::from_millis(10);
/// How long a node that leaves keeps its links, so that its goodbye arrives.
const LEAVE_DELAY: Duration = Duration::from_millis(300);

impl Node {
    /// Lets the neighbours become neighbours of each other, as long as that may take.
    async fn leave_overlay(&self) {
        let begun = self.0.control.run(NodeMachine::leave_overlay);
        if begun.await.is_err() {
            return;
        }
        let parted = async {
            while !self.0.plane.neighbours.load().is_empty() {
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        };
        drop(tokio::time::timeout(PART_TIMEOUT, parted).await);
    }

    /// Leaves the realm and stops: what was published leaves, the others are told, links close, tasks end.
    ///
    /// It takes about a second and at most ten. A second call waits for nothing and returns.
    pub async fn shutdown(&self) {
        let plane = &self.0.plane;
        if !plane.drained(FLUSH_TIMEOUT).await {
            tracing::warn!("some events or answers could not leave before the node stopped");
        }
        let remembered = match &self.0.cache {
            Some(cache) => cache.list(&self.0.control).await.zip(Some(cache)),
            None => None,
        };
        plane.leaving.store(true, Ordering::Relaxed);
        self.leave_overlay().await;
        let left = self.0.control.run(NodeMachine::leave).await;
        if left.is_ok() {
            tokio::time::sleep(LEAVE_DELAY).await;
        }
        self.0
            .endpoint
            .close(ErrorCode::SHUTTING_DOWN, "the node is shutting down")
            .await;
        for attached in plane.links.all() {
            attached
                .link
                .close(ErrorCode::SHUTTING_DOWN, "the node is shutting down");
        }
        plane.serving.shutdown().await;
        plane.tasks.shutdown().await;
        if let Some((list, cache)) = remembered {
            cache.write(list).await;
        }
        self.queues(|queues| {
            queues
                .values()
                .for_each(|queue| queue.close(ClosedReason::Stopped));
        });
    }
}
