//! The laws of machines, and what hostile peers cannot do.

use std::time::Duration;

use macula_swim::Overlay;
use macula_swim::overlay::{Config, Input, Offence, Output};
use macula_testkit::laws::{self, Subject};
use macula_testkit::node_id;
use macula_wire::message::{OverlayPeers, OverlayVerdict};
use macula_wire::{Body, Instant, Machine, NodeId, Random};
use proptest::prelude::*;

use crate::overlay::address;
use crate::overlay_bench::{
    Bench, answer, denies, flip, holds, ids, millis, offer, order, peer, walk,
};

/// What may happen to the machine of node 0.
#[derive(Clone, Debug)]
enum Step {
    Message(usize, Kind),
    LinkUp(usize),
    LinkDown(usize),
    Known(usize),
    Gone(usize),
    Rtt(usize, u64),
    Bridge(usize),
    Join(usize),
    Degree(usize),
    Leave,
}

/// Tokens are small numbers, or that of what the machine sent last.
#[derive(Clone, Debug)]
enum Kind {
    Walk(u64, usize, u8, u8, Vec<usize>),
    Offer(u64, Option<usize>),
    Order(u64, usize, bool),
    Answer(u64, u8),
    Edge(bool, bool, Vec<usize>),
    Flip(u64, usize, bool),
    Peers(bool, usize),
    Foreign,
}

fn body(kind: &Kind) -> Body {
    match kind {
        Kind::Walk(token, origin, need, hops, avoid) => {
            let mut walk = walk(*token, *origin, *need, *hops);
            walk.avoid = ids(avoid.iter().copied());
            walk.avoid.dedup();
            walk.into()
        }
        Kind::Offer(token, instead) => offer(*token, *instead).into(),
        Kind::Order(token, to, near) => {
            let mut order = order(*token, *to);
            order.near = *near;
            order.into()
        }
        Kind::Answer(token, verdict) => {
            let verdict = OverlayVerdict::ALL.get(usize::from(*verdict % 4)).unwrap();
            let verdict = *verdict;
            let mut answer = answer(*token, verdict);
            if verdict == OverlayVerdict::Retry {
                answer.after_ms = 700;
            }
            answer.into()
        }
        Kind::Edge(true, ask, others) => {
            let mut edge = holds(others.iter().copied());
            edge.neighbours.dedup();
            edge.ask = *ask;
            edge.into()
        }
        Kind::Edge(false, ..) => denies().into(),
        Kind::Flip(token, moved, near) => flip(*token, *moved, *near).into(),
        Kind::Peers(ask, one) => OverlayPeers {
            ask: *ask,
            peers: vec![peer(*one)],
        }
        .into(),
        Kind::Foreign => macula_wire::message::Ping { nonce: 1 }.into(),
    }
}

struct Node;

impl Subject for Node {
    type Machine = Overlay;
    type Step = Step;

    fn create(&self, seed: u64, now: Instant) -> Overlay {
        let mut config = Config::default();
        config.degree = 4;
        config.flip_period = Duration::from_secs(2);
        config.check_period = Duration::from_secs(5);
        config.max_deals = 6;
        config.max_waiting = 2;
        config.min_window = 1;
        config.max_own_walks = 3;
        config.max_passive = 3;
        config.max_lost = 2;
        Overlay::new(config, node_id(0), vec![address()], Random::new(seed), now)
    }

    fn apply(&self, machine: &mut Overlay, now: Instant, step: &Step) {
        let input = match step {
            Step::Message(from, kind) => Input::Message {
                from: node_id(*from),
                body: body(kind),
            },
            Step::LinkUp(peer) => Input::LinkUp {
                peer: node_id(*peer),
            },
            Step::LinkDown(peer) => Input::LinkDown {
                peer: node_id(*peer),
            },
            Step::Known(node) => Input::Known {
                node: node_id(*node),
                addresses: vec![address()],
            },
            Step::Gone(peer) => Input::Gone {
                peer: node_id(*peer),
            },
            Step::Rtt(peer, ms) => Input::Rtt {
                peer: node_id(*peer),
                rtt: millis(*ms),
            },
            Step::Bridge(node) => Input::Bridge {
                node: node_id(*node),
                addresses: vec![address()],
            },
            Step::Join(contact) => {
                let joined = machine.join(now, node_id(*contact), vec![address()]);
                assert_eq!(joined.is_ok(), *contact != 0 && !machine.has_left());
                return;
            }
            Step::Degree(degree) => return machine.set_degree(now, *degree),
            Step::Leave => return machine.leave(now),
        };
        machine.handle_input(now, input);
    }

    fn max_outputs(&self) -> usize {
        300
    }

    fn observe(&self, machine: &Overlay) -> String {
        let neighbours: Vec<NodeId> = machine.neighbours().collect();
        let passive: Vec<NodeId> = machine.passive().collect();
        assert!(passive.len() <= 3);
        assert!(!neighbours.contains(&node_id(0)));
        format!(
            "{neighbours:?} {passive:?} {:?} {}",
            machine.stats(),
            machine.is_settled()
        )
    }
}

fn kinds() -> impl Strategy<Value = Kind> + Clone {
    let node = 0_usize..12;
    let token = 0_u64..12;
    let some = prop::collection::vec(node.clone(), 0..5);
    prop_oneof![
        4 => (token.clone(), node.clone(), 1_u8..6, 0_u8..4, some.clone())
            .prop_map(|(t, n, need, hops, avoid)| Kind::Walk(t, n, need, hops, avoid)),
        4 => (token.clone(), prop::option::of(node.clone())).prop_map(|(t, n)| Kind::Offer(t, n)),
        3 => (token.clone(), node.clone(), any::<bool>()).prop_map(|(t, n, near)| Kind::Order(t, n, near)),
        5 => (token.clone(), any::<u8>()).prop_map(|(t, v)| Kind::Answer(t, v)),
        4 => (prop::bool::weighted(0.7), any::<bool>(), some).prop_map(|(h, ask, o)| Kind::Edge(h, ask, o)),
        2 => (token, node.clone(), any::<bool>()).prop_map(|(t, n, near)| Kind::Flip(t, n, near)),
        1 => (any::<bool>(), node).prop_map(|(ask, n)| Kind::Peers(ask, n)),
        1 => Just(Kind::Foreign),
    ]
    .boxed()
}

fn steps() -> impl Strategy<Value = Step> + Clone {
    let node = 0_usize..12;
    prop_oneof![
        12 => (node.clone(), kinds()).prop_map(|(from, kind)| Step::Message(from, kind)),
        6 => node.clone().prop_map(Step::LinkUp),
        1 => node.clone().prop_map(Step::LinkDown),
        1 => node.clone().prop_map(Step::Known),
        1 => node.clone().prop_map(Step::Gone),
        1 => (node.clone(), 1_u64..90).prop_map(|(n, ms)| Step::Rtt(n, ms)),
        1 => node.clone().prop_map(Step::Bridge),
        1 => node.prop_map(Step::Join),
        1 => (0_usize..10).prop_map(Step::Degree),
    ]
    .boxed()
}

/// As [`steps`], with goodbyes among them.
fn steps_and_leave() -> impl Strategy<Value = Step> + Clone {
    prop_oneof![20 => steps(), 1 => Just(Step::Leave)].boxed()
}

#[test]
fn the_overlay_keeps_the_laws() {
    laws::check(&Node, steps());
}

#[test]
fn the_overlay_keeps_the_laws_when_it_ends() {
    laws::check(&Node, steps_and_leave());
}

#[test]
fn the_steps_reach_every_output() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let mut machine = Node.create(seed, Instant::from_millis(10_000));
        let sequence = prop::collection::vec(steps_and_leave(), 30..60);
        let mut now = Instant::from_millis(10_000);
        for step in laws::sample(&sequence, seed).unwrap() {
            now = now + millis(400);
            machine.handle_timeout(now);
            Node.apply(&mut machine, now, &step);
            while let Some(output) = machine.poll_output() {
                kinds.insert(match output {
                    Output::Send { body, .. } => body.kind().name().to_owned(),
                    other => format!("{other:?}")
                        .split([' ', '{'])
                        .next()
                        .unwrap()
                        .to_owned(),
                });
            }
        }
    }
    for kind in [
        "OVERLAY_WALK",
        "OVERLAY_OFFER",
        "OVERLAY_MOVE",
        "OVERLAY_ANSWER",
        "OVERLAY_EDGE",
        "OVERLAY_PEERS",
        "Connect",
        "Release",
        "NeighbourUp",
        "NeighbourDown",
        "Misbehaved",
    ] {
        assert!(kinds.contains(kind), "{kind} is missing in {kinds:?}");
    }
}

#[test]
fn walks_of_one_peer_are_limited_and_the_excess_is_reported_once_a_second() {
    let mut bench = Bench::new(4, 4);
    bench.link(60);
    for number in 0..40 {
        bench.hear(60, walk(1_000 + number, 60, 4, 6));
    }
    assert_eq!(bench.blames(), [Offence::TooManyWalks]);
    // Those of others that a neighbour passes on are not counted as its own.
    let mut bench = Bench::new(4, 4);
    for number in 0..40 {
        bench.hear(
            1,
            walk(1_000 + number, 60 + usize::try_from(number).unwrap(), 4, 6),
        );
    }
    assert_eq!(bench.blames(), []);
}

#[test]
fn no_more_exchanges_are_under_way_than_the_limit_allows() {
    let mut config = Config::default();
    config.degree = 8;
    config.max_deals = 3;
    let mut bench = Bench::with(config, 8);
    for number in 0..20 {
        bench.hear(
            1,
            walk(1_000 + number, 100 + usize::try_from(number).unwrap(), 4, 0),
        );
    }
    assert_eq!(bench.orders().len(), 3, "the others went on");
    assert!(bench.walks().len() >= 17);
}

#[test]
fn forged_messages_of_strangers_change_no_edge() {
    let mut bench = Bench::new(4, 4);
    for stranger in 60..90 {
        bench.link(stranger);
        for number in 1..=5 {
            for verdict in OverlayVerdict::ALL {
                bench.hear(stranger, answer(number, *verdict));
            }
            bench.hear(stranger, order(number, 60));
            bench.hear(stranger, offer(number, None));
            bench.hear(stranger, offer(number, Some(1)));
            bench.hear(stranger, flip(number, 1, false));
        }
        bench.hear(stranger, denies());
        bench.hear(stranger, holds([0, 1, 2, 3, 4]));
        bench.pass(millis(100));
    }
    bench.pass(millis(5_000));
    let neighbours: Vec<NodeId> = bench.overlay.neighbours().collect();
    assert_eq!(neighbours, ids(1..=4));
}

#[test]
fn a_neighbour_can_end_its_own_edge_and_no_other() {
    let mut bench = Bench::new(8, 8);
    for number in 60..200 {
        let id = u64::try_from(number).unwrap();
        // It splits, moves and refuses as much as it likes.
        bench.hear(1, order(id, number));
        bench.hear(1, flip(id + 1_000, number, false));
        bench.hear(1, walk(id + 2_000, number, 4, 0));
        bench.hear(1, denies());
        bench.pass(millis(50));
    }
    bench.pass(millis(5_000));
    let kept = (2..=8).filter(|number| bench.holds(*number)).count();
    assert_eq!(kept, 7);
}

#[test]
fn a_crowd_of_newcomers_is_bounded_and_told_when_to_come_again() {
    let mut config = Config::default();
    config.degree = 4;
    config.max_waiting = 10;
    config.min_window = 2;
    let mut bench = Bench::with(config, 4);
    for number in 100..200 {
        bench.link(number);
        bench.hear(number, walk(u64::try_from(number).unwrap(), number, 4, 6));
    }
    let verdicts = |wanted| {
        (100..200)
            .filter(|number| bench.verdict_to(*number) == Some(wanted))
            .count()
    };
    assert_eq!(verdicts(OverlayVerdict::Ready), 2);
    assert_eq!(verdicts(OverlayVerdict::Retry), 88);
    assert_eq!(bench.walks().len(), 2);
    // Whoever gets an edge lets two others in.
    bench.log.clear();
    bench.hear(100, answer(100, OverlayVerdict::Take));
    assert_eq!(bench.walks().len(), 2);
}
