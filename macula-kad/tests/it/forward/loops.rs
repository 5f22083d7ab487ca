//! Whatever nodes believe, nothing goes on for ever.

use std::collections::BTreeMap;

use macula_kad::forward::{BackFate, DropCause, Fate};
use macula_kad::{Topology, Wayfinder};
use macula_testkit::node_id;
use macula_wire::message::Forward;
use macula_wire::{ErrorCode, NodeId};
use proptest::prelude::*;

use super::world::{MAX_PASSES, PACKET, around, at, marks, next, packet};

/// What a node believes of its peers, who is suspected, and what it remembers, all by numbers.
#[derive(Clone, Debug)]
struct Belief {
    peers: Vec<(usize, Vec<usize>)>,
    suspected: Vec<usize>,
    /// Origins and by whom they were heard.
    heard: Vec<(usize, usize)>,
    /// Targets for which a packet failed.
    failed: Vec<usize>,
}

const NODES: usize = 24;

fn belief() -> impl Strategy<Value = Belief> {
    let some = |most| proptest::collection::vec(0..NODES, 0..most);
    let peers = proptest::collection::vec((0..NODES, some(6)), 0..8);
    let heard = proptest::collection::vec((0..NODES, 0..NODES), 0..12);
    (peers, some(4), heard, some(4)).prop_map(|(peers, suspected, heard, failed)| Belief {
        peers,
        suspected,
        heard,
        failed,
    })
}

/// A node that believes this.
fn node(own: usize, belief: &Belief) -> (Topology, Wayfinder) {
    let ids = |nodes: &[usize]| nodes.iter().copied().map(node_id).collect::<Vec<_>>();
    let told: Vec<_> = belief
        .peers
        .iter()
        .map(|(peer, told)| (node_id(*peer), ids(told)))
        .collect();
    let linked = told.iter().map(|(peer, told)| (*peer, told.as_slice()));
    let topology = Topology::new(node_id(own), linked, ids(&belief.suspected));
    let finder = Wayfinder::new();
    for (origin, peer) in &belief.heard {
        if [*origin, *peer].contains(&own) || origin == peer {
            continue;
        }
        let heard = packet(own, &[*origin, *peer]);
        let fate = finder.forward(at(0), &topology, node_id(*peer), heard);
        assert!(matches!(fate, Fate::Arrived { .. }));
    }
    for target in &belief.failed {
        if let Ok(sent) = finder.send(at(0), &topology, node_id(*target), &[], PACKET) {
            let error = macula_wire::message::ForwardError {
                target: node_id(*target),
                origin: node_id(own),
                code: ErrorCode::UNREACHABLE,
                back: Vec::new(),
            };
            let fate = finder.forward_error(at(0), &topology, sent.to, error);
            assert!(matches!(fate, BackFate::Arrived(_)));
        }
    }
    (topology, finder)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Every node believes something else, and believes in links that are not there for others. A packet ends within 16
    /// passes all the same, passes nobody twice, and an error for it finds back to its origin.
    #[test]
    fn every_packet_ends(
        beliefs in proptest::collection::vec(belief(), NODES),
        (origin, target) in (0..NODES, 0..NODES),
        via in proptest::collection::vec(0..NODES, 0..8),
    ) {
        let nodes: BTreeMap<NodeId, (Topology, Wayfinder)> = beliefs
            .iter()
            .enumerate()
            .map(|(own, belief)| (node_id(own), node(own, belief)))
            .collect();
        let (topology, finder) = &nodes[&node_id(origin)];
        let sent = finder.send(at(1), topology, node_id(target), &marks(&via), PACKET);
        let Ok(mut onward) = sent else {
            return Ok(());
        };
        let mut trail = vec![node_id(origin)];
        let cause = loop {
            let here = onward.to;
            prop_assert!(!trail.contains(&here), "{trail:?}");
            prop_assert!(trail.len() <= MAX_PASSES);
            let from = trail[trail.len() - 1];
            let (topology, finder) = &nodes[&here];
            match finder.forward(at(1), topology, from, onward.message) {
                Fate::Arrived { .. } => {
                    prop_assert_eq!(here, node_id(target));
                    return Ok(());
                }
                Fate::Pass(next) => {
                    trail.push(here);
                    onward = next;
                }
                Fate::Dropped { cause, answer } => {
                    let mut answer = answer.unwrap();
                    while let Some(to) = trail.pop() {
                        prop_assert_eq!(to, answer.to);
                        let from = trail.len();
                        prop_assert_eq!(answer.message.back.len(), from);
                        let Some(before) = trail.last() else { break };
                        answer.to = *before;
                        answer.message.back.pop();
                    }
                    break cause;
                }
            }
        };
        prop_assert!(matches!(cause, DropCause::HopLimit | DropCause::Unreachable));
    }
}

/// What becomes of a packet that node 0, linked with node 1 alone, has from node 2.
fn from_2(forward: Forward) -> Result<NodeId, DropCause> {
    let topology = around(&[(1, &[]), (2, &[])], &[]);
    next(&Wayfinder::new(), 0, &topology, forward, 2)
}

#[test]
fn what_has_passed_here_is_a_loop() {
    assert_eq!(from_2(packet(9, &[5, 0, 2])), Err(DropCause::Loop));
    assert_eq!(from_2(packet(9, &[5, 3, 2])), Ok(node_id(1)));
}

#[test]
fn what_has_used_up_its_hops_ends() {
    let with_hops = |hops| {
        let mut packet = packet(9, &[5, 2]);
        packet.way.hops = hops;
        from_2(packet)
    };
    assert_eq!(with_hops(0), Err(DropCause::HopLimit));
    assert_eq!(with_hops(1), Ok(node_id(1)));
}

#[test]
fn what_has_a_full_trail_ends_whatever_hops_it_claims() {
    let with_trail = |passed: usize| {
        let trail: Vec<usize> = (100..100 + passed - 1).chain([2]).collect();
        let mut packet = packet(9, &trail);
        packet.way.hops = u8::MAX;
        from_2(packet)
    };
    assert_eq!(with_trail(16), Err(DropCause::HopLimit));
    assert_eq!(with_trail(15), Ok(node_id(1)));
}

#[test]
fn what_has_passed_all_peers_ends() {
    assert_eq!(from_2(packet(9, &[1, 2])), Err(DropCause::Unreachable));
    assert_eq!(from_2(packet(9, &[3, 2])), Ok(node_id(1)));
}

#[test]
fn at_its_target_a_packet_arrives_with_its_last_pass() {
    let topology = around(&[], &[]);
    let trail: Vec<usize> = (100..116).collect();
    let packet = packet(0, &trail);
    assert_eq!(packet.way.hops, 0);
    let fate = Wayfinder::new().forward(at(0), &topology, node_id(115), packet.clone());
    let expected = Fate::Arrived {
        message: packet,
        answer: None,
    };
    assert_eq!(fate, expected);
}
