//! Suspecting members, declaring them dead, and refuting what is said against this node.

use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{SignedAccusation, Update};
use macula_wire::{Incarnation, NodeId};

use super::{Output, Swim};
use crate::Offence;
use crate::config::part;
use crate::member::State;
use crate::own::Claim;
use crate::suspicion::{Finding, MAX_ACCUSERS, Suspicion, Verdict};
use crate::timer::Timer;

/// How many confirmations by others make one by this node superfluous to third ones.
const ENOUGH_CONFIRMATIONS: usize = 2;
/// How much longer than its accusers a third one waits, so that their word goes round first.
const SLACK: Duration = Duration::from_millis(300);
/// Of how many members, on average, one looks after a stranger that one alone accuses.
const STRANGER_CHECKS: u64 = 4;

impl Swim {
    /// Takes an accusation in; answers whether its sender may bring more.
    pub(super) fn on_accusation(
        &mut self,
        from: NodeId,
        claim: Claim,
        signed: Arc<SignedAccusation>,
    ) -> bool {
        let accusation = &signed.accusation;
        let (subject, accuser) = (accusation.subject, accusation.accuser);
        if subject == self.own_id() {
            self.on_accused(from, &signed);
            return true;
        }
        if accuser == subject || !self.wants(&claim.update(Arc::clone(&signed))) {
            return true;
        }
        let trusted = self.members.get(&accuser).map(|member| member.state());
        if !trusted.is_some_and(State::is_present) {
            return true;
        }
        let (now, max) = (self.now, self.config.max_accusations);
        if !self.allowances.entry(accuser).or_default().take(now, max) {
            self.stats.refused_accusations = self.stats.refused_accusations.saturating_add(1);
            // Who passes them on has not made them, and may have had room for them.
            if accuser == from {
                self.misbehaved(from, Offence::TooManyAccusations);
                return false;
            }
            return true;
        }
        self.spread(claim.update(Arc::clone(&signed)), Some(from), true);
        let suspicion = self.doubt(subject);
        suspicion.accused(claim, signed);
        self.settle(subject);
        true
    }

    /// The suspicion of a present member, begun if there is none.
    fn doubt(&mut self, node: NodeId) -> &mut Suspicion {
        if !self.suspicions.contains_key(&node) {
            self.enter_state(node, State::Suspect);
            self.stats.suspicions = self.stats.suspicions.saturating_add(1);
            self.output(Output::Suspect { node });
        }
        let now = self.now;
        self.suspicions
            .entry(node)
            .or_insert_with(|| Suspicion::new(now))
    }

    /// Decides what follows from a new accuser.
    fn settle(&mut self, node: NodeId) {
        let two = self.config.two_accusers;
        let Some(suspicion) = self.suspicions.get(&node) else {
            return;
        };
        if !two && suspicion.is_confirmed(two) {
            self.declare_dead(node);
            return;
        }
        let linked = self.peers.contains(&node);
        if suspicion.needs_check() && linked {
            let at = self.now + self.within(self.config.check_delay);
            self.timers.arm(Timer::Check(node), at);
        }
        self.arm_suspicion(node);
    }

    /// Sets the time at which a suspicion is over, by what is known now.
    pub(super) fn arm_suspicion(&mut self, node: NodeId) {
        let counts = self.members.counts();
        let Some(suspicion) = self.suspicions.get(&node) else {
            return;
        };
        let confirmed = suspicion.accusers().saturating_sub(1);
        let possible = counts.alive.saturating_sub(1);
        let mut timeout = self
            .config
            .suspicion_timeout(counts.present(), confirmed, possible);
        if self.config.watch {
            if suspicion.finding() == Finding::None {
                timeout = timeout.saturating_add(SLACK);
            }
            if suspicion.is_confirmed(self.config.two_accusers) {
                // Whoever is accused had nearly all of the time to refute, wherever the news began.
                let min = self.config.min_suspicion_timeout;
                timeout = timeout.min(min.saturating_sub(part(min, 10)));
            }
        }
        let at = suspicion.since() + timeout;
        if at <= self.now {
            self.on_suspicion_over(node);
        } else {
            self.timers.set(Timer::Suspicion(node), at);
        }
    }

    /// Looks whether another's accusation holds.
    pub(super) fn on_check(&mut self, node: NodeId) {
        if self
            .suspicions
            .get(&node)
            .is_some_and(Suspicion::needs_check)
        {
            self.begin_probe(node);
        }
    }

    pub(super) fn on_suspicion_over(&mut self, node: NodeId) {
        let two = self.config.two_accusers;
        let Some(suspicion) = self.suspicions.get_mut(&node) else {
            return;
        };
        match suspicion.verdict(two) {
            Verdict::Dead => self.declare_dead(node),
            Verdict::Alive => self.acquit(node),
            Verdict::Unsure if self.peers.contains(&node) => {
                self.begin_probe(node);
                let pause = self
                    .config
                    .probe_period
                    .saturating_add(self.config.probe_timeout);
                let pause = self.health.scale(pause);
                self.after(Timer::Suspicion(node), pause);
            }
            Verdict::Unsure if suspicion.prolong() => {
                let members = u64::try_from(self.members.len()).unwrap_or(u64::MAX);
                if self.random.below(members) < STRANGER_CHECKS {
                    self.probe_stranger(node);
                }
                let pause = self.config.max_suspicion_timeout.saturating_mul(2);
                self.after(Timer::Suspicion(node), pause);
            }
            Verdict::Unsure => self.acquit(node),
        }
    }

    /// This node's own probe of a member has failed: says so to everybody, the member included.
    pub(super) fn accuse(&mut self, node: NodeId) {
        let Some(member) = self.members.get(&node) else {
            return;
        };
        let accusation = self.pen.accuse(Claim::Suspect, member);
        let suspicion = self.doubt(node);
        let first = suspicion.finding() != Finding::Failed;
        suspicion.failed(Arc::clone(&accusation));
        // Nobody takes in more accusers than that.
        let superfluous = suspicion.others() >= MAX_ACCUSERS;
        if first && !superfluous {
            let update = Update::Suspect(accusation);
            self.spread(update.clone(), None, true);
            if self.peers.contains(&node) {
                self.tell(node, update);
            }
        }
        self.settle(node);
    }

    /// The suspicion of a member has run out without a word from it.
    fn declare_dead(&mut self, node: NodeId) {
        let (Some(member), Some(suspicion)) = (self.members.get(&node), self.suspicions.get(&node))
        else {
            return;
        };
        let epoch = member.epoch();
        // Who only heard of it need not add to what its accusers say.
        let enough = match suspicion.finding() {
            Finding::Failed => ENOUGH_CONFIRMATIONS,
            Finding::None | Finding::Answered => 1,
        };
        let confirmed = suspicion.confirmations() >= enough;
        let evidence = match suspicion.confirmation().filter(|_| confirmed) {
            Some(known) => Arc::clone(known),
            None => {
                let own = self.pen.accuse(Claim::Dead, member);
                self.spread(Update::Dead(Arc::clone(&own)), None, true);
                own
            }
        };
        self.enter_state(node, State::Dead);
        self.members.set_evidence(&node, evidence);
        self.output(Output::Down { node, epoch });
    }

    /// The accusers of a member are mistaken.
    fn acquit(&mut self, node: NodeId) {
        self.enter_state(node, State::Alive);
        if let Some(member) = self.members.get(&node) {
            let record = member.signed();
            self.output(Output::Changed { node, record });
        }
    }

    /// Somebody accuses this node.
    fn on_accused(&mut self, from: NodeId, signed: &SignedAccusation) {
        let accusation = &signed.accusation;
        let own = &self.own.record;
        if accusation.epoch != own.epoch || accusation.incarnation < own.incarnation {
            return;
        }
        if accusation.incarnation > own.incarnation {
            // Only this node raises its incarnation, so the accuser has made it up.
            if accusation.accuser == from {
                self.misbehaved(from, Offence::IncarnationJump);
            }
            return;
        }
        self.refute();
        let refuted = self.own.record.incarnation > accusation.incarnation;
        if refuted {
            for to in [
                Some(from),
                Some(accusation.accuser).filter(|node| *node != from),
            ] {
                if let Some(to) = to.filter(|to| self.peers.contains(to)) {
                    self.tell(to, Update::Record(Arc::clone(&self.own)));
                }
            }
        }
    }

    /// Raises the incarnation, so that every accusation of the one before is void.
    pub(super) fn refute(&mut self) {
        let pause = self.config.refute_period;
        if let Some(last) = self.last_refuted
            && self.now.saturating_since(last) < pause
        {
            self.timers.arm(Timer::Refute, last + pause);
            return;
        }
        self.last_refuted = Some(self.now);
        self.timers.cancel(Timer::Refute);
        let record = self.next_record();
        if record.incarnation == Incarnation::new(u64::MAX) {
            return;
        }
        let published = self.publish(record);
        debug_assert!(published.is_ok(), "only the incarnation is another");
        self.stats.refutations = self.stats.refutations.saturating_add(1);
        self.doubt_self(1);
    }
}
