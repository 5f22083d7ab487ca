//! What neighbours tell each other of what they have.

use std::collections::BTreeMap;

use macula_wire::NodeId;
use macula_wire::limit::MAX_HELD_LISTED;
use macula_wire::message::{Holding, IHave};

use super::Tree;
use super::source::Known;

impl<P: Clone> Tree<P> {
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
                if edge.eager || is_parent || knows || told || !self.peers.usable(&edge.node) {
                    continue;
                }
                edge.told = Some((next, distance));
                let list = news.entry((source.mesh, edge.node)).or_default();
                list.push(holding.clone());
            }
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
        let since = self.meshes.get(&mesh).map_or(self.now, |mesh| mesh.since);
        // Who takes part for long has missed the beginning; who is new has not been owed it.
        let is_new = self.now.saturating_since(since) < self.config.newcomer_time;
        let next = if is_new { holding.next } else { holding.first };
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
        let next = *source.next.get_or_insert(holding.first.get());
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
