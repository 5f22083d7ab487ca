//! How much is remembered and answered, whatever comes.

use macula_kad::Wayfinder;
use macula_kad::forward::{BackFate, DropCause, Fate};
use macula_testkit::node_id;
use macula_wire::ErrorCode;
use macula_wire::message::ForwardError;

use super::world::{around, at, marks, next, packet};

#[test]
fn memory_is_bounded_whoever_is_named() {
    let topology = around(&[(1, &[]), (2, &[])], &[]);
    let finder = Wayfinder::new();
    for each in 0..100_000 {
        // Each with an origin and a target of its own; every second one is refused.
        let mut packet = packet(1_000_000 + each, &[1_000 + each, 2]);
        packet.way.hops = u8::try_from(each % 2).unwrap();
        let now = at(u64::try_from(each).unwrap() / 100);
        drop(finder.forward(now, &topology, node_id(2), packet));
    }
    let stats = finder.stats();
    assert_eq!(
        (stats.routes, stats.attempts, stats.counted),
        (1_024, 2_048, 1_024)
    );
    assert_eq!(stats.hop_limits, 50_000);
    // It goes on working.
    let to = next(&finder, 1_000, &topology, packet(9, &[8, 2]), 2);
    assert_eq!(to, Ok(node_id(1)));
    let to = next(&finder, 1_000, &topology, packet(8, &[7, 1]), 1);
    assert_eq!(to, Ok(node_id(2)), "by which it was heard");
}

#[test]
fn an_origin_that_is_linked_takes_no_room() {
    for (suspected, routes) in [(&[][..], 0), (&[8], 1)] {
        let topology = around(&[(1, &[]), (2, &[]), (8, &[])], suspected);
        let finder = Wayfinder::new();
        let to = next(&finder, 0, &topology, packet(9, &[8, 2]), 2);
        assert_eq!((to, finder.stats().routes), (Ok(node_id(1)), routes));
    }
}

/// How many of 1,000 packets that get no further are answered, with an origin and a peer by their number.
fn answered(finder: &Wayfinder, millis: u64, origins: usize, peers: usize) -> usize {
    let topology = around(&[], &[]);
    let refuse = |each: usize| {
        let (origin, peer) = (1_000 + each % origins, 100 + each % peers);
        let packet = packet(9, &[origin, peer]);
        match finder.forward(at(millis), &topology, node_id(peer), packet) {
            Fate::Dropped { cause, answer } => {
                assert_eq!(cause, DropCause::Unreachable);
                answer.is_some()
            }
            fate => panic!("{fate:?}"),
        }
    };
    (0..1_000).filter(|each| refuse(*each)).count()
}

#[test]
fn a_storm_of_errors_is_limited_for_each_origin_each_peer_and_in_all() {
    for (origins, peers, most) in [(1, 1, 4), (4, 4, 16), (1_000, 1, 32), (1_000, 500, 256)] {
        let finder = Wayfinder::new();
        assert_eq!(answered(&finder, 0, origins, peers), most);
        assert_eq!(answered(&finder, 0, origins, peers), 0);
        assert_eq!(answered(&finder, 1_000, origins, peers), most);
        let stats = finder.stats();
        assert_eq!(stats.unreachable, 3_000);
        assert_eq!(stats.limited, 3_000 - 2 * u64::try_from(most).unwrap());
    }
}

#[test]
fn a_storm_of_errors_that_are_passed_back_is_limited() {
    let topology = around(&[(1, &[]), (2, &[])], &[]);
    let finder = Wayfinder::new();
    let mut fates = Vec::new();
    for _ in 0..1_000 {
        let passed = next(&finder, 0, &topology, packet(9, &[8, 2]), 2);
        assert_eq!(passed, Ok(node_id(1)));
        let error = ForwardError {
            target: node_id(9),
            origin: node_id(8),
            code: ErrorCode::UNREACHABLE,
            back: marks(&[8, 2]),
        };
        fates.push(finder.forward_error(at(0), &topology, node_id(1), error));
    }
    let (first, rest) = fates.split_at(4);
    assert!(first.iter().all(|fate| matches!(fate, BackFate::Pass(_))));
    let limited = |fate: &_| *fate == BackFate::Dropped(DropCause::Limited);
    assert!(rest.iter().all(limited));
    assert_eq!(finder.stats().limited, 996);
}

#[test]
fn every_drop_is_counted_under_its_cause() {
    let topology = around(&[(1, &[]), (2, &[])], &[]);
    let finder = Wayfinder::new();
    let mut dropped = Vec::new();
    let mut of_one_hop = packet(9, &[8, 2]);
    of_one_hop.way.hops = 0;
    for packet in [
        packet(9, &[8, 0, 2]),
        of_one_hop,
        packet(9, &[1, 2]),
        packet(9, &[8, 1]),
        packet(9, &[0, 2]),
    ] {
        dropped.push(next(&finder, 0, &topology, packet, 2).unwrap_err());
    }
    let mut back = |target: usize, back: &[usize]| {
        let error = ForwardError {
            target: node_id(target),
            origin: node_id(back[0]),
            code: ErrorCode::UNREACHABLE,
            back: marks(back),
        };
        match finder.forward_error(at(0), &topology, node_id(1), error) {
            BackFate::Dropped(cause) => dropped.push(cause),
            fate => panic!("{fate:?}"),
        }
    };
    back(9, &[8, 2]);
    assert_eq!(
        next(&finder, 0, &topology, packet(9, &[8, 2]), 2),
        Ok(node_id(1))
    );
    back(9, &[8, 3]);
    let expected = [
        DropCause::Loop,
        DropCause::HopLimit,
        DropCause::Unreachable,
        DropCause::Malformed,
        DropCause::ForgedOrigin,
        DropCause::Unasked,
        DropCause::NoWayBack,
    ];
    assert_eq!(dropped, expected);
    let stats = finder.stats();
    let counted = [
        stats.loops,
        stats.hop_limits,
        stats.unreachable,
        stats.malformed,
        stats.forged_origins,
        stats.unasked,
        stats.no_way_back,
    ];
    assert_eq!((counted, stats.limited), ([1; 7], 0));
}
