//! Batches of topics that have trees.

use std::sync::atomic::{AtomicBool, Ordering};

use macula_pubsub::Source;
use macula_wire::{Batch, Frame, NodeId, Sequence, limit};

use super::{Announced, Ingress, Proof};
use crate::plane::counters::add;
use crate::plane::route::Receivers;
use crate::plane::topic::wait_for_room;
use crate::plane::trees::{Carried, Input, Trees};

/// Whether a batch of the topic came along a tree by this stream before.
pub(super) type Joined = AtomicBool;

/// An ALIAS with this `next` tells nothing of what comes next: batches of the topic come along a tree.
pub(super) const ALONG_A_TREE: Sequence = Sequence::new(u64::MAX);

impl Ingress {
    /// Takes a batch that concerns a tree; gives back one that does not.
    pub(super) async fn on_tree_batch(
        &self,
        announced: &Announced,
        batch: Batch,
        frame: Frame,
        receivers: &Receivers,
    ) -> Option<(Batch, Frame)> {
        let Some(trees) = self.plane.trees.get() else {
            return Some((batch, frame));
        };
        let is_along = batch.hops > limit::DEFAULT_HOPS;
        match self.source {
            Source::Member(from) if is_along => {
                // Whoever gets it from here has no link that proves it.
                let topic = &announced.origin.topic;
                let plane = &self.plane;
                if announced.proof == Proof::Link
                    && !plane.prover.proves(batch.publisher, topic, &batch)
                {
                    let count = u64::try_from(batch.entries.count()).unwrap_or(u64::MAX);
                    add(&plane.counters.dropped_unproven, count);
                    return None;
                }
                wait_for_room(&self.plane, receivers, self.priority).await;
                self.wait_for_branches(trees, announced, from).await;
                let expected = self.expected(announced, &batch);
                let carried = self.carried(announced, batch, frame);
                trees.tell(carried.on_its_way(Some(from), expected)).await;
                None
            }
            Source::Member(_) if self.plane.has_tree(&announced.origin.topic) => {
                wait_for_room(&self.plane, receivers, self.priority).await;
                let carried = self.carried(announced, batch, frame);
                trees.tell(carried.straight()).await;
                None
            }
            _ => Some((batch, frame)),
        }
    }

    /// Whether a batch comes to this client ahead of its turn.
    pub(super) fn is_early(&self, batch: &Batch) -> bool {
        self.plane.uplink.is_some() && batch.hops == limit::EARLY_HOPS
    }

    /// A client's batch as it goes along the tree of its topic from here.
    pub(super) fn of_client(
        &self,
        announced: &Announced,
        batch: &Batch,
        frame: &Frame,
    ) -> Option<Input> {
        batch.signature.as_ref()?;
        let carried = self.carried(announced, batch.clone(), frame.clone());
        Some(carried.on_its_way(None, None))
    }

    fn carried(&self, announced: &Announced, batch: Batch, frame: Frame) -> Carried {
        Carried {
            origin: announced.origin.clone(),
            feed: announced.feed.clone(),
            expires: self.plane.expires(batch.ttl_ms),
            batch,
            frame,
        }
    }

    /// Neighbours to whom it may go on are waited for as other receivers are, so that what comes faster than it goes on
    /// is held up rather than dropped.
    async fn wait_for_branches(&self, trees: &Trees, announced: &Announced, from: NodeId) {
        let around = trees.around(&announced.origin.topic);
        let others = around.iter().flat_map(|nodes| nodes.iter());
        for node in others.filter(|node| **node != from) {
            if let Some(attached) = self.plane.links.member(node) {
                let egress = attached.egress(self.priority);
                let now = self.plane.clock.now();
                egress.wait_for_room_along(&attached.link, now).await;
            }
        }
    }

    /// The next sequence where the publisher was followed before it sent along a tree.
    fn expected(&self, announced: &Announced, batch: &Batch) -> Option<Sequence> {
        if announced.joined.swap(true, Ordering::Relaxed) {
            return None;
        }
        let followed = self.plane.forwarder.following(&batch.publisher);
        let mut same = followed
            .into_iter()
            .filter(|(topic, epoch, _)| *topic == announced.origin.topic && *epoch == batch.epoch);
        same.next().map(|(_, _, next)| next)
    }
}
