//! Each fault happens when it is asked for, and does not when it is not.

use std::time::Duration;

use macula_testkit::{Bursts, Chance, Class, Conditions, Config, Geography, Net, NodeIndex};
use macula_wire::Instant;
use macula_wire::message::Ping;

use crate::flood::{Flood, Floods, mesh};

const A: NodeIndex = NodeIndex::new(0);
const B: NodeIndex = NodeIndex::new(1);
const C: NodeIndex = NodeIndex::new(2);
const D: NodeIndex = NodeIndex::new(3);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn with_conditions(conditions: Conditions, count: usize) -> Net<Floods> {
    let mut config = Config::default();
    config.conditions = conditions;
    mesh(config, 11, count)
}

/// How long one datagram takes from one node to another.
fn flight(net: &mut Net<Floods>, from: NodeIndex, to: NodeIndex) -> Duration {
    let start = net.now();
    net.inject(from, to, Class::Datagram, Ping { nonce: 1 << 40 });
    let arrived = |net: &Net<Floods>| {
        let heard = &net.machine(to).unwrap().heard;
        heard.iter().any(|(_, _, nonce)| *nonce == 1 << 40)
    };
    net.wait(secs(1), "it is heard", arrived).unwrap();
    net.now().saturating_since(start)
}

#[test]
fn losses_come_in_bursts_if_they_are_to() {
    let run = |conditions| {
        let mut net = with_conditions(conditions, 3);
        net.run_for(secs(60)).unwrap();
        *net.counters()
    };
    let bursty = run(Conditions::default().with_bursts(Chance::percent(10), 5));
    assert!(bursty.lost_in_bursts > 500, "{bursty:?}");
    assert_eq!(bursty.lost_in_bursts, bursty.datagrams_lost);
    assert!(bursty.retransmissions > 500, "{bursty:?}");
    let share = bursty.datagrams_lost * 100 / bursty.datagrams_sent;
    assert!((7..14).contains(&share), "{share} %");
    let independent = run(Conditions::lossy(Chance::percent(10)));
    assert!(independent.datagrams_lost > 500, "{independent:?}");
    assert_eq!(independent.lost_in_bursts, 0);
    let clean = run(Conditions::default());
    assert_eq!((clean.datagrams_lost, clean.retransmissions), (0, 0));
}

#[test]
fn each_direction_has_bursts_of_its_own() {
    // A burst begins with the first datagram and never ends, in the direction that has any.
    let mut net = with_conditions(Conditions::default(), 2);
    let mut endless = Conditions::default();
    endless.bursts = Some(Bursts::new(Chance::ALWAYS, Chance::NEVER, Chance::ALWAYS));
    net.set_conditions(A, B, endless);
    net.run_for(secs(1)).unwrap();
    let datagrams = |node| {
        let heard = &net.machine(node).unwrap().heard;
        heard
            .iter()
            .filter(|heard| heard.1 == Class::Datagram)
            .count()
    };
    assert_eq!(datagrams(B), 0);
    assert!(datagrams(A) > 40);
}

#[test]
fn a_network_is_as_near_or_far_as_its_conditions_say() {
    let micros = |conditions: Conditions| {
        let mut net = with_conditions(conditions, 2);
        net.run_for(secs(1)).unwrap();
        flight(&mut net, A, B).as_micros()
    };
    assert!((200..=1_000).contains(&micros(Conditions::lan())));
    assert!((10_000..=50_000).contains(&micros(Conditions::wan())));
}

#[test]
fn messages_between_regions_take_what_the_distance_says() {
    let world = Geography::world();
    let regions = world.regions();
    let mut net = with_conditions(Conditions::default(), 2 * regions);
    net.set_geography(world.clone());
    net.run_for(secs(2)).unwrap();
    let (london, sydney, other) = (A, NodeIndex::new(11), NodeIndex::new(regions));
    assert_eq!(world.name(net.region(sydney)), Some("Sydney"));
    assert_eq!(
        net.region(other),
        net.region(london),
        "regions are filled in turn"
    );
    let far = flight(&mut net, london, sydney);
    let base = world.delay(0, 11);
    assert!(far >= base && far <= base + world.jitter(), "{far:?}");
    assert!(base > Duration::from_millis(120), "{base:?}");
    let near = flight(&mut net, london, other);
    assert!(near <= Duration::from_micros(2_500), "{near:?}");
    net.set_region(sydney, 0);
    let moved = flight(&mut net, NodeIndex::new(1), sydney);
    assert!(
        moved < Duration::from_millis(10),
        "Frankfurt to London: {moved:?}"
    );
}

#[test]
fn partitions_add_up_and_heal_at_once() {
    let mut net = with_conditions(Conditions::default(), 4);
    net.run_for(secs(1)).unwrap();
    let reaches = |net: &mut Net<Floods>| {
        let before: Vec<usize> = net
            .nodes()
            .map(|node| net.machine(node).unwrap().heard.len())
            .collect();
        net.run_for(secs(2)).unwrap();
        let after = net
            .nodes()
            .map(|node| net.machine(node).unwrap().heard.len());
        after
            .zip(before)
            .map(|(after, before)| after > before)
            .collect::<Vec<_>>()
    };
    net.partition(&[A, B]);
    assert_eq!(reaches(&mut net), [true; 4], "two sides of two");
    net.partition(&[B, C, B]);
    assert_eq!(reaches(&mut net), [false; 4], "each is alone");
    net.heal();
    assert_eq!(reaches(&mut net), [true; 4]);
    net.partition_by(|node| u32::from(node == D));
    assert_eq!(reaches(&mut net), [true, true, true, false]);
    assert!(net.counters().blocked > 0);
    assert_eq!(net.counters().links_down, 0, "no link timed out yet");
}

#[test]
fn a_late_node_stands_with_those_that_were_not_named() {
    let mut net = with_conditions(Conditions::default(), 2);
    net.run_for(secs(1)).unwrap();
    net.partition(&[A]);
    let late = net.add(|_, random, now| Flood::new(random, now));
    net.dial(late, A);
    net.dial(late, B);
    net.run_for(secs(1)).unwrap();
    assert!(net.is_linked(late, B) && !net.is_linked(late, A));
}

#[test]
fn scheduled_pauses_stop_their_nodes_in_step() {
    let mut net = with_conditions(Conditions::lan(), 4);
    net.run_for(secs(1)).unwrap();
    net.schedule_pauses(
        &[A, B],
        Duration::from_millis(800),
        Duration::from_millis(200),
    );
    net.run_for(Duration::from_millis(400)).unwrap();
    let heard = |net: &Net<Floods>, node| net.machine(node).unwrap().heard.len();
    let (a, c) = (heard(&net, A), heard(&net, C));
    net.run_for(Duration::from_millis(300)).unwrap();
    assert_eq!(heard(&net, A), a, "it stands still");
    assert!(heard(&net, C) > c + 5, "others do not");
    net.run_for(Duration::from_millis(200)).unwrap();
    assert!(heard(&net, A) > a + 30, "it hears what waited");
    net.run_for(Duration::from_millis(9_100)).unwrap();
    assert_eq!(
        net.counters().pauses,
        22,
        "two nodes, once a second and at once"
    );
    net.end_pauses();
    let a = heard(&net, A);
    net.run_for(Duration::from_millis(300)).unwrap();
    assert!(heard(&net, A) > a + 15);
    net.run_for(secs(10)).unwrap();
    assert_eq!(net.counters().pauses, 22, "no more");
    let mut calm = with_conditions(Conditions::lan(), 4);
    calm.run_for(secs(10)).unwrap();
    assert_eq!(calm.counters().pauses, 0);
}

#[test]
fn a_killed_node_is_left_out_of_scheduled_pauses() {
    let mut net = with_conditions(Conditions::lan(), 3);
    net.kill(A);
    net.schedule_pauses(&[A, B], secs(1), secs(1));
    net.run_for(secs(3)).unwrap();
    assert_eq!(net.counters().pauses, 2, "B twice");
    net.restart(A, |_, random, now| Flood::new(random, now));
    net.run_for(secs(4)).unwrap();
    assert_eq!(net.counters().pauses, 6, "both twice");
}

#[test]
fn a_drifting_clock_makes_a_node_faster_or_slower() {
    let rounds = |drift: i32| {
        let mut net = with_conditions(Conditions::lan(), 2);
        net.run_for(secs(1)).unwrap();
        let before = net.local_now(A);
        net.set_drift(A, drift);
        assert_eq!(net.local_now(A), before, "no clock jumps");
        let heard = net.machine(B).unwrap().heard.len();
        net.run_for(secs(100)).unwrap();
        let told = net.with(A, |_, now| now).unwrap();
        assert_eq!(told, net.local_now(A));
        let passed = told.saturating_since(before);
        (net.machine(B).unwrap().heard.len() - heard, passed)
    };
    let (even, passed) = rounds(0);
    assert!((9_999..=10_001).contains(&even), "{even}");
    assert_eq!(passed, secs(100));
    let (fast, passed) = rounds(10_000);
    assert!((10_098..=10_102).contains(&fast), "{fast}");
    assert_eq!(passed, secs(101));
    let (slow, passed) = rounds(-10_000);
    assert!((9_898..=9_902).contains(&slow), "{slow}");
    assert_eq!(passed, secs(99));
}

#[test]
fn a_clock_goes_on_without_a_jump_when_its_drift_changes() {
    let mut net = with_conditions(Conditions::lan(), 2);
    let mut last = Instant::ZERO;
    for drift in [500_000, -400_000, 0, i32::MAX, i32::MIN, 77] {
        net.set_drift(B, drift);
        net.run_for(Duration::from_millis(333)).unwrap();
        let now = net.local_now(B);
        assert!(now > last);
        last = now;
    }
    assert!(net.machine(B).unwrap().heard.len() > 100);
}
