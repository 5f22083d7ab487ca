//! What nodes know of the links around them, by which packets are forwarded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula::Neighbourhood;
use macula::wire::message::RecordContent;
use macula::wire::{Instant, NodeId};
use macula_testkit::{Config, NodeIndex, each_seed, node_id};

use super::mesh::Trial;
use super::{node, rough, seconds};

/// What a node said last.
fn last(trial: &Trial, by: NodeIndex) -> Arc<Neighbourhood> {
    let said = &trial.net.host().neighbourhoods;
    let mut own = said.iter().filter(|(_, at, _)| *at == by);
    own.next_back()
        .map(|(_, _, one)| Arc::clone(one))
        .unwrap_or_default()
}

fn neighbours(trial: &Trial, of: NodeIndex) -> Vec<NodeId> {
    let machine = trial.net.machine(of).unwrap();
    machine.overlay().neighbours().collect()
}

/// Who `by` said are the neighbours of its neighbours, and who they are.
fn told_and_true(trial: &Trial, by: NodeIndex) -> [BTreeMap<NodeId, Vec<NodeId>>; 2] {
    let own = neighbours(trial, by);
    let of = |id: &NodeId| (0..8).find(|index| node_id(*index) == *id).unwrap();
    let real = own.iter().map(|id| (*id, neighbours(trial, node(of(id)))));
    [last(trial, by).told.clone(), real.collect()]
}

#[test]
fn each_node_knows_the_neighbours_of_its_neighbours_and_who_may_be_gone() {
    each_seed(|seed| {
        let mut trial = Trial::new(Config::default(), seed, 8);
        let is_known = |trial: &Trial| {
            (0..8).map(node).all(|by| {
                let [told, real] = told_and_true(trial, by);
                told == real && told.len() == 4
            })
        };
        // Edges move now and then.
        let mut looks = 0;
        while !is_known(&trial) {
            looks += 1;
            assert!(looks < 1_000, "it is never known");
            trial.run(Duration::from_millis(100));
        }
        let killed = trial.net.now();
        trial.kill(node(7));
        trial.run(seconds(10));
        // Whoever has a link to it has to know before it is taken for dead, which ends the link.
        for by in (0..7).map(node) {
            let said = &trial.net.host().neighbourhoods;
            let mut since = said
                .iter()
                .filter(|(when, at, _)| *at == by && *when > killed);
            let doubted = since.any(|(_, _, one)| one.suspected.iter().eq([&node_id(7)]));
            assert!(doubted, "{by:?} passes packets to it");
        }
    });
}

#[test]
fn a_neighbourhood_is_told_at_most_twenty_times_a_second() {
    each_seed(|seed| {
        let mut trial = Trial::new(rough(), seed, 8);
        trial.kill(node(7));
        trial.run(seconds(30));
        let mut before: BTreeMap<NodeIndex, Instant> = BTreeMap::new();
        for (at, by, _) in &trial.net.host().neighbourhoods {
            if let Some(before) = before.insert(*by, *at) {
                let pause = at.saturating_since(before);
                assert!(pause >= Duration::from_millis(50), "{pause:?}");
            }
        }
        assert!((0..7).all(|index| before.contains_key(&node(index))));
    });
}

#[test]
fn the_record_of_a_node_names_its_neighbours() {
    each_seed(|seed| {
        let mut trial = Trial::new(Config::default(), seed, 8);
        trial.run(seconds(90));
        for asked in 1..8 {
            trial.net.with(node(0), |machine, now| {
                machine.look_up_node(now, node_id(asked));
                machine.settle(now);
            });
        }
        trial.run(seconds(5));
        let described = &trial.net.host().described;
        let mut found = BTreeSet::new();
        for (by, record) in described {
            assert_eq!(*by, node(0));
            let RecordContent::Node(content) = &record.record.content else {
                panic!("{record:?}")
            };
            assert_eq!(content.neighbours.len(), 4);
            found.insert(record.record.owner);
        }
        let expected: BTreeSet<NodeId> = (1..8).map(node_id).collect();
        assert_eq!(found, expected);
    });
}
