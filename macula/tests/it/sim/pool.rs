//! Whole nodes in a realm of more members than a node keeps links to.

use std::time::Duration;

use macula::wire::{Random, Topic};
use macula_pubsub::Destination;
use macula_testkit::{Config, Net, NodeIndex, node_id};

use super::mesh::{Realm, Trial};

const COUNT: usize = 24;
const POOL: usize = 8;

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

fn is_lean(net: &Net<Realm>, at: NodeIndex) -> bool {
    // A link more may be there for a while, to look after somebody who is no neighbour.
    links(net, at) <= POOL + 2
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

#[test]
fn a_large_realm_keeps_few_links_and_finds_those_that_messaging_needs() {
    for seed in 1..=3 {
        let mut trial = Trial::starting(Config::default(), seed, COUNT, POOL);
        let wait = |trial: &mut Trial, seconds, what: &str, holds: &dyn Fn(&Net<Realm>) -> bool| {
            let limit = Duration::from_secs(seconds);
            trial.net.wait(limit, what, holds).unwrap();
        };
        wait(
            &mut trial,
            60,
            "all know all, and have neighbours",
            &|net| all(net, has_neighbours),
        );
        wait(
            &mut trial,
            120,
            "links that nobody needs are closed",
            &|net| all(net, is_lean),
        );
        // Whoever wants something has to tell everybody.
        let fan = node(Random::new(seed).index(COUNT));
        trial.subscribe(fan, 1, "a.b");
        wait(&mut trial, 20, "all know what one wants", &|net| {
            all(net, |net, at| {
                let table = net.machine(at).unwrap().pubsub().table();
                let owed = table.matches(&Topic::new("a.b").unwrap());
                at == fan || owed == [Destination::Member(node_id(fan.get()))]
            })
        });
        assert_eq!(links(&trial.net, fan), COUNT - 1);
        trial.run(Duration::from_secs(90));
        assert_eq!(links(&trial.net, fan), COUNT - 1, "as long as it wants it");
        trial.unsubscribe(fan, 1);
        wait(&mut trial, 120, "it is one of many again", &|net| {
            all(net, is_lean)
        });
        assert!(all(&trial.net, has_neighbours));
        let died = trial.net.host().said.iter();
        let died = died.filter(|(_, _, event)| event.name() == "down");
        assert_eq!(died.count(), 0, "nobody was taken for dead");
    }
}
