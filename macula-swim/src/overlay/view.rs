//! Nodes that are no neighbours: the passive view, those that were lost, and those that came by.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use macula_wire::message::Contact;
use macula_wire::{Instant, NodeId, Random};

/// A fair sample of the nodes that were heard of.
#[derive(Debug, Default)]
pub(super) struct View {
    peers: Vec<Contact>,
    heard: u64,
    lost: VecDeque<Lost>,
    marks: VecDeque<Mark>,
}

/// A node that was a neighbour or known and is gone.
#[derive(Debug)]
struct Lost {
    peer: Contact,
    /// Whether it has given a sign of life since.
    back: bool,
}

/// A node with one edge too few that came by.
#[derive(Debug)]
struct Mark {
    peer: Contact,
    until: Instant,
}

impl View {
    /// Takes a node in, if it is new. When there are `max`, each node heard of stays with the same chance.
    pub(super) fn hear(&mut self, peer: &Contact, max: usize, random: &mut Random) {
        if self.peers.iter().any(|known| known.node == peer.node) {
            return;
        }
        self.heard = self.heard.saturating_add(1);
        if self.peers.len() < max {
            self.peers.push(peer.clone());
            return;
        }
        // A floor under the chance, or the view of an old node would never change.
        let heard = self
            .heard
            .min(u64::try_from(max).unwrap_or(u64::MAX).saturating_mul(8));
        let place = usize::try_from(random.below(heard)).unwrap_or(usize::MAX);
        if let Some(old) = self.peers.get_mut(place) {
            *old = peer.clone();
        }
    }

    /// Takes in where a known node can be dialled, on its own word: what others say of it may be anything.
    pub(super) fn locate(&mut self, peer: &Contact) {
        if let Some(known) = self.peers.iter_mut().find(|known| known.node == peer.node) {
            known.addresses.clone_from(&peer.addresses);
        }
    }

    /// Forgets a node.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.peers.retain(|peer| peer.node != node);
        self.marks.retain(|mark| mark.peer.node != node);
    }

    /// Remembers a node that was lost.
    pub(super) fn lose(&mut self, peer: Contact, max: usize) {
        self.forget(peer.node);
        self.lost.retain(|lost| lost.peer.node != peer.node);
        self.lost.push_back(Lost { peer, back: false });
        while self.lost.len() > max {
            self.lost.pop_front();
        }
    }

    /// Takes a node off the lost ones, if it is one.
    pub(super) fn find(&mut self, node: NodeId) {
        self.lost.retain(|lost| lost.peer.node != node);
    }

    /// Notes a sign of life of a node; answers whether it was thought lost until now.
    pub(super) fn note_back(&mut self, node: NodeId) -> bool {
        let lost = self.lost.iter_mut().find(|lost| lost.peer.node == node);
        lost.is_some_and(|lost| !std::mem::replace(&mut lost.back, true))
    }

    /// The link to a node is gone, so it is not back any more.
    pub(super) fn note_gone(&mut self, node: NodeId) {
        let lost = self.lost.iter_mut().find(|lost| lost.peer.node == node);
        if let Some(lost) = lost {
            lost.back = false;
        }
    }

    /// Takes the first node that is back, and that fits, off the lost ones.
    pub(super) fn take_back(&mut self, fits: impl Fn(NodeId) -> bool) -> Option<Contact> {
        let is_back = |lost: &Lost| lost.back && fits(lost.peer.node);
        let at = self.lost.iter().position(is_back)?;
        self.lost.remove(at).map(|lost| lost.peer)
    }

    pub(super) fn is_lost(&self, node: NodeId) -> bool {
        self.lost.iter().any(|lost| lost.peer.node == node)
    }

    /// The next lost node in turn.
    pub(super) fn next_lost(&mut self) -> Option<Contact> {
        self.lost.rotate_left(usize::from(!self.lost.is_empty()));
        self.lost.back().map(|lost| lost.peer.clone())
    }

    pub(super) fn peers(&self) -> &[Contact] {
        &self.peers
    }

    pub(super) fn addresses(&self, node: NodeId) -> Option<&Vec<SocketAddr>> {
        let known = self.peers.iter().find(|peer| peer.node == node);
        known.map(|peer| &peer.addresses)
    }

    /// A random node that fits.
    pub(super) fn pick(
        &self,
        random: &mut Random,
        fits: impl Fn(NodeId) -> bool,
    ) -> Option<Contact> {
        let fitting = self.peers.iter().filter(|peer| fits(peer.node));
        let fitting: Vec<_> = fitting.collect();
        fitting.get(random.index(fitting.len())).copied().cloned()
    }

    /// Up to `count` random nodes.
    pub(super) fn sample(&self, random: &mut Random, count: usize) -> Vec<Contact> {
        let mut order: Vec<&Contact> = self.peers.iter().collect();
        random.shuffle(&mut order);
        order.into_iter().take(count).cloned().collect()
    }

    /// Remembers that a node with one edge too few came by.
    pub(super) fn mark(&mut self, peer: &Contact, until: Instant, max: usize) {
        self.marks.retain(|mark| mark.peer.node != peer.node);
        self.marks.push_back(Mark {
            peer: peer.clone(),
            until,
        });
        while self.marks.len() > max {
            self.marks.pop_front();
        }
    }

    /// The latest node that came by with one edge too few and that fits; it is forgotten.
    pub(super) fn take_mark(
        &mut self,
        now: Instant,
        fits: impl Fn(NodeId) -> bool,
    ) -> Option<Contact> {
        self.marks.retain(|mark| mark.until > now);
        let at = self.marks.iter().rposition(|mark| fits(mark.peer.node))?;
        self.marks.remove(at).map(|mark| mark.peer)
    }
}

/// How many walks a peer sent in the present second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    since: Instant,
    own: u32,
    passed: u32,
}

/// What a pace says of one more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Allowed,
    /// The first that is too many in its second.
    FirstOver,
    Over,
}

impl Pace {
    /// Counts one at `now`, which the peer began itself or passed on.
    pub(super) fn count(&mut self, now: Instant, own: bool, max: u32) -> Verdict {
        if now.saturating_since(self.since) >= Duration::from_secs(1) {
            *self = Self {
                since: now,
                ..Self::default()
            };
        }
        let count = if own { &mut self.own } else { &mut self.passed };
        *count = count.saturating_add(1);
        match count.saturating_sub(max) {
            0 => Verdict::Allowed,
            1 => Verdict::FirstOver,
            _ => Verdict::Over,
        }
    }
}

/// What was counted for each peer that sent a walk.
pub(super) type Paces = BTreeMap<NodeId, Pace>;

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    fn peer(index: usize) -> Contact {
        Contact {
            node: node_id(index),
            addresses: Vec::new(),
        }
    }

    #[test]
    fn the_view_stays_a_sample_of_all() {
        let mut random = Random::new(1);
        let mut view = View::default();
        for index in 0..1_000 {
            view.hear(&peer(index), 40, &mut random);
        }
        assert_eq!(view.peers().len(), 40);
        let early = (0..500).map(node_id);
        let early = early.filter(|node| view.peers().iter().any(|peer| peer.node == *node));
        let early = early.count();
        assert!((5..35).contains(&early), "{early}");
    }

    #[test]
    fn lost_nodes_are_tried_in_turn() {
        let mut view = View::default();
        assert_eq!(view.next_lost(), None);
        for index in 0..4 {
            view.lose(peer(index), 3);
        }
        assert!(!view.is_lost(node_id(0)));
        let turns: Vec<_> = (0..4).filter_map(|_| view.next_lost()).collect();
        assert_eq!(turns, [peer(1), peer(2), peer(3), peer(1)]);
        assert_eq!(view.take_back(|_| true), None, "no sign of life");
        assert!(view.note_back(node_id(2)) && !view.note_back(node_id(2)));
        assert_eq!(view.take_back(|_| true), Some(peer(2)));
        assert!(!view.note_back(node_id(2)), "not lost any more");
    }

    #[test]
    fn marks_last_for_a_while_and_serve_once() {
        let at = Instant::from_millis;
        let mut view = View::default();
        view.mark(&peer(1), at(10), 2);
        view.mark(&peer(2), at(20), 2);
        assert_eq!(view.take_mark(at(10), |_| true), Some(peer(2)));
        assert_eq!(view.take_mark(at(10), |_| true), None);
        for index in 3..9 {
            view.mark(&peer(index), at(99), 2);
        }
        assert_eq!(view.take_mark(at(10), |node| node == node_id(6)), None);
        assert_eq!(
            view.take_mark(at(10), |node| node == node_id(7)),
            Some(peer(7))
        );
    }

    #[test]
    fn a_pace_reports_the_first_too_many_of_a_second() {
        let at = Instant::from_millis;
        let mut pace = Pace::default();
        let times = [1_000, 1_001, 1_002, 1_003, 2_000];
        let verdicts = times.map(|ms| pace.count(at(ms), true, 2));
        use Verdict::{Allowed, FirstOver, Over};
        assert_eq!(verdicts, [Allowed, Allowed, FirstOver, Over, Allowed]);
        assert_eq!(pace.count(at(2_001), false, 1), Allowed, "counted apart");
    }
}
