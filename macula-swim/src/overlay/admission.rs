//! How a contact lets newcomers in: as many at a time as got through before.
//!
//! A small overlay has few edges to give, and each newcomer makes it larger. So the number of newcomers that are under
//! way begins small and grows by one with each that reports an edge: it doubles with each round, as the overlay does.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use macula_wire::message::OverlayWalk;
use macula_wire::{EdgeToken, Instant, NodeId};

/// The newcomers of a contact.
#[derive(Debug)]
pub(super) struct Admission {
    window: usize,
    /// Who is under way, and when it is late.
    away: BTreeMap<EdgeToken, NodeId>,
    late: VecDeque<(Instant, EdgeToken)>,
    /// Whose turn comes when; those who are not among the waiting any more are passed over.
    order: VecDeque<NodeId>,
    waiting: BTreeMap<NodeId, OverlayWalk>,
}

/// What becomes of a newcomer.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is let in.
    Now(OverlayWalk),
    /// It waits.
    Later,
    /// There is no room to wait.
    Full,
}

impl Admission {
    pub(super) const fn new(window: usize) -> Self {
        Self {
            window,
            away: BTreeMap::new(),
            late: VecDeque::new(),
            order: VecDeque::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// A newcomer asks. One that waits already keeps its turn, with its new walk.
    pub(super) fn ask(&mut self, walk: OverlayWalk, late: Instant, max_waiting: usize) -> Turn {
        let node = walk.origin.node;
        if self.away.len() < self.window && self.waiting.is_empty() {
            self.start(&walk, late);
            return Turn::Now(walk);
        }
        if self.waiting.len() >= max_waiting && !self.waiting.contains_key(&node) {
            return Turn::Full;
        }
        if self.waiting.insert(node, walk).is_none() {
            self.order.push_back(node);
        }
        Turn::Later
    }

    /// The next whose turn it is.
    pub(super) fn next(&mut self, late: Instant) -> Option<OverlayWalk> {
        if self.away.len() >= self.window {
            return None;
        }
        while let Some(node) = self.order.pop_front() {
            if let Some(walk) = self.waiting.remove(&node) {
                self.start(&walk, late);
                return Some(walk);
            }
        }
        None
    }

    fn start(&mut self, walk: &OverlayWalk, late: Instant) {
        self.away.insert(walk.token, walk.origin.node);
        self.late.push_back((late, walk.token));
    }

    /// A newcomer reports what became of its walk; answers whether it was under way.
    pub(super) fn report(&mut self, token: EdgeToken, from: NodeId, got: bool, max: usize) -> bool {
        if self.away.get(&token) != Some(&from) {
            return false;
        }
        self.away.remove(&token);
        if got {
            self.window = self.window.saturating_add(1).min(max);
        }
        true
    }

    /// Whoever has not reported by now is not waited for.
    pub(super) fn give_up(&mut self, now: Instant, min: usize) {
        while let Some((at, token)) = self.late.front().copied() {
            if at > now {
                break;
            }
            self.late.pop_front();
            if self.away.remove(&token).is_some() {
                self.window = self.window.saturating_sub(1).max(min);
            }
        }
    }

    /// When the next newcomer is late.
    pub(super) fn next_late(&mut self) -> Option<Instant> {
        while let Some((at, token)) = self.late.front() {
            if self.away.contains_key(token) {
                return Some(*at);
            }
            self.late.pop_front();
        }
        None
    }

    /// A newcomer does not wait any more.
    pub(super) fn forget(&mut self, node: NodeId) {
        if self.waiting.remove(&node).is_some() {
            self.order.retain(|waiting| *waiting != node);
        }
    }

    /// When a newcomer that finds no room may ask again: when about as many rounds have passed as it takes to double
    /// the window until all who wait fit in.
    pub(super) fn patience(&self, round: Duration) -> Duration {
        let rounds = self.waiting.len().checked_div(self.window).unwrap_or(0);
        let doublings = usize::BITS.saturating_sub(rounds.leading_zeros());
        round.saturating_mul(doublings.max(1))
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;
    use macula_wire::message::Contact;

    use super::*;

    fn walk(index: usize, token: u64) -> OverlayWalk {
        OverlayWalk {
            token: EdgeToken::new(token),
            origin: Contact {
                node: node_id(index),
                addresses: Vec::new(),
            },
            need: 8,
            hops: 6,
            spare: 6,
            avoid: Vec::new(),
        }
    }

    #[test]
    fn the_window_grows_with_each_that_gets_through() {
        let at = Instant::from_millis;
        let mut admission = Admission::new(1);
        assert!(matches!(
            admission.ask(walk(1, 1), at(100), 2),
            Turn::Now(_)
        ));
        assert!(matches!(admission.ask(walk(2, 2), at(100), 2), Turn::Later));
        assert!(matches!(admission.ask(walk(3, 3), at(100), 2), Turn::Later));
        assert!(matches!(admission.ask(walk(4, 4), at(100), 2), Turn::Full));
        assert!(
            matches!(admission.ask(walk(2, 5), at(100), 2), Turn::Later),
            "keeps its turn"
        );
        assert!(admission.next(at(100)).is_none());
        assert!(
            !admission.report(EdgeToken::new(1), node_id(9), true, 9),
            "somebody else"
        );
        assert!(admission.report(EdgeToken::new(1), node_id(1), true, 9));
        assert_eq!(admission.next(at(200)), Some(walk(2, 5)));
        assert_eq!(admission.next(at(200)), Some(walk(3, 3)));
        assert_eq!(admission.next(at(200)), None);
        assert_eq!(admission.next_late(), Some(at(200)));
        admission.give_up(at(200), 1);
        assert!(admission.away.is_empty());
        assert_eq!(admission.next_late(), None);
    }
}
