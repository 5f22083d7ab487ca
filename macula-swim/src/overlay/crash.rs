//! After a crash: the former neighbours of a node become neighbours of each other.
//!
//! Each knows who the others are, because neighbours tell each other their neighbours. They stand in one order, by
//! their ids; the first takes the second, the third the fourth.

use std::time::Duration;

use macula_wire::NodeId;
use macula_wire::message::Contact;

use super::Overlay;
use super::deal::{Give, Mate};
use super::timer::Timer;
use crate::config::part;

/// How often an edge is proposed to a node that does not yet know that it lacks one.
const PROPOSALS: u8 = 6;

impl Overlay {
    /// A member is dead or has left.
    pub(super) fn on_gone(&mut self, peer: NodeId) {
        self.abort_all_with(peer);
        let addresses = self.view.addresses(peer).cloned().unwrap_or_default();
        self.view.forget(peer);
        if let Some(edge) = self.edges.get(&peer) {
            let addresses = edge.addresses.clone();
            let lost = Contact {
                node: peer,
                addresses,
            };
            // Should it be alive after all, it is to know.
            self.deny(peer);
            let list = self.lose_edge(peer);
            self.view.lose(lost, self.config.max_lost);
            self.take_mate(&list, Duration::ZERO);
        } else if !addresses.is_empty() {
            let node = peer;
            self.view
                .lose(Contact { node, addresses }, self.config.max_lost);
        }
    }

    /// The link to a neighbour broke: the link may come back, or the neighbour is dead.
    pub(super) fn on_edge_broken(&mut self, lost: Contact, list: Vec<Contact>) {
        if self.own.node < lost.node {
            self.propose_at(lost.clone(), 0, Duration::ZERO);
        }
        self.view.lose(lost, self.config.max_lost);
        let patience = self.config.mate_delay.max(self.config.proposal_timeout);
        self.take_mate(&list, patience);
        self.be_patient(patience.saturating_add(self.config.mate_delay));
    }

    /// Finds the one of the neighbours of a lost node that is to become this node's, and who of both begins.
    fn take_mate(&mut self, list: &[Contact], pause: Duration) {
        let own = self.own.node;
        let Some(place) = list.iter().position(|peer| peer.node == own) else {
            return;
        };
        let Some(mate) = list.get(place ^ 1) else {
            return;
        };
        if self.edges.contains_key(&mate.node) || self.is_engaged(mate.node) {
            return;
        }
        if own < mate.node {
            self.propose_at(mate.clone(), PROPOSALS, pause);
        }
        self.be_patient(pause.saturating_add(self.config.mate_delay));
    }

    /// Leaves it to another to mend the lack of one edge, for a while.
    fn be_patient(&mut self, pause: Duration) {
        let until = self.now + pause;
        self.patient_until = self.patient_until.max(Some(until));
    }

    pub(super) fn propose_later(&mut self, peer: Contact, again: u8) {
        let pause = self.about(part(self.config.mate_delay, 3));
        self.be_patient(pause.saturating_mul(2));
        self.propose_at(peer, again, pause);
    }

    fn propose_at(&mut self, peer: Contact, again: u8, pause: Duration) {
        let at = self.now + pause;
        if self.mates.len() < self.config.max_deals {
            self.mates.push_back(Mate { peer, at, again });
            self.hasten(Timer::Mate, pause);
        }
    }

    /// Offers an edge to those whose time has come, as long as one is missing.
    pub(super) fn on_mates(&mut self) {
        let now = self.now;
        for _ in 0..self.mates.len() {
            let Some(mate) = self.mates.pop_front() else {
                break;
            };
            if mate.at > now {
                self.mates.push_back(mate);
                continue;
            }
            self.propose(mate.peer, mate.again);
        }
        if let Some(at) = self.mates.iter().map(|mate| mate.at).min() {
            self.timers.set(Timer::Mate, at);
        }
    }

    /// Offers a node an edge that it did not ask for.
    pub(super) fn propose(&mut self, to: Contact, again: u8) {
        let node: NodeId = to.node;
        let unfit = self.edges.contains_key(&node)
            || self.is_engaged(node)
            || self.has_left
            || self.deals.len() >= self.config.max_deals;
        if unfit || !self.make_place() {
            return;
        }
        let token = self.token();
        let give = Give {
            to,
            old: None,
            gone: false,
            instead: None,
            near: false,
            walk: None,
            again,
        };
        self.begin_give(token, give, false);
    }
}
