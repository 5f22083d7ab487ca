//! Networks of many nodes, on virtual time: lookups, copies, liars and equal runs.

use std::collections::BTreeMap;
use std::time::Duration;

use macula_kad::{Config, Goal, Input, key_of};
use macula_testkit::{Chance, Coding, Conditions, NodeIndex, node_id};
use macula_wire::message::RecordKind;
use macula_wire::{Key, NodeId, Random, RecordId};

use super::draft::{provider, value};
use super::world::{
    FORGED, Mesh, add, bury, closest, contact_of, found, give, introduce, join, joined, look,
    network, random_key,
};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A few seeds: each network is large for a test.
fn seeds(count: usize) -> impl Iterator<Item = u64> {
    macula_testkit::seeds().take(count)
}

#[test]
fn lookups_in_tables_that_grew_by_joining_find_the_closest() {
    for seed in seeds(2) {
        let mut net = joined(network(Coding::Typed), seed, 200, Config::default());
        let mut random = Random::new(seed);
        let mut wanted: BTreeMap<Key, Vec<NodeId>> = BTreeMap::new();
        for _ in 0..60 {
            let key = random_key(&mut random);
            let asker = NodeIndex::new(random.index(200));
            let nearest = closest(&net, &key, 20, |node| node != asker);
            wanted.insert(
                key,
                nearest.iter().map(|node| node_id(node.get())).collect(),
            );
            look(&mut net, asker, Goal::Closest(key), 1);
            net.run_for(Duration::from_millis(50)).unwrap();
        }
        net.run_for(seconds(12)).unwrap();
        let outcomes = std::mem::take(&mut net.host_mut().outcomes);
        assert_eq!(outcomes.len(), 60, "seed {seed}");
        let mut right = 0;
        for (_, outcome) in &outcomes {
            let Goal::Closest(key) = outcome.goal else {
                panic!("{outcome:?}");
            };
            let expected = &wanted[&key];
            assert!(
                outcome.complete && outcome.requests < 80,
                "seed {seed}: {outcome:?}"
            );
            assert_eq!(found(outcome)[0], expected[0], "seed {seed}: the closest");
            right += usize::from(found(outcome) == *expected);
        }
        assert!(right >= 58, "seed {seed}: {right} of 60 are exact");
    }
}

/// Values that were published, and where they are kept.
type Published = BTreeMap<RecordId, Key>;

/// Lets some nodes publish a value each.
fn publish(net: &mut Mesh, owners: impl Iterator<Item = NodeIndex>, lease: Duration) -> Published {
    let mut published = Published::new();
    for (number, owner) in owners.enumerate() {
        let content = value(&format!("v{number}"));
        let key = key_of(&super::draft::realm(), &node_id(owner.get()), &content);
        let id = net.with(owner, |kad, now| kad.publish_for(now, content, lease));
        published.insert(id.unwrap().unwrap(), key);
    }
    published
}

/// How many of the closest to each record do not keep it.
fn missing(net: &Mesh, published: &Published, k: usize) -> usize {
    let lacks = |(id, key): (&RecordId, &Key)| {
        let keepers = closest(net, key, k, |_| true).into_iter();
        keepers
            .filter(|node| !net.machine(*node).unwrap().keeps(id))
            .count()
    };
    published.iter().map(lacks).sum()
}

#[test]
fn copies_follow_the_members_after_joins_and_deaths() {
    const K: usize = 8;
    for seed in seeds(2) {
        let mut config = Config::default();
        config.k = K;
        let mut net = joined(network(Coding::Typed), seed, 80, config);
        (0..80).for_each(|node| introduce(&mut net, NodeIndex::new(node)));
        net.run_for(seconds(5)).unwrap();
        let published = publish(&mut net, (0..40).map(NodeIndex::new), seconds(86_400));
        net.run_for(seconds(5)).unwrap();
        assert_eq!(missing(&net, &published, K), 0, "seed {seed}");
        let mut random = Random::new(seed);
        // The owners among them as well: what they published stays.
        for _ in 0..30 {
            let running: Vec<NodeIndex> = net.running().collect();
            let dead = running[random.index(running.len())];
            net.kill(dead);
            net.run_for(seconds(1)).unwrap();
            bury(&mut net, dead);
            let newcomer = add(&mut net, config);
            let by = closest(&net, &random_key(&mut random), 1, |node| node != newcomer);
            join(&mut net, newcomer, by[0]);
            net.run_for(seconds(1)).unwrap();
            introduce(&mut net, newcomer);
            net.run_for(seconds(2)).unwrap();
        }
        net.run_for(seconds(20)).unwrap();
        assert_eq!(missing(&net, &published, K), 0, "seed {seed}");
        // And it is found by whoever looks.
        let askers: Vec<NodeIndex> = net.running().collect();
        for (asker, key) in askers.iter().zip(published.values()) {
            let (key, kind, all) = (*key, RecordKind::Value, false);
            look(&mut net, *asker, Goal::Records { key, kind, all }, 1);
        }
        net.run_for(seconds(12)).unwrap();
        let outcomes = &net.host().outcomes;
        assert_eq!(outcomes.len(), 40);
        assert!(
            outcomes
                .iter()
                .all(|(_, outcome)| outcome.records.len() == 1)
        );
    }
}

#[test]
fn many_that_come_at_once_get_their_copies() {
    const K: usize = 6;
    for seed in seeds(2) {
        let mut config = Config::default();
        config.k = K;
        let mut net = joined(network(Coding::Typed), seed, 40, config);
        (0..40).for_each(|node| introduce(&mut net, NodeIndex::new(node)));
        net.run_for(seconds(5)).unwrap();
        let published = publish(&mut net, (0..20).map(NodeIndex::new), seconds(86_400));
        net.run_for(seconds(5)).unwrap();
        // The owners die, so nobody but the keepers can hand their records on.
        for owner in (0..20).map(NodeIndex::new) {
            net.kill(owner);
        }
        (0..20).for_each(|owner| bury(&mut net, NodeIndex::new(owner)));
        net.run_for(seconds(5)).unwrap();
        let survive: Published = published
            .into_iter()
            .filter(|(id, _)| {
                net.running()
                    .any(|node| net.machine(node).unwrap().keeps(id))
            })
            .collect();
        assert!(survive.len() >= 19, "seed {seed}: {}", survive.len());
        assert_eq!(
            missing(&net, &survive, K),
            0,
            "seed {seed}: after the deaths"
        );
        let newcomers: Vec<NodeIndex> = (0..40).map(|_| add(&mut net, config)).collect();
        for newcomer in &newcomers {
            join(&mut net, *newcomer, NodeIndex::new(20));
            introduce(&mut net, *newcomer);
        }
        net.run_for(seconds(20)).unwrap();
        assert_eq!(missing(&net, &survive, K), 0, "seed {seed}");
    }
}

#[test]
fn liars_neither_hide_who_is_close_nor_have_forged_records_believed() {
    let mut right = (0, 0);
    for seed in seeds(2) {
        let mut net = joined(network(Coding::Typed), seed, 200, Config::default());
        let mut random = Random::new(seed);
        let honest = NodeIndex::new(0);
        let content = provider(FORGED);
        let key = key_of(&super::draft::realm(), &node_id(0), &content);
        net.with(honest, |kad, now| kad.publish(now, content).unwrap());
        net.run_for(seconds(5)).unwrap();
        let mut others: Vec<usize> = (1..200).collect();
        random.shuffle(&mut others);
        let liars = others.iter().take(40).copied().map(NodeIndex::new);
        net.host_mut().liars = liars.collect();
        let askers: Vec<NodeIndex> = others[40..]
            .iter()
            .step_by(2)
            .copied()
            .map(NodeIndex::new)
            .collect();
        for asker in &askers {
            look(&mut net, *asker, Goal::Closest(random_key(&mut random)), 4);
            let kind = RecordKind::Provider;
            let all = true;
            look(&mut net, *asker, Goal::Records { key, kind, all }, 4);
            net.run_for(Duration::from_millis(50)).unwrap();
        }
        net.run_for(seconds(12)).unwrap();
        assert!(net.host().lies > 400, "seed {seed}: {}", net.host().lies);
        for (asker, outcome) in &net.host().outcomes {
            match outcome.goal {
                Goal::Closest(key) => {
                    let is_honest = |node| node != *asker && !net.host().liars.contains(&node);
                    let expected = closest(&net, &key, 1, is_honest)[0];
                    let is_right = found(outcome).contains(&node_id(expected.get()));
                    right = (right.0 + usize::from(is_right), right.1 + 1);
                }
                _ => {
                    let versions = outcome.records.iter().map(|signed| &signed.record.content);
                    let genuine = versions.clone().all(|content| *content == provider(FORGED));
                    assert!(genuine && outcome.records.len() == 1, "seed {seed}");
                    let forged = super::draft::draft(0, provider(FORGED)).record.sequence;
                    assert_ne!(outcome.records[0].record.sequence, forged);
                }
            }
        }
        let refused = |node| net.machine(node).unwrap().stats().refused_forged;
        assert!(askers.iter().any(|node| refused(*node) > 0), "seed {seed}");
    }
    let (right, all) = right;
    assert!(right * 100 >= all * 99, "{right} of {all} are right");
}

fn trace(seed: u64) -> u64 {
    let mut network = network(Coding::Encoded);
    network.conditions = Conditions::lossy(Chance::percent(5));
    let mut net = joined(network, seed, 30, Config::default());
    (0..30).for_each(|node| introduce(&mut net, NodeIndex::new(node)));
    publish(&mut net, (0..10).map(NodeIndex::new), seconds(600));
    for node in 0..10 {
        let key = key_of(
            &super::draft::realm(),
            &node_id(0),
            &value(&format!("v{node}")),
        );
        let watcher = NodeIndex::new(29 - node);
        net.with(watcher, |kad, now| {
            kad.watch(now, key, RecordKind::Value).unwrap();
        });
    }
    net.run_for(seconds(30)).unwrap();
    net.kill(NodeIndex::new(3));
    bury(&mut net, NodeIndex::new(3));
    let back = contact_of(node_id(3));
    give(&mut net, NodeIndex::new(4), Input::Member(back));
    net.run_for(seconds(400)).unwrap();
    net.trace_hash()
}

#[test]
fn equal_seeds_give_equal_runs_and_others_do_not() {
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
