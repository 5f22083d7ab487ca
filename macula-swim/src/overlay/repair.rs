//! Seeking the edges that are missing, and parting from those that are too many.

use std::collections::BTreeSet;
use std::time::Duration;

use macula_wire::NodeId;
use macula_wire::message::{Contact, OverlayMove};

use super::deal::{Deal, Part};
use super::timer::Timer;
use super::{Overlay, peer};

impl Overlay {
    /// Looks for missing edges as soon as what has just happened is over.
    pub(super) fn repair_soon(&mut self) {
        self.hasten(Timer::Repair, Duration::ZERO);
    }

    /// Looks for missing edges after a pause that grows with each failure.
    pub(super) fn repair_later(&mut self) {
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = self.config.min_pause.saturating_mul(1 << doublings);
        let pause = self.about(pause.min(self.config.max_pause));
        self.hasten(Timer::Repair, pause);
    }

    /// Sees to it that there are as many edges as there should be.
    pub(super) fn repair(&mut self) {
        if self.has_left {
            return;
        }
        if self.edges.len() > self.degree {
            self.shed();
            return;
        }
        if self.deficit() > 1 && !self.is_small() {
            // A walk for a single edge is of no use any more, and keeps a place.
            self.cancel_single_seeks();
        }
        let free = self.free();
        if free == 0 || self.deals.len() >= self.config.max_deals {
            return;
        }
        if let Some(bridge) = self.bridge.take_if(|_| free >= 2) {
            if self.links.contains(&bridge.node) && !self.is_known_near(bridge.node) {
                let steps = self.steps();
                self.start_walk(2, Some(bridge), steps);
            }
            self.repair_soon();
            return;
        }
        self.has_failed = false;
        if self.edges.is_empty() {
            self.enter(free);
        } else if self.is_small() {
            self.ask_others();
        } else if free >= 2 {
            for _ in 0..free / 2 {
                self.seek_edge();
            }
        } else if self.deficit() == 1 {
            self.seek_pair();
        }
        if self.free() > 0 && self.deals.is_empty() && !self.is_complete() {
            self.repair_later();
        }
    }

    /// Enters the overlay: by a contact, or by whoever else is known.
    fn enter(&mut self, free: usize) {
        let busy = self
            .deals
            .values()
            .any(|deal| matches!(deal, Deal::Seek(_)));
        if busy {
            return;
        }
        // Contacts take turns, and every other time somebody else is tried.
        let known = !self.view.peers().is_empty();
        let contact = self.contacts.front().cloned();
        let via = if known && (contact.is_none() || self.failures % 2 == 1) {
            self.view.pick(&mut self.random, |_| true)
        } else {
            self.contacts.rotate_left(usize::from(contact.is_some()));
            contact
        };
        if let Some(via) = via {
            let steps = self.steps();
            self.start_walk(free.min(2), Some(via), steps);
        }
    }

    /// One walk for two edges. Some begin elsewhere, so that parts that lost touch find together.
    fn seek_edge(&mut self) {
        let steps = self.steps();
        let elsewhere = self.failures > 1 && self.random.below(4) == 0;
        let via = if elsewhere { self.pick_other() } else { None };
        self.start_walk(2, via, steps);
    }

    /// One walk for a single edge, longer each time.
    fn seek_pair(&mut self) {
        if let Some(until) = self.patient_until.filter(|until| *until > self.now) {
            self.timers.set(Timer::Repair, until);
            return;
        }
        let steps = u32::from(self.config.pair_steps) << self.failures.min(4);
        let steps = u8::try_from(steps).unwrap_or(u8::MAX);
        self.start_walk(1, None, steps);
    }

    /// In a small overlay, everybody is asked directly for an edge. If that came to nothing it is not as small as it
    /// looks: then walks begin here and beyond.
    fn ask_others(&mut self) {
        let others: Vec<Contact> = self.others();
        if self.failures.is_multiple_of(2) {
            for other in others {
                if self.free() == 0 {
                    return;
                }
                if !self.is_engaged(other.node) && !self.is_asked(other.node) {
                    self.start_walk(1, Some(other), 0);
                }
            }
            return;
        }
        let steps = self.steps();
        let beyond = others.get(self.random.index(others.len())).cloned();
        if beyond.is_some() && self.free() >= 2 {
            self.start_walk(2, beyond, steps);
        }
        match self.free() {
            0 => (),
            1 if self.deficit() == 1 => self.seek_pair(),
            1 => (),
            _ => self.start_walk(2, None, steps),
        }
    }

    fn is_asked(&self, node: NodeId) -> bool {
        let asks = |deal: &Deal| matches!(deal, Deal::Seek(seek) if seek.via == Some(node));
        self.deals.values().any(asks)
    }

    /// Those who are known and no neighbours: the neighbours of neighbours first, then the passive view.
    fn others(&self) -> Vec<Contact> {
        let mut seen: BTreeSet<NodeId> = self.edges.keys().copied().collect();
        seen.insert(self.own.node);
        let lists = self.edges.values().flat_map(|edge| &edge.list);
        let known = lists.chain(self.view.peers()).chain(&self.contacts);
        let mut others: Vec<Contact> = Vec::new();
        for peer in known {
            if seen.insert(peer.node) && !self.view.is_lost(peer.node) {
                others.push(peer.clone());
            }
        }
        others
    }

    fn pick_other(&mut self) -> Option<Contact> {
        let edges = &self.edges;
        let fits = |node| !edges.contains_key(&node);
        self.view.pick(&mut self.random, fits)
    }

    /// Whether a node is this one, a neighbour, or a neighbour of one.
    pub(super) fn is_known_near(&self, node: NodeId) -> bool {
        self.edges.contains_key(&node) || self.edges.values().any(|edge| edge.leads_to(node))
    }

    /// Whether the overlay that can be seen from here, up to two steps away, is so small that all are to be neighbours
    /// of all.
    pub(super) fn is_small(&self) -> bool {
        let mut near: BTreeSet<NodeId> = self.edges.keys().copied().collect();
        near.insert(self.own.node);
        for edge in self.edges.values() {
            if edge.list.is_empty() {
                // It has not told its neighbours yet.
                return false;
            }
            near.extend(edge.list.iter().map(|peer| peer.node));
            if near.len() > self.degree.saturating_add(1) {
                return false;
            }
        }
        near.len() <= self.degree.saturating_add(1)
    }

    /// Whether everybody who is known is a neighbour.
    pub(super) fn is_complete(&self) -> bool {
        self.is_small() && self.others().is_empty()
    }

    /// Parts from two neighbours that are too many, so that they become neighbours of each other; from one if only one
    /// is too many.
    fn shed(&mut self) {
        let parting = self
            .deals
            .values()
            .filter(|deal| matches!(deal, Deal::Part(_)));
        let parting = parting.count().saturating_mul(2);
        let surplus = self.edges.len().saturating_sub(self.degree);
        if surplus.saturating_sub(parting) >= 2 && !self.part_from_two() {
            self.repair_later();
        } else if surplus == 1 && parting == 0 {
            let loose: Vec<NodeId> = self
                .neighbours()
                .filter(|node| self.is_loose(*node))
                .collect();
            if let Some(node) = loose.get(self.random.index(loose.len())) {
                self.drop_edge(*node);
            }
        }
        if self.edges.len() > self.degree {
            let pause = self.about(self.config.min_pause);
            self.hasten(Timer::Repair, pause);
        }
    }

    /// Begins to part from two random neighbours that are no neighbours of each other; answers whether there are two.
    pub(super) fn part_from_two(&mut self) -> bool {
        let mut loose: Vec<NodeId> = self
            .edges
            .iter()
            .filter(|(node, edge)| edge.lock.is_none() && self.links.contains(*node))
            .map(|(node, _)| *node)
            .collect();
        self.random.shuffle(&mut loose);
        for (place, one) in loose.iter().enumerate() {
            for other in loose.iter().skip(place.saturating_add(1)) {
                if !self.are_adjacent(*one, *other) {
                    self.part_from([*one, *other]);
                    return true;
                }
            }
        }
        false
    }

    /// Whether two neighbours are known to be neighbours of each other.
    fn are_adjacent(&self, one: NodeId, other: NodeId) -> bool {
        let leads = |from: &NodeId, to| self.edges.get(from).is_some_and(|edge| edge.leads_to(to));
        leads(&one, other) || leads(&other, one)
    }

    fn part_from(&mut self, ends: [NodeId; 2]) {
        let token = self.token();
        let [one, other] = ends;
        for (to, of) in [(one, other), (other, one)] {
            self.lock(to, token);
            let Some(edge) = self.edges.get(&of) else {
                continue;
            };
            let peer = peer(of, edge.addresses.clone());
            let near = false;
            self.tell(to, OverlayMove { token, peer, near });
        }
        let patience = self.config.deal_timeout;
        self.begin(token, Deal::Part(Part { ends }), patience);
    }

    /// Parts from all neighbours, two by two where they are no neighbours of each other.
    pub(super) fn part_from_all(&mut self) {
        let tokens: Vec<_> = self.deals.keys().copied().collect();
        for token in tokens {
            self.abort(token, None);
        }
        while self.part_from_two() {}
        let loose: Vec<NodeId> = self
            .neighbours()
            .filter(|node| self.is_loose(*node))
            .collect();
        for node in loose {
            self.drop_edge(node);
        }
        for timer in [
            Timer::Repair,
            Timer::Flip,
            Timer::Shuffle,
            Timer::Lost,
            Timer::Bridge,
        ] {
            self.timers.cancel(timer);
        }
        self.mates.clear();
    }
}
