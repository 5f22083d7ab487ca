//! Trees: the laws, the rules one by one, and whole networks against what everybody is owed.

mod laws;
mod network;
mod rings;
mod rules;
mod told;

use macula_pubsub::{Tree, TreeBatch, TreeOutput};
use macula_wire::{Epoch, Machine, NodeId, Sequence, Topic};

use crate::common::topic;

/// The topic of these tests.
fn news() -> Topic {
    topic("news")
}

/// A batch of `count` events from `base` on, by `publisher`, that has passed `distance` links.
fn batch(publisher: NodeId, base: u64, count: u64, distance: u8) -> TreeBatch<u64> {
    TreeBatch {
        publisher,
        epoch: Epoch::new(1),
        topic: news(),
        base: Sequence::new(base),
        count,
        distance,
        bytes: 100,
        payload: base,
    }
}

/// Everything that waits.
fn drain(tree: &mut Tree<u64>) -> Vec<TreeOutput<u64>> {
    std::iter::from_fn(|| tree.poll_output()).collect()
}
