//! Nodes beyond the neighbours: heard of, exchanged, lost, and found again.

use std::time::Duration;

use macula_wire::NodeId;
use macula_wire::message::{Contact, OverlayPeers};

use super::timer::Timer;
use super::{Output, Overlay};

impl Overlay {
    /// A node was heard of.
    pub(super) fn hear(&mut self, peer: &Contact) {
        let known = peer.node == self.own.node || self.edges.contains_key(&peer.node);
        if !known && !self.view.is_lost(peer.node) {
            self.view
                .hear(peer, self.config.max_passive, &mut self.random);
        }
    }

    pub(super) fn on_known(&mut self, peer: &Contact) {
        self.hear(peer);
        self.view.locate(peer);
        if self.view.is_lost(peer.node) {
            let pause = self.within(self.config.mate_delay);
            self.hasten(Timer::Lost, pause);
        }
        if self.free() > 0 && self.deals.is_empty() && self.is_small() {
            self.repair_soon();
        }
    }

    /// Exchanges some of the known nodes with a random neighbour.
    pub(super) fn on_shuffle(&mut self) {
        let pause = self.about(self.config.shuffle_period);
        self.after(Timer::Shuffle, pause);
        let nodes: Vec<NodeId> = self.neighbours().collect();
        if let Some(node) = nodes.get(self.random.index(nodes.len())).copied() {
            let peers = self.some_peers(node);
            self.tell(node, OverlayPeers { ask: true, peers });
        }
    }

    fn some_peers(&mut self, but: NodeId) -> Vec<Contact> {
        let mut peers = self
            .view
            .sample(&mut self.random, macula_wire::limit::MAX_SHUFFLED);
        peers.retain(|peer| peer.node != but);
        peers
    }

    pub(super) fn on_peers(&mut self, from: NodeId, message: OverlayPeers) {
        // The edge may have gone while the message was on its way.
        if !self.edges.contains_key(&from) {
            return;
        }
        for peer in &message.peers {
            self.hear(peer);
        }
        if message.ask {
            let peers = self.some_peers(from);
            let ask = false;
            self.tell(from, OverlayPeers { ask, peers });
        }
    }

    /// Tries the next lost node: if a link comes about, it is back.
    pub(super) fn on_lost_due(&mut self) {
        let pause = self.about(self.config.lost_period);
        self.after(Timer::Lost, pause);
        if let Some(lost) = self.view.next_lost() {
            // A link that is still there says nothing: it takes its time to notice.
            if !self.links.contains(&lost.node) {
                let Contact { node, addresses } = lost;
                self.linger(node);
                self.output(Output::Connect { node, addresses });
            }
        }
    }

    /// Membership has found that a node is alive which was thought dead.
    pub(super) fn on_bridge(&mut self, to: Contact) {
        if to.node == self.own.node || self.has_left {
            return;
        }
        self.view.lose(to.clone(), self.config.max_lost);
        if self.links.contains(&to.node) {
            self.note_life(to.node);
        } else if self.bridge_is_due().is_none() && self.may_dial() {
            let Contact { node, addresses } = to;
            self.output(Output::Connect { node, addresses });
            self.linger(node);
        }
    }

    /// Whether one that is back is dialled now: when a split heals they all come back at once, and the others are tried
    /// by turns.
    fn may_dial(&mut self) -> bool {
        let (now, pause) = (self.now, self.config.mate_delay);
        let recent = |at| now.saturating_since(at) < pause;
        let may = !self.last_dial.is_some_and(recent);
        if may {
            self.last_dial = Some(now);
        }
        may
    }

    /// How long it is until edges may be exchanged again for the sake of healing a split.
    fn bridge_is_due(&self) -> Option<Duration> {
        let due = self.last_bridge? + self.config.bridge_period;
        let pause = due.saturating_since(self.now);
        (!pause.is_zero()).then_some(pause)
    }

    /// Two edges are given up here and sought beyond a node that was lost and is back.
    pub(super) fn on_bridge_due(&mut self) {
        if self.has_left {
            return;
        }
        if let Some(pause) = self.bridge_is_due() {
            self.after(Timer::Bridge, pause);
            return;
        }
        let links = &self.links;
        let Some(back) = self.view.take_back(|node| links.contains(&node)) else {
            return;
        };
        // Others that are back get their turn.
        self.after(Timer::Bridge, self.config.mate_delay);
        if self.is_known_near(back.node) {
            return;
        }
        if self.free() == 1 {
            // Both lack an edge, most likely to each other.
            self.propose(back, 0);
            return;
        }
        self.last_bridge = Some(self.now);
        self.stats.bridges = self.stats.bridges.saturating_add(1);
        self.bridge = Some(back);
        if self.free() < 2 && !self.part_from_two() {
            let loose: Vec<NodeId> = self
                .neighbours()
                .filter(|node| self.is_loose(*node))
                .collect();
            for node in loose.into_iter().take(2) {
                self.drop_edge(node);
            }
        }
        self.repair_soon();
    }
}
