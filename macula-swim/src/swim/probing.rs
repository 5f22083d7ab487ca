//! Probing members and judging who does not answer.

use macula_wire::message::{SwimNack, SwimPing, SwimPingReq};
use macula_wire::{NodeId, ProbeId};

use super::{Class, Swim};
use crate::config::part;
use crate::member::{Member, State};
use crate::probe::Probe;
use crate::suspicion::Verdict;
use crate::timer::Timer;

/// How many turns of members that cannot be probed are passed over at a time.
const MAX_SKIPPED: usize = 64;

impl Swim {
    pub(super) fn on_round(&mut self) {
        let pause = self.config.probe_period;
        self.after(Timer::Round, pause);
        for _ in 0..MAX_SKIPPED {
            let Some(target) = self.probes.turn() else {
                self.begin_round();
                return;
            };
            if self.is_due(&target) {
                self.begin_probe(target);
                return;
            }
        }
    }

    /// Puts everybody in a new order, and probes the first.
    fn begin_round(&mut self) {
        let own = self.own_id();
        let present = |member: &&Member| member.state.is_present() && member.node() != own;
        let present = self.members.iter().filter(present).map(Member::node);
        self.probes.begin_round(present, &mut self.random);
        while let Some(target) = self.probes.turn() {
            if self.is_due(&target) {
                self.begin_probe(target);
                return;
            }
        }
    }

    /// Whether a member may be probed when it has its turn.
    fn is_due(&self, target: &NodeId) -> bool {
        let Some(member) = self.members.get(target) else {
            return false;
        };
        let grace = self.config.link_grace;
        let settled = self.now.saturating_since(member.since) >= grace;
        member.state.is_present() && (settled || self.links.contains(target))
    }

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
        let probe = Probe {
            target,
            version,
            helpers: Vec::new(),
            nacks: 0,
        };
        self.probes.start(number, probe);
        self.stats.probes = self.stats.probes.saturating_add(1);
        let period = self.config.probe_period;
        self.after(Timer::Verdict(number), period);
        if self.links.contains(&target) {
            let patience = self.config.probe_timeout;
            self.after(Timer::Direct(number), patience);
            self.ping(number, target, Class::Datagram);
        } else {
            self.on_direct_late(number);
        }
    }

    pub(super) fn ping(&mut self, probe: ProbeId, target: NodeId, class: Class) {
        let updates = self.pack(&target);
        let ping = SwimPing {
            probe,
            target,
            updates,
        };
        self.send(target, class, ping);
    }

    /// Asks others to probe as well, and tries the way on which nothing gets lost.
    pub(super) fn on_direct_late(&mut self, number: ProbeId) {
        let Some(target) = self.probes.get(number).map(|probe| probe.target) else {
            return;
        };
        let count = self.config.indirect_probes.saturating_add(1);
        let mut helpers = self.sample(count);
        helpers.retain(|helper| *helper != target);
        helpers.truncate(self.config.indirect_probes);
        if let Some(probe) = self.probes.get_mut(number) {
            probe.helpers.clone_from(&helpers);
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
        if self.links.contains(&target) {
            self.ping(number, target, Class::Reliable);
        }
    }

    pub(super) fn on_probe_answered(&mut self, number: ProbeId, by: NodeId) {
        let Some(probe) = self.probes.end(number) else {
            return;
        };
        self.timers.cancel(Timer::Direct(number));
        self.timers.cancel(Timer::Verdict(number));
        if by != probe.target {
            self.stats.probes_indirect = self.stats.probes_indirect.saturating_add(1);
        }
        let same = self.members.get(&probe.target).map(Member::version) == Some(probe.version);
        if let Some(suspicion) = self.suspicions.get_mut(&probe.target).filter(|_| same) {
            suspicion.answered();
        }
    }

    /// Nobody has answered within the period.
    pub(super) fn on_probe_failed(&mut self, number: ProbeId) {
        let Some(probe) = self.probes.end(number) else {
            return;
        };
        self.timers.cancel(Timer::Direct(number));
        let Some(member) = self.members.get(&probe.target) else {
            return;
        };
        // A later record shows that the member was there meanwhile.
        if member.version() != probe.version || !member.state.is_present() {
            return;
        }
        self.stats.probes_failed = self.stats.probes_failed.saturating_add(1);
        tracing::trace!(target = %probe.target.short(), nacks = probe.nacks, "a probe failed");
        self.accuse(probe.target);
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
        self.probes.end_relay(number);
        self.timers.cancel(Timer::Nack(number));
        self.timers.cancel(Timer::Relay(number));
    }

    /// Looks whether another's accusation holds.
    pub(super) fn on_check(&mut self, node: NodeId) {
        let doubted = self.suspicions.get(&node);
        if doubted.is_some_and(crate::suspicion::Suspicion::needs_check) {
            self.begin_probe(node);
        }
    }

    pub(super) fn on_suspicion_over(&mut self, node: NodeId) {
        let Some(suspicion) = self.suspicions.get(&node) else {
            return;
        };
        match suspicion.verdict() {
            Verdict::Dead => self.declare_dead(node),
            Verdict::Alive => self.acquit(node),
            Verdict::Unsure => {
                self.begin_probe(node);
                let pause = self
                    .config
                    .probe_period
                    .saturating_add(self.config.probe_timeout);
                self.after(Timer::Suspicion(node), pause);
            }
        }
    }

    /// This node has stood still: what it missed in that time proves nothing about others.
    pub(super) fn on_stall(&mut self) {
        self.stats.stalls = self.stats.stalls.saturating_add(1);
        for number in self.probes.void() {
            for timer in [
                Timer::Direct(number),
                Timer::Verdict(number),
                Timer::Nack(number),
                Timer::Relay(number),
            ] {
                self.timers.cancel(timer);
            }
        }
        let pause = self.suspicion_timeout();
        let suspected: Vec<NodeId> = self.suspicions.keys().copied().collect();
        for node in suspected {
            self.after(Timer::Suspicion(node), pause);
        }
    }

    pub(super) fn suspicion_timeout(&self) -> std::time::Duration {
        self.config.suspicion_timeout(self.counts().present())
    }

    /// A member that is missing its link is asked for one: by the lower id at once, by the other only if that fails.
    pub(super) fn want_link(&mut self, node: NodeId) {
        if self.links.contains(&node) {
            return;
        }
        let pause = if self.own_id() < node {
            part(self.config.probe_timeout, 10)
        } else {
            self.config.connect_period
        };
        let pause = pause.saturating_add(self.within(pause));
        self.after(Timer::Connect(node), pause);
    }

    pub(super) fn on_link_missing(&mut self, node: NodeId) {
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        if !member.state.is_present() || self.links.contains(&node) {
            return;
        }
        let doublings = member.attempts.min(3);
        member.attempts = member.attempts.saturating_add(1);
        self.connect(node);
        let pause = self.config.connect_period.saturating_mul(1 << doublings);
        let pause = pause.saturating_add(self.within(pause));
        self.after(Timer::Connect(node), pause);
    }

    /// Tries one of the dead: it may be that only the way to it was cut.
    pub(super) fn on_revive(&mut self) {
        let pause = self.config.revive_period;
        self.after(Timer::Revive, pause);
        let Some(node) = self.members.next_dead(self.last_revived) else {
            return;
        };
        self.last_revived = Some(node);
        if self.links.contains(&node) {
            let number = self.probes.number();
            self.ping(number, node, Class::Reliable);
        } else {
            self.connect(node);
        }
    }

    pub(super) fn on_forget(&mut self) {
        while let Some((since, node)) = self.members.oldest_tombstone() {
            let at = since + self.config.forget_after;
            if at > self.now {
                self.timers.set(Timer::Forget, at);
                return;
            }
            self.forget(&node);
        }
    }

    fn forget(&mut self, node: &NodeId) {
        self.members.remove(node);
        self.gossip.forget(*node);
        self.timers.cancel(Timer::Connect(*node));
    }

    /// Makes room for a new member; answers whether there is any.
    pub(super) fn make_room(&mut self) -> bool {
        if self.members.len() < self.config.max_members {
            return true;
        }
        let Some((_, node)) = self.members.oldest_tombstone() else {
            self.stats.refused_full = self.stats.refused_full.saturating_add(1);
            return false;
        };
        self.forget(&node);
        true
    }

    /// Changes the state of a member and what depends on it.
    pub(super) fn enter_state(&mut self, node: NodeId, state: State) {
        self.members.set_state(&node, state, self.now);
        if state != State::Suspect {
            self.suspicions.remove(&node);
            self.timers.cancel(Timer::Suspicion(node));
            self.timers.cancel(Timer::Check(node));
        }
        if !state.is_present() {
            self.timers.cancel(Timer::Connect(node));
            let at = self.now + self.config.forget_after;
            self.timers.arm(Timer::Forget, at);
        }
    }
}
