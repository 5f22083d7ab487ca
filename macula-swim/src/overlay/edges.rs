//! Edges: that both ends hold them, who is at the other end, and what becomes of them when a link breaks.

use std::time::Duration;

use macula_wire::message::{Contact, OverlayEdge};
use macula_wire::{EdgeToken, NodeId};

use super::deal::Deal;
use super::timer::Timer;
use super::{Output, Overlay};
use crate::config::part;

impl Overlay {
    pub(super) fn arm_lists(&mut self) {
        if !self.timers.is_armed(Timer::Lists) {
            let pause = self.about(self.config.list_delay);
            self.after(Timer::Lists, pause);
        }
    }

    /// What this node says of an edge that it holds.
    fn holding(&self, ask: bool) -> OverlayEdge {
        let neighbours = self.edges.iter();
        OverlayEdge {
            holds: true,
            ask,
            neighbours: neighbours
                .map(|(node, edge)| Contact {
                    node: *node,
                    addresses: edge.addresses.clone(),
                })
                .take(macula_wire::limit::MAX_NEIGHBOURS)
                .collect(),
        }
    }

    /// Tells all neighbours of each other.
    pub(super) fn tell_lists(&mut self) {
        let edge = self.holding(false);
        let nodes: Vec<NodeId> = self.neighbours().collect();
        for node in nodes {
            self.tell(node, edge.clone());
        }
    }

    /// Says that this node holds no edge to another.
    pub(super) fn deny(&mut self, node: NodeId) {
        let edge = OverlayEdge {
            holds: false,
            ask: false,
            neighbours: Vec::new(),
        };
        self.tell(node, edge);
    }

    /// Asks a neighbour whether it holds the edge as well.
    pub(super) fn ask_edge(&mut self, node: NodeId) {
        let now = self.now;
        if let Some(edge) = self.edges.get_mut(&node) {
            edge.asked.get_or_insert(now);
            let edge = self.holding(true);
            self.tell(node, edge);
        }
    }

    /// Asks the next neighbour in turn, and drops the edges of those that do not answer.
    pub(super) fn on_check(&mut self) {
        let parts = u32::try_from(self.edges.len().max(1)).unwrap_or(u32::MAX);
        let pause = self.about(part(self.config.check_period, parts));
        self.after(Timer::Check, pause);
        let (now, patience) = (self.now, self.config.check_period);
        let late = self.edges.iter().filter(|(_, edge)| {
            let asked = edge.asked;
            asked.is_some_and(|asked| now.saturating_since(asked) >= patience)
        });
        let late: Vec<NodeId> = late.map(|(node, _)| *node).collect();
        for node in late {
            self.stats.edges_one_sided = self.stats.edges_one_sided.saturating_add(1);
            self.drop_edge(node);
        }
        let after = self.last_checked;
        let mut later = self.edges.keys().filter(|node| Some(**node) > after);
        let next = later.next().or_else(|| self.edges.keys().next()).copied();
        self.last_checked = next;
        if let Some(next) = next {
            self.ask_edge(next);
        }
    }

    pub(super) fn on_edge(&mut self, from: NodeId, message: OverlayEdge) {
        let Some(edge) = self.edges.get_mut(&from) else {
            if message.holds {
                self.deny(from);
            }
            return;
        };
        if message.holds {
            edge.list = message.neighbours;
            edge.asked = None;
            if message.ask {
                let edge = self.holding(false);
                self.tell(from, edge);
            }
            return;
        }
        let lock = edge.lock;
        if lock.is_some_and(|token| self.is_foregone(token, from)) {
            return;
        }
        if lock.is_none() {
            self.stats.edges_one_sided = self.stats.edges_one_sided.saturating_add(1);
        }
        self.lose_edge(from);
    }

    /// Whether an edge that the other end gave up is about to be replaced: then that end was faster, and this one keeps
    /// the place until the new neighbour is there as well.
    fn is_foregone(&mut self, token: EdgeToken, node: NodeId) -> bool {
        match self.deals.get_mut(&token) {
            Some(Deal::Give(give)) if give.old == Some(node) => give.gone = true,
            Some(Deal::Tail(tail)) if tail.old == node && tail.offered => tail.gone = true,
            _ => return false,
        }
        true
    }

    /// Ends an edge and says so.
    pub(super) fn drop_edge(&mut self, node: NodeId) {
        self.deny(node);
        self.lose_edge(node);
    }

    /// An edge is gone at the other end; answers the neighbours that the other end had.
    pub(super) fn lose_edge(&mut self, node: NodeId) -> Vec<Contact> {
        let Some(edge) = self.edges.remove(&node) else {
            return Vec::new();
        };
        self.output(Output::NeighbourDown { node });
        self.linger(node);
        if let Some(token) = edge.lock {
            self.on_locked_edge_lost(token, node);
        }
        self.arm_lists();
        self.repair_soon();
        edge.list
    }

    /// The place of an edge that was to be replaced stays kept for what replaces it.
    fn on_locked_edge_lost(&mut self, token: EdgeToken, node: NodeId) {
        match self.deals.get_mut(&token) {
            Some(Deal::Give(give)) => {
                give.old = None;
                give.gone = false;
            }
            Some(Deal::Part(part)) => {
                let [one, other] = part.ends;
                let rest = if one == node { other } else { one };
                if !self.edges.contains_key(&rest) {
                    self.end(token);
                }
            }
            Some(Deal::Head(_) | Deal::Tail(_)) => self.abort(token, Some(node)),
            Some(Deal::Seek(_)) | None => (),
        }
    }

    pub(super) fn on_link_up(&mut self, peer: NodeId) {
        if peer == self.own.node {
            return;
        }
        self.links.insert(peer);
        for (_, body) in self.outbox.remove(&peer).unwrap_or_default() {
            self.tell(peer, body);
        }
        let walks = self.deals.iter().filter(
            |(_, deal)| matches!(deal, Deal::Seek(seek) if seek.via == Some(peer) && seek.slots == 2),
        );
        let walks: Vec<EdgeToken> = walks.map(|(token, _)| *token).collect();
        for token in walks {
            self.after(Timer::Deal(token), self.config.contact_timeout);
        }
        self.note_life(peer);
    }

    /// A node that was thought lost gives a sign of life. It may become a neighbour by itself in a moment.
    pub(super) fn note_life(&mut self, node: NodeId) {
        if self.view.note_back(node) {
            let pause = self.about(self.config.mate_delay);
            self.hasten(Timer::Bridge, pause);
        }
    }

    pub(super) fn on_link_down(&mut self, peer: NodeId) {
        if !self.links.remove(&peer) {
            return;
        }
        self.view.note_gone(peer);
        self.rtts.remove(&peer);
        self.paces.remove(&peer);
        self.admission.forget(peer);
        self.timers.cancel(Timer::Release(peer));
        if let Some(edge) = self.edges.get(&peer) {
            let addresses = edge.addresses.clone();
            let lost = Contact {
                node: peer,
                addresses,
            };
            let list = self.lose_edge(peer);
            self.on_edge_broken(lost, list);
        }
        self.abort_all_with(peer);
    }

    /// Gives up whatever cannot come about without a node.
    pub(super) fn abort_all_with(&mut self, node: NodeId) {
        let concerned = self.deals.iter().filter(|(_, deal)| deal.needs(node));
        let concerned: Vec<EdgeToken> = concerned.map(|(token, _)| *token).collect();
        for token in concerned {
            self.abort(token, Some(node));
        }
    }

    pub(super) fn on_rtt(&mut self, peer: NodeId, rtt: Duration) {
        if self.links.contains(&peer) {
            self.rtts.insert(peer, rtt);
        }
    }
}
