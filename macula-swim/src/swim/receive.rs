//! Reactions to what comes over links.

use macula_wire::message::{
    SwimAck, SwimGossip, SwimJoin, SwimNack, SwimPing, SwimPingReq, SwimState, Update,
};
use macula_wire::{Body, NodeId};

use super::{Class, Output, Swim};
use crate::Offence;
use crate::config::part;
use crate::probe::Relay;
use crate::timer::Timer;

/// The part of all relays that one peer can take up.
const RELAY_SHARES: usize = 16;

impl Swim {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other message belongs to another protocol"
    )]
    pub(super) fn on_message(&mut self, from: NodeId, body: Body) {
        if from == self.own_id() {
            return;
        }
        match body {
            Body::SwimPing(ping) => self.on_ping(from, ping),
            Body::SwimAck(ack) => self.on_ack(from, ack),
            Body::SwimPingReq(request) => self.on_ping_req(from, request),
            Body::SwimNack(nack) => self.on_nack(from, &nack),
            Body::SwimGossip(gossip) => self.on_news(from, gossip),
            Body::SwimJoin(join) => self.on_join(from, join),
            Body::SwimState(state) => self.on_state(from, state),
            Body::SwimDigest(digest) => self.on_digest(from, digest),
            other => {
                tracing::trace!(kind = other.kind().name(), "not a message of membership");
                self.misbehaved(from, Offence::NotMembership);
            }
        }
    }

    /// Takes the news of a message in; answers whether its sender is a member that may be heard.
    ///
    /// News first: whoever is new here brings its own record along.
    pub(super) fn hear(&mut self, from: NodeId, updates: Vec<Update>) -> bool {
        for update in updates {
            if !self.merge(from, update) {
                break;
            }
        }
        // Who was greeted is a member: whoever is forgotten has to be greeted anew.
        if self.peers.get(&from).is_some_and(|peer| peer.greeted) {
            return true;
        }
        if self.members.get(&from).is_none() {
            self.misbehaved(from, Offence::UnknownSender);
            self.introduce(from);
            return false;
        }
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.greeted = true;
        }
        true
    }

    /// Asks a peer that is not known as a member who it is, and tells it of this node; not again before it had the time to
    /// answer.
    fn introduce(&mut self, from: NodeId) {
        if self.peers.contains(&from) && !self.asked.contains(&from) {
            self.ask(from);
        }
    }

    /// Tells a member that it is dead here, if it is, so that it refutes; not more often than it could refute.
    fn tell_dead(&mut self, from: NodeId) {
        if !self.peers.get(&from).is_some_and(|peer| peer.dead) {
            return;
        }
        let (now, pause) = (self.now, self.config.refute_period);
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        let recent = |told| now.saturating_since(told) < pause;
        if peer.told.is_some_and(recent) {
            return;
        }
        peer.told = Some(now);
        if let Some(evidence) = self.members.evidence(&from) {
            self.tell(from, Update::Dead(evidence));
        }
    }

    fn on_ping(&mut self, from: NodeId, ping: SwimPing) {
        if !self.hear(from, ping.updates) {
            return;
        }
        self.heard(from);
        let ack = SwimAck {
            probe: ping.probe,
            updates: self.pack(&from),
        };
        self.send(from, Class::Datagram, ack);
    }

    fn on_ack(&mut self, from: NodeId, ack: SwimAck) {
        if !self.hear(from, ack.updates) {
            return;
        }
        self.tell_dead(from);
        self.heard(from);
        if let Some(relay) = self.probes.relay(ack.probe) {
            if relay.target != from {
                self.misbehaved(from, Offence::WrongAck);
                return;
            }
            self.end_relay(ack.probe);
            let answer = SwimAck {
                probe: relay.probe,
                updates: self.pack(&relay.origin),
            };
            self.send(relay.origin, Class::Datagram, answer);
            return;
        }
        // An answer that comes after the verdict is of no use and no offence.
        let Some(probe) = self.probes.get(ack.probe) else {
            return;
        };
        let asked = from == probe.target || probe.helpers.contains(&from);
        if !asked {
            self.misbehaved(from, Offence::WrongAck);
            return;
        }
        self.on_probe_answered(ack.probe, from);
    }

    fn on_ping_req(&mut self, from: NodeId, request: SwimPingReq) {
        if !self.hear(from, request.updates) {
            return;
        }
        self.tell_dead(from);
        let (probe, target) = (request.probe, request.target);
        if target == self.own_id() {
            let updates = self.pack(&from);
            let ack = SwimAck { probe, updates };
            self.send(from, Class::Datagram, ack);
            return;
        }
        let asked = self.peers.contains(&target);
        let free = self.probes.relays() < self.config.max_relays
            && self.probes.relays_of(&from) < self.config.max_relays.div_ceil(RELAY_SHARES);
        if self.members.get(&target).is_none() || !free || !asked && !self.connect(target) {
            self.send(from, Class::Datagram, SwimNack { probe, target });
            return;
        }
        let number = self.probes.number();
        let relay = Relay {
            origin: from,
            probe,
            target,
            asked,
        };
        self.probes.start_relay(number, relay);
        // The nack leaves while it still can arrive before the origin's verdict, on a path of up to 0.3 s; it does not end
        // the attempt.
        let patience = part(self.config.probe_timeout, 4);
        self.after(Timer::Nack(number), patience);
        let lifetime = self.config.probe_period;
        self.after(Timer::Relay(number), lifetime);
        if asked {
            self.ping(number, target, Class::Datagram);
        }
    }

    fn on_nack(&mut self, from: NodeId, nack: &SwimNack) {
        if !self.hear(from, Vec::new()) {
            return;
        }
        self.tell_dead(from);
        if let Some(probe) = self.probes.get_mut(nack.probe)
            && probe.helpers.contains(&from)
            && probe.target == nack.target
        {
            probe.nacks = probe.nacks.saturating_add(1);
        }
    }

    fn on_news(&mut self, from: NodeId, gossip: SwimGossip) {
        if self.hear(from, gossip.updates) {
            self.tell_dead(from);
        }
    }

    fn on_join(&mut self, from: NodeId, join: SwimJoin) {
        if join.record.record.node != from {
            self.misbehaved(from, Offence::NotOwner);
            return;
        }
        if self.hear(from, vec![Update::Record(join.record)]) {
            if let Some(peer) = self.peers.get_mut(&from) {
                // Whoever asks need not know whom it asks, and a datagram may overtake the answer.
                peer.greeted = false;
            }
            self.tell_dead(from);
            self.answer_join(from);
        }
    }

    fn on_state(&mut self, from: NodeId, state: SwimState) {
        if !self.asked.contains(&from) {
            self.misbehaved(from, Offence::UnexpectedState);
            return;
        }
        if !self.hear(from, state.updates) {
            return;
        }
        if state.more {
            // Who answers many at once takes its time, and would begin anew if it were asked again.
            self.after(Timer::Join(from), self.config.join_period);
            return;
        }
        self.asked.remove(&from);
        self.timers.cancel(Timer::Join(from));
        if self.joins.remove(&from) {
            self.output(Output::Joined { via: from });
        }
    }
}
