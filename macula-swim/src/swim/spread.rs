//! Spreading what is known: piggybacked, by itself, and as a whole to who asks.

use std::sync::Arc;

use macula_wire::NodeId;
use macula_wire::limit::MAX_UPDATES;
use macula_wire::message::{SwimGossip, SwimJoin, SwimState, Update};

use super::{Class, Output, Swim};
use crate::config::part;
use crate::gossip::Room;
use crate::member::{MemberIndex, State};
use crate::suspicion::Suspicion;
use crate::timer::Timer;
use crate::verify::update_len;

/// What a message takes besides its updates, at most: frame header, number of the probe, target, two counts.
const HEAD_LEN: usize = 52;
/// The pause between two parts of the membership that are sent to who asked for it.
const STATE_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);

impl Swim {
    /// Adds a piece of news to those that are spread.
    pub(super) fn spread(&mut self, update: Update) {
        self.gossip.push(update, self.config.max_gossip);
        self.arm_gossip();
    }

    pub(super) fn arm_gossip(&mut self) {
        if !self.gossip.is_empty() && !self.links.is_empty() {
            let pause = part(self.config.gossip_period, 4);
            let at = self.now + pause + self.within(pause);
            self.timers.arm(Timer::Gossip, at);
        }
    }

    pub(super) fn on_gossip(&mut self) {
        for to in self.sample(self.config.gossip_fanout) {
            let updates = self.pack(&to);
            if !updates.is_empty() {
                self.send(to, Class::Datagram, SwimGossip { updates });
            }
        }
        if !self.gossip.is_empty() && !self.links.is_empty() {
            let pause = self.config.gossip_period;
            self.after(Timer::Gossip, pause);
        }
    }

    /// What a datagram to a member carries: what is said against it, this node's own record if it may not know that,
    /// and as much news as there is room for.
    pub(super) fn pack(&mut self, to: &NodeId) -> Vec<Update> {
        let mut room = Room {
            bytes: self.config.max_datagram_len.saturating_sub(HEAD_LEN),
            updates: MAX_UPDATES,
        };
        let mut first: Vec<Update> = Vec::new();
        let member = self.members.get(to);
        if !member.is_some_and(|member| member.greeted) {
            first.push(Update::Record(Arc::clone(&self.own)));
        }
        if let Some(evidence) = member.and_then(|member| member.evidence.clone()) {
            first.push(Update::Dead(evidence));
        }
        let suspicion = self.suspicions.get(to);
        first.extend(suspicion.into_iter().flat_map(Suspicion::updates).take(1));
        first.retain(|update| update_len(update).is_ok_and(|length| room.take(length)));
        let limit = self.config.transmissions(self.members.counts().present());
        first.extend(self.gossip.take(to, &mut room, limit));
        first
    }

    /// Asks a node for all that it knows.
    pub(super) fn ask(&mut self, via: NodeId) {
        let pause = self.config.join_period;
        self.after(Timer::Join(via), pause);
        if self.links.contains(&via) {
            self.asked.insert(via);
            let record = Arc::clone(&self.own);
            self.send(via, Class::Reliable, SwimJoin { record });
        }
    }

    pub(super) fn on_join_late(&mut self, via: NodeId) {
        if self.joins.contains(&via) {
            self.ask(via);
        } else {
            self.asked.remove(&via);
        }
    }

    /// Lets `to` have the whole membership, part by part.
    pub(super) fn answer_join(&mut self, to: NodeId) {
        self.answers.retain(|(waiting, _)| *waiting != to);
        if self.answers.len() >= self.config.max_answers {
            return;
        }
        let all = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        self.answers.push_back((to, all));
        let at = self.now + STATE_PAUSE;
        self.timers.arm(Timer::State, at);
    }

    /// Sends the next part to who waits for the longest.
    ///
    /// Indexes descend: when a member is forgotten the last one takes its place, so that nobody is left out.
    pub(super) fn on_state_due(&mut self) {
        let Some((to, mut left)) = self.answers.pop_front() else {
            return;
        };
        let mut updates = vec![Update::Record(Arc::clone(&self.own))];
        // One member takes up to five updates: a record, and what is said against it.
        while left > 0 && updates.len().saturating_add(5) <= MAX_UPDATES {
            left = left.saturating_sub(1);
            self.tell_of(MemberIndex(left), &to, &mut updates);
        }
        let more = left > 0;
        self.send(to, Class::Reliable, SwimState { more, updates });
        if more {
            self.answers.push_back((to, left));
        }
        if !self.answers.is_empty() {
            self.after(Timer::State, STATE_PAUSE);
        }
    }

    fn tell_of(&self, index: MemberIndex, to: &NodeId, updates: &mut Vec<Update>) {
        let Some(member) = self.members.at(index) else {
            return;
        };
        let node = member.node();
        if node == self.own_id() || node == *to {
            return;
        }
        // A dead member is told of by what shows its death: who does not know it need not hear of it any more.
        match member.state {
            State::Dead => updates.extend(member.evidence.clone().map(Update::Dead)),
            State::Alive | State::Left | State::Suspect => {
                updates.push(Update::Record(Arc::clone(&member.record)));
            }
        }
        let suspicion = self.suspicions.get(&node);
        updates.extend(suspicion.into_iter().flat_map(Suspicion::updates));
    }

    pub(super) fn arm_sync(&mut self) {
        let period = self.config.sync_period(self.members.counts().present());
        let pause = part(period.saturating_add(self.within(period)), 2);
        self.after(Timer::Sync, pause);
    }

    /// Compares the membership with a member, in case some news was lost on every way.
    pub(super) fn on_sync(&mut self) {
        self.arm_sync();
        for via in self.sample(1) {
            self.ask(via);
        }
    }

    /// Asks for a link to a member that can be dialled.
    pub(super) fn connect(&mut self, node: NodeId) {
        let Some(member) = self.members.get(&node) else {
            return;
        };
        let addresses = member.record().addresses.clone();
        if !addresses.is_empty() {
            self.output(Output::Connect { node, addresses });
        }
    }
}
