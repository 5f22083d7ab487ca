//! Errors on their way back.

use macula_kad::forward::{BackFate, DropCause, Fate, Onward, SendError};
use macula_kad::{Topology, Wayfinder};
use macula_testkit::node_id;
use macula_wire::message::ForwardError;
use macula_wire::{ErrorCode, NodeId};

use super::world::{PACKET, around, at, marks, next, packet};

const TARGET: usize = 100;
const ORIGIN: usize = 5;

fn peers_1_and_2() -> Topology {
    around(&[(1, &[TARGET]), (2, &[])], &[])
}

/// What node 0 dropped because of `packet` from node 2, and how it answers.
fn refusal(trail: &[usize], hops: u8) -> (DropCause, Option<Onward<ForwardError>>) {
    let topology = around(&[(2, &[])], &[]);
    let mut packet = packet(TARGET, trail);
    packet.way.hops = hops;
    let from = node_id(*trail.last().unwrap());
    match Wayfinder::new().forward(at(0), &topology, from, packet) {
        Fate::Dropped { cause, answer } => (cause, answer),
        fate => panic!("{fate:?}"),
    }
}

fn error(code: ErrorCode, back: &[usize]) -> ForwardError {
    ForwardError {
        target: node_id(TARGET),
        origin: node_id(ORIGIN),
        code,
        back: marks(back),
    }
}

#[test]
fn what_is_dropped_is_answered_with_its_trail() {
    let answer = |code, back: &[usize], to| {
        let message = error(code, back);
        let to = node_id(to);
        Some(Onward { to, message })
    };
    let unreachable = answer(ErrorCode::UNREACHABLE, &[ORIGIN, 3], 2);
    let refused = refusal(&[ORIGIN, 3, 2], 9);
    assert_eq!(refused, (DropCause::Unreachable, unreachable));
    let hop_limit = answer(ErrorCode::HOP_LIMIT, &[ORIGIN], 3);
    let refused = refusal(&[ORIGIN, 3], 0);
    assert_eq!(refused, (DropCause::HopLimit, hop_limit));
    let looped = answer(ErrorCode::LOOP_DETECTED, &[ORIGIN, 0], 2);
    let refused = refusal(&[ORIGIN, 0, 2], 9);
    assert_eq!(refused, (DropCause::Loop, looped));
    let to_origin = answer(ErrorCode::UNREACHABLE, &[], ORIGIN);
    let topology = around(&[(ORIGIN, &[])], &[]);
    let fate =
        Wayfinder::new().forward(at(0), &topology, node_id(ORIGIN), packet(TARGET, &[ORIGIN]));
    let expected = Fate::Dropped {
        cause: DropCause::Unreachable,
        answer: to_origin,
    };
    assert_eq!(fate, expected);
}

/// What becomes of an error from `from`, at `millis`, after node 0 passed a packet of the origin from node 2 to node 1.
fn returned(millis: u64, from: usize, error: ForwardError) -> BackFate<ForwardError> {
    let (topology, finder) = (peers_1_and_2(), Wayfinder::new());
    let to = next(&finder, 0, &topology, packet(TARGET, &[ORIGIN, 2]), 2);
    assert_eq!(to, Ok(node_id(1)));
    finder.forward_error(at(millis), &topology, node_id(from), error)
}

fn passes_to_2(fate: &BackFate<ForwardError>) -> bool {
    let message = error(ErrorCode::HOP_LIMIT, &[ORIGIN]);
    let to = node_id(2);
    *fate == BackFate::Pass(Onward { to, message })
}

#[test]
fn an_error_is_passed_back_where_the_packet_came_from() {
    let error = || error(ErrorCode::HOP_LIMIT, &[ORIGIN, 2]);
    assert!(passes_to_2(&returned(5_000, 1, error())));
    let refused = BackFate::Dropped(DropCause::Unasked);
    assert_eq!(returned(5_001, 1, error()), refused);
    assert_eq!(returned(0, 2, error()), refused);
    assert_eq!(returned(0, 3, error()), refused);
    let mut other = error();
    other.target = node_id(101);
    assert_eq!(returned(0, 1, other), refused);
}

#[test]
fn each_packet_has_one_error() {
    let (topology, finder) = (peers_1_and_2(), Wayfinder::new());
    for _ in 0..3 {
        let to = next(&finder, 0, &topology, packet(TARGET, &[ORIGIN, 2]), 2);
        assert_eq!(to, Ok(node_id(1)));
    }
    let error = || error(ErrorCode::HOP_LIMIT, &[ORIGIN, 2]);
    let answer = || finder.forward_error(at(0), &topology, node_id(1), error());
    for _ in 0..3 {
        assert!(passes_to_2(&answer()));
    }
    assert_eq!(answer(), BackFate::Dropped(DropCause::Unasked));
}

#[test]
fn an_error_that_cannot_be_true_is_dropped() {
    let refused = BackFate::Dropped(DropCause::Malformed);
    let code = ErrorCode::HOP_LIMIT;
    for back in [
        &[][..],
        &[2],
        &[3, 2],
        &[ORIGIN, 0, 2],
        &[ORIGIN, TARGET, 2],
    ] {
        assert_eq!(returned(0, 1, error(code, back)), refused, "{back:?}");
    }
    let ok = error(ErrorCode::OK, &[ORIGIN, 2]);
    assert_eq!(returned(0, 1, ok), refused);
    for target in [0, ORIGIN] {
        let mut error = error(code, &[ORIGIN, 2]);
        error.target = node_id(target);
        assert_eq!(returned(0, 1, error), refused);
    }
    let mut own = error(code, &[0, 2]);
    own.origin = node_id(0);
    assert_eq!(returned(0, 1, own), refused);
    assert!(passes_to_2(&returned(0, 1, error(code, &[ORIGIN, 2]))));
    // Whoever comes before in the trail is not looked at here.
    let longer = returned(0, 1, error(code, &[ORIGIN, 3, 2]));
    assert!(matches!(longer, BackFate::Pass(Onward { to, .. }) if to == node_id(2)));
}

#[test]
fn without_a_link_back_an_error_ends() {
    let back_to = |node| returned(0, 1, error(ErrorCode::HOP_LIMIT, &[ORIGIN, node]));
    assert_eq!(back_to(3), BackFate::Dropped(DropCause::NoWayBack));
    assert!(passes_to_2(&back_to(2)));
}

/// Sends a packet of this node; by whom.
fn send(finder: &Wayfinder, topology: &Topology) -> Result<NodeId, SendError> {
    let sent = finder.send(at(0), topology, node_id(TARGET), &[], PACKET);
    sent.map(|onward| {
        let way = onward.message.way;
        assert_eq!((way.hops, way.trail), (15, marks(&[0])));
        assert_eq!((way.origin, way.target), (node_id(0), node_id(TARGET)));
        onward.to
    })
}

#[test]
fn an_error_arrives_at_the_origin() {
    let (topology, finder) = (peers_1_and_2(), Wayfinder::new());
    let mut error = error(ErrorCode::UNREACHABLE, &[]);
    error.origin = node_id(0);
    let returned = |error| finder.forward_error(at(0), &topology, node_id(1), error);
    assert_eq!(
        returned(error.clone()),
        BackFate::Dropped(DropCause::Unasked)
    );
    assert_eq!(send(&finder, &topology), Ok(node_id(1)));
    assert_eq!(returned(error.clone()), BackFate::Arrived(error));
    assert_eq!(
        send(&finder, &topology),
        Ok(node_id(2)),
        "the dead end is left"
    );
}

#[test]
fn what_cannot_be_sent_is_told_at_once() {
    let finder = Wayfinder::new();
    assert_eq!(
        send(&finder, &around(&[], &[])),
        Err(SendError::Unreachable)
    );
    assert_eq!(send(&finder, &around(&[(3, &[])], &[])), Ok(node_id(3)));
    let own = finder.send(at(0), &peers_1_and_2(), node_id(0), &[], PACKET);
    assert_eq!(own.err(), Some(SendError::Own));
}

#[test]
fn only_eight_of_via_are_sent() {
    let via = |count: usize| {
        let named: Vec<usize> = (300..300 + count).collect();
        let sent = Wayfinder::new().send(
            at(0),
            &peers_1_and_2(),
            node_id(TARGET),
            &marks(&named),
            PACKET,
        );
        sent.unwrap().message.way.via.len()
    };
    assert_eq!([via(0), via(8), via(9)], [0, 8, 8]);
}
