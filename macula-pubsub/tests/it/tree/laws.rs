//! The six laws.

use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::{Rings, Tree, TreeConfig, TreeInput};
use macula_testkit::laws::{self, Subject};
use macula_testkit::node_id;
use macula_wire::message::{Graft, Holding, IHave, Prune};
use macula_wire::{Epoch, Instant, Machine, Sequence};
use proptest::prelude::*;

use super::{batch, news};
use crate::common::own;

#[derive(Clone, Debug)]
enum Step {
    Batch(usize, usize, u64, u8),
    Own(u64),
    Have(usize, usize, u64, u8),
    Graft(usize, usize, u64, bool),
    Prune(usize, usize),
    Members(usize),
    Forget,
    Up(usize),
    Down(usize),
    Restarted(usize),
    Absent(usize, bool),
    Lagging(usize, bool),
}

fn steps() -> impl Strategy<Value = Step> + Clone {
    let node = || 1_usize..6;
    prop_oneof![
        8 => (node(), node(), 0_u64..12, 1_u8..5)
            .prop_map(|(from, by, base, far)| Step::Batch(from, by, base, far)),
        2 => (0_u64..12).prop_map(Step::Own),
        4 => (node(), node(), 0_u64..14, 0_u8..5)
            .prop_map(|(from, by, next, far)| Step::Have(from, by, next, far)),
        2 => (node(), node(), 0_u64..12, any::<bool>())
            .prop_map(|(from, by, begin, attach)| Step::Graft(from, by, begin, attach)),
        1 => (node(), node()).prop_map(|(from, by)| Step::Prune(from, by)),
        2 => (1_usize..7).prop_map(Step::Members),
        1 => Just(Step::Forget),
        4 => node().prop_map(Step::Up),
        1 => node().prop_map(Step::Down),
        1 => node().prop_map(Step::Restarted),
        1 => (node(), any::<bool>()).prop_map(|(node, gone)| Step::Absent(node, gone)),
        1 => (node(), any::<bool>()).prop_map(|(node, lags)| Step::Lagging(node, lags)),
    ]
}

struct Trees;

impl Subject for Trees {
    type Machine = Tree<u64>;
    type Step = Step;

    fn create(&self, seed: u64, now: Instant) -> Tree<u64> {
        let mut config = TreeConfig::default();
        config.max_sources = 2 + usize::try_from(seed % 4).unwrap();
        config.cache_bytes = 900;
        config.max_held = 3;
        Tree::new(config, own(), now)
    }

    fn apply(&self, machine: &mut Tree<u64>, now: Instant, step: &Step) {
        let topic = news();
        let input = match *step {
            Step::Batch(from, by, base, distance) => TreeInput::Batch {
                from: Some(node_id(from)),
                batch: batch(node_id(by), base, 1, distance),
                expected: None,
            },
            Step::Own(base) => TreeInput::Batch {
                from: None,
                batch: batch(own(), base, 1, 0),
                expected: None,
            },
            Step::Have(from, by, next, distance) => TreeInput::Have {
                from: node_id(from),
                have: IHave {
                    topic,
                    holdings: vec![Holding {
                        publisher: node_id(by),
                        epoch: Epoch::new(1),
                        first: Sequence::new(next / 2),
                        next: Sequence::new(next),
                        distance,
                    }],
                },
            },
            Step::Graft(from, by, begin, attach) => TreeInput::Graft {
                from: node_id(from),
                graft: Graft {
                    topic,
                    publisher: node_id(by),
                    epoch: Epoch::new(1),
                    from: Sequence::new(begin),
                    to: Sequence::new(begin + 2),
                    attach,
                },
            },
            Step::Prune(from, by) => TreeInput::Prune {
                from: node_id(from),
                prune: Prune {
                    topic,
                    publisher: node_id(by),
                },
            },
            Step::Members(count) => TreeInput::Members {
                topic,
                rings: Arc::new(Rings::new((0..count).map(node_id))),
                since: Instant::from_millis(10_000),
            },
            Step::Forget => TreeInput::Forget { topic },
            Step::Up(peer) => TreeInput::LinkUp {
                peer: node_id(peer),
                rtt: (peer > 3).then(|| Duration::from_millis(30)),
            },
            Step::Down(peer) => TreeInput::LinkDown {
                peer: node_id(peer),
            },
            Step::Restarted(peer) => TreeInput::Restarted {
                peer: node_id(peer),
            },
            Step::Absent(peer, true) => TreeInput::Absent {
                peer: node_id(peer),
            },
            Step::Absent(peer, false) => TreeInput::Present {
                peer: node_id(peer),
            },
            Step::Lagging(peer, true) => TreeInput::Lagging {
                peer: node_id(peer),
            },
            Step::Lagging(peer, false) => TreeInput::CaughtUp {
                peer: node_id(peer),
            },
        };
        machine.handle_input(now, input);
    }

    fn max_outputs(&self) -> usize {
        // What is kept, for each neighbour; and what was due before.
        300
    }

    fn observe(&self, machine: &Tree<u64>) -> String {
        let edges: Vec<_> = (0..6)
            .map(|by| machine.edges(&news(), node_id(by)))
            .collect();
        let (kept, held) = machine.bytes();
        assert!(kept <= 900, "{kept}");
        format!("{:?} {edges:?} {kept} {held}", machine.stats())
    }
}

#[test]
fn the_machine_keeps_the_laws() {
    laws::check(&Trees, steps());
}
