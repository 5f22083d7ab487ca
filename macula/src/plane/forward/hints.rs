//! What records say of nodes that this one has no link to: where they are, and who their neighbours are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use macula_wire::NodeId;
use macula_wire::message::{NodeContent, RecordContent, SignedRoutingRecord};
use tokio::sync::Notify;

use super::{Forwarding, lock};

/// Of how many nodes something is remembered.
const MAX_HINTS: usize = 1_024;
/// How many nodes may wait to be looked up.
const MAX_DOUBTED: usize = 64;

/// Records of nodes, by node. They are hints: whoever is dialled by them proves who it is.
#[derive(Debug, Default)]
pub(super) struct Hints {
    known: Mutex<BTreeMap<NodeId, NodeContent>>,
    told: Notify,
    /// The nodes to which something got no further.
    doubted: Mutex<BTreeSet<NodeId>>,
    doubts: Notify,
}

impl Hints {
    /// The neighbours of a node, as its record says.
    pub(super) fn neighbours(&self, node: &NodeId) -> Vec<NodeId> {
        let known = lock(&self.known);
        let content = known.get(node);
        content.map_or_else(Vec::new, |content| content.neighbours.clone())
    }

    /// Something for the node got no further, so that its record is to be looked up anew.
    pub(super) fn doubt(&self, node: NodeId) {
        let mut doubted = lock(&self.doubted);
        if doubted.len() < MAX_DOUBTED {
            doubted.insert(node);
            self.doubts.notify_one();
        }
    }

    fn learn(&self, node: NodeId, content: NodeContent) {
        let mut known = lock(&self.known);
        // Any of them can be looked up again.
        if known.len() >= MAX_HINTS && !known.contains_key(&node) {
            known.pop_first();
        }
        known.insert(node, content);
        drop(known);
        self.told.notify_waiters();
    }
}

impl Forwarding {
    /// Takes in what a node says of itself.
    pub(crate) fn describe(&self, record: &SignedRoutingRecord) {
        if let RecordContent::Node(content) = &record.record.content {
            self.hints.learn(record.record.owner, content.clone());
        }
    }

    /// Waits until something is known of a node by its record, at most `patience`.
    pub(crate) async fn described(&self, node: &NodeId, patience: Duration) {
        let described = async {
            loop {
                let told = self.hints.told.notified();
                if lock(&self.hints.known).contains_key(node) {
                    return;
                }
                told.await;
            }
        };
        drop(tokio::time::timeout(patience, described).await);
    }

    /// Where a node can be dialled, as its record says.
    pub(crate) fn described_addresses(&self, node: &NodeId) -> Vec<SocketAddr> {
        let known = lock(&self.hints.known);
        let content = known.get(node);
        content.map_or_else(Vec::new, |content| content.addresses.clone())
    }

    /// The neighbours of a node beside this one, as it told of them or as its record says.
    pub(super) fn neighbours(&self, node: &NodeId) -> Vec<NodeId> {
        let neighbourhood = self.neighbourhood.load();
        let told = neighbourhood.of(node);
        let mut known = if told.is_empty() {
            self.hints.neighbours(node)
        } else {
            told.to_vec()
        };
        known.retain(|neighbour| *neighbour != self.plane.node());
        known
    }

    /// Whether it is known who the neighbours of a node are.
    pub(crate) fn knows_neighbours(&self, node: &NodeId) -> bool {
        !self.neighbours(node).is_empty()
    }

    /// Waits until something got no further, and tells for whom it was.
    pub(crate) async fn doubted(&self) -> BTreeSet<NodeId> {
        self.hints.doubts.notified().await;
        std::mem::take(&mut *lock(&self.hints.doubted))
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    #[test]
    fn what_is_remembered_has_a_bound() {
        let hints = Hints::default();
        let content = NodeContent {
            addresses: Vec::new(),
            tags: Vec::new(),
            neighbours: vec![node_id(1)],
        };
        for index in 0..2 * MAX_HINTS {
            hints.learn(node_id(index), content.clone());
            hints.doubt(node_id(index));
        }
        assert_eq!(lock(&hints.known).len(), MAX_HINTS);
        assert_eq!(lock(&hints.doubted).len(), MAX_DOUBTED);
        let last = node_id(2 * MAX_HINTS - 1);
        assert_eq!(hints.neighbours(&last), [node_id(1)]);
    }
}
