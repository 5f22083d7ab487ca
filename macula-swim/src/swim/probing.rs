//! One probe: the direct way, the way on which nothing is lost, the help of others, and the verdict.

use std::time::Duration;

use macula_wire::message::{SwimNack, SwimPing, SwimPingReq};
use macula_wire::{NodeId, ProbeId};

use super::{Class, Swim};
use crate::member::{Member, State};
use crate::probe::{Probe, Way};
use crate::timer::Timer;

impl Swim {
    /// Probes a member, unless that is under way.
    pub(super) fn begin_probe(&mut self, target: NodeId) {
        let Some(member) = self.members.get(&target) else {
            return;
        };
        let full = self.probes.running() >= self.config.max_probes;
        if full || self.probes.is_probing(&target) {
            return;
        }
        let version = member.version();
        let number = self.probes.number();
        let patience = self.patience(&target);
        let mut deadline = self.config.probe_deadline;
        if self.config.adaptive {
            deadline = deadline.max(patience.saturating_mul(3));
        }
        let probe = Probe {
            target,
            sent: self.now,
            way: Way::Direct,
            deadline: self.now + self.health.scale(deadline),
            version,
            helpers: Vec::new(),
            nacks: 0,
        };
        self.probes.start(number, probe);
        self.stats.probes = self.stats.probes.saturating_add(1);
        if self.peers.contains(&target) {
            self.after(Timer::Probe(number), self.health.scale(patience));
            self.ping(number, target, Class::Datagram);
        } else {
            self.ask_helpers(number);
        }
    }

    /// How long a direct answer of a member may take.
    fn patience(&self, target: &NodeId) -> Duration {
        let (min, max) = (self.config.min_probe_timeout, self.config.probe_timeout);
        if self.config.adaptive {
            self.peers.rtt(target).patience(min, max)
        } else {
            max
        }
    }

    pub(super) fn ping(&mut self, probe: ProbeId, target: NodeId, class: Class) {
        let updates = self.pack(&target);
        let ping = SwimPing { probe, updates };
        self.send(target, class, ping);
    }

    /// An answer is late. Tries the way on which nothing gets lost, and others after that: most late answers are lost
    /// datagrams.
    pub(super) fn on_probe_late(&mut self, number: ProbeId) {
        let Some(probe) = self.probes.get_mut(number) else {
            return;
        };
        let target = probe.target;
        match probe.way {
            Way::Direct if self.config.adaptive && self.peers.contains(&target) => {
                probe.way = Way::Repeated;
                // The answer to a reliable probe is a datagram, too. A second datagram makes both ways fail ten times
                // more rarely at 5 % loss, and helpers, who may have to dial the target, are asked as rarely.
                self.ping(number, target, Class::Reliable);
                self.ping(number, target, Class::Datagram);
                let patience = self.health.scale(self.patience(&target));
                self.after(Timer::Probe(number), patience);
            }
            Way::Repeated => {
                // One more costs little and saves most suspicions.
                self.ping(number, target, Class::Datagram);
                self.ask_helpers(number);
            }
            Way::Direct => self.ask_helpers(number),
            Way::Helped => self.on_probe_failed(number),
        }
    }

    /// Asks others to probe as well.
    fn ask_helpers(&mut self, number: ProbeId) {
        let Some(target) = self.probes.get(number).map(|probe| probe.target) else {
            return;
        };
        let count = self.config.indirect_probes.saturating_add(1);
        let mut helpers = self.sample(count);
        helpers.retain(|helper| *helper != target);
        helpers.truncate(self.config.indirect_probes);
        if let Some(probe) = self.probes.get_mut(number) {
            probe.way = Way::Helped;
            probe.helpers.clone_from(&helpers);
            let deadline = probe.deadline;
            self.timers.set(Timer::Probe(number), deadline);
        }
        for helper in helpers {
            let updates = self.pack(&helper);
            let request = SwimPingReq {
                probe: number,
                target,
                updates,
            };
            self.send(helper, Class::Datagram, request);
        }
    }

    fn end_probe(&mut self, number: ProbeId) -> Option<Probe> {
        self.timers.cancel(Timer::Probe(number));
        self.probes.end(number)
    }

    pub(super) fn on_probe_answered(&mut self, number: ProbeId, by: NodeId) {
        let Some(probe) = self.end_probe(number) else {
            return;
        };
        let target = probe.target;
        if by != target {
            self.stats.probes_indirect = self.stats.probes_indirect.saturating_add(1);
        } else if probe.way == Way::Direct
            && let Some(peer) = self.peers.get_mut(&target)
        {
            // Of a repeated probe it is not known which copy was answered (Karn's rule).
            peer.rtt.sample(probe.sent, self.now);
        }
        self.health.better();
        if let Some(suspicion) = self.suspicions.get_mut(&target)
            && self.members.get(&target).map(Member::version) == Some(probe.version)
        {
            // A helper's word is no more than an accuser's: it does not outweigh two of them.
            if by == target || suspicion.accusers() < 2 {
                suspicion.answered();
            }
        }
        self.release(target);
    }

    /// Nobody has answered in time.
    fn on_probe_failed(&mut self, number: ProbeId) {
        let Some(probe) = self.end_probe(number) else {
            return;
        };
        // Helpers that are all silent, too, speak against this node; one that is there and has no answer speaks for it.
        // Some may have died together with the target, and those that are suspected do not count.
        let alive = |node: &&NodeId| {
            let member = self.members.get(node);
            member.is_some_and(|member| member.state() == State::Alive)
        };
        let missed = if probe.nacks == 0 {
            probe.helpers.iter().filter(alive).count()
        } else {
            0
        };
        let counted = u64::try_from(missed).unwrap_or(u64::MAX);
        self.stats.nacks_missed = self.stats.nacks_missed.saturating_add(counted);
        self.doubt_self(if probe.helpers.is_empty() { 1 } else { missed });
        let Some(member) = self.members.get(&probe.target) else {
            return;
        };
        // A later record shows that the member was there meanwhile.
        if member.version() != probe.version || !member.state().is_present() {
            return;
        }
        self.stats.probes_failed = self.stats.probes_failed.saturating_add(1);
        tracing::trace!(target = %probe.target.short(), nacks = probe.nacks, "a probe failed");
        self.accuse(probe.target);
        self.release(probe.target);
    }

    /// Something is more likely this node's fault than another's.
    pub(super) fn doubt_self(&mut self, times: usize) {
        if self.config.lha_probe {
            self.health.worse(times, self.config.max_health);
        }
    }

    pub(super) fn on_relay_late(&mut self, number: ProbeId) {
        if let Some(relay) = self.probes.relay(number) {
            let nack = SwimNack {
                probe: relay.probe,
                target: relay.target,
            };
            self.send(relay.origin, Class::Datagram, nack);
        }
    }

    pub(super) fn end_relay(&mut self, number: ProbeId) {
        let target = self.probes.relay(number).map(|relay| relay.target);
        self.probes.end_relay(number);
        self.timers.cancel(Timer::Nack(number));
        self.timers.cancel(Timer::Relay(number));
        if let Some(target) = target {
            self.release(target);
        }
    }

    /// This node has stood still: what it missed in that time proves nothing about others.
    pub(super) fn on_stall(&mut self) {
        self.stats.stalls = self.stats.stalls.saturating_add(1);
        self.doubt_self(1);
        for number in self.probes.void() {
            for timer in [
                Timer::Probe(number),
                Timer::Nack(number),
                Timer::Relay(number),
            ] {
                self.timers.cancel(timer);
            }
        }
        for node in std::mem::take(&mut self.strangers) {
            self.timers.cancel(Timer::Stranger(node));
        }
        let suspected: Vec<NodeId> = self.suspicions.keys().copied().collect();
        for node in suspected {
            if let Some(suspicion) = self.suspicions.get_mut(&node) {
                suspicion.restart(self.now);
            }
            self.arm_suspicion(node);
        }
    }
}
