//! What becomes of an offer of an edge.

use std::time::Duration;

use macula_wire::message::{Contact, OverlayOffer, OverlayVerdict};
use macula_wire::{EdgeToken, NodeId};

use super::Overlay;
use super::deal::{Deal, Half};
use super::timer::Timer;
use crate::config::part;

impl Overlay {
    pub(super) fn on_offer(&mut self, from: NodeId, offer: OverlayOffer) {
        let token = offer.token;
        match self.deals.get_mut(&token) {
            Some(Deal::Seek(_)) => self.on_sought(from, offer),
            Some(Deal::Give(give)) if give.to.node == from => self.on_counter_offer(token, from),
            Some(Deal::Tail(tail)) if tail.new.node == from => {
                let rtt = offer.rtt_us.map(|rtt| Duration::from_micros(rtt.into()));
                self.on_tail_offer(token, from, rtt);
            }
            Some(Deal::Head(head)) if offer.instead == Some(head.tail) => {
                self.on_head_offer(token, from, offer);
            }
            Some(_) => self.answer(from, token, OverlayVerdict::Refuse),
            None => match offer.instead {
                None => self.on_proposal(from, offer),
                Some(old) if self.edges.contains_key(&old) => self.keep_early(from, offer.token),
                Some(_) => self.answer(from, token, OverlayVerdict::Refuse),
            },
        }
    }

    /// Whether nothing speaks against an edge to a node. If this node and the other are offering each other an edge at
    /// the same time, the offer of the lower one counts.
    fn is_open_to(&mut self, from: NodeId) -> bool {
        if self.edges.contains_key(&from) || self.has_left {
            return false;
        }
        let engaged = self.deals.iter().find(|(_, deal)| deal.brings(from));
        let Some((token, deal)) = engaged else {
            return true;
        };
        let free = matches!(deal, Deal::Give(give) if give.old.is_none());
        if !free || self.own.node < from {
            return false;
        }
        let token = *token;
        self.unpost(from, token);
        self.end(token);
        true
    }

    /// An end of an edge that a walk of this node has found.
    fn on_sought(&mut self, from: NodeId, offer: OverlayOffer) {
        let token = offer.token;
        let other = match self.deals.get_mut(&token) {
            Some(Deal::Seek(seek)) => seek.half.take(),
            _ => None,
        };
        let peer = Contact {
            node: from,
            addresses: offer.addresses,
        };
        if !self.is_open_to(from) {
            self.answer(from, token, OverlayVerdict::Refuse);
            self.put_half(token, other);
            self.abort(token, Some(from));
            return;
        }
        match (offer.instead, other) {
            (None, None) => {
                self.finish_seek(token);
                self.accept(&peer, token);
            }
            (Some(instead), None) if self.has_two_places(token) => {
                self.put_half(token, Some(Half { peer, instead }));
                let patience = self.half_timeout();
                self.after(Timer::Deal(token), patience);
            }
            (Some(instead), Some(half)) if half.peer.node == instead && half.instead == from => {
                self.finish_seek(token);
                self.accept(&half.peer, token);
                self.accept(&peer, token);
            }
            (_, other) => {
                self.answer(from, token, OverlayVerdict::Refuse);
                self.put_half(token, other);
                self.abort(token, None);
            }
        }
    }

    /// Whether a walk was for two edges, as an edge has two ends.
    fn has_two_places(&self, token: EdgeToken) -> bool {
        matches!(self.deals.get(&token), Some(Deal::Seek(seek)) if seek.slots == 2)
    }

    fn put_half(&mut self, token: EdgeToken, half: Option<Half>) {
        if let Some(Deal::Seek(seek)) = self.deals.get_mut(&token) {
            seek.half = half;
        }
    }

    /// A walk has found what it looked for: its contact is told, and the next walk begins from here.
    fn finish_seek(&mut self, token: EdgeToken) {
        if let Some(Deal::Seek(seek)) = self.end(token) {
            let took = self.now.saturating_since(seek.since);
            let usual = self.walk_time.unwrap_or(took);
            self.walk_time = Some(part(usual.saturating_mul(3).saturating_add(took), 4));
            if let Some(via) = seek.via {
                self.answer(via, token, OverlayVerdict::Take);
                self.linger(via);
            }
        }
        self.failures = 0;
        self.has_failed = false;
        self.repair_soon();
    }

    /// How long a walk may take: a few times as long as walks have taken.
    pub(super) fn walk_timeout(&self) -> Duration {
        let (least, most) = (self.config.min_walk_timeout, self.config.walk_timeout);
        let usual = self.walk_time.map_or(most, |time| time.saturating_mul(4));
        usual.max(least).min(most)
    }

    /// How long one end may wait for the other.
    fn half_timeout(&self) -> Duration {
        let (least, most) = (self.config.min_walk_timeout, self.config.half_timeout);
        let usual = self.walk_time.map_or(most, |time| time.saturating_mul(2));
        usual.max(least).min(most)
    }

    fn accept(&mut self, peer: &Contact, token: EdgeToken) {
        self.add_edge(peer, token, false);
        self.answer(peer.node, token, OverlayVerdict::Take);
    }

    /// An edge that this node did not ask for: it takes it if it lacks one.
    fn on_proposal(&mut self, from: NodeId, offer: OverlayOffer) {
        let token = offer.token;
        if self.is_open_to(from) && self.make_place() {
            let addresses = offer.addresses;
            let peer = Contact {
                node: from,
                addresses,
            };
            self.hear(&peer);
            self.accept(&peer, token);
        } else {
            self.answer(from, token, OverlayVerdict::Refuse);
        }
    }

    /// Whether there is a place for one more edge, if need be that of a walk for a single one that found nothing yet.
    pub(super) fn make_place(&mut self) -> bool {
        if self.free() > 0 {
            return true;
        }
        let idle = self.deals.iter().find(
            |(_, deal)| matches!(deal, Deal::Seek(seek) if seek.slots == 1 && seek.half.is_none()),
        );
        let Some((token, _)) = idle else {
            return false;
        };
        let token = *token;
        self.drop_seek(token);
        true
    }

    /// Gives up walks for a single edge that found nothing yet.
    pub(super) fn cancel_single_seeks(&mut self) {
        let single = |deal: &Deal| match deal {
            Deal::Seek(seek) => seek.slots == 1 && seek.half.is_none() && seek.via.is_none(),
            Deal::Give(_) | Deal::Part(_) | Deal::Head(_) | Deal::Tail(_) => false,
        };
        let idle = self.deals.iter().filter(|(_, deal)| single(deal));
        let idle: Vec<EdgeToken> = idle.map(|(token, _)| *token).collect();
        for token in idle {
            self.drop_seek(token);
        }
    }

    /// Gives up a walk without a word: what it finds is refused.
    fn drop_seek(&mut self, token: EdgeToken) {
        if let Some(Deal::Seek(seek)) = self.end(token)
            && let Some(via) = seek.via
        {
            self.unpost(via, token);
            self.linger(via);
        }
    }
}
