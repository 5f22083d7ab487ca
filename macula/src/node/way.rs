//! Ways for packets that others carry: a link to a neighbour of their target, without which they would wander (RTE-26).
//!
//! In a small realm there always is one. In a large one, where a node has links to few of the others, it is dialled
//! before the target is, and kept as long as it carries something. Where no neighbour of the target can be dialled either,
//! packets go by distance.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use macula_wire::{Instant, NodeId};

use super::dial::{Dialler, lock};

/// For how many targets ways are made at a time.
pub(super) const MAX_WAYS: usize = 16;
/// How many neighbours of one target are dialled, those of a draw.
const DIALLED: usize = 4;
/// How long one of them has to answer before the next one is dialled as well.
const STAGGER: Duration = Duration::from_millis(250);
/// How long they all have, and the packets after that by distance.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a link that has come up may take until packets go by it.
const IN_USE_WITHIN: Duration = Duration::from_millis(500);
/// How often it is looked whether they do.
const LOOK_PERIOD: Duration = Duration::from_millis(20);
/// How often it is looked whether targets have ways, while one is dialled.
const DIAL_PERIOD: Duration = Duration::from_secs(1);
/// How often it is looked whether forwarded links have ways, and said that those are needed: less than the 15 s of RTE-30.
const KEEP_PERIOD: Duration = Duration::from_secs(5);
/// How long a link carries nothing before it counts as not needed; QUIC keeps its own links alive by 10 s.
const LATELY: Duration = Duration::from_secs(15);
/// How long a forwarded link to which no way could be made is left as it is.
const PAUSE: Duration = Duration::from_secs(60);

impl Dialler {
    /// Makes a link to a neighbour of `target`, unless one leads there already. Returns when packets go by it, or when
    /// it is not to be had; that takes 2.5 s at most.
    pub(super) async fn make_way(&self, target: NodeId) {
        let mut neighbours = self.forwarding.missing_ways(&target);
        if neighbours.is_empty() {
            return;
        }
        // Enough others are being made: packets go by distance meanwhile.
        let Ok(_permit) = self.ways.try_acquire() else {
            return;
        };
        // So that not everybody who looks for a node asks the same one to carry.
        self.plane.random().shuffle(&mut neighbours);
        neighbours.truncate(DIALLED);
        let dialled = self.dial_any(&neighbours);
        if !tokio::time::timeout(PATIENCE, dialled)
            .await
            .unwrap_or(false)
        {
            tracing::debug!(target = %target.short(), "no link to a neighbour of it");
            return;
        }
        let in_use = async {
            while !self.forwarding.has_way(&target) {
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        };
        drop(tokio::time::timeout(IN_USE_WITHIN, in_use).await);
    }

    /// Sees to a way to `target` while it is being dialled: its record may have been an old one. Never returns.
    pub(super) async fn watch_way(&self, target: NodeId) -> Infallible {
        loop {
            tokio::time::sleep(DIAL_PERIOD).await;
            self.make_way(target).await;
        }
    }

    /// Dials some nodes, the next one when one has failed or has had some time. Whether there is a direct link to one.
    async fn dial_any(&self, nodes: &[NodeId]) -> bool {
        let mut waiting = nodes.iter();
        let mut running = FuturesUnordered::new();
        loop {
            if let Some(node) = waiting.next() {
                running.push(self.dial_directly(*node));
            }
            tokio::select! {
                linked = running.next() => match linked {
                    Some(true) => return true,
                    Some(false) => {}
                    None => return false,
                },
                () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {}
            }
        }
    }

    /// Whether there is a direct link to `node`, or one can be dialled.
    async fn dial_directly(&self, node: NodeId) -> bool {
        let linked = async {
            while !self.is_linked_directly(&node) {
                tokio::time::sleep(LOOK_PERIOD).await;
            }
            true
        };
        let is_wanted = lock(&self.wanted).contains_key(&node);
        if is_wanted {
            return linked.await;
        }
        let dialled = async {
            if self.is_gone(node).await {
                return false;
            }
            let addresses = self.addresses(node).await.unwrap_or_default();
            self.dial_each(node, &addresses).await.is_ok()
        };
        tokio::select! {
            linked = linked => linked,
            dialled = dialled => dialled,
        }
    }

    /// Sees to the ways of forwarded links as long as the node runs, and to the links that they go by.
    pub(super) async fn keep_ways(self) {
        let mut tried: BTreeMap<NodeId, Instant> = BTreeMap::new();
        loop {
            tokio::time::sleep(KEEP_PERIOD).await;
            let carriers = self.forwarding.carriers(LATELY);
            if !carriers.is_empty() {
                self.control
                    .run_later(move |machine, now| machine.need_links(now, &carriers));
            }
            let now = self.plane.clock.now();
            let mut members = self.plane.links.members();
            members.retain(|attached| attached.link.is_forwarded());
            let targets: Vec<NodeId> = members.iter().map(|one| one.link.peer().node).collect();
            tried.retain(|node, at| targets.contains(node) && now.saturating_since(*at) < PAUSE);
            for target in targets {
                if self.is_leaving()
                    || self.forwarding.has_way(&target)
                    || tried.contains_key(&target)
                {
                    continue;
                }
                tried.insert(target, now);
                let dialler = self.clone();
                self.plane.tasks.spawn("way", async move {
                    if !dialler.forwarding.knows_neighbours(&target) {
                        dialler.look_up(target).await;
                    }
                    dialler.make_way(target).await;
                });
            }
        }
    }
}
