//! The life of an exchange of edges: begun, answered, carried out or given up.

use std::time::Duration;

use macula_wire::message::{Contact, OverlayAnswer, OverlayMove, OverlayOffer, OverlayVerdict};
use macula_wire::{EdgeToken, NodeId};

use super::deal::{Deal, Early, Edge, Give};
use super::timer::Timer;
use super::{Output, Overlay};

impl Overlay {
    /// Notes an exchange and when it is late.
    pub(super) fn begin(&mut self, token: EdgeToken, deal: Deal, patience: Duration) {
        self.deals.insert(token, deal);
        self.after(Timer::Deal(token), patience);
    }

    /// Ends an exchange, whatever became of it.
    pub(super) fn end(&mut self, token: EdgeToken) -> Option<Deal> {
        self.timers.cancel(Timer::Deal(token));
        self.deals.remove(&token)
    }

    /// Locks an edge for an exchange.
    pub(super) fn lock(&mut self, node: NodeId, token: EdgeToken) {
        if let Some(edge) = self.edges.get_mut(&node) {
            edge.lock = Some(token);
        }
    }

    pub(super) fn unlock(&mut self, node: NodeId, token: EdgeToken) {
        if let Some(edge) = self.edges.get_mut(&node)
            && edge.lock == Some(token)
        {
            edge.lock = None;
        }
    }

    /// Whether there is an edge to a node that is not locked.
    pub(super) fn is_loose(&self, node: NodeId) -> bool {
        let edge = self.edges.get(&node);
        edge.is_some_and(|edge| edge.lock.is_none())
    }

    /// Holds an end ready, tells the other end of the edge of it if this node `orders` it, and makes the offer.
    pub(super) fn begin_give(&mut self, token: EdgeToken, give: Give, orders: bool) {
        let (to, old, instead) = (give.to.clone(), give.old, give.instead);
        let patience = match instead {
            None if give.again > 0 => self.config.proposal_timeout,
            _ => self.config.deal_timeout,
        };
        let near = give.near;
        if let Some(old) = old {
            self.lock(old, token);
            if orders {
                let peer = to.clone();
                self.tell(old, OverlayMove { token, peer, near });
            }
        }
        self.begin(token, Deal::Give(give), patience);
        let rtt = self.rtts.get(&to.node);
        let offer = OverlayOffer {
            token,
            addresses: self.own.addresses.clone(),
            instead,
            rtt_us: rtt.and_then(|rtt| u32::try_from(rtt.as_micros()).ok()),
        };
        self.post(&to, token, offer);
    }

    /// A neighbour gives up its end in favour of another node.
    pub(super) fn on_move(&mut self, from: NodeId, order: OverlayMove) {
        let OverlayMove { token, peer, near } = order;
        if !self.edges.contains_key(&from) {
            // The edge may have gone while the message was on its way.
            self.answer(from, token, OverlayVerdict::Refuse);
            return;
        }
        let unfit = peer.node == self.own.node
            || !self.is_loose(from)
            || self.edges.contains_key(&peer.node)
            || self.is_engaged(peer.node)
            || self.deals.contains_key(&token)
            || self.deals.len() >= self.config.max_deals
            || self.has_left
            || (near && !self.may_become_near(from));
        if unfit {
            self.early.retain(|early| early.token != token);
            self.answer(from, token, OverlayVerdict::Refuse);
            return;
        }
        self.hear(&peer);
        let node = peer.node;
        let give = Give {
            to: peer,
            old: Some(from),
            gone: false,
            instead: Some(from),
            near,
            walk: None,
            again: 0,
        };
        self.begin_give(token, give, false);
        if self.take_early(token, node) {
            self.on_counter_offer(token, node);
        }
    }

    /// Keeps an offer until the neighbour that it is about has said the same.
    pub(super) fn keep_early(&mut self, from: NodeId, token: EdgeToken) {
        let now = self.now;
        self.early.retain(|early| early.until > now);
        if self.early.len() >= self.config.max_early {
            self.answer(from, token, OverlayVerdict::Refuse);
            return;
        }
        self.early.push_back(Early {
            token,
            from,
            until: now + self.config.half_timeout,
        });
    }

    /// Whether an offer was kept, which is used up by it.
    pub(super) fn take_early(&mut self, token: EdgeToken, from: NodeId) -> bool {
        let before = self.early.len();
        self.early
            .retain(|early| early.token != token || early.from != from);
        self.early.len() < before
    }

    /// Both ends were moved to each other, and both say so: the lower one takes.
    pub(super) fn on_counter_offer(&mut self, token: EdgeToken, from: NodeId) {
        if self.own.node < from {
            self.answer(from, token, OverlayVerdict::Take);
            self.settle_give(token);
        }
    }

    /// The edge that an end was held ready for is there.
    pub(super) fn settle_give(&mut self, token: EdgeToken) {
        let Some(Deal::Give(give)) = self.end(token) else {
            return;
        };
        if let Some(old) = give.old {
            self.replace(old, !give.gone);
        }
        self.add_edge(&give.to, token, give.near);
    }

    /// Drops an edge whose place another takes, and tells its other end, unless that was first.
    pub(super) fn replace(&mut self, old: NodeId, tell: bool) {
        if self.edges.remove(&old).is_some() {
            self.output(Output::NeighbourDown { node: old });
            self.linger(old);
            if tell {
                self.deny(old);
            }
        }
    }

    pub(super) fn add_edge(&mut self, peer: &Contact, token: EdgeToken, near: bool) {
        self.view.forget(peer.node);
        self.view.find(peer.node);
        self.timers.cancel(Timer::Release(peer.node));
        let edge = Edge {
            addresses: peer.addresses.clone(),
            token,
            lock: None,
            near,
            list: Vec::new(),
            asked: None,
        };
        if self.edges.insert(peer.node, edge).is_none() {
            self.output(Output::NeighbourUp { node: peer.node });
        }
        self.mates.retain(|mate| mate.peer.node != peer.node);
        self.arm_lists();
        if self.free() > 0 {
            // Once the new neighbours have told theirs.
            let pause = self.about(self.config.list_delay).saturating_mul(2);
            self.hasten(Timer::Repair, pause);
        }
    }

    pub(super) fn on_answer(&mut self, from: NodeId, answer: &OverlayAnswer) {
        let token = answer.token;
        match answer.verdict {
            OverlayVerdict::Take => self.on_take(from, token),
            OverlayVerdict::Refuse => self.on_refuse(from, token),
            OverlayVerdict::Ready => self.on_ready(from, token),
            OverlayVerdict::Retry => self.on_retry(from, token, answer.after_ms),
        }
    }

    fn on_take(&mut self, from: NodeId, token: EdgeToken) {
        match self.deals.get(&token) {
            Some(Deal::Give(give)) if give.to.node == from => self.settle_give(token),
            Some(Deal::Tail(tail)) if tail.head == from && tail.offered => self.settle_tail(token),
            _ => {
                let max = self.config.max_window;
                if self.admission.report(token, from, true, max) {
                    self.linger(from);
                    self.admit_next();
                } else if !self.edges.contains_key(&from) {
                    // It was given up here in the meantime.
                    self.deny(from);
                }
            }
        }
    }

    fn on_refuse(&mut self, from: NodeId, token: EdgeToken) {
        let concerned = match self.deals.get(&token) {
            Some(Deal::Seek(seek)) => {
                let half = seek.half.as_ref();
                seek.via == Some(from) || half.is_some_and(|half| half.peer.node == from)
            }
            Some(Deal::Give(give)) => give.to.node == from || give.old == Some(from),
            Some(Deal::Part(part)) => part.ends.contains(&from),
            Some(deal @ (Deal::Head(_) | Deal::Tail(_))) => deal.needs(from),
            None => false,
        };
        if concerned {
            self.abort(token, Some(from));
            return;
        }
        let max = self.config.max_window;
        if self.admission.report(token, from, false, max) {
            self.admit_next();
            return;
        }
        // The other end gave up what this end had carried out already.
        let taken = self.edges.get(&from);
        if taken.is_some_and(|edge| edge.token == token) {
            self.stats.edges_one_sided = self.stats.edges_one_sided.saturating_add(1);
            self.lose_edge(from);
        }
    }

    fn on_ready(&mut self, from: NodeId, token: EdgeToken) {
        match self.deals.get_mut(&token) {
            Some(Deal::Seek(seek)) if seek.via == Some(from) && !seek.let_in => {
                seek.let_in = true;
                seek.since = self.now;
                let patience = self.walk_timeout();
                self.after(Timer::Deal(token), patience);
            }
            Some(Deal::Head(head)) if head.tail == from => self.on_tail_ready(token),
            _ => (),
        }
    }

    fn on_retry(&mut self, from: NodeId, token: EdgeToken, after_ms: u32) {
        let asked =
            matches!(self.deals.get(&token), Some(Deal::Seek(seek)) if seek.via == Some(from));
        if asked {
            self.end(token);
            self.linger(from);
            let after = Duration::from_millis(after_ms.into()).min(self.config.max_pause);
            let after = self.about(after);
            self.after(Timer::Repair, after);
        }
    }

    pub(super) fn on_deal_late(&mut self, token: EdgeToken) {
        if let Some(Deal::Seek(seek)) = self.deals.get(&token)
            && let Some(via) = seek.via.filter(|via| !self.links.contains(via))
        {
            // There was no way to it.
            self.view.forget(via);
            if !self.edges.is_empty() {
                self.contacts.retain(|contact| contact.node != via);
            }
        }
        self.abort(token, None);
    }

    /// Gives an exchange up and tells all who take part but `by`, from whom this node knows.
    pub(super) fn abort(&mut self, token: EdgeToken, by: Option<NodeId>) {
        let Some(deal) = self.end(token) else {
            return;
        };
        let mut others = Vec::new();
        let mut held = Vec::new();
        let mut onward = None;
        match deal {
            Deal::Seek(seek) => {
                self.stats.walks_failed = self.stats.walks_failed.saturating_add(1);
                others.extend(seek.half.map(|half| half.peer.node));
                if let Some(via) = seek.via {
                    others.push(via);
                    self.unpost(via, token);
                    self.linger(via);
                }
                if !self.has_failed {
                    self.has_failed = true;
                    self.failures = self.failures.saturating_add(1);
                }
                self.repair_later();
            }
            Deal::Give(give) => {
                let untold = !self.links.contains(&give.to.node);
                onward = give
                    .walk
                    .filter(|_| untold && by.is_some() && by == give.old);
                others.push(give.to.node);
                self.unpost(give.to.node, token);
                self.linger(give.to.node);
                match give.old {
                    Some(old) if give.gone => {
                        self.lose_edge(old);
                    }
                    old => held.extend(old),
                }
                if give.again > 0 && by.is_some() {
                    let again = give.again.saturating_sub(1);
                    self.propose_later(give.to, again);
                } else if give.old.is_none() {
                    self.repair_soon();
                }
            }
            Deal::Part(part) => held.extend(part.ends),
            Deal::Head(head) => {
                others.push(head.tail);
                others.extend(head.offer.map(|peer| peer.node));
                held.push(head.old);
            }
            Deal::Tail(tail) => {
                others.push(tail.head);
                if tail.offered {
                    others.push(tail.new.node);
                }
                if tail.gone {
                    self.lose_edge(tail.old);
                } else {
                    held.push(tail.old);
                }
            }
        }
        for node in others.into_iter().filter(|node| Some(*node) != by) {
            self.answer(node, token, OverlayVerdict::Refuse);
        }
        if !held.is_empty() {
            self.stats.deals_failed = self.stats.deals_failed.saturating_add(1);
        }
        for node in held {
            self.unlock(node, token);
            if Some(node) != by {
                self.answer(node, token, OverlayVerdict::Refuse);
                // It may have carried its part out.
                self.ask_edge(node);
            }
            if self.has_left {
                self.drop_edge(node);
            }
        }
        if let Some(walk) = onward {
            self.step(self.own.node, walk);
        }
    }
}
