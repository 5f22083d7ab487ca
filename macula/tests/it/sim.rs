//! Whole nodes in a simulated network, against plain lists of who wants and serves what.

mod directed;
mod laws;
mod mesh;
mod neighbourhood;
mod pool;

use std::collections::BTreeSet;
use std::time::Duration;

use macula::MemberEvent;
use macula::wire::{Instant, Random};
use macula_swim::State;
use macula_testkit::{Chance, Conditions, Config, NodeIndex, each_seed, node_id};

use mesh::{PROCEDURES, Trial, has_announcements};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn node(index: usize) -> NodeIndex {
    NodeIndex::new(index)
}

/// Loses a twentieth of all packets, and delays the rest by up to 50 ms.
fn rough() -> Config {
    let mut config = Config::default();
    config.conditions = Conditions::lossy(Chance::percent(5));
    config.conditions.max_delay = Duration::from_millis(50);
    config.conditions.duplication = Chance::percent(2);
    config.conditions.reorder = Chance::percent(5);
    config
}

/// A realm in which everybody wants and serves something.
fn busy(config: Config, seed: u64, count: usize) -> Trial {
    const PATTERNS: [&str; 4] = ["a.*", "a.**", "b.c", "**"];
    let mut trial = Trial::new(config, seed, count);
    for index in 0..count {
        trial.subscribe(node(index), 1, PATTERNS[index % PATTERNS.len()]);
        trial.register(node(index), 1, PROCEDURES[index % PROCEDURES.len()]);
    }
    trial.settled("all know what all want and serve");
    trial
}

#[test]
fn what_is_wanted_and_served_is_known_everywhere_within_a_second() {
    each_seed(|seed| {
        let mut trial = busy(Config::default(), seed, 5);
        trial.subscribe(node(2), 2, "c");
        trial.register(node(3), 2, "r");
        trial.settled_within(seconds(1), "the news is everywhere");
        trial.unsubscribe(node(2), 2);
        trial.unsubscribe(node(0), 1);
        trial.settled_within(seconds(1), "and so is its end");
    });
}

#[test]
fn six_that_join_by_one_at_once_know_each_other_within_ten_seconds() {
    each_seed(|seed| {
        for config in [Config::default(), rough()] {
            let trial = Trial::new(config, seed, 6);
            let taken = trial.net.now().saturating_since(Instant::ZERO);
            assert!(taken < seconds(10), "it took {taken:?}");
        }
    });
}

#[test]
fn who_joins_later_learns_what_was_said_before() {
    each_seed(|seed| {
        let mut trial = busy(rough(), seed, 4);
        trial.kill(node(3));
        trial.run(seconds(20));
        trial.restart(node(3), node(1));
        trial.subscribe(node(3), 7, "a.b");
        trial.settled("the newcomer knows and is known");
    });
}

#[test]
fn a_crash_takes_interest_and_offers_with_it_within_ten_seconds() {
    for count in [2, 3, 6] {
        each_seed(|seed| {
            let mut trial = busy(Config::default(), seed, count);
            let victim = node(count - 1);
            trial.kill(victim);
            trial.settled_within(seconds(10), "nobody routes to the victim");
            for other in (0..count - 1).map(node) {
                assert!(!trial.has_announcements(other, victim));
                assert_eq!(trial.believes(other, victim), Some(State::Dead));
                assert_eq!(trial.net.host().losses(other, victim), 1);
            }
            assert_eq!(trial.net.host().lost.len(), count - 1, "nobody else");
        });
    }
}

#[test]
fn who_leaves_is_lost_to_all_within_three_seconds() {
    each_seed(|seed| {
        let mut trial = busy(rough(), seed, 5);
        let leaver = node(2);
        trial.leave(leaver);
        trial.settled_within(seconds(3), "nobody routes to the leaver");
        for other in [0, 1, 3, 4].map(node) {
            assert_eq!(trial.believes(other, leaver), Some(State::Left));
            assert_eq!(trial.net.host().losses(other, leaver), 1);
        }
        let downs = trial.net.host().said.iter();
        let deaths = downs.filter(|(_, _, event)| matches!(event, MemberEvent::Down(_)));
        assert_eq!(deaths.count(), 0, "leaving is no death");
        trial.restart(leaver, node(0));
        trial.subscribe(leaver, 1, "b.c");
        trial.settled_within(seconds(12), "it may come back");
    });
}

#[test]
fn what_a_new_run_wants_outlives_the_death_of_the_old_one() {
    each_seed(|seed| {
        for pause in [0, 2, 5, 30] {
            let mut trial = busy(Config::default(), seed, 4);
            let back = node(3);
            trial.kill(back);
            trial.run(seconds(pause));
            trial.restart(back, node(0));
            trial.subscribe(back, 1, "b.c");
            trial.register(back, 1, "r");
            let knows = |net: &macula_testkit::Net<mesh::Realm>, at| {
                let id = node_id(back.get());
                let machine = net.machine(at).unwrap();
                let mut interest = machine.pubsub().interest_of(&id);
                net.is_linked(at, back) && interest.any(|pattern| pattern.as_str() == "b.c")
            };
            trial
                .net
                .wait(seconds(5), "the seed knows the new run", |net| {
                    knows(net, node(0))
                })
                .unwrap();
            trial.settled_within(seconds(12), "and so do all");
            let purged = trial
                .net
                .wait(seconds(20), "the old run purges the new one", |net| {
                    (0..3).any(|other| !has_announcements(net, node(other), back))
                });
            assert!(purged.is_err(), "after a pause of {pause} s");
            let epoch = trial.net.host().epochs[&node_id(back.get())];
            for other in (0..3).map(node) {
                let swim = trial.net.machine(other).unwrap().swim();
                assert_eq!(swim.member(&node_id(3)).unwrap().record().epoch, epoch);
            }
        }
    });
}

#[test]
fn whoever_publishes_late_is_told_of_all_that_is_wanted_before_it_begins() {
    each_seed(|seed| {
        for count in [2, 5] {
            let mut trial = busy(rough(), seed, count);
            // A newcomer, whom the others may not have told anything yet.
            let newcomer = node(count - 1);
            trial.kill(newcomer);
            trial.run(seconds(20));
            trial.restart_idle(newcomer, node(0));
            let knows = |net: &macula_testkit::Net<mesh::Realm>| {
                let swim = net.machine(newcomer).unwrap().swim();
                swim.counts().alive == count
            };
            trial.net.wait(seconds(15), "it knows all", knows).unwrap();
            trial.declare(newcomer, "a.b");
            let is_told = |net: &macula_testkit::Net<mesh::Realm>| {
                let told = net.host().told.iter();
                told.filter(|(_, at, _)| *at == newcomer).count() >= 2
            };
            let taken = trial.net.wait(seconds(4), "it is told", is_told).unwrap();
            assert!(taken < seconds(2), "it took {taken:?}");
            let machine = trial.net.machine(newcomer).unwrap();
            let wanted = machine.pubsub().interests();
            // Everybody but itself wants something that begins with `a` or a wildcard, or `b.c`.
            let expected = (0..count - 1).filter(|index| index % 4 != 2).count();
            assert_eq!(wanted, expected, "seed {seed}");
        }
    });
}

#[test]
fn a_run_that_wants_nothing_ends_what_the_run_before_wanted() {
    each_seed(|seed| {
        for pause in [0, 3, 30] {
            let mut trial = busy(Config::default(), seed, 4);
            let back = node(3);
            trial.kill(back);
            trial.run(seconds(pause));
            trial.restart(back, node(0));
            trial.settled_within(seconds(12), "nobody routes to what the old run wanted");
            trial.run(seconds(30));
            for other in (0..3).map(node) {
                assert!(!trial.has_announcements(other, back));
            }
        }
    });
}

#[test]
fn a_member_that_is_suspected_for_a_while_keeps_what_it_wants() {
    each_seed(|seed| {
        let mut trial = busy(Config::default(), seed, 5);
        let slow = node(2);
        let is_suspected = |net: &macula_testkit::Net<mesh::Realm>| {
            let said = net.host().said.iter();
            said.filter(|(_, _, event)| event.name() == "suspect")
                .count()
                > 0
        };
        trial.net.partition(&[slow]);
        let limit = seconds(10);
        trial
            .net
            .wait(limit, "it is suspected", is_suspected)
            .unwrap();
        trial.net.heal();
        trial.subscribe(slow, 9, "c");
        trial.settled_within(seconds(30), "it is there with all that it wants");
    });
}

#[test]
fn a_partition_parts_the_tables_and_heals() {
    each_seed(|seed| {
        let mut trial = busy(Config::default(), seed, 5);
        trial.net.partition(&[node(0), node(1)]);
        let apart = |net: &macula_testkit::Net<mesh::Realm>| {
            let across = |a, b| has_announcements(net, node(a), node(b));
            let split = [0, 1].into_iter().flat_map(|a| [2, 3, 4].map(|b| (a, b)));
            split
                .into_iter()
                .all(|(a, b)| !across(a, b) && !across(b, a))
        };
        trial
            .net
            .wait(seconds(20), "both sides are on their own", apart)
            .unwrap();
        assert!(trial.has_announcements(node(0), node(1)));
        assert!(trial.has_announcements(node(3), node(4)));
        trial.subscribe(node(1), 5, "c");
        trial.unsubscribe(node(4), 1);
        trial.run(seconds(30));
        assert!(apart(&trial.net), "nothing crosses a partition");
        trial.net.heal();
        trial.settled_within(seconds(60), "one realm again");
    });
}

#[test]
fn a_broken_link_is_made_again_and_nothing_is_forgotten() {
    each_seed(|seed| {
        let mut trial = busy(rough(), seed, 4);
        for _ in 0..3 {
            trial.net.break_link(node(1), node(2));
            trial.subscribe(node(1), 9, "c");
            trial.settled("the news crosses the new link");
            trial.unsubscribe(node(1), 9);
            trial.settled("and its end as well");
        }
        assert!(trial.net.host().lost.is_empty(), "nobody was lost");
    });
}

/// Does something at random: changes of all kinds, crashes, restarts, broken links.
fn disturb(trial: &mut Trial, random: &mut Random, gone: &mut BTreeSet<NodeIndex>, count: usize) {
    const PATTERNS: [&str; 6] = ["a", "a.*", "a.**", "*.b", "b.c", "**"];
    let at = node(random.index(count));
    if gone.contains(&at) {
        trial.restart(at, node(0));
        gone.remove(&at);
        return;
    }
    let key = 10 + random.below(3);
    match random.below(10) {
        0 if at != node(0) => {
            trial.kill(at);
            gone.insert(at);
        }
        1 => trial.net.break_link(at, node(random.index(count))),
        _ if trial.has_subscription(at, key) => trial.unsubscribe(at, key),
        _ => trial.subscribe(at, key, PATTERNS[random.index(PATTERNS.len())]),
    }
}

#[test]
fn tables_agree_with_plain_lists_whatever_happens() {
    each_seed(|seed| {
        const COUNT: usize = 5;
        let mut random = Random::new(seed);
        let mut trial = busy(rough(), seed, COUNT);
        let mut gone = BTreeSet::new();
        for _ in 0..4 {
            for _ in 0..15 {
                disturb(&mut trial, &mut random, &mut gone, COUNT);
                trial.run(Duration::from_millis(random.below(1_500)));
            }
            trial.settled_within(seconds(90), "the tables are as the lists say");
        }
        assert!(trial.net.counters().links_down > 0);
    });
}

#[test]
fn equal_seeds_give_equal_runs() {
    let trace = |seed| {
        let mut random = Random::new(seed);
        let mut trial = busy(rough(), seed, 4);
        let mut gone = BTreeSet::new();
        for _ in 0..20 {
            disturb(&mut trial, &mut random, &mut gone, 4);
            trial.run(Duration::from_millis(300));
        }
        (trial.net.trace_hash(), *trial.net.counters())
    };
    assert_eq!(trace(1), trace(1));
    assert_eq!(trace(2), trace(2));
    assert_ne!(trace(1).0, trace(2).0);
}
