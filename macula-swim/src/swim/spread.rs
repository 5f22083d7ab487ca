//! Spreading what is known: flooded along the overlay, piggybacked, and as a whole to who asks.

use std::sync::Arc;

use macula_wire::NodeId;
use macula_wire::limit::MAX_UPDATES;
use macula_wire::message::{SwimGossip, SwimJoin, SwimState, Update};

use super::{Class, Swim};
use crate::config::part;
use crate::gossip::{Fresh, Room};
use crate::member::{Member, State};
use crate::suspicion::Suspicion;
use crate::timer::Timer;
use crate::verify::update_len;

/// What a message takes besides its updates, at most: frame header, number of the probe, target, two counts.
const HEAD_LEN: usize = 52;
/// The pause between two parts of the membership that are sent to who asked for it.
const STATE_PAUSE: std::time::Duration = std::time::Duration::from_millis(1);
/// How many datagrams one flood sends to one neighbour; more goes by the reliable way, in larger parts.
const MAX_FLOOD_DATAGRAMS: usize = 4;
/// How many bytes of updates go into one message of the reliable way.
const RELIABLE_LEN: usize = 16_384;

/// Whom an update accuses.
fn accused(update: &Update) -> Option<NodeId> {
    if let Update::Suspect(signed) | Update::Dead(signed) = update {
        return Some(signed.accusation.subject);
    }
    None
}

impl Swim {
    /// Adds a piece of news to those that are spread; `from` is who brought it. What is urgent leaves at once.
    pub(super) fn spread(&mut self, update: Update, from: Option<NodeId>, urgent: bool) {
        let max = self.config.max_gossip;
        self.gossip.push(update, from, urgent, max);
        self.arm_gossip();
    }

    /// Whether news floods along neighbours; otherwise it goes to peers by chance, again and again.
    fn floods(&self) -> bool {
        self.config.watch && self.peers.has_neighbours()
    }

    pub(super) fn arm_gossip(&mut self) {
        let waiting = if self.floods() {
            self.gossip.is_fresh()
        } else {
            !self.gossip.is_empty()
        };
        if waiting && !self.peers.is_empty() {
            let pause = part(self.config.gossip_period, 4);
            let at = self.now + pause + self.within(pause);
            self.timers.arm(Timer::Gossip, at);
        }
    }

    pub(super) fn on_gossip(&mut self) {
        if self.floods() {
            self.flood(true);
            return;
        }
        self.gossip.take_fresh(true, |_| None);
        for to in self.sample(self.config.gossip_fanout) {
            let updates = self.pack(&to);
            if !updates.is_empty() {
                self.send(to, Class::Datagram, SwimGossip { updates });
            }
        }
        if !self.gossip.is_empty() && !self.peers.is_empty() {
            let pause = self.config.gossip_period;
            self.after(Timer::Gossip, pause);
        }
    }

    /// Tells every neighbour but the one it came from what was not told yet: what is urgent, or everything.
    ///
    /// In an overlay of degree k this reaches everybody in about log(n) / log(k - 1) hops. A node without neighbours
    /// tells some peers instead.
    pub(super) fn flood(&mut self, everything: bool) {
        let to: Vec<NodeId> = if self.floods() {
            self.peers.neighbours().collect()
        } else if self.config.watch {
            self.sample(self.config.gossip_fanout)
        } else {
            return;
        };
        if to.is_empty() {
            return;
        }
        let record = |node: &NodeId| self.members.get(node).map(Member::signed);
        let fresh = self.gossip.take_fresh(everything, record);
        self.last_flood = Some(self.now);
        for to in to {
            self.flood_to(to, &fresh);
        }
    }

    fn flood_to(&mut self, to: NodeId, fresh: &[Fresh]) {
        // Whom this node accuses it tells itself, on the reliable way.
        let own = |one: &Fresh| one.from.is_none() && accused(&one.update) == Some(to);
        let wanted = |one: &&Fresh| one.from != Some(to) && !own(one);
        if !fresh.iter().any(|one| wanted(&one)) {
            return;
        }
        let length: usize = fresh.iter().filter(wanted).map(|one| one.length).sum();
        let datagram = self.config.max_datagram_len.saturating_sub(HEAD_LEN);
        let small = length <= datagram.saturating_mul(MAX_FLOOD_DATAGRAMS);
        let (class, bytes) = if small {
            (Class::Datagram, datagram)
        } else {
            (Class::Reliable, RELIABLE_LEN)
        };
        let whole = Room {
            bytes,
            updates: MAX_UPDATES,
        };
        let (mut room, mut updates) = (whole, self.introduction(&to));
        for update in &updates {
            room.take(update_len(update).unwrap_or(0));
        }
        for one in fresh.iter().filter(wanted) {
            if !room.take(one.length) {
                let updates = std::mem::take(&mut updates);
                self.send(to, class, SwimGossip { updates });
                room = whole;
                room.take(one.length);
            }
            updates.push(one.update.clone());
        }
        if !updates.is_empty() {
            self.send(to, class, SwimGossip { updates });
        }
    }

    /// Tells a peer something that must arrive.
    pub(super) fn tell(&mut self, to: NodeId, update: Update) {
        let mut updates = self.introduction(&to);
        updates.push(update);
        self.send(to, Class::Reliable, SwimGossip { updates });
    }

    /// This node's own record, for a peer that may not know it: nobody listens to who is no member.
    fn introduction(&self, to: &NodeId) -> Vec<Update> {
        if self.peers.get(to).is_some_and(|peer| peer.greeted) {
            return Vec::new();
        }
        vec![Update::Record(Arc::clone(&self.own))]
    }

    /// What a datagram to a member carries: what is said against it, this node's own record if it may not know that,
    /// and as much news as there is room for.
    pub(super) fn pack(&mut self, to: &NodeId) -> Vec<Update> {
        let mut room = Room {
            bytes: self.config.max_datagram_len.saturating_sub(HEAD_LEN),
            updates: MAX_UPDATES,
        };
        let mut first = self.introduction(to);
        let known = self.peers.get(to).map(|peer| peer.dead);
        if known.unwrap_or_else(|| self.members.is_dead(to))
            && let Some(evidence) = self.members.evidence(to)
        {
            first.push(Update::Dead(evidence));
        }
        if self.config.buddy {
            let suspicion = self.suspicions.get(to);
            first.extend(suspicion.into_iter().flat_map(Suspicion::updates).take(1));
        }
        first.retain(|update| update_len(update).is_ok_and(|length| room.take(length)));
        if !self.gossip.is_empty() {
            let present = self.members.counts().present();
            let limit = self.config.transmissions(present, self.floods());
            let record = |node: &NodeId| self.members.get(node).map(Member::signed);
            first.extend(self.gossip.take(to, &mut room, limit, record));
        }
        first
    }

    /// Asks a node for all that it knows.
    pub(super) fn ask(&mut self, via: NodeId) {
        let pause = self.config.join_period;
        self.after(Timer::Join(via), pause);
        // Asked twice it would answer twice, and the second answer come unasked for.
        if self.peers.contains(&via) && self.asked.insert(via) {
            let record = Arc::clone(&self.own);
            self.send(via, Class::Reliable, SwimJoin { record });
        }
    }

    pub(super) fn on_join_late(&mut self, via: NodeId) {
        self.asked.remove(&via);
        if self.joins.contains(&via) {
            self.ask(via);
        }
    }

    /// Lets `to` have the whole membership, part by part.
    pub(super) fn answer_join(&mut self, to: NodeId) {
        self.answers.retain(|(waiting, _)| *waiting != to);
        if self.answers.len() >= self.config.max_answers {
            return;
        }
        let all = self.members.places();
        self.answers.push_back((to, all));
        let at = self.now + STATE_PAUSE;
        self.timers.arm(Timer::State, at);
    }

    /// Sends the next part to who waits for the longest.
    ///
    /// Places descend: when a member is forgotten the last one takes its place, so that nobody is left out.
    pub(super) fn on_state_due(&mut self) {
        let Some((to, mut left)) = self.answers.pop_front() else {
            return;
        };
        let mut updates = vec![Update::Record(Arc::clone(&self.own))];
        // One member takes up to six updates: a record, and what is said against it.
        while left > 0 && updates.len().saturating_add(6) <= MAX_UPDATES {
            left = left.saturating_sub(1);
            self.tell_of(left, &to, &mut updates);
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

    fn tell_of(&self, place: u32, to: &NodeId, updates: &mut Vec<Update>) {
        let Some(member) = self.members.at(place) else {
            return;
        };
        let node = member.node();
        if node == *to {
            return;
        }
        // A dead member is told of by what shows its death: who does not know it need not hear of it any more.
        match member.state() {
            State::Dead => updates.extend(self.members.evidence(&node).map(Update::Dead)),
            State::Alive | State::Left | State::Suspect => {
                updates.push(Update::Record(member.signed()));
            }
        }
        let suspicion = self.suspicions.get(&node);
        updates.extend(suspicion.into_iter().flat_map(Suspicion::updates));
    }
}
