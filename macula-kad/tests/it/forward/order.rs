//! Which peer is preferred to which.

use macula_kad::forward::{BackFate, Fate, Onward};
use macula_kad::{Distance, Topology, Wayfinder, position};
use macula_testkit::node_id;
use macula_wire::message::{Forward, ForwardError};
use macula_wire::{ErrorCode, NodeId};

use super::world::{around, at, marks, next, packet};

/// What is to be reached, and who sends.
const TARGET: usize = 100;
const ORIGIN: usize = 200;
/// 1 is named by the target and names it; 2 is named by it; 3 names it; 4 names a node that the target names; 5 has
/// brought something of it; of 6 to 8 nothing is known.
const PEERS: &[(usize, &[usize])] = &[
    (1, &[TARGET]),
    (2, &[31]),
    (3, &[32, TARGET]),
    (4, &[50]),
    (5, &[33]),
    (6, &[]),
    (7, &[34, 35]),
    (8, &[36]),
];
const VIA: &[usize] = &[50, 1, 2];

/// A packet for the target that has passed these after its origin.
fn passed(nodes: &[usize]) -> Forward {
    let trail: Vec<usize> = [ORIGIN].iter().chain(nodes).copied().collect();
    let mut packet = packet(TARGET, &trail);
    packet.way.via = marks(VIA);
    packet
}

/// Remembers that the target was heard by peer 5.
fn finder(topology: &Topology) -> Wayfinder {
    let finder = Wayfinder::new();
    let heard = packet(0, &[TARGET, 5]);
    let fate = finder.forward(at(0), topology, node_id(5), heard);
    assert!(matches!(fate, Fate::Arrived { .. }));
    finder
}

/// To whom a packet is passed, if those to whom it was passed before stand in its trail: all peers, the best first.
fn order(finder: &Wayfinder, topology: &Topology) -> Vec<usize> {
    let mut order = Vec::new();
    loop {
        let from = order.last().copied().unwrap_or(ORIGIN);
        let Ok(to) = next(finder, 1, topology, passed(&order), from) else {
            return order;
        };
        let number = (0..=TARGET).find(|number| node_id(*number) == to);
        order.push(number.unwrap());
        if to == node_id(TARGET) {
            return order;
        }
    }
}

/// The peers 6 to 8 and 5, nearest first.
fn nearest(peers: &[usize]) -> Vec<usize> {
    let target = position(&node_id(TARGET));
    let distance = |node: &usize| Distance::between(&position(&node_id(*node)), &target);
    let key = |peer: &usize| {
        let told = PEERS.iter().find(|(other, _)| other == peer).unwrap().1;
        told.iter().map(distance).chain([distance(peer)]).min()
    };
    let mut peers = peers.to_vec();
    peers.sort_by_key(key);
    peers
}

fn with_nearest(known: &[usize], unknown: &[usize], last: &[usize]) -> Vec<usize> {
    [known, &nearest(unknown), last].concat()
}

#[test]
fn what_is_surest_comes_first() {
    let topology = around(PEERS, &[]);
    let expected = with_nearest(&[1, 2, 3, 4, 5], &[6, 7, 8], &[]);
    assert_eq!(order(&finder(&topology), &topology), expected);
}

#[test]
fn a_target_that_is_linked_gets_it_at_once() {
    let peers = [PEERS, &[(TARGET, &[1])]].concat();
    let topology = around(&peers, &[1, 2, 3]);
    assert_eq!(order(&finder(&topology), &topology), [TARGET]);
}

#[test]
fn a_suspected_target_gets_it_when_no_neighbour_of_it_is_left() {
    let peers = [PEERS, &[(TARGET, &[1])]].concat();
    let topology = around(&peers, &[TARGET]);
    assert_eq!(order(&finder(&topology), &topology), [1, 2, 3, TARGET]);
    let topology = around(&peers, &[TARGET, 1, 2, 3]);
    assert_eq!(order(&finder(&topology), &topology), [TARGET]);
}

#[test]
fn suspected_peers_come_last() {
    let topology = around(PEERS, &[1, 3, 5]);
    let expected = with_nearest(&[2, 4], &[6, 7, 8], &[1, 3, 5]);
    assert_eq!(order(&finder(&topology), &topology), expected);
}

#[test]
fn suspected_neighbours_of_peers_lead_nowhere_but_to_themselves() {
    let topology = around(PEERS, &[50, TARGET]);
    let expected = with_nearest(&[1, 2, 3, 5], &[4, 6, 7, 8], &[]);
    let found = order(&finder(&topology), &topology);
    // That peer 4 leads to 50 does not count, not even for how near it is.
    assert_eq!(found[..4], expected[..4]);
    let told = |peer: usize| around(&[(peer, &[50]), (6, &[])], &[50]);
    for target in 1_000..1_020 {
        let alone = around(&[(4, &[]), (6, &[])], &[]);
        let to = |topology| {
            next(
                &Wayfinder::new(),
                0,
                topology,
                packet(target, &[ORIGIN]),
                ORIGIN,
            )
        };
        assert_eq!(to(&told(4)), to(&alone));
    }
}

#[test]
fn neighbours_of_peers_that_were_passed_lead_nowhere() {
    // Peer 1 told of the node that stands nearest to the target.
    let by_distance = |topology: &Topology, trail: &[usize]| {
        let from = *trail.last().unwrap();
        next(&Wayfinder::new(), 0, topology, packet(TARGET, trail), from)
    };
    let target = position(&node_id(TARGET));
    let distance = |node: &usize| Distance::between(&position(&node_id(*node)), &target);
    let near = (1_000..2_000).min_by_key(distance).unwrap();
    let (far, other) = (4, 6);
    assert!(distance(&near) < distance(&far).min(distance(&other)));
    for (one, two) in [(far, other), (other, far)] {
        let topology = around(&[(one, &[near]), (two, &[])], &[]);
        assert_eq!(by_distance(&topology, &[ORIGIN]), Ok(node_id(one)));
        let expected = [far, other].into_iter().min_by_key(distance).unwrap();
        assert_eq!(by_distance(&topology, &[near]), Ok(node_id(expected)));
    }
}

#[test]
fn a_node_of_via_that_was_passed_leads_nowhere() {
    let to = |trail: &[usize]| {
        let topology = around(&[(4, &[50]), (5, &[])], &[]);
        let mut packet = packet(TARGET, trail);
        packet.way.via = marks(&[50]);
        next(&finder(&topology), 1, &topology, packet, 2)
    };
    assert_eq!(to(&[ORIGIN, 2]), Ok(node_id(4)));
    assert_eq!(
        to(&[ORIGIN, 50, 2]),
        Ok(node_id(5)),
        "by which it was heard"
    );
}

/// Lets a packet of node 0 fail at the peer to which it is passed, and returns that.
fn fail(finder: &Wayfinder, topology: &Topology, millis: u64, code: ErrorCode) -> NodeId {
    let (target, via) = (node_id(TARGET), marks(VIA));
    let sent = finder.send(at(millis), topology, target, &via, super::world::PACKET);
    let Onward { to, message } = sent.unwrap();
    let error = ForwardError {
        target,
        origin: message.way.origin,
        code,
        back: Vec::new(),
    };
    let fate = finder.forward_error(at(millis), topology, to, error);
    assert!(matches!(fate, BackFate::Arrived(_)));
    to
}

#[test]
fn who_got_no_further_comes_after_those_that_did_not_say_so() {
    let topology = around(PEERS, &[6]);
    let finder = finder(&topology);
    assert_eq!(
        fail(&finder, &topology, 0, ErrorCode::HOP_LIMIT),
        node_id(1)
    );
    let expected = with_nearest(&[2, 3, 4, 5], &[7, 8], &[1, 6]);
    assert_eq!(order(&finder, &topology), expected);
    assert_eq!(
        fail(&finder, &topology, 1, ErrorCode::UNREACHABLE),
        node_id(2)
    );
    let expected = with_nearest(&[3, 4, 5], &[7, 8], &[1, 2, 6]);
    assert_eq!(order(&finder, &topology), expected);
}

#[test]
fn when_all_got_no_further_they_take_turns() {
    let topology = around(&PEERS[..3], &[]);
    let finder = finder(&topology);
    let codes = (0..7).map(|millis| fail(&finder, &topology, millis, ErrorCode::UNREACHABLE));
    let expected = [1, 2, 3, 1, 2, 3, 1].map(node_id);
    assert_eq!(codes.collect::<Vec<_>>(), expected);
}

#[test]
fn a_peer_by_which_the_target_is_heard_leads_to_it_again() {
    let topology = around(&[(1, &[]), (2, &[])], &[]);
    let finder = Wayfinder::new();
    let first = fail(&finder, &topology, 0, ErrorCode::UNREACHABLE);
    let other = fail(&finder, &topology, 1, ErrorCode::UNREACHABLE);
    assert_ne!(first, other);
    let number = [1, 2]
        .into_iter()
        .find(|number| node_id(*number) == other)
        .unwrap();
    let heard = packet(0, &[TARGET, number]);
    let fate = finder.forward(at(2), &topology, other, heard);
    assert!(matches!(fate, Fate::Arrived { .. }));
    let to = next(&finder, 3, &topology, packet(TARGET, &[ORIGIN]), ORIGIN);
    assert_eq!(to, Ok(other), "though the first has had more time");
}
