//! Peers that carry packets and do not answer any more, found before membership suspects them.

use std::collections::BTreeMap;
use std::time::Duration;

use macula_wire::{Instant, NodeId};

/// After how much silence a peer is asked whether it is there.
const ASK_AFTER: Duration = Duration::from_millis(200);
/// How long it has to answer, at least.
const PATIENCE: Duration = Duration::from_millis(300);
/// How many round trips it has.
const ROUND_TRIPS: u32 = 3;

/// What a link shows of its peer at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) node: NodeId,
    /// How many packets came from it so far.
    pub(super) received: u64,
    pub(super) rtt: Duration,
}

/// Which of the peers that something is carried to are silent.
///
/// That is no accusation: packets take another way while there is one, and come back with the first word of the peer.
/// Membership decides on its own who is dead.
#[derive(Debug, Default)]
pub(super) struct Silence {
    peers: BTreeMap<NodeId, Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    received: u64,
    at: Instant,
    asked: Option<Instant>,
    is_silent: bool,
}

/// What follows from a look at all peers.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Look {
    /// Who is to be asked whether it is there.
    pub(super) ask: Vec<NodeId>,
    /// Whether other peers are silent than before.
    pub(super) has_changed: bool,
}

impl Silence {
    /// Takes in how the peers are that matter; others are forgotten.
    pub(super) fn look(&mut self, now: Instant, samples: &[Sample]) -> Look {
        let before = self.silent().count();
        self.peers
            .retain(|node, _| samples.iter().any(|sample| sample.node == *node));
        let mut look = Look {
            has_changed: self.silent().count() != before,
            ..Look::default()
        };
        for sample in samples {
            let fresh = Heard {
                received: sample.received,
                at: now,
                asked: None,
                is_silent: false,
            };
            let heard = self.peers.entry(sample.node).or_insert(fresh);
            if heard.received != sample.received {
                look.has_changed |= heard.is_silent;
                *heard = fresh;
                continue;
            }
            let patience = PATIENCE.max(sample.rtt.saturating_mul(ROUND_TRIPS));
            match heard.asked {
                None if now.saturating_since(heard.at) >= ASK_AFTER => {
                    heard.asked = Some(now);
                    look.ask.push(sample.node);
                }
                Some(asked) if !heard.is_silent && now.saturating_since(asked) >= patience => {
                    heard.is_silent = true;
                    look.has_changed = true;
                }
                _ => {}
            }
        }
        look
    }

    /// Those that do not answer.
    pub(super) fn silent(&self) -> impl Iterator<Item = NodeId> {
        let silent = self.peers.iter().filter(|(_, heard)| heard.is_silent);
        silent.map(|(node, _)| *node)
    }

    pub(super) fn is_silent(&self, node: &NodeId) -> bool {
        self.peers.get(node).is_some_and(|heard| heard.is_silent)
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    fn look(silence: &mut Silence, millis: u64, received: u64, rtt: u64) -> Look {
        let sample = Sample {
            node: node_id(1),
            received,
            rtt: Duration::from_millis(rtt),
        };
        silence.look(Instant::from_millis(millis), &[sample])
    }

    /// When a peer is asked, and found silent, that says nothing from 0 on.
    fn found(rtt: u64) -> (u64, u64) {
        let mut silence = Silence::default();
        let mut asked = None;
        for millis in (0..10_000).step_by(100) {
            let look = look(&mut silence, millis, 7, rtt);
            if !look.ask.is_empty() {
                assert_eq!(asked.replace(millis), None, "it is asked once");
            }
            if look.has_changed {
                assert!(silence.is_silent(&node_id(1)));
                return (asked.unwrap(), millis);
            }
        }
        panic!("it is never found");
    }

    #[test]
    fn who_does_not_answer_is_found_by_the_round_trip_of_its_link() {
        assert_eq!(found(1), (200, 500));
        assert_eq!(found(100), (200, 500));
        assert_eq!(found(500), (200, 1_700));
    }

    #[test]
    fn who_answers_is_never_silent() {
        let mut silence = Silence::default();
        for millis in (0..10_000).step_by(100) {
            let look = look(&mut silence, millis, millis / 400, 1);
            assert!(!look.has_changed);
        }
    }

    #[test]
    fn the_first_word_ends_the_silence_and_so_does_the_end_of_the_link() {
        let mut silence = Silence::default();
        for millis in (0..=500).step_by(100) {
            look(&mut silence, millis, 7, 1);
        }
        assert_eq!(silence.silent().count(), 1);
        let mut again = look(&mut silence, 600, 8, 1);
        assert!(again.has_changed && silence.silent().next().is_none());
        for millis in (700..=1_100).step_by(100) {
            again = look(&mut silence, millis, 8, 1);
        }
        assert!(again.has_changed && silence.is_silent(&node_id(1)));
        let gone = silence.look(Instant::from_millis(1_200), &[]);
        assert!(gone.has_changed && silence.peers.is_empty());
    }
}
