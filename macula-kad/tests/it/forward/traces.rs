//! TRACE and TRACED.

use std::time::Duration;

use macula_kad::forward::{BackFate, DropCause, Fate, Onward};
use macula_kad::{Topology, Wayfinder};
use macula_testkit::node_id;
use macula_wire::message::{Forward, Trace, Traced, TracedHop};
use macula_wire::{ErrorCode, NodeId, RequestId};

use super::world::{PACKET, at, marks};

const REQUEST: RequestId = RequestId::new(9);
/// As many nodes in a line.
const LENGTH: usize = 6;

/// What a node in the line knows: the nodes beside it.
fn line(own: usize) -> Topology {
    let beside = [own.checked_sub(1), Some(own + 1)].into_iter().flatten();
    let linked = beside
        .filter(|node| *node < LENGTH)
        .map(|node| (node_id(node), &[][..]));
    Topology::new(node_id(own), linked, [])
}

fn step(node: usize, rtt_us: u32) -> TracedHop {
    let node = node_id(node);
    TracedHop { node, rtt_us }
}

/// Every link takes a millisecond for each of the numbers of its ends.
fn rtt(node: usize) -> Option<Duration> {
    Some(Duration::from_millis(u64::try_from(2 * node - 1).unwrap()))
}

/// The trace of `target` from node 0 as node `to` gets it, and the nodes on its way.
fn traced_to(target: usize, to: usize) -> (Trace, Vec<Wayfinder>) {
    let finders: Vec<Wayfinder> = (0..LENGTH).map(|_| Wayfinder::new()).collect();
    let sent = finders[0].send_trace(at(0), &line(0), node_id(target), &[], REQUEST);
    let mut onward = sent.unwrap();
    for (own, finder) in finders.iter().enumerate().take(to).skip(1) {
        let from = node_id(own - 1);
        let fate = finder.trace(at(0), &line(own), from, rtt(own), onward.message);
        let Fate::Pass(next) = fate else {
            panic!("{fate:?}");
        };
        assert_eq!(next.to, node_id(own + 1));
        onward = next;
    }
    (onward.message, finders)
}

/// The steps that are written down up to and with node `last`.
fn path(last: usize) -> Vec<TracedHop> {
    let rtts = [0, 1_000, 3_000, 5_000, 7_000, 9_000];
    (0..=last).map(|node| step(node, rtts[node])).collect()
}

#[test]
fn a_trace_collects_its_way_and_comes_back() {
    for (target, end, code) in [(3, 3, ErrorCode::OK), (77, 5, ErrorCode::UNREACHABLE)] {
        let (trace, finders) = traced_to(target, end);
        assert_eq!(trace.path, path(end - 1));
        let from = node_id(end - 1);
        let answer = match finders[end].trace(at(0), &line(end), from, rtt(end), trace.clone()) {
            Fate::Arrived { message, answer } => {
                assert_eq!((message, target), (trace, end));
                answer
            }
            Fate::Dropped { cause, answer } => {
                assert_eq!((cause, target), (DropCause::Unreachable, 77));
                answer
            }
            fate => panic!("{fate:?}"),
        };
        let mut answer = answer.unwrap();
        for own in (1..end).rev() {
            assert_eq!(answer.to, node_id(own));
            let from = node_id(own + 1);
            let fate = finders[own].traced(at(0), &line(own), from, answer.message);
            let BackFate::Pass(next) = fate else {
                panic!("{fate:?}");
            };
            answer = next;
        }
        let fate = finders[0].traced(at(0), &line(0), node_id(1), answer.message);
        let expected = Traced {
            request: REQUEST,
            target: node_id(target),
            code,
            path: path(end),
            back: Vec::new(),
        };
        assert_eq!(fate, BackFate::Arrived(expected));
    }
}

#[test]
fn a_round_trip_is_written_down_in_whole_microseconds() {
    let written = |rtt| {
        let (trace, finders) = traced_to(5, 2);
        match finders[2].trace(at(0), &line(2), node_id(1), rtt, trace) {
            Fate::Pass(onward) => onward.message.path[2].rtt_us,
            fate => panic!("{fate:?}"),
        }
    };
    assert_eq!(written(None), 0);
    assert_eq!(written(Some(Duration::from_nanos(1_999))), 1);
    assert_eq!(written(Some(Duration::from_secs(5_000))), u32::MAX);
}

#[test]
fn a_path_is_that_of_the_trail() {
    let fate = |change: &dyn Fn(&mut Trace)| {
        let (mut trace, finders) = traced_to(5, 3);
        change(&mut trace);
        finders[3].trace(at(0), &line(3), node_id(2), rtt(3), trace)
    };
    let accepted: [&dyn Fn(&mut Trace); 2] = [&|_| {}, &|trace| trace.path[1].rtt_us = 7];
    for change in accepted {
        assert!(matches!(fate(change), Fate::Pass(_)));
    }
    let refused: [&dyn Fn(&mut Trace); 8] = [
        &|trace| trace.path[0].node = of_one_mark(0),
        &|trace| trace.path[2].node = of_one_mark(2),
        &|trace| trace.path[0].node = node_id(9),
        &|trace| trace.path[1].node = node_id(9),
        &|trace| trace.path[2].node = node_id(9),
        &|trace| trace.path.truncate(2),
        &|trace| trace.path.push(step(2, 0)),
        &|trace| trace.way.trail[2] = node_id(9).mark(),
    ];
    let expected = Fate::Dropped {
        cause: DropCause::Malformed,
        answer: None,
    };
    for change in refused {
        assert_eq!(fate(change), expected);
    }
}

/// Another node with the mark of this one.
fn of_one_mark(node: usize) -> NodeId {
    let mut bytes = *node_id(node).as_bytes();
    bytes[31] ^= 1;
    NodeId::from_bytes(bytes)
}

/// What node 2 makes of an answer to a trace of node 5, as changed.
fn answered(change: &dyn Fn(&mut Traced)) -> BackFate<Traced> {
    let (_, finders) = traced_to(5, 3);
    let mut traced = Traced {
        request: REQUEST,
        target: node_id(5),
        code: ErrorCode::OK,
        path: path(5),
        back: marks(&[0, 1]),
    };
    change(&mut traced);
    finders[2].traced(at(0), &line(2), node_id(3), traced)
}

#[test]
fn an_answer_that_cannot_be_true_is_dropped() {
    let accepted: [&dyn Fn(&mut Traced); 3] = [
        &|_| {},
        // What lies beyond the peer cannot be judged.
        &|traced| traced.path[4].node = node_id(9),
        &|traced| {
            traced.path.truncate(4);
            traced.code = ErrorCode::UNREACHABLE;
        },
    ];
    for change in accepted {
        let fate = answered(change);
        let BackFate::Pass(Onward { to, message }) = fate else {
            panic!("{fate:?}");
        };
        assert_eq!((to, message.back), (node_id(1), marks(&[0])));
    }
    let refused: [&dyn Fn(&mut Traced); 14] = [
        &|traced| {
            traced.target = node_id(2);
            traced.code = ErrorCode::HOP_LIMIT;
        },
        &|traced| {
            traced.path[1].node = node_id(2);
            traced.back[1] = node_id(2).mark();
        },
        &|traced| {
            traced.target = node_id(1);
            traced.code = ErrorCode::HOP_LIMIT;
        },
        &|traced| traced.path.clear(),
        &|traced| traced.path.truncate(3),
        &|traced| traced.path.truncate(4),
        &|traced| traced.path[0].node = node_id(9),
        &|traced| traced.path[1].node = node_id(9),
        &|traced| traced.path[2].node = node_id(9),
        &|traced| traced.path[3].node = node_id(9),
        &|traced| traced.path[5].node = node_id(9),
        &|traced| traced.back.truncate(1),
        &|traced| traced.back[0] = node_id(9).mark(),
        &|traced| traced.code = ErrorCode::HOP_LIMIT,
    ];
    for (number, change) in refused.into_iter().enumerate() {
        let fate = answered(change);
        assert_eq!(fate, BackFate::Dropped(DropCause::Malformed), "{number}");
    }
}

#[test]
fn a_storm_of_errors_leaves_room_for_tracing() {
    let (trace, finders) = traced_to(77, 5);
    let (finder, from) = (&finders[5], node_id(4));
    let forward = Forward {
        way: trace.way.clone(),
        packet: PACKET,
    };
    let error = || match finder.forward(at(0), &line(5), from, forward.clone()) {
        Fate::Dropped { answer, .. } => answer.is_some(),
        fate => panic!("{fate:?}"),
    };
    let traced = || match finder.trace(at(0), &line(5), from, None, trace.clone()) {
        Fate::Dropped { answer, .. } => answer.is_some(),
        fate => panic!("{fate:?}"),
    };
    assert_eq!((0..100).filter(|_| error()).count(), 4);
    assert_eq!((0..100).filter(|_| traced()).count(), 4);
}

#[test]
fn only_a_trace_that_was_passed_on_is_answered() {
    let unasked = answered(&|traced| {
        traced.target = node_id(9);
        traced.path[5].node = node_id(9);
    });
    assert_eq!(unasked, BackFate::Dropped(DropCause::Unasked));
    assert!(matches!(answered(&|_| {}), BackFate::Pass(_)));
}
