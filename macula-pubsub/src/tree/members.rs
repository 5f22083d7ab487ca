//! Who takes part: topics with those interested in them, sources, and links.

use std::sync::Arc;
use std::time::Duration;

use macula_wire::{Epoch, Instant, NodeId, Topic};

use super::source::Source;
use super::{Rings, Tree, TreeOutput};

/// How long after a topic became known here members that become known for it are not taken for new.
const YOUNG: Duration = Duration::from_secs(5);

/// A topic, and who is beside this node among those interested in it.
#[derive(Debug)]
pub(super) struct Mesh {
    pub(super) topic: Topic,
    /// Since when this node knows the topic.
    pub(super) since: Instant,
    rings: Arc<Rings>,
    /// Ascending.
    pub(super) neighbours: Vec<NodeId>,
}

impl<P: Clone> Tree<P> {
    pub(super) fn on_members(&mut self, topic: Topic, rings: Arc<Rings>, since: Instant) {
        let Some(id) = self.mesh_or_new(&topic) else {
            return;
        };
        let Some(mesh) = self.meshes.get_mut(&id) else {
            return;
        };
        mesh.since = since;
        let before = std::mem::replace(&mut mesh.rings, rings);
        // Where hardly anything is known yet, not all who become known are new.
        let is_young = self.now.saturating_since(since) < YOUNG;
        let is_new = |node: &NodeId| !is_young && !before.contains(node);
        self.draw(id, is_new);
        self.retain_absent();
    }

    pub(super) fn on_forget(&mut self, topic: &Topic) {
        let Some(id) = self.by_topic.remove(topic) else {
            return;
        };
        for source in self.sources_of(id) {
            self.drop_source(source);
        }
        let mesh = self.meshes.remove(&id);
        for node in mesh.into_iter().flat_map(|mesh| mesh.neighbours) {
            self.unwant(node);
        }
        self.retain_absent();
    }

    /// The topic, taken in with nobody known to be interested if it is new and there is room.
    pub(super) fn mesh_or_new(&mut self, topic: &Topic) -> Option<u32> {
        if let Some(id) = self.by_topic.get(topic) {
            return Some(*id);
        }
        if self.meshes.len() >= self.config.max_topics {
            self.stats.refused_topics = self.stats.refused_topics.saturating_add(1);
            return None;
        }
        let id = self.fresh_id();
        self.by_topic.insert(topic.clone(), id);
        let mesh = Mesh {
            topic: topic.clone(),
            since: self.now,
            rings: Arc::default(),
            neighbours: Vec::new(),
        };
        self.meshes.insert(id, mesh);
        Some(id)
    }

    /// Finds the neighbours anew, and changes edges by what is different. Those of whom `is_new` is true were not interested
    /// before.
    fn draw(&mut self, id: u32, is_new: impl Fn(&NodeId) -> bool) {
        let (own, peers) = (self.own, &self.peers);
        let Some(mesh) = self.meshes.get_mut(&id) else {
            return;
        };
        let drawn = mesh.rings.neighbours(&own, |node| peers.is_absent(node));
        let before = std::mem::replace(&mut mesh.neighbours, drawn.clone());
        let added: Vec<NodeId> = without(&drawn, &before);
        let removed: Vec<NodeId> = without(&before, &drawn);
        for source in self.sources_of(id) {
            for node in &removed {
                self.drop_edge(source, node);
            }
            let new: Vec<NodeId> = added.iter().filter(|node| is_new(node)).copied().collect();
            if before.is_empty() {
                self.catch_up(source, &added, &new);
            } else if let Some(known) = self.sources.get_mut(&source) {
                known.add_edges(&added, |_| false);
                known.owe_from(
                    &new,
                    known.first_since(self.now - self.config.newcomer_time),
                );
            }
            if !added.is_empty() {
                self.touch(source);
            }
        }
        for node in added {
            if self.peers.want(node) {
                self.outputs.push_back(TreeOutput::Connect { node });
            }
        }
        for node in removed {
            self.unwant(node);
        }
    }

    /// Sends what came before the neighbours were known, as if they had been known then, but for those that are new.
    fn catch_up(&mut self, id: u32, neighbours: &[NodeId], newcomers: &[NodeId]) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let new = |node: &&NodeId| !source.edges.iter().any(|edge| edge.node == **node);
        let new: Vec<NodeId> = neighbours.iter().filter(new).copied().collect();
        source.add_edges(&new, |node| self.peers.usable(node));
        let lately = source.first_since(self.now - self.config.newcomer_time);
        source.owe_from(newcomers, lately);
        for node in new {
            let from = if newcomers.contains(&node) { lately } else { 0 };
            if self.peers.usable(&node) {
                self.send_again(id, node, (from, u64::MAX));
            }
        }
    }

    fn unwant(&mut self, node: NodeId) {
        if self.peers.unwant(&node) {
            self.outputs.push_back(TreeOutput::Release { node });
        }
    }

    fn retain_absent(&mut self) {
        if !self.peers.absent().is_empty() {
            let meshes = &self.meshes;
            self.peers
                .retain_absent(|node| meshes.values().any(|mesh| mesh.rings.contains(node)));
        }
    }

    pub(super) fn on_absent(&mut self, peer: NodeId, absent: bool) {
        let concerned: Vec<u32> = self
            .meshes
            .iter()
            .filter(|(_, mesh)| mesh.rings.contains(&peer))
            .map(|(id, _)| *id)
            .collect();
        if concerned.is_empty() && absent || !self.peers.set_absent(peer, absent) {
            return;
        }
        for id in concerned {
            self.draw(id, |_| false);
        }
        if absent {
            self.lose(peer);
        }
    }

    pub(super) fn on_link_up(&mut self, peer: NodeId, rtt: Option<Duration>) {
        self.peers.link_up(peer, rtt);
        self.tell_all_to(peer);
    }

    pub(super) fn on_link_down(&mut self, peer: NodeId) {
        let wanted = self.peers.link_down(&peer);
        self.lose(peer);
        if wanted {
            self.outputs.push_back(TreeOutput::Connect { node: peer });
        }
    }

    /// What it had before is gone, and it is owed as little as one that is new.
    pub(super) fn on_restarted(&mut self, peer: NodeId) {
        let lately = self.now - self.config.newcomer_time;
        for source in self.sources.values_mut() {
            let from = source.first_since(lately);
            if let Some(edge) = source.edge(&peer) {
                (edge.known, edge.told, edge.asked) = (None, None, false);
                edge.owed_from = from;
            }
        }
    }

    pub(super) fn on_lagging(&mut self, peer: NodeId) {
        if self.peers.set_lagging(&peer, true) {
            self.lose(peer);
        }
    }

    pub(super) fn on_caught_up(&mut self, peer: NodeId) {
        if self.peers.set_lagging(&peer, false) {
            self.tell_all_to(peer);
        }
    }

    /// A node that had no part for a while is told what is here.
    fn tell_all_to(&mut self, peer: NodeId) {
        let mut any = Vec::new();
        for (id, source) in &mut self.sources {
            if let Some(edge) = source.edge(&peer) {
                edge.told = None;
                any.push(*id);
            }
        }
        for id in any {
            self.touch(id);
        }
    }

    /// Events cannot be exchanged with `peer`: others have to bring what came by it.
    fn lose(&mut self, peer: NodeId) {
        for id in self.sources_where(|source| source.edges.iter().any(|edge| edge.node == peer)) {
            let mesh = self
                .sources
                .get(&id)
                .and_then(|source| self.meshes.get(&source.mesh));
            let is_neighbour =
                mesh.is_some_and(|mesh| mesh.neighbours.binary_search(&peer).is_ok());
            if !is_neighbour {
                self.drop_edge(id, &peer);
            } else if self
                .sources
                .get_mut(&id)
                .is_some_and(|source| source.cut(&peer))
            {
                self.join_another(id);
            }
        }
    }

    /// Exchanges no events of a source with `node` any more.
    fn drop_edge(&mut self, id: u32, node: &NodeId) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let was_parent = source.cut(node);
        source.edges.retain(|edge| edge.node != *node);
        if was_parent {
            self.join_another(id);
        }
    }

    fn sources_of(&self, mesh: u32) -> Vec<u32> {
        let (first, last) = (NodeId::from_bytes([0; 32]), NodeId::from_bytes([255; 32]));
        let sources = self.by_stream.range((mesh, first)..=(mesh, last));
        sources.map(|(_, id)| *id).collect()
    }

    /// The source of a publisher and topic.
    pub(super) fn source_of(&self, topic: &Topic, publisher: NodeId) -> Option<u32> {
        let mesh = self.by_topic.get(topic)?;
        self.by_stream.get(&(*mesh, publisher)).copied()
    }

    /// Remembers a publisher and topic. Its first events go by the edges of another tree of the topic, or by all edges if
    /// there is none.
    pub(super) fn new_source(&mut self, mesh: u32, publisher: NodeId, epoch: Epoch) -> u32 {
        if self.sources.len() >= self.config.max_sources.max(1) {
            let oldest = self.sources.iter().min_by_key(|(_, source)| source.heard);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.drop_source(oldest);
            }
        }
        let mut source = Source::new(mesh, publisher, epoch, self.now);
        let neighbours = self.meshes.get(&mesh).map(|mesh| &mesh.neighbours);
        let neighbours = neighbours.map_or(&[][..], Vec::as_slice);
        // All nodes take the least publisher that they remember, so that what they take is one tree.
        let model = self.sources_of(mesh).into_iter().find_map(|id| {
            self.sources.get(&id).filter(|model| {
                let lives = self.now.saturating_since(model.heard) <= self.config.cache_time;
                lives && (model.parent.is_some() || model.publisher == self.own)
            })
        });
        source.add_edges(neighbours, |node| {
            model.is_none_or(|model| {
                model.parent == Some(*node)
                    || model
                        .edges
                        .iter()
                        .any(|edge| edge.node == *node && edge.eager)
            })
        });
        if publisher == self.own {
            source.distance = 0;
        }
        let id = self.fresh_id();
        self.sources.insert(id, source);
        self.by_stream.insert((mesh, publisher), id);
        id
    }

    fn drop_source(&mut self, id: u32) {
        self.clear_source(id);
        if let Some(source) = self.sources.remove(&id) {
            self.by_stream.remove(&(source.mesh, source.publisher));
            if let Some(at) = source.timer {
                self.timers.remove(&(at, id));
            }
        }
        self.dirty.remove(&id);
    }

    /// Lets go of all batches of a source.
    pub(super) fn clear_source(&mut self, id: u32) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        for stored in std::mem::take(&mut source.kept).into_values() {
            self.cache.freed(stored.bytes);
        }
        for stored in std::mem::take(&mut source.held).into_values() {
            self.held_bytes = self.held_bytes.saturating_sub(stored.bytes);
        }
    }
}

/// What of `all` is not in `others`; both ascend.
fn without(all: &[NodeId], others: &[NodeId]) -> Vec<NodeId> {
    let missing = |node: &&NodeId| others.binary_search(node).is_err();
    all.iter().filter(missing).copied().collect()
}
