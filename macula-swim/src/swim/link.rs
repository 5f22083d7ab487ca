//! Links that come and go, and those that membership wants.

use std::time::Duration;

use macula_wire::NodeId;

use super::{Class, Output, Swim};
use crate::config::part;
use crate::member::State;
use crate::timer::Timer;

impl Swim {
    pub(super) fn on_link_up(&mut self, peer: NodeId) {
        if peer == self.own_id() {
            return;
        }
        self.peers.link(peer, self.members.is_dead(&peer));
        self.timers.cancel(Timer::Connect(peer));
        let state = self
            .members
            .get(&peer)
            .map(|member| (member.state(), member.attempts()));
        if let Some((_, 1..)) = state
            && let Some(member) = self.members.get_mut(&peer)
        {
            member.end_attempts();
        }
        match state.map(|(state, _)| state) {
            Some(State::Dead) => {
                let number = self.probes.number();
                self.ping(number, peer, Class::Reliable);
            }
            Some(State::Alive | State::Suspect) if self.strangers.remove(&peer) => {
                self.timers.cancel(Timer::Stranger(peer));
                self.begin_probe(peer);
            }
            Some(_) | None => {}
        }
        for number in self.probes.ask_waiting(&peer) {
            self.ping(number, peer, Class::Datagram);
        }
        if self.joins.contains(&peer) {
            self.asked.remove(&peer);
            self.ask(peer);
        }
        if self.is_watched(&peer) {
            self.begin_watch(peer);
        }
        self.arm_gossip();
    }

    pub(super) fn on_rtt(&mut self, peer: &NodeId, rtt: Duration) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.rtt.set(rtt);
        }
    }

    pub(super) fn on_link_down(&mut self, peer: NodeId) {
        if !self.peers.unlink(&peer) {
            return;
        }
        self.timers.cancel(Timer::Watch(peer));
        self.answers.retain(|(to, _)| *to != peer);
        self.asked.remove(&peer);
        if !self.joins.contains(&peer) {
            self.timers.cancel(Timer::Join(peer));
        }
        let present = self.members.get(&peer).map(|member| member.state());
        let missed = self.is_small() || self.peers.is_neighbour(&peer);
        if missed && present.is_some_and(State::is_present) {
            self.want_link(peer);
            self.begin_probe(peer);
        }
    }

    /// A link that is missing is asked for, by the lower id at once and by the other only if that fails; if everybody is
    /// to have a link to everybody, or the member is a neighbour.
    pub(super) fn want_link(&mut self, node: NodeId) {
        let wanted = self.is_small() || self.peers.is_neighbour(&node);
        if !wanted || self.peers.contains(&node) {
            return;
        }
        let pause = if self.own_id() < node {
            part(self.config.probe_timeout, 10)
        } else {
            self.config.connect_period
        };
        let pause = pause.saturating_add(self.within(pause));
        self.timers.arm(Timer::Connect(node), self.now + pause);
    }

    pub(super) fn on_link_missing(&mut self, node: NodeId) {
        let wanted = self.is_small() || self.peers.is_neighbour(&node);
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        if !wanted || !member.state().is_present() || self.peers.contains(&node) {
            return;
        }
        let doublings = member.attempts();
        member.attempt();
        self.connect(node);
        let pause = self.config.connect_period.saturating_mul(1 << doublings);
        let pause = pause.saturating_add(self.within(pause));
        self.after(Timer::Connect(node), pause);
    }

    /// Asks for a link to a member; answers whether it can be dialled.
    pub(super) fn connect(&mut self, node: NodeId) -> bool {
        let Some(member) = self.members.get(&node) else {
            return false;
        };
        let addresses = member.addresses();
        if addresses.is_empty() {
            return false;
        }
        self.output(Output::Connect { node, addresses });
        true
    }

    /// Lets a link go that served its purpose, if there is no other.
    pub(super) fn release(&mut self, node: NodeId) {
        let kept = self.is_small()
            || self.peers.is_neighbour(&node)
            || self.joins.contains(&node)
            || self.asked.contains(&node)
            || self.probes.is_probing(&node)
            || self.answers.iter().any(|(to, _)| *to == node);
        if !kept && self.peers.contains(&node) {
            self.output(Output::Release { node });
        }
    }
}
