//! To which peers something was passed, and which of them answered that it got no further.

use std::time::Duration;

use macula_wire::{ErrorCode, Instant, NODE_ID_LEN, NodeId};

use super::recent::Recent;

/// How long after something was passed to a peer an answer of it is believed.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// How long a peer that answered is avoided for that target.
const AVOIDED_FOR: Duration = Duration::from_secs(10);
/// How many pairs of target and peer are remembered.
const MAX_ATTEMPTS: usize = 2_048;

/// Which targets were tried by which peers.
#[derive(Debug)]
pub(super) struct Attempts(Recent<(NodeId, NodeId), Attempt>);

#[derive(Clone, Copy, Debug, Default)]
struct Attempt {
    /// When something was passed last.
    at: Instant,
    /// How many times that was answered neither yet, nor is too long ago to be answered.
    open: u32,
    /// The least number of passes that were left after it, of those.
    room: usize,
    failed: Option<Instant>,
}

impl Attempts {
    pub(super) const fn new() -> Self {
        Self(Recent::new(MAX_ATTEMPTS))
    }

    /// Takes in that something for `target` is passed to `peer`, which may pass it on `room` times.
    pub(super) fn pass(&mut self, now: Instant, target: NodeId, peer: NodeId, room: usize) {
        let attempt = self.0.entry((target, peer), Attempt::default());
        if !attempt.is_open(now) {
            attempt.open = 0;
            attempt.room = usize::MAX;
        }
        attempt.at = attempt.at.max(now);
        attempt.open = attempt.open.saturating_add(1);
        attempt.room = attempt.room.min(room);
    }

    /// Takes in an answer of `peer` that concerns `target`, and says whether it can be one: each thing passed has one.
    ///
    /// With an error, `peer` is avoided for this target, unless the hop limit is used up and the peer had not even one
    /// pass left: it may be a neighbour of the target all the same.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        target: NodeId,
        peer: NodeId,
        code: ErrorCode,
    ) -> bool {
        let Some(attempt) = self.0.peek_mut(&(target, peer)) else {
            return false;
        };
        if !attempt.is_open(now) {
            return false;
        }
        attempt.open = attempt.open.saturating_sub(1);
        if code != ErrorCode::OK && (code != ErrorCode::HOP_LIMIT || attempt.room > 0) {
            attempt.failed = Some(now);
        }
        true
    }

    /// Takes in that `target` was heard by `peer`, which therefore leads to it.
    pub(super) fn hear(&mut self, target: NodeId, peer: NodeId) {
        if let Some(attempt) = self.0.peek_mut(&(target, peer)) {
            attempt.failed = None;
        }
    }

    /// Which peers are to be avoided for `target`, and since when.
    pub(super) fn failed(&self, now: Instant, target: NodeId) -> Vec<(NodeId, Instant)> {
        let [least, most] = [0, u8::MAX].map(|byte| NodeId::from_bytes([byte; NODE_ID_LEN]));
        let attempts = self.0.range((target, least)..=(target, most));
        attempts
            .filter_map(|((_, peer), attempt)| Some((*peer, attempt.failed?)))
            .filter(|(_, failed)| now.saturating_since(*failed) <= AVOIDED_FOR)
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Attempt {
    fn is_open(&self, now: Instant) -> bool {
        self.open > 0 && now.saturating_since(self.at) <= ANSWERED_WITHIN
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    const LOST: ErrorCode = ErrorCode::UNREACHABLE;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// Attempts in which something for node 1 was passed to node 2 at 0.
    fn passed(room: usize) -> Attempts {
        let mut attempts = Attempts::new();
        attempts.pass(at(0), node_id(1), node_id(2), room);
        attempts
    }

    #[test]
    fn only_what_was_passed_is_answered_once_and_soon() {
        for (target, peer, millis, believed) in [
            (1, 2, 5_000, true),
            (1, 2, 5_001, false),
            (1, 3, 0, false),
            (3, 2, 0, false),
        ] {
            let mut attempts = passed(9);
            let mut answer = || attempts.answer(at(millis), node_id(target), node_id(peer), LOST);
            assert_eq!([answer(), answer()], [believed, false]);
            assert_eq!(
                attempts.failed(at(millis), node_id(1)).len(),
                usize::from(believed)
            );
        }
    }

    #[test]
    fn a_failure_is_forgotten_in_time_or_when_the_target_is_heard() {
        let mut attempts = passed(9);
        assert!(attempts.answer(at(1), node_id(1), node_id(2), LOST));
        assert_eq!(
            attempts.failed(at(10_001), node_id(1)),
            [(node_id(2), at(1))]
        );
        assert_eq!(attempts.failed(at(10_002), node_id(1)), []);
        attempts.hear(node_id(1), node_id(3));
        assert_eq!(attempts.failed(at(2), node_id(1)).len(), 1);
        attempts.hear(node_id(1), node_id(2));
        assert_eq!(attempts.failed(at(2), node_id(1)), []);
    }

    #[test]
    fn a_hop_limit_blames_only_a_peer_that_had_room() {
        let blamed = |mut attempts: Attempts, code| {
            assert!(attempts.answer(at(1), node_id(1), node_id(2), code));
            !attempts.failed(at(1), node_id(1)).is_empty()
        };
        assert!(blamed(passed(1), ErrorCode::HOP_LIMIT));
        assert!(!blamed(passed(0), ErrorCode::HOP_LIMIT));
        assert!(blamed(passed(0), LOST));
        assert!(!blamed(passed(1), ErrorCode::OK));
        let mut mixed = passed(0);
        mixed.pass(at(1), node_id(1), node_id(2), 9);
        assert!(
            !blamed(mixed, ErrorCode::HOP_LIMIT),
            "whose answer it is cannot be told"
        );
    }
}
