//! Flips: a path a - b - c - d becomes a - c, b - d, and b - c stays.
//!
//! Degrees and connectedness stay as they are whatever edges are chosen, which is why it needs no agreement beyond the
//! four. The node b is the head of the path, c is its tail.

use std::time::Duration;

use macula_wire::message::{Contact, OverlayFlip, OverlayMove, OverlayOffer, OverlayVerdict};
use macula_wire::{EdgeToken, NodeId};

use super::deal::{Deal, Head, Tail};
use super::timer::Timer;
use super::{Overlay, peer};

impl Overlay {
    /// Begins a flip, by turns for the sake of mixing and of nearness.
    pub(super) fn on_flip_due(&mut self) {
        if self.config.flip_period.is_zero() {
            return;
        }
        let pause = self.about(self.config.flip_period);
        self.after(Timer::Flip, pause);
        if self.has_left || self.edges.len() < self.degree || self.is_small() {
            return;
        }
        let near = self.random.below(2) == 0;
        self.start_flip(near);
    }

    pub(super) fn start_flip(&mut self, near: bool) {
        let mut loose: Vec<NodeId> = self
            .neighbours()
            .filter(|node| self.is_loose(*node))
            .collect();
        self.random.shuffle(&mut loose);
        let fits = |old: &&NodeId| self.may_flip(**old, near);
        let Some(old) = loose.iter().find(fits).copied() else {
            return;
        };
        let apart = |tail: &&NodeId| {
            let edge = self.edges.get(*tail);
            **tail != old && edge.is_some_and(|edge| !edge.leads_to(old) && !edge.list.is_empty())
        };
        let Some(tail) = loose.iter().find(apart).copied() else {
            return;
        };
        let Some(edge) = self.edges.get(&old) else {
            return;
        };
        let moved = peer(old, edge.addresses.clone());
        let token = self.token();
        self.lock(old, token);
        let head = Head {
            tail,
            old,
            offer: None,
            agreed: false,
            ready: false,
            near,
        };
        let patience = self.config.deal_timeout;
        self.begin(token, Deal::Head(head), patience);
        let avoid = self.avoid();
        let flip = OverlayFlip {
            token,
            peer: moved,
            avoid,
            near,
        };
        self.tell(tail, flip);
    }

    /// Whether an edge may be given up in a flip: one that is there by chance only for another such one, as long as
    /// there would be less than half of them otherwise.
    fn may_flip(&self, old: NodeId, near: bool) -> bool {
        let Some(edge) = self.edges.get(&old) else {
            return false;
        };
        if near {
            edge.near || self.may_become_near(old)
        } else {
            !edge.near
        }
    }

    /// Whether the place of a neighbour may go to a near one.
    pub(super) fn may_become_near(&self, old: NodeId) -> bool {
        if self.edges.get(&old).is_none_or(|edge| edge.near) {
            return true;
        }
        let random = self.edges.values().filter(|edge| !edge.near).count();
        random > self.degree / 2
    }

    /// A neighbour begins a flip over the edge to this node.
    pub(super) fn on_flip(&mut self, from: NodeId, flip: OverlayFlip) {
        let OverlayFlip {
            token,
            peer,
            avoid,
            near,
        } = flip;
        if !self.edges.contains_key(&from) {
            self.answer(from, token, OverlayVerdict::Refuse);
            return;
        }
        let new = peer.node;
        let unfit = new == self.own.node
            || self.edges.contains_key(&new)
            || self.is_engaged(new)
            || self.has_left
            || self.deals.contains_key(&token)
            || self.deals.len() >= self.config.max_deals;
        let old = if unfit {
            None
        } else {
            self.edge_to_flip(from, new, &avoid, near)
        };
        let Some(old) = old else {
            self.answer(from, token, OverlayVerdict::Refuse);
            return;
        };
        self.hear(&peer);
        let Some(head) = self.edges.get(&from) else {
            return;
        };
        let head = super::peer(from, head.addresses.clone());
        self.lock(old, token);
        let tail = Tail {
            head: from,
            old,
            new: peer,
            gone: false,
            offered: false,
            near,
        };
        let patience = self.config.deal_timeout;
        self.begin(token, Deal::Tail(tail), patience);
        self.order(old, token, head, near);
        // Only now it is certain that there is something to exchange for.
        self.answer(from, token, OverlayVerdict::Ready);
    }

    /// The edge of this node that takes part in a flip.
    fn edge_to_flip(
        &mut self,
        head: NodeId,
        new: NodeId,
        avoid: &[NodeId],
        near: bool,
    ) -> Option<NodeId> {
        let fitting = self.edges.iter().filter(|(node, edge)| {
            edge.lock.is_none()
                && **node != head
                && **node != new
                && !avoid.contains(*node)
                && !edge.leads_to(head)
                && self.links.contains(*node)
                && self.may_flip(**node, near)
        });
        let fitting: Vec<NodeId> = fitting.map(|(node, _)| *node).collect();
        fitting.get(self.random.index(fitting.len())).copied()
    }
}

// How a flip goes on once both of its middle nodes have agreed.
impl Overlay {
    /// The tail agrees, or has what it needs.
    pub(super) fn on_tail_ready(&mut self, token: EdgeToken) {
        let Some(Deal::Head(head)) = self.deals.get_mut(&token) else {
            return;
        };
        if head.agreed {
            head.ready = true;
            self.settle_head(token);
            return;
        }
        head.agreed = true;
        let (old, tail, near) = (head.old, head.tail, head.near);
        if let Some(edge) = self.edges.get(&tail) {
            let tail = peer(tail, edge.addresses.clone());
            self.order(old, token, tail, near);
        }
    }

    /// Tells a neighbour who takes this node's place.
    pub(super) fn order(&mut self, to: NodeId, token: EdgeToken, peer: Contact, near: bool) {
        self.tell(to, OverlayMove { token, peer, near });
    }

    /// The new neighbour of the tail, which was moved there by the head, makes its offer.
    pub(super) fn on_tail_offer(&mut self, token: EdgeToken, from: NodeId, rtt: Option<Duration>) {
        let Some(Deal::Tail(tail)) = self.deals.get_mut(&token) else {
            return;
        };
        tail.offered = true;
        let (head, old, near) = (tail.head, tail.old, tail.near);
        if near && !self.is_nearer(from, rtt, old) {
            self.abort(token, None);
        } else {
            self.answer(head, token, OverlayVerdict::Ready);
        }
    }

    /// The new neighbour of the head, which was moved there by the tail, makes its offer.
    pub(super) fn on_head_offer(&mut self, token: EdgeToken, from: NodeId, offer: OverlayOffer) {
        let rtt = offer.rtt_us.map(|rtt| Duration::from_micros(rtt.into()));
        let unfit = self.edges.contains_key(&from) || self.is_engaged(from);
        let Some(Deal::Head(head)) = self.deals.get_mut(&token) else {
            return;
        };
        let (old, near) = (head.old, head.near);
        if unfit || head.offer.is_some() {
            self.answer(from, token, OverlayVerdict::Refuse);
            self.abort(token, None);
            return;
        }
        head.offer = Some(peer(from, offer.addresses));
        if near && !self.is_nearer(from, rtt, old) {
            self.abort(token, None);
        } else {
            self.settle_head(token);
        }
    }

    /// Whether a node is nearer than a neighbour, as far as both are known.
    fn is_nearer(&self, node: NodeId, told: Option<Duration>, than: NodeId) -> bool {
        let rtt = self.rtts.get(&node).copied().or(told);
        let old = self.rtts.get(&than).copied();
        rtt.zip(old).is_some_and(|(rtt, old)| rtt < old)
    }

    /// Carries the head's part out once everybody is ready, and lets the others do theirs.
    fn settle_head(&mut self, token: EdgeToken) {
        let Some(Deal::Head(head)) = self.deals.get(&token) else {
            return;
        };
        if !head.ready || head.offer.is_none() {
            return;
        }
        let Some(Deal::Head(Head {
            tail,
            old,
            offer: Some(new),
            near,
            ..
        })) = self.end(token)
        else {
            return;
        };
        self.stats.flips = self.stats.flips.saturating_add(1);
        self.answer(tail, token, OverlayVerdict::Take);
        self.replace(old, true);
        self.add_edge(&new, token, near);
        self.answer(new.node, token, OverlayVerdict::Take);
    }

    pub(super) fn settle_tail(&mut self, token: EdgeToken) {
        let Some(Deal::Tail(tail)) = self.end(token) else {
            return;
        };
        self.replace(tail.old, !tail.gone);
        self.add_edge(&tail.new, token, tail.near);
        self.answer(tail.new.node, token, OverlayVerdict::Take);
    }
}
