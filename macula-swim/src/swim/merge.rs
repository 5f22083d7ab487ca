//! Taking in what is said about members: records by their owners, accusations by others.

use std::sync::Arc;

use macula_wire::message::{MemberStatus, SignedAccusation, SignedRecord, SwimGossip, Update};
use macula_wire::{Incarnation, NodeId};

use super::{Class, Output, Swim};
use crate::Offence;
use crate::member::{Member, State};
use crate::own::Claim;
use crate::suspicion::{Finding, Suspicion};
use crate::timer::Timer;

/// The highest incarnation that a member may have when it is first heard of.
const MAX_FIRST_INCARNATION: u64 = 1 << 32;
/// How many confirmations by others make one by this node superfluous to third ones.
const ENOUGH_CONFIRMATIONS: usize = 2;

impl Swim {
    /// Takes a piece of news in; answers whether its sender may bring more.
    pub(super) fn merge(&mut self, from: NodeId, update: Update) -> bool {
        match update {
            Update::Record(record) => {
                self.on_record(from, record);
                true
            }
            Update::Suspect(accusation) => self.on_accusation(from, Claim::Suspect, accusation),
            Update::Dead(accusation) => self.on_accusation(from, Claim::Dead, accusation),
            _ => true,
        }
    }

    /// Whether an update would change anything.
    pub(super) fn wants(&self, update: &Update) -> bool {
        let (claim, accusation) = match update {
            Update::Record(record) => {
                let record = &record.record;
                let known = self.members.get(&record.node).map(Member::version);
                return match known {
                    Some(known) => (record.epoch, record.incarnation) > known,
                    None => record.status == MemberStatus::Alive,
                };
            }
            Update::Suspect(signed) => (Claim::Suspect, &signed.accusation),
            Update::Dead(signed) => (Claim::Dead, &signed.accusation),
            _ => return false,
        };
        let Some(member) = self.members.get(&accusation.subject) else {
            return false;
        };
        let version = (accusation.epoch, accusation.incarnation);
        if !member.state.is_present() || version != member.version() {
            return false;
        }
        let suspicion = self.suspicions.get(&accusation.subject);
        accusation.accuser != self.own_id()
            && suspicion.is_none_or(|known| known.wants(accusation.accuser, claim))
    }

    fn on_record(&mut self, from: NodeId, signed: Arc<SignedRecord>) {
        let record = &signed.record;
        let node = record.node;
        if node == self.own_id() {
            self.on_own_record(&signed);
            return;
        }
        if self.is_ahead(record.epoch) {
            self.refuse(from, node, Offence::EpochAhead);
            return;
        }
        let Some(known) = self.members.get(&node) else {
            self.on_new_record(from, signed);
            return;
        };
        if (record.epoch, record.incarnation) <= known.version() {
            return;
        }
        let (epoch, incarnation) = known.version();
        if known.state == State::Left && record.epoch == epoch {
            // A goodbye ends the run: who comes back has a later epoch.
            self.stats.refused_records = self.stats.refused_records.saturating_add(1);
            return;
        }
        let jump = record.incarnation.since(incarnation);
        if record.epoch == epoch && jump > self.config.max_incarnation_jump
            || record.epoch > epoch && record.incarnation.get() > MAX_FIRST_INCARNATION
        {
            self.refuse(from, node, Offence::IncarnationJump);
            return;
        }
        self.on_later_record(signed);
    }

    /// Counts a record that cannot be right; blames the peer only if it speaks of itself.
    fn refuse(&mut self, from: NodeId, node: NodeId, offence: Offence) {
        self.stats.refused_records = self.stats.refused_records.saturating_add(1);
        if from == node {
            self.misbehaved(from, offence);
        }
    }

    fn on_new_record(&mut self, from: NodeId, signed: Arc<SignedRecord>) {
        let record = &signed.record;
        let node = record.node;
        if record.status == MemberStatus::Left {
            return;
        }
        if record.incarnation.get() > MAX_FIRST_INCARNATION {
            self.refuse(from, node, Offence::IncarnationJump);
            return;
        }
        if !self.make_room() {
            return;
        }
        self.spread(Update::Record(signed.clone()));
        let record = signed;
        self.members.insert(Arc::clone(&record), self.now);
        self.on_up(node, record);
    }

    /// A member is there that was not before.
    fn on_up(&mut self, node: NodeId, record: Arc<SignedRecord>) {
        self.output(Output::Up { node, record });
        self.probes.enter(node, &mut self.random);
        self.want_link(node);
    }

    fn on_later_record(&mut self, signed: Arc<SignedRecord>) {
        let node = signed.record.node;
        let (now, status, epoch) = (self.now, signed.record.status, signed.record.epoch);
        self.spread(Update::Record(signed.clone()));
        let record = signed;
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        let (before, last_epoch) = (member.state, member.record().epoch);
        member.record = Arc::clone(&record);
        if last_epoch != epoch {
            member.greeted = false;
        }
        match status {
            MemberStatus::Left => {
                self.enter_state(node, State::Left);
                if before.is_present() {
                    self.output(Output::Left { node });
                }
            }
            MemberStatus::Alive if before.is_present() => {
                if before == State::Suspect {
                    self.enter_state(node, State::Alive);
                }
                if last_epoch == epoch {
                    self.output(Output::Changed { node, record });
                } else {
                    let epoch = last_epoch;
                    self.members.set_state(&node, State::Alive, now);
                    self.output(Output::Down { node, epoch });
                    self.output(Output::Up { node, record });
                    self.want_link(node);
                }
            }
            MemberStatus::Alive => {
                self.enter_state(node, State::Alive);
                self.on_up(node, record);
                // It was cut off rather than gone: whatever it knows may differ from what is known here.
                if last_epoch == epoch && self.links.contains(&node) {
                    self.ask(node);
                }
            }
        }
    }

    /// Somebody has a record of this node that it did not make in this run, or not yet.
    fn on_own_record(&mut self, signed: &SignedRecord) {
        let (epoch, incarnation) = (self.own.record.epoch, self.own.record.incarnation);
        let record = &signed.record;
        if record.epoch > epoch {
            self.output(Output::Superseded {
                epoch: record.epoch,
            });
        } else if record.epoch == epoch && record.incarnation > incarnation {
            let mut own = self.own.record.clone();
            own.incarnation = record.incarnation.next();
            let published = self.publish(own);
            debug_assert!(published.is_ok(), "only the incarnation is another");
        }
    }

    fn on_accusation(&mut self, from: NodeId, claim: Claim, signed: Arc<SignedAccusation>) -> bool {
        let accusation = &signed.accusation;
        let (subject, accuser) = (accusation.subject, accusation.accuser);
        if subject == self.own_id() {
            self.on_accused(from, &signed);
            return true;
        }
        if accuser == subject || !self.wants(&claim.update(signed.clone())) {
            return true;
        }
        let trusted = self.members.get(&accuser).map(|member| member.state);
        if !trusted.is_some_and(State::is_present) {
            return true;
        }
        let (now, max) = (self.now, self.config.max_accusations);
        let allowed = self.members.get_mut(&from);
        if !allowed.is_some_and(|member| member.allowance.take(now, max)) {
            self.misbehaved(from, Offence::TooManyAccusations);
            return false;
        }
        self.spread(claim.update(signed.clone()));
        let suspicion = self.doubt(subject);
        suspicion.accused(claim, signed);
        if suspicion.is_settled() {
            self.declare_dead(subject);
        } else if suspicion.needs_check() {
            let pause = self.within(self.config.check_delay);
            let at = self.now + pause;
            self.timers.arm(Timer::Check(subject), at);
        }
        true
    }

    /// The suspicion of a present member, begun if there is none.
    fn doubt(&mut self, node: NodeId) -> &mut Suspicion {
        if !self.suspicions.contains_key(&node) {
            self.enter_state(node, State::Suspect);
            let pause = self.suspicion_timeout();
            self.after(Timer::Suspicion(node), pause);
            self.stats.suspicions = self.stats.suspicions.saturating_add(1);
            self.output(Output::Suspect { node });
        }
        self.suspicions.entry(node).or_insert_with(Suspicion::new)
    }

    /// This node's own probe of a member has failed: says so to everybody, the member included.
    pub(super) fn accuse(&mut self, node: NodeId) {
        let Some(member) = self.members.get(&node) else {
            return;
        };
        let accusation = self.pen.accuse(Claim::Suspect, member.record());
        let suspicion = self.doubt(node);
        let first = suspicion.finding() != Finding::Failed;
        suspicion.failed(accusation.clone());
        if suspicion.is_settled() {
            self.declare_dead(node);
            return;
        }
        if first {
            let update = Update::Suspect(accusation);
            self.spread(update.clone());
            if self.links.contains(&node) {
                let updates = vec![update];
                self.send(node, Class::Reliable, SwimGossip { updates });
            }
        }
    }

    /// The suspicion of a member has run out without a word from it.
    pub(super) fn declare_dead(&mut self, node: NodeId) {
        let Some(member) = self.members.get(&node) else {
            return;
        };
        let epoch = member.record().epoch;
        let suspicion = self.suspicions.get(&node);
        let confirmed = suspicion.map_or(0, Suspicion::confirmations);
        let known = suspicion.and_then(Suspicion::confirmation).cloned();
        let evidence = match known.filter(|_| confirmed >= ENOUGH_CONFIRMATIONS) {
            Some(known) => known,
            None => {
                let own = self.pen.accuse(Claim::Dead, member.record());
                self.spread(Update::Dead(own.clone()));
                own
            }
        };
        self.enter_state(node, State::Dead);
        if let Some(member) = self.members.get_mut(&node) {
            member.evidence = Some(evidence);
        }
        self.output(Output::Down { node, epoch });
    }

    /// The accusers of a member are mistaken.
    pub(super) fn acquit(&mut self, node: NodeId) {
        self.enter_state(node, State::Alive);
        if let Some(member) = self.members.get(&node) {
            let record = Arc::clone(&member.record);
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
                if let Some(to) = to.filter(|to| self.links.contains(to)) {
                    let updates = vec![Update::Record(Arc::clone(&self.own))];
                    self.send(to, Class::Reliable, SwimGossip { updates });
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
    }
}
