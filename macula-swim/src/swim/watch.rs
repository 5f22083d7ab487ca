//! Whom this node probes, and when: its neighbours when they are silent, and somebody else by turns.

use std::time::Duration;

use macula_wire::NodeId;

use super::Swim;
use crate::config::part;
use crate::timer::Timer;

/// How many turns of members that cannot be probed are passed over at a time.
const MAX_SKIPPED: usize = 256;
/// Up to how many peers are watched by a node to which nobody named neighbours.
const MAX_UNASKED: usize = 8;
/// How many links to strangers may be asked for at the same time.
const MAX_STRANGERS: usize = 8;

impl Swim {
    pub(super) fn on_neighbour_up(&mut self, peer: NodeId) {
        if !self.config.watch || peer == self.own_id() || !self.peers.add_neighbour(peer) {
            return;
        }
        if self.peers.contains(&peer) {
            self.begin_watch(peer);
            self.compare(peer);
        }
    }

    pub(super) fn on_neighbour_down(&mut self, peer: NodeId) {
        self.peers.remove_neighbour(&peer);
        if !self.is_watched(&peer) {
            self.timers.cancel(Timer::Watch(peer));
        }
    }

    /// Whether a peer is watched: a neighbour, or, in a realm so small that an overlay would be a full mesh, anybody.
    pub(super) fn is_watched(&self, peer: &NodeId) -> bool {
        let few = !self.peers.has_neighbours() && self.peers.len() <= MAX_UNASKED;
        self.config.watch && (self.peers.is_neighbour(peer) || few)
    }

    fn watched(&self) -> usize {
        if self.peers.has_neighbours() {
            self.peers.degree()
        } else {
            self.peers.len()
        }
    }

    /// A peer that is watched can be reached.
    pub(super) fn begin_watch(&mut self, peer: NodeId) {
        // The neighbours of one member should not all probe it in step.
        let first = self.within(self.watch_interval());
        self.after(Timer::Watch(peer), first);
        self.arm_gossip();
    }

    fn watch_interval(&self) -> Duration {
        let degree = self.watched();
        self.health.scale(self.config.watch_interval(degree))
    }

    /// Probes a neighbour that was silent for long enough.
    pub(super) fn on_watch(&mut self, node: NodeId) {
        if !self.peers.contains(&node) || !self.is_watched(&node) {
            return;
        }
        let known = self.members.get(&node);
        if known.is_some_and(|known| known.state().is_present()) {
            self.begin_probe(node);
        }
        self.put_off_watch(node);
    }

    /// A peer takes part in probing, so it need not be probed for a while: each link is probed by the end whose patience
    /// is over first.
    ///
    /// News does not count: a flood, which reaches everybody at once, would bring all watches into step.
    pub(super) fn heard(&mut self, from: NodeId) {
        if self.timers.at(Timer::Watch(from)).is_some() {
            self.put_off_watch(from);
        }
    }

    fn put_off_watch(&mut self, node: NodeId) {
        let interval = self.watch_interval();
        // The two ends of a link must not come to probe in step.
        let jitter = self.within(part(interval, 5));
        let interval = interval.saturating_sub(part(interval, 10));
        let timer = Timer::Watch(node);
        self.timers.set(timer, self.now + interval + jitter);
    }

    /// Whether every member is to have a link to every other.
    pub(super) fn is_small(&self) -> bool {
        self.members.counts().present() <= self.config.link_pool
    }

    pub(super) fn round_period(&self) -> Duration {
        let watched = !self.is_small() && self.peers.has_neighbours();
        self.health.scale(if watched {
            self.config.stranger_period
        } else {
            self.config.probe_period
        })
    }

    pub(super) fn on_round(&mut self) {
        let pause = self.round_period();
        self.after(Timer::Round, pause);
        let is_small = self.is_small();
        let (members, peers) = (&self.members, &self.peers);
        let (now, grace) = (self.now, self.config.link_grace);
        let fits = |place| {
            members.at(place).is_some_and(|member| {
                let node = member.node();
                let settled = now.saturating_since(member.since()) >= grace;
                let watched = !is_small && peers.is_neighbour(&node);
                member.state().is_present() && !watched && (settled || peers.contains(&node))
            })
        };
        let random = &mut self.random;
        let turn = self
            .rotation
            .next(members.places(), MAX_SKIPPED, random, fits);
        let Some(target) = turn
            .and_then(|place| members.at(place))
            .map(|member| member.node())
        else {
            return;
        };
        if self.peers.contains(&target) {
            self.begin_probe(target);
        } else if is_small {
            self.want_link(target);
            self.begin_probe(target);
        } else {
            self.probe_stranger(target);
        }
    }

    /// Asks for a link to a member in order to probe it there.
    pub(super) fn probe_stranger(&mut self, target: NodeId) {
        if self.peers.contains(&target) {
            self.begin_probe(target);
            return;
        }
        let full = self.strangers.len() >= MAX_STRANGERS;
        if !full && self.connect(target) && self.strangers.insert(target) {
            let patience = self.health.scale(self.config.dial_timeout);
            self.after(Timer::Stranger(target), patience);
        }
    }

    /// A stranger did not answer the dial. A node without any link has no reason to blame others.
    pub(super) fn on_stranger_late(&mut self, node: NodeId) {
        self.strangers.remove(&node);
        let present = self
            .members
            .get(&node)
            .is_some_and(|known| known.state().is_present());
        if self.peers.contains(&node) || self.peers.is_empty() || !present {
            return;
        }
        self.stats.probes_failed = self.stats.probes_failed.saturating_add(1);
        self.accuse(node);
    }
}
