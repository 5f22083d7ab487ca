//! What peers may claim, and how far that leads.

use macula_kad::forward::{BackFate, DropCause, Fate};
use macula_kad::{Topology, Wayfinder};
use macula_testkit::node_id;
use macula_wire::message::{Forward, ForwardError};
use macula_wire::{ErrorCode, NodeId};

use super::world::{around, at, marks, next, packet};

const TARGET: usize = 100;
/// A peer that claims to have things from the target.
const LIAR: usize = 7;

/// What becomes of a packet that node 0, with the peers 1 and 2, has from node 2.
fn from_2(change: impl FnOnce(&mut Forward)) -> Fate<Forward, ForwardError> {
    let topology = around(&[(1, &[]), (2, &[])], &[]);
    let mut forward = packet(TARGET, &[5, 3, 2]);
    change(&mut forward);
    Wayfinder::new().forward(at(0), &topology, node_id(2), forward)
}

fn dropped_in_silence(cause: DropCause) -> Fate<Forward, ForwardError> {
    let answer = None;
    Fate::Dropped { cause, answer }
}

#[test]
fn a_trail_begins_with_the_origin_and_ends_with_the_peer() {
    let with_trail = |trail: &[usize]| from_2(|forward| forward.way.trail = marks(trail));
    let refused = dropped_in_silence(DropCause::Malformed);
    for trail in [
        &[][..],
        &[5],
        &[5, 3],
        &[5, 2, 3],
        &[3, 2],
        &[2],
        &[3, 5, 2],
    ] {
        assert_eq!(with_trail(trail), refused, "{trail:?}");
    }
    for trail in [&[5, 2][..], &[5, 3, 2], &[5, 3, 4, 2]] {
        assert!(matches!(with_trail(trail), Fate::Pass(_)), "{trail:?}");
    }
}

#[test]
fn what_has_passed_its_target_is_forged() {
    let with_trail = |trail: &[usize]| from_2(|forward| forward.way.trail = marks(trail));
    let refused = dropped_in_silence(DropCause::Malformed);
    assert_eq!(with_trail(&[5, TARGET, 2]), refused);
    assert!(matches!(with_trail(&[5, 6, 2]), Fate::Pass(_)));
    let for_0 = |trail: &[usize]| from_2(|forward| *forward = packet(0, trail));
    assert_eq!(for_0(&[5, 0, 2]), refused);
    assert!(matches!(for_0(&[5, 6, 2]), Fate::Arrived { .. }));
}

#[test]
fn nothing_comes_from_this_node_itself() {
    let from = |origin, target| from_2(|forward| *forward = packet(target, &[origin, 2]));
    let refused = dropped_in_silence(DropCause::ForgedOrigin);
    assert_eq!(from(0, TARGET), refused);
    assert!(matches!(from(5, TARGET), Fate::Pass(_)));
    // As the target it would hand it to its endpoint.
    assert_eq!(from(0, 0), dropped_in_silence(DropCause::Malformed));
    assert!(matches!(from(5, 0), Fate::Arrived { .. }));
}

/// Lets the liar claim to pass on something of the target.
fn lie(finder: &Wayfinder, topology: &Topology, millis: u64) {
    let forged = packet(0, &[TARGET, LIAR]);
    let fate = finder.forward(at(millis), topology, node_id(LIAR), forged);
    assert!(matches!(fate, Fate::Arrived { .. }));
    // Likewise with what goes on.
    let forged = packet(99, &[TARGET, LIAR]);
    let fate = finder.forward(at(millis), topology, node_id(LIAR), forged);
    assert!(!matches!(fate, Fate::Arrived { .. }));
}

/// To whom something for the target that names 50 and 51 as its neighbours is passed.
fn to_target(finder: &Wayfinder, topology: &Topology, millis: u64) -> Result<NodeId, DropCause> {
    let mut packet = packet(TARGET, &[200, 2]);
    packet.way.via = marks(&[50, 51]);
    next(finder, millis, topology, packet, 2)
}

#[test]
fn a_lie_draws_nothing_away_from_what_is_known_directly() {
    let liar: (usize, &[usize]) = (LIAR, &[]);
    let known: [(usize, &[usize]); 5] = [
        (TARGET, &[]),
        (50, &[TARGET]),
        (51, &[]),
        (3, &[TARGET]),
        (3, &[50]),
    ];
    for peer in known {
        let topology = around(&[peer, liar], &[]);
        let finder = Wayfinder::new();
        for millis in 0..100 {
            lie(&finder, &topology, millis);
            assert_eq!(to_target(&finder, &topology, millis), Ok(node_id(peer.0)));
        }
    }
}

#[test]
fn a_lie_about_what_is_not_known_directly_is_over_in_ten_seconds() {
    // Of the other peers that have nothing of the target, one is chosen by distance.
    let topology = around(&[(1, &[]), (LIAR, &[]), (3, &[]), (4, &[])], &[]);
    let honest = to_target(&Wayfinder::new(), &topology, 0);
    assert_ne!(honest, Ok(node_id(LIAR)));
    let finder = Wayfinder::new();
    lie(&finder, &topology, 0);
    assert_eq!(to_target(&finder, &topology, 10_000), Ok(node_id(LIAR)));
    assert_eq!(to_target(&finder, &topology, 10_001), honest);
}

#[test]
fn a_lie_is_over_with_the_next_true_packet() {
    let topology = around(&[(1, &[]), (LIAR, &[]), (3, &[])], &[]);
    for truth in [1, 3] {
        let finder = Wayfinder::new();
        lie(&finder, &topology, 0);
        let heard = packet(0, &[TARGET, 60, truth]);
        let fate = finder.forward(at(1), &topology, node_id(truth), heard);
        assert!(matches!(fate, Fate::Arrived { .. }));
        assert_eq!(to_target(&finder, &topology, 2), Ok(node_id(truth)));
    }
}

#[test]
fn a_learned_route_ends_with_its_link_or_a_suspicion() {
    let peers: [(usize, &[usize]); 3] = [(1, &[]), (3, &[]), (LIAR, &[])];
    let topology = around(&peers, &[]);
    let finder = Wayfinder::new();
    lie(&finder, &topology, 0);
    assert_eq!(to_target(&finder, &topology, 1), Ok(node_id(LIAR)));
    let honest = to_target(&Wayfinder::new(), &around(&peers[..2], &[]), 0);
    for topology in [around(&peers, &[LIAR]), around(&peers[..2], &[])] {
        assert_eq!(to_target(&finder, &topology, 1), honest);
    }
}

#[test]
fn what_is_forged_teaches_no_route() {
    let topology = around(&[(1, &[]), (LIAR, &[]), (3, &[])], &[]);
    let finder = Wayfinder::new();
    let mut learned = Vec::new();
    for trail in [
        &[TARGET][..],
        &[TARGET, 6],
        &[TARGET, 0, LIAR],
        &[TARGET, LIAR],
    ] {
        drop(finder.forward(at(0), &topology, node_id(LIAR), packet(99, trail)));
        learned.push(finder.stats().routes);
    }
    assert_eq!(learned, [0, 0, 0, 1]);
}

/// Lets something for the target fail at the peer that tells of it; whether another one is preferred then.
fn left_after(code: ErrorCode, hops: u8) -> bool {
    let topology = around(&[(1, &[]), (2, &[]), (3, &[TARGET])], &[]);
    let finder = Wayfinder::new();
    let mut forward = packet(TARGET, &[5, 2]);
    forward.way.hops = hops;
    assert_eq!(next(&finder, 0, &topology, forward, 2), Ok(node_id(3)));
    let error = ForwardError {
        target: node_id(TARGET),
        origin: node_id(5),
        code,
        back: marks(&[5, 2]),
    };
    let fate = finder.forward_error(at(0), &topology, node_id(3), error);
    assert!(matches!(fate, BackFate::Pass(_)));
    to_target(&finder, &topology, 1) != Ok(node_id(3))
}

#[test]
fn nobody_sends_others_off_a_good_way_by_giving_a_packet_too_few_hops() {
    // With one pass to here the peer may not hand it to the target, its neighbour or not.
    assert!(!left_after(ErrorCode::HOP_LIMIT, 1));
    assert!(left_after(ErrorCode::HOP_LIMIT, 2));
    assert!(left_after(ErrorCode::UNREACHABLE, 1));
}
