//! Who watches whom: neighbours, strangers, and what each costs.

use std::collections::BTreeSet;
use std::time::Duration;

use macula_swim::{Class, Config, Input, Output, State};
use macula_testkit::node_id;
use macula_wire::message::{SwimAck, SwimNack, SwimPing, SwimPingReq, Update};
use macula_wire::{Body, Machine, NodeId, ProbeId};

use crate::bench::{Bench, EPOCH, record, suspect};

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Node 0 among `members`, with links to the first `linked` of them, which are its neighbours; all are too many to be
/// linked to each other.
fn watcher(members: usize, linked: usize) -> Bench {
    let mut config = Config::default();
    config.link_pool = 4;
    let mut bench = Bench::with(config, linked);
    for number in 1..=linked {
        neighbour(&mut bench, number);
    }
    let others = linked + 1..=members;
    bench.news(
        1,
        others
            .map(|number| Update::Record(record(number, EPOCH, 0, false)))
            .collect(),
    );
    bench.log.clear();
    bench
}

fn neighbour(bench: &mut Bench, number: usize) {
    let peer = node_id(number);
    bench
        .swim
        .handle_input(bench.now, Input::NeighbourUp { peer });
    bench.drain();
}

fn pings(bench: &Bench, number: usize) -> usize {
    let ping = |body: &&&Body| matches!(body, Body::SwimPing(_));
    bench.sent_to(number).iter().filter(ping).count()
}

fn asked_for(bench: &Bench) -> BTreeSet<NodeId> {
    let connect = |output: &Output| match output {
        Output::Connect { node, .. } => Some(*node),
        _ => None,
    };
    bench.log.iter().filter_map(connect).collect()
}

#[test]
fn each_neighbour_is_probed_about_every_two_periods() {
    let mut bench = watcher(9, 8);
    bench.pass(Duration::from_secs(60), |_| true);
    for number in 1..=8 {
        let count = pings(&bench, number);
        assert!(
            (25..=34).contains(&count),
            "{count} probes of {number} in a minute"
        );
    }
}

#[test]
fn a_neighbour_that_probes_is_not_probed() {
    let mut bench = watcher(9, 8);
    for round in 0..40 {
        let ping = SwimPing {
            probe: ProbeId::new(round),
            updates: Vec::new(),
        };
        bench.hear(3, ping);
        bench.pass(millis(1_500), |_| true);
    }
    assert_eq!(pings(&bench, 3), 0);
    assert!(pings(&bench, 4) > 20, "the twin");
}

#[test]
fn who_is_no_neighbour_any_more_is_not_watched() {
    let mut bench = watcher(9, 8);
    let peer = node_id(2);
    bench
        .swim
        .handle_input(bench.now, Input::NeighbourDown { peer });
    bench.pass(Duration::from_secs(20), |_| true);
    assert!(pings(&bench, 2) <= 1, "it may have its turn among all");
    neighbour(&mut bench, 2);
    bench.pass(Duration::from_secs(20), |_| true);
    assert!(pings(&bench, 2) > 5);
}

#[test]
fn a_silent_neighbour_is_suspected_within_three_periods() {
    let mut bench = watcher(9, 8);
    bench.pass(Duration::from_secs(10), |_| true);
    assert_eq!(bench.state(5), Some(State::Alive));
    bench.pass(millis(3_000), |number| number != 5);
    assert_eq!(bench.state(5), Some(State::Suspect));
}

#[test]
fn one_stranger_is_probed_in_half_a_minute_over_a_link_of_its_own() {
    let mut bench = watcher(200, 8);
    bench.pass(Duration::from_secs(65), |number| number < 9);
    let asked = asked_for(&bench);
    assert!((1..=3).contains(&asked.len()), "{asked:?}");
    let stranger = (9..=200)
        .find(|number| asked.contains(&node_id(*number)))
        .unwrap();
    bench.log.clear();
    // Another turn, this time with somebody who answers the dial.
    let mut found = None;
    for _ in 0..100 {
        bench.pass(millis(500), |number| number < 9);
        let alive = |node: &NodeId| bench.swim.member(node).unwrap().state() == State::Alive;
        found = asked_for(&bench).into_iter().find(alive);
        if found.is_some() {
            break;
        }
    }
    let next = (9..=200)
        .find(|number| found == Some(node_id(*number)))
        .unwrap();
    bench.link(next);
    assert_eq!(pings(&bench, next), 1);
    let probe = bench.pinged(next);
    let ack = SwimAck {
        probe,
        updates: Vec::new(),
    };
    bench.hear(next, ack);
    let node = node_id(next);
    assert!(
        bench.log.contains(&Output::Release { node }),
        "its link served its purpose"
    );
    assert_eq!(bench.state(next), Some(State::Alive));
    let silent = bench.state(stranger).unwrap();
    assert!(
        matches!(silent, State::Suspect | State::Dead),
        "the first did not answer"
    );
}

#[test]
fn up_to_the_size_of_the_pool_everybody_is_linked_and_probed_by_turns() {
    let mut bench = Bench::new(20);
    bench.news(1, vec![Update::Record(record(21, EPOCH, 0, false))]);
    bench.pass(Duration::from_secs(60), |_| true);
    assert!(asked_for(&bench).contains(&node_id(21)));
    for number in 1..=20 {
        assert!(pings(&bench, number) >= 2, "{number}");
    }
    // The twin: above it, nobody is dialled for the link alone.
    let mut bench = watcher(40, 8);
    bench.pass(millis(4_000), |_| true);
    assert!(asked_for(&bench).len() <= 1);
}

#[test]
fn a_helper_dials_whom_it_has_no_link_to() {
    let mut bench = watcher(20, 8);
    let request = SwimPingReq {
        probe: ProbeId::new(9),
        target: node_id(15),
        updates: Vec::new(),
    };
    bench.hear(2, request);
    assert!(asked_for(&bench).contains(&node_id(15)));
    assert_eq!(pings(&bench, 15), 0);
    bench.link(15);
    let probe = bench.pinged(15);
    let ack = SwimAck {
        probe,
        updates: Vec::new(),
    };
    bench.hear(15, ack);
    let passed = bench.sent_to(2);
    assert!(
        passed
            .iter()
            .any(|body| matches!(body, Body::SwimAck(ack) if ack.probe == ProbeId::new(9)))
    );
}

#[test]
fn a_suspected_stranger_is_looked_after_by_few() {
    // Of two hundred, about four look; one that has no link to the accused does not by itself.
    let mut looked = 0;
    for by in 2..9 {
        let mut bench = watcher(200, 8);
        bench.pass(millis(by * 97), |number| number < 9);
        let by = usize::try_from(by).unwrap();
        bench.news(by, vec![suspect(&record(100, EPOCH, 0, false), by)]);
        assert_eq!(bench.state(100), Some(State::Suspect));
        bench.pass(Duration::from_secs(18), |number| number < 9);
        assert_eq!(
            bench.state(100),
            Some(State::Alive),
            "the word of one is not enough"
        );
        looked += usize::from(asked_for(&bench).contains(&node_id(100)));
    }
    assert!(looked < 4, "{looked} of 7 looked");
}

#[test]
fn news_goes_to_every_neighbour_but_the_one_it_came_from() {
    let mut bench = watcher(20, 8);
    bench.log.clear();
    let accused = suspect(&record(15, EPOCH, 0, false), 3);
    bench.news(3, vec![accused.clone()]);
    let told = |number| {
        let told = bench.sent_to(number);
        told.iter()
            .filter(|body| matches!(body, Body::SwimGossip(gossip) if gossip.updates.contains(&accused)))
            .count()
    };
    assert_eq!(told(3), 0);
    for number in [1, 2, 4, 5, 6, 7, 8] {
        assert_eq!(told(number), 1, "{number} is told at once");
    }
    // Once is enough: the same news again goes nowhere.
    bench.log.clear();
    bench.news(4, vec![accused]);
    let gossip = |output: &&Output| {
        matches!(
            output,
            Output::Send {
                body: Body::SwimGossip(_),
                ..
            }
        )
    };
    assert_eq!(bench.log.iter().filter(gossip).count(), 0);
}

#[test]
fn a_large_flood_takes_the_reliable_way() {
    let mut bench = watcher(9, 8);
    let many = |range: std::ops::Range<usize>| {
        range
            .map(|number| Update::Record(record(number, EPOCH, 0, false)))
            .collect::<Vec<_>>()
    };
    for part in 0..4 {
        bench.news(1, many(100 + part * 60..160 + part * 60));
    }
    bench.log.clear();
    bench.pass(millis(300), |_| true);
    let reliable = |output: &&Output| {
        matches!(
            output,
            Output::Send {
                class: Class::Reliable,
                body: Body::SwimGossip(_),
                ..
            }
        )
    };
    assert!(bench.log.iter().filter(reliable).count() >= 7);
    assert!(bench.log.len() < 100, "{} messages", bench.log.len());
}

#[test]
fn helpers_that_are_silent_speak_against_this_node() {
    let score = |nacks: bool| {
        let mut bench = watcher(9, 8);
        bench.pass(Duration::from_secs(10), |_| true);
        bench.log.clear();
        assert_eq!(bench.swim.health(), 0);
        // Nobody answers any more, but for the helpers that say so.
        for _ in 0..300 {
            bench.pass(millis(10), |number| number != 5);
            let requests: Vec<(NodeId, ProbeId)> = bench
                .requests()
                .iter()
                .map(|(to, request)| (*to, request.probe))
                .collect();
            for (helper, probe) in requests.into_iter().filter(|_| nacks) {
                let helper = (1..9).find(|number| node_id(*number) == helper).unwrap();
                let target = node_id(5);
                bench.hear(helper, SwimNack { probe, target });
            }
            if bench.swim.stats().probes_failed > 0 {
                break;
            }
        }
        assert!(bench.swim.stats().probes_failed > 0);
        bench.swim.stats().nacks_missed
    };
    assert_eq!(score(true), 0);
    assert!(score(false) > 0);
}
