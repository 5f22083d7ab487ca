//! Whole nodes in a realm of more members than a node keeps links to.

use std::time::Duration;

use macula::wire::{NodeId, Procedure, Random, Topic};
use macula::{NodeMachine, TreeNeeds};
use macula_pubsub::Destination;
use macula_rpc::Provider;
use macula_testkit::{Config, Net, NodeIndex, node_id};

use super::mesh::{DIRECT, KEEPERS, Realm, Trial};

const COUNT: usize = 40;
const POOL: usize = 8;
/// How many members want what one publishes.
const FANS: usize = 5;

fn node(index: usize) -> NodeIndex {
    NodeIndex::new(index)
}

fn links(net: &Net<Realm>, at: NodeIndex) -> usize {
    let others = (0..COUNT).map(node);
    others
        .filter(|other| *other != at && net.is_linked(at, *other))
        .count()
}

fn all(net: &Net<Realm>, holds: impl Fn(&Net<Realm>, NodeIndex) -> bool) -> bool {
    (0..COUNT).map(node).all(|at| holds(net, at))
}

/// Beyond the pool there are links to those that keep the node's record, which changes with its neighbours, and to those
/// whose records it keeps.
fn is_lean(net: &Net<Realm>, at: NodeIndex) -> bool {
    links(net, at) <= POOL + 4 * KEEPERS
}

fn has_neighbours(net: &Net<Realm>, at: NodeIndex) -> bool {
    let machine = net.machine(at).unwrap();
    machine.swim().counts().alive == COUNT
        && machine.overlay().neighbours().count() == machine.overlay().degree()
        && machine
            .overlay()
            .neighbours()
            .eq(machine.swim().neighbours())
}

fn wait(trial: &mut Trial, seconds: u64, what: &str, holds: &dyn Fn(&Net<Realm>) -> bool) {
    let limit = Duration::from_secs(seconds);
    trial.net.wait(limit, what, holds).unwrap();
}

/// A realm that has settled, and several of its members.
fn settled(seed: u64) -> (Trial, Vec<NodeIndex>) {
    let mut trial = Trial::starting(Config::default(), seed, COUNT, POOL);
    wait(
        &mut trial,
        90,
        "all know all, and have neighbours",
        &|net| all(net, has_neighbours),
    );
    wait(
        &mut trial,
        120,
        "links that nobody needs are closed",
        &|net| all(net, is_lean),
    );
    let mut some: Vec<NodeIndex> = (0..COUNT).map(node).collect();
    Random::new(seed).shuffle(&mut some);
    some.truncate(FANS + 1);
    (trial, some)
}

fn is_linked_to(net: &Net<Realm>, at: NodeIndex, others: &[NodeIndex]) -> bool {
    others.iter().all(|other| net.is_linked(at, *other))
}

fn nobody_died(trial: &Trial) {
    let died = trial.net.host().said.iter();
    let died = died.filter(|(_, _, event)| event.name() == "down");
    assert_eq!(died.count(), 0, "nobody was taken for dead");
}

#[test]
fn a_publisher_has_links_to_those_that_want_its_events_and_not_to_everybody() {
    for seed in 1..=3 {
        let (mut trial, some) = settled(seed);
        let (publisher, fans) = some.split_first().unwrap();
        // Two want it before anybody publishes, three after that.
        for fan in &fans[..2] {
            trial.subscribe(*fan, 1, "a.b");
        }
        trial.run(Duration::from_secs(1));
        trial.declare(*publisher, "a.b");
        for fan in &fans[2..] {
            trial.subscribe(*fan, 1, "a.*");
        }
        let mut expected: Vec<NodeId> = fans.iter().map(|fan| node_id(fan.get())).collect();
        expected.sort_unstable();
        let expected: Vec<Destination> = expected.into_iter().map(Destination::Member).collect();
        wait(
            &mut trial,
            1,
            "the publisher knows them and has links",
            &|net| {
                let table = net.machine(*publisher).unwrap().pubsub().table();
                table.matches(&Topic::new("a.b").unwrap()) == expected
                    && is_linked_to(net, *publisher, fans)
            },
        );
        for second in 0..90 {
            trial.run(Duration::from_secs(1));
            assert!(
                is_linked_to(&trial.net, *publisher, fans),
                "after {second} s"
            );
        }
        assert!(links(&trial.net, *publisher) < COUNT - 1);
        let alone = |net: &Net<Realm>, at: NodeIndex| {
            let machine = net.machine(at).unwrap();
            at == *publisher || machine.pubsub().interests() == 0
        };
        assert!(all(&trial.net, alone), "nobody else knows what is wanted");
        for fan in fans {
            trial.unsubscribe(*fan, 1);
        }
        wait(&mut trial, 5, "nobody wants it any more", &|net| {
            net.machine(*publisher).unwrap().pubsub().interests() == 0
        });
        wait(&mut trial, 120, "it is one of many again", &|net| {
            all(net, is_lean) && all(net, has_neighbours)
        });
        nobody_died(&trial);
    }
}

#[test]
fn a_publisher_of_what_many_want_has_links_to_those_that_its_tree_needs() {
    let (mut trial, some) = settled(1);
    let publisher = &some[0];
    let fans: Vec<NodeIndex> = (0..=DIRECT + 4).map(node).collect();
    let fans: Vec<NodeIndex> = fans.into_iter().filter(|fan| fan != publisher).collect();
    for fan in &fans {
        trial.subscribe(*fan, 1, "a.b");
    }
    trial.run(Duration::from_secs(1));
    let neighbour = fans[0];
    let need = |straight: bool| {
        let topic = Topic::new("a.b").unwrap();
        let mut needs = TreeNeeds::default();
        needs.neighbours = [node_id(neighbour.get())].into();
        needs.straight = straight.then_some(topic).into_iter().collect();
        move |machine: &mut NodeMachine, now| {
            machine.need_tree_links(now, needs.clone());
            machine.settle(now);
        }
    };
    trial.net.with(*publisher, need(false)).unwrap();
    trial.declare(*publisher, "a.b");
    let knows = |net: &Net<Realm>| {
        let machine = net.machine(*publisher).unwrap();
        machine.pubsub().interests() == fans.len()
    };
    wait(&mut trial, 5, "the publisher knows all", &knows);
    trial.run(Duration::from_secs(60));
    let others = &fans[1..];
    assert!(is_linked_to(&trial.net, *publisher, &[neighbour]));
    assert!(!is_linked_to(&trial.net, *publisher, others));
    // Where one of its events is kept, everybody gets it from the publisher.
    trial.net.with(*publisher, need(true)).unwrap();
    wait(&mut trial, 2, "links to all", &|net| {
        is_linked_to(net, *publisher, &fans)
    });
    nobody_died(&trial);
}

#[test]
fn a_caller_has_a_link_to_whoever_serves() {
    for seed in 1..=3 {
        let (mut trial, some) = settled(seed);
        let (caller, provider) = (some[0], some[1]);
        trial.register(provider, 1, "p.q");
        trial.run(Duration::from_secs(1));
        trial.watch(caller, "p.q");
        wait(
            &mut trial,
            1,
            "the caller knows it and has a link",
            &|net| {
                let table = net.machine(caller).unwrap().rpc().table();
                let found = table.candidates(&Procedure::new("p.q").unwrap());
                let found = found.iter().map(|candidate| candidate.provider);
                found.eq([Provider::Member(node_id(provider.get()))])
                    && net.is_linked(caller, provider)
            },
        );
        trial.kill(provider);
        wait(&mut trial, 30, "the caller knows that it is gone", &|net| {
            net.machine(caller).unwrap().rpc().offers() == 0
        });
    }
}
