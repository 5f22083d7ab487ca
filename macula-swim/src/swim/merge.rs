//! Taking in what members say of themselves.

use std::sync::Arc;

use macula_wire::NodeId;
use macula_wire::message::{MemberStatus, SignedRecord, Update};

use super::{Output, Swim};
use crate::Offence;
use crate::kept::Kept;
use crate::member::{Member, State};
use crate::own::Claim;

/// The highest incarnation that a member may have when it is first heard of.
const MAX_FIRST_INCARNATION: u64 = 1 << 32;

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
        if !member.state().is_present() || version != member.version() {
            return false;
        }
        let suspicion = self.suspicions.get(&accusation.subject);
        let accuser = self.members.get(&accusation.accuser);
        // What is said of this node itself it refutes, whoever says it: after a split each side holds the other for dead.
        let may_accuse = accusation.subject == self.own_id()
            || accuser.is_some_and(|accuser| accuser.state().is_present());
        accusation.accuser != self.own_id()
            && may_accuse
            && suspicion.is_none_or(|known| known.wants(accusation.accuser, claim))
    }

    fn on_record(&mut self, from: NodeId, signed: Arc<SignedRecord>) {
        let record = &signed.record;
        let node = record.node;
        if node == self.own_id() {
            self.on_own_record(&signed);
            return;
        }
        let Some(known) = self.members.get(&node) else {
            self.on_new_record(from, signed);
            return;
        };
        if (record.epoch, record.incarnation) <= known.version() {
            return;
        }
        if self.is_ahead(record.epoch) {
            self.refuse(from, node, Offence::EpochAhead);
            return;
        }
        let (epoch, incarnation) = known.version();
        if known.state() == State::Left && record.epoch == epoch {
            // A goodbye ends the run: who comes back has a later epoch.
            self.stats.refused_records = self.stats.refused_records.saturating_add(1);
            return;
        }
        // A view that was cut off for long may have missed any number of versions.
        let jump = record.incarnation.since(incarnation);
        let is_far = record.epoch > epoch || jump > self.config.max_incarnation_jump;
        if is_far && record.incarnation.get() > MAX_FIRST_INCARNATION {
            self.refuse(from, node, Offence::IncarnationJump);
            return;
        }
        self.on_later_record(from, signed);
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
        if self.is_ahead(record.epoch) {
            self.refuse(from, node, Offence::EpochAhead);
            return;
        }
        if record.status == MemberStatus::Left {
            return;
        }
        if record.incarnation.get() > MAX_FIRST_INCARNATION {
            self.refuse(from, node, Offence::IncarnationJump);
            return;
        }
        let Ok(kept) = Kept::new(&signed) else {
            return;
        };
        if !self.make_room() {
            return;
        }
        self.members.insert(kept, self.now);
        self.spread(Update::Record(Arc::clone(&signed)), Some(from), false);
        self.on_up(node, signed);
    }

    /// A member is there that was not before.
    fn on_up(&mut self, node: NodeId, record: Arc<SignedRecord>) {
        self.output(Output::Up { node, record });
        self.want_link(node);
    }

    fn on_later_record(&mut self, from: NodeId, signed: Arc<SignedRecord>) {
        let node = signed.record.node;
        let (status, epoch) = (signed.record.status, signed.record.epoch);
        let Some(member) = self.members.get(&node) else {
            return;
        };
        let (before, last_epoch) = (member.state(), member.epoch());
        let is_run = last_epoch == epoch;
        // What is suspected or declared dead everywhere must hear itself refuted everywhere.
        let urgent = before != State::Alive || status == MemberStatus::Left;
        let Ok(kept) = Kept::new(&signed) else {
            return;
        };
        self.members.set_record(&node, kept);
        let update = Update::Record(Arc::clone(&signed));
        self.spread(update, Some(from), urgent);
        if let Some(peer) = self.peers.get_mut(&node)
            && !is_run
        {
            peer.greeted = false;
        }
        match status {
            MemberStatus::Left => {
                self.enter_state(node, State::Left);
                if before.is_present() {
                    self.output(Output::Left { node });
                }
            }
            MemberStatus::Alive if before.is_present() => {
                if before == State::Suspect || !is_run {
                    self.enter_state(node, State::Alive);
                }
                if is_run {
                    let record = signed;
                    self.output(Output::Changed { node, record });
                } else {
                    let epoch = last_epoch;
                    self.output(Output::Down { node, epoch });
                    self.on_up(node, signed);
                }
            }
            MemberStatus::Alive => {
                self.enter_state(node, State::Alive);
                self.on_up(node, signed);
                if is_run {
                    // It was cut off rather than gone: whatever it knows may differ from what is known here.
                    self.on_return();
                    if self.peers.contains(&node) {
                        self.compare(node);
                    }
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
}
