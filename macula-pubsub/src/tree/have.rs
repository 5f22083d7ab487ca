//! What neighbours tell each other of what they have.

use std::collections::BTreeMap;
use std::time::Duration;

use macula_wire::limit::MAX_HELD_LISTED;
use macula_wire::message::{Holding, IHave};
use macula_wire::{NodeId, Sequence};

use super::source::Known;
use super::{Tree, TreeOutput};

/// How long after the latest event all neighbours are told once more what is here, and how long after that again: what
/// was lost of the last events has no later ones that would show it.
const REPEATS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

impl<P: Clone> Tree<P> {
    /// Something new came: all neighbours are told of it when no more comes.
    pub(super) fn tell_later(&mut self, id: u32) {
        let now = self.now;
        if let Some(source) = self.sources.get_mut(&id) {
            source.repeats = 0;
            let [first, _] = REPEATS;
            source.repeat_at.get_or_insert(now + first);
        }
    }

    /// It is time to tell all neighbours, unless something new came meanwhile.
    pub(super) fn tell_again(&mut self, id: u32) {
        let now = self.now;
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let Some(pause) = REPEATS.get(source.repeats) else {
            return;
        };
        let due = source.heard + *pause;
        if due > now {
            source.repeat_at = Some(due);
            return;
        }
        source.repeats = source.repeats.saturating_add(1);
        let next = REPEATS.get(source.repeats);
        source.repeat_at = next.map(|pause| now + *pause);
        source.tells_all = true;
        for edge in &mut source.edges {
            edge.told = None;
        }
        self.touch(id);
    }

    /// Tells each neighbour that gets events by other ways what is here, unless it is known to have all of it and to be as
    /// near to the publisher.
    pub(super) fn tell_neighbours(&mut self) {
        let mut news: BTreeMap<(u32, NodeId), Vec<Holding>> = BTreeMap::new();
        for id in std::mem::take(&mut self.dirty) {
            let Some(source) = self.sources.get_mut(&id) else {
                continue;
            };
            let Some(holding) = source.holding() else {
                continue;
            };
            let (next, distance) = (holding.next.get(), holding.distance);
            let near = distance.saturating_add(1);
            for edge in &mut source.edges {
                let is_parent = source.parent == Some(edge.node);
                let knows =
                    edge.known.is_some_and(|known| known.distance <= near) && edge.has(next);
                let told = edge.told == Some((next, distance));
                let hears = (edge.eager || is_parent) && !source.tells_all;
                if hears || knows || told || !self.peers.usable(&edge.node) {
                    continue;
                }
                edge.told = Some((next, distance));
                let mut holding = holding.clone();
                let owed_from = Sequence::new(edge.owed_from);
                holding.first = holding.first.max(owed_from).min(holding.next);
                let list = news.entry((source.mesh, edge.node)).or_default();
                list.push(holding);
            }
            source.tells_all = false;
        }
        for ((mesh, node), mut holdings) in news {
            let Some(topic) = self.meshes.get(&mesh).map(|mesh| mesh.topic.clone()) else {
                continue;
            };
            holdings.sort_unstable_by_key(|holding| holding.publisher);
            for holdings in holdings.chunks(MAX_HELD_LISTED) {
                self.stats.haves = self.stats.haves.saturating_add(1);
                let have = IHave {
                    topic: topic.clone(),
                    holdings: holdings.to_vec(),
                };
                self.send(node, have);
            }
        }
    }

    pub(super) fn on_have(&mut self, from: NodeId, have: &IHave) {
        let Some(mesh) = self.by_topic.get(&have.topic).copied() else {
            let topic = have.topic.clone();
            self.outputs.push_back(TreeOutput::Unknown { topic });
            return;
        };
        for holding in &have.holdings {
            let known = self.by_stream.get(&(mesh, holding.publisher)).copied();
            match known {
                Some(id) if self.is_current(id, holding.epoch) => self.learn(id, from, holding),
                Some(_) => {}
                None => self.meet(mesh, from, holding),
            }
        }
    }

    /// A publisher of whom nothing is known, though a neighbour knows it. Nobody is forgotten for what is merely told.
    fn meet(&mut self, mesh: u32, from: NodeId, holding: &Holding) {
        let full = self.sources.len() >= self.config.max_sources;
        if holding.publisher == self.own || full {
            return;
        }
        // Whoever tells it knows what this node is owed.
        let next = holding.first;
        let id = self.new_source(mesh, holding.publisher, holding.epoch);
        if let Some(source) = self.sources.get_mut(&id) {
            (source.next, source.head) = (Some(next.get()), next.get());
        }
        self.learn(id, from, holding);
        let unattached = self
            .sources
            .get(&id)
            .is_some_and(|source| source.parent.is_none());
        if unattached && self.peers.usable(&from) {
            self.improve(id, from, holding);
        }
        self.settle(id);
    }

    /// Takes in what a neighbour has: more than is here, or the same nearer to the publisher.
    fn learn(&mut self, id: u32, from: NodeId, holding: &Holding) {
        let (now, max) = (self.now, self.config.max_edges);
        let timeout = self.peers.graft_timeout(&from, &self.config);
        let usable = self.peers.usable(&from);
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let told = holding.next.get();
        if let Some(edge) = source.edge_or_new(from, max) {
            let next = edge.known.map_or(told, |known| known.next.max(told));
            edge.known = Some(Known {
                first: holding.first.get(),
                next,
                whole: edge.known.map_or(told, |known| known.whole.max(told)),
                distance: holding.distance,
            });
        }
        if source.publisher == self.own {
            return;
        }
        // A later run of which nothing has come yet.
        let next = *source.next.get_or_insert_with(|| holding.first.get());
        if told > next {
            if source.parent.is_none() && source.held.is_empty() {
                self.ask(id);
            } else if source.ask_at.is_none() {
                source.ask_at = Some(now + timeout);
            }
            self.settle(id);
            return;
        }
        let tolerance = self.peers.patient(self.config.tolerance);
        let patience = tolerance.saturating_add(self.config.digest_interval);
        let nearer = holding.distance.saturating_add(1) < source.distance;
        let in_time = now.saturating_since(source.heard) <= patience;
        let current = told >= source.head && !source.improved;
        if usable && current && in_time && nearer {
            self.improve(id, from, holding);
        }
    }

    /// Has a neighbour that is nearer to the publisher send, instead of the one that does.
    fn improve(&mut self, id: u32, from: NodeId, holding: &Holding) {
        let Some(source) = self.sources.get_mut(&id) else {
            return;
        };
        let before = source.parent.filter(|before| *before != from);
        source.improved = true;
        source.attach(from, holding.distance.saturating_add(1));
        let head = source.next.unwrap_or_default();
        let to = source.missing().map_or(head, |(_, to)| to);
        self.request(id, from, (head, to), true);
        if let Some(before) = before {
            self.prune(id, before);
        }
    }
}
