//! The simulated network does what it says, and the same for the same seed.

use std::time::Duration;

use macula_testkit::{
    Chance, Class, Coding, Conditions, Config, FailureCause, NodeIndex, each_seed, node_id,
};

use crate::flood::{Flood, mesh, stranger};

const A: NodeIndex = NodeIndex::new(0);
const B: NodeIndex = NodeIndex::new(1);
const C: NodeIndex = NodeIndex::new(2);

fn rough() -> Config {
    let mut config = Config::default();
    config.conditions.loss = Chance::percent(10);
    config.conditions.duplication = Chance::percent(10);
    config.conditions.reorder = Chance::percent(10);
    config
}

fn numbers(flood: &Flood, from: NodeIndex, class: Class) -> Vec<u64> {
    let from = node_id(from.get());
    flood
        .heard
        .iter()
        .filter(|heard| heard.0 == from && heard.1 == class)
        .map(|heard| heard.2)
        .collect()
}

#[test]
fn equal_seeds_give_equal_traces_and_other_seeds_others() {
    let run = |seed, coding| {
        let mut config = rough();
        config.coding = coding;
        let mut net = mesh(config, seed, 5);
        net.run_for(Duration::from_secs(5)).unwrap();
        net.kill(B);
        net.run_for(Duration::from_secs(5)).unwrap();
        (net.trace_hash(), *net.counters())
    };
    let first = run(1, Coding::Encoded);
    assert_eq!(first, run(1, Coding::Encoded));
    assert_eq!(first, run(1, Coding::Typed), "the coding leaves no trace");
    let second = run(2, Coding::Encoded);
    assert_ne!(first.0, second.0);
    assert_eq!(second, run(2, Coding::Encoded));
}

#[test]
fn datagrams_are_lost_doubled_and_overtaken_and_streams_are_not() {
    each_seed(|seed| {
        let mut net = mesh(rough(), seed, 3);
        net.run_for(Duration::from_secs(10)).unwrap();
        let counters = *net.counters();
        assert!(counters.datagrams_lost > 0, "{counters:?}");
        assert!(counters.datagrams_doubled > 0, "{counters:?}");
        assert!(counters.datagrams_overtaken > 0, "{counters:?}");
        assert!(counters.datagrams_delivered > 500, "{counters:?}");
        for to in [A, B, C] {
            let flood = net.machine(to).unwrap();
            for from in [A, B, C] {
                let stream = numbers(flood, from, Class::Reliable);
                assert!(stream.is_sorted_by(|a, b| a < b), "{stream:?}");
            }
        }
        let lost = counters.messages_sent - counters.messages_delivered;
        assert!(lost < 20, "only what is still on its way: {lost}");
    });
}

#[test]
fn a_partition_holds_streams_back_and_heals_in_order() {
    each_seed(|seed| {
        let mut net = mesh(Config::default(), seed, 3);
        net.run_for(Duration::from_secs(1)).unwrap();
        let before = numbers(net.machine(C).unwrap(), A, Class::Reliable).len();
        net.partition(&[A, B]);
        net.run_for(Duration::from_secs(10)).unwrap();
        let during = numbers(net.machine(C).unwrap(), A, Class::Reliable).len();
        assert_eq!(before, during, "what was on its way waits as well");
        assert!(net.counters().blocked > 0);
        net.heal();
        net.run_for(Duration::from_secs(2)).unwrap();
        let stream = numbers(net.machine(C).unwrap(), A, Class::Reliable);
        assert!(stream.len() > during + 100, "{}", stream.len());
        assert!(stream.is_sorted_by(|a, b| a < b), "{stream:?}");
        let counters = net.counters();
        assert_eq!((counters.links_down, counters.messages_broken), (0, 0));
    });
}

#[test]
fn a_link_that_is_blocked_for_too_long_breaks_for_both() {
    let mut net = mesh(Config::default(), 1, 3);
    net.run_for(Duration::from_secs(1)).unwrap();
    net.block(A, B);
    net.run_for(Duration::from_secs(29)).unwrap();
    assert!(net.is_linked(A, B));
    net.run_for(Duration::from_secs(2)).unwrap();
    assert!(!net.is_linked(A, B) && net.is_linked(A, C) && net.is_linked(B, C));
    for node in [A, B] {
        assert_eq!(net.machine(node).unwrap().links_lost, 1);
    }
    assert_eq!(net.machine(C).unwrap().links_lost, 0);
    assert!(net.counters().messages_broken > 0);
    net.dial(A, B);
    net.run_for(Duration::from_secs(1)).unwrap();
    assert_eq!(net.counters().dials_failed, 1);
    net.heal();
    net.dial(A, B);
    net.run_for(Duration::from_secs(1)).unwrap();
    assert!(net.is_linked(A, B));
}

#[test]
fn a_block_has_one_direction() {
    let mut net = mesh(Config::default(), 3, 2);
    net.run_for(Duration::from_secs(1)).unwrap();
    let there = numbers(net.machine(B).unwrap(), A, Class::Datagram).len();
    let back = numbers(net.machine(A).unwrap(), B, Class::Datagram).len();
    net.block(A, B);
    net.run_for(Duration::from_secs(5)).unwrap();
    let there_after = numbers(net.machine(B).unwrap(), A, Class::Datagram).len();
    let back_after = numbers(net.machine(A).unwrap(), B, Class::Datagram).len();
    assert_eq!(there, there_after);
    assert!(back_after > back + 100);
}

#[test]
fn a_killed_node_is_missed_late_and_a_stopped_one_at_once() {
    let mut net = mesh(Config::default(), 4, 3);
    net.run_for(Duration::from_secs(1)).unwrap();
    net.kill(B);
    net.run_for(Duration::from_secs(20)).unwrap();
    assert_eq!(net.machine(A).unwrap().links_lost, 0);
    assert!(net.machine(B).is_none());
    net.run_for(Duration::from_secs(15)).unwrap();
    assert_eq!(net.machine(A).unwrap().links_lost, 1);
    net.stop(C);
    net.run_for(Duration::from_millis(1)).unwrap();
    assert_eq!(net.machine(A).unwrap().links_lost, 2);
    net.restart(C, |_, random, now| Flood::new(random, now));
    net.dial(C, A);
    net.run_for(Duration::from_secs(1)).unwrap();
    assert!(net.is_linked(A, C));
    assert_eq!(net.running().collect::<Vec<_>>(), [A, C]);
}

#[test]
fn a_paused_node_hears_everything_when_it_goes_on() {
    let mut net = mesh(Config::default(), 5, 2);
    net.run_for(Duration::from_secs(1)).unwrap();
    let before = net.machine(B).unwrap().heard.len();
    net.pause(B);
    net.run_for(Duration::from_secs(3)).unwrap();
    assert_eq!(net.machine(B).unwrap().heard.len(), before);
    net.resume(B);
    net.run_for(Duration::from_millis(1)).unwrap();
    assert!(net.machine(B).unwrap().heard.len() > before + 200);
    let stream = numbers(net.machine(B).unwrap(), A, Class::Reliable);
    assert!(stream.is_sorted_by(|a, b| a < b), "{stream:?}");
}

#[test]
fn conditions_hold_for_their_direction() {
    let mut net = mesh(Config::default(), 6, 2);
    net.set_conditions(A, B, Conditions::lossy(Chance::ALWAYS));
    net.run_for(Duration::from_secs(2)).unwrap();
    assert!(numbers(net.machine(B).unwrap(), A, Class::Datagram).is_empty());
    assert!(!numbers(net.machine(A).unwrap(), B, Class::Datagram).is_empty());
}

#[test]
fn a_run_in_circles_ends_at_the_step_limit() {
    let mut config = Config::default();
    config.max_steps = 100;
    let mut net = mesh(config, 7, 2);
    let failure = net.run_for(Duration::from_secs(60)).unwrap_err();
    assert_eq!(failure.cause, FailureCause::Steps { max: 100 });
    assert!(failure.to_string().contains("MACULA_SEED=7"), "{failure}");
    assert!(
        net.run_for(Duration::from_secs(1)).is_err(),
        "it stays stopped"
    );
}

#[test]
fn waiting_says_how_long_it_took_and_what_was_missing() {
    let mut net = mesh(Config::default(), 8, 2);
    let heard = |count: usize| {
        move |net: &macula_testkit::Net<crate::flood::Floods>| {
            net.machine(A)
                .is_some_and(|flood| flood.heard.len() > count)
        }
    };
    let took = net
        .wait(Duration::from_secs(5), "ten words are heard", heard(10))
        .unwrap();
    assert!(took > Duration::from_millis(80) && took < Duration::from_millis(300));
    let failure = net
        .wait(
            Duration::from_secs(1),
            "a million are heard",
            heard(1_000_000),
        )
        .unwrap_err();
    assert!(failure.to_string().contains("until a million are heard"));
    net.run_for(Duration::from_secs(1)).unwrap();
}

#[test]
fn a_host_can_fail_a_run() {
    let mut net = mesh(Config::default(), 9, 2);
    net.run_for(Duration::from_secs(1)).unwrap();
    net.inject(A, B, Class::Reliable, stranger());
    let failure = net.run_for(Duration::from_secs(1)).unwrap_err();
    assert!(
        matches!(failure.cause, FailureCause::Host { node: B, .. }),
        "{failure}"
    );
}
