//! How many contacts of one public network have a place.

use std::sync::Arc;

use macula_kad::{Config, Distance, Goal, Input, LookupOptions, position};
use macula_testkit::node_id;
use macula_wire::message::Contact;

use super::bench::{Bench, at, key_value, millis};
use super::table::first_bucket;

fn network(index: usize, address: &str) -> Arc<Contact> {
    let number = first_bucket().nth(index).unwrap();
    at(number, address)
}

#[test]
fn a_public_network_has_two_places_in_a_bucket() {
    let enters = |max: Option<usize>, addresses: &[&str]| {
        let mut config = Config::default();
        config.max_per_network = max.unwrap_or(config.max_per_network);
        let mut bench = Bench::with(config);
        for (index, address) in addresses.iter().enumerate() {
            bench.input(Input::Contact(network(index, address)));
        }
        bench.kad.table_len()
    };
    let same = ["8.8.8.1:1", "8.8.8.2:1", "8.8.8.3:1"];
    assert_eq!(enters(None, &same), 2);
    assert_eq!(enters(Some(1), &same), 1);
    assert_eq!(enters(Some(usize::MAX), &same), 3);
    assert_eq!(enters(None, &["8.8.8.1:1", "8.8.8.2:1", "8.8.9.3:1"]), 3);
    let mapped = ["8.8.8.1:1", "8.8.8.2:1", "[::ffff:8.8.8.3]:1"];
    assert_eq!(enters(None, &mapped), 2);
    let six = [
        "[2a00:1:2:3::1]:1",
        "[2a00:1:2:3f::2]:1",
        "[2a00:1:2:ff::3]:1",
    ];
    assert_eq!(enters(None, &six), 2);
    let others = [
        "[2a00:1:2:3::1]:1",
        "[2a00:1:2:3::2]:1",
        "[2a00:1:2:103::3]:1",
    ];
    assert_eq!(enters(None, &others), 3);
    let private = [
        "10.0.0.1:1",
        "192.168.0.1:1",
        "172.16.0.1:1",
        "127.0.0.1:1",
        "169.254.0.1:1",
        "100.64.0.1:1",
        "[fd00::1]:1",
        "[fe80::1]:1",
        "[::1]:1",
    ];
    for address in private {
        assert_eq!(enters(None, &[address; 3]), 3, "{address}");
    }
}

fn at_all(index: usize, addresses: &[&str]) -> Arc<Contact> {
    let node = network(index, addresses[0]).node;
    let addresses = addresses.iter().map(|address| address.parse().unwrap());
    let addresses = addresses.collect();
    Arc::new(Contact { node, addresses })
}

#[test]
fn every_address_of_a_contact_counts_for_its_networks() {
    let enter = |contacts: &[&[&str]]| {
        let mut bench = Bench::new();
        for (index, addresses) in contacts.iter().enumerate() {
            bench.input(Input::Contact(at_all(index, addresses)));
        }
        bench
    };
    let hidden: &[&str] = &["10.0.0.1:1", "9.9.9.9:1", "8.8.8.1:1"];
    let other: &[&str] = &["10.0.0.2:1", "8.8.8.2:1"];
    assert_eq!(enter(&[hidden, other, &["8.8.8.3:1"]]).kad.table_len(), 2);
    assert_eq!(enter(&[&["8.8.8.3:1"], other, hidden]).kad.table_len(), 2);
    assert_eq!(enter(&[hidden, other, &["8.8.9.3:1"]]).kad.table_len(), 3);
    // Many addresses of one network are one contact in it.
    let same: &[&str] = &["8.8.8.3:1", "8.8.8.3:2", "8.8.8.4:1"];
    assert_eq!(enter(&[hidden, same]).kad.table_len(), 2);
    // Nobody enters a full network by an address that it tells of later.
    let mut bench = enter(&[hidden, other, &["10.0.0.3:1"]]);
    assert_eq!(bench.kad.table_len(), 3);
    bench.input(Input::Contact(at_all(1, &["8.8.8.9:1"])));
    assert_eq!(bench.kad.table_len(), 3, "it was there before");
    bench.input(Input::Contact(at_all(2, &["10.0.0.3:1", "9.9.9.3:1"])));
    assert_eq!(bench.kad.table_len(), 3, "there is room");
    bench.input(Input::Contact(at_all(2, &["10.0.0.3:1", "8.8.8.3:1"])));
    assert_eq!(bench.kad.table_len(), 2);
}

#[test]
fn the_bound_of_a_network_holds_in_each_bucket() {
    let mut bench = Bench::new();
    let own = position(&node_id(0));
    for shared in 0..4 {
        let nodes = (1..5_000).filter(|number| {
            Distance::between(&own, &position(&node_id(*number))).shared_bits() == shared
        });
        for number in nodes.take(4) {
            bench.input(Input::Contact(at(number, "8.8.8.8:1")));
        }
    }
    assert_eq!(bench.kad.table_len(), 8);
}

#[test]
fn the_bound_of_a_network_holds_when_those_that_wait_enter() {
    let mut config = Config::default();
    config.k = 3;
    let own = position(&node_id(0));
    let first = |number: &usize| {
        let other = position(&node_id(*number));
        Distance::between(&own, &other).shared_bits() == 0 && other.as_bytes()[0] >> 3 & 15 == 3
    };
    let nodes: Vec<usize> = (1..5_000).filter(first).take(6).collect();
    let mut bench = Bench::with(config);
    nodes[..3].iter().for_each(|number| bench.contact(*number));
    for number in &nodes[3..] {
        bench.input(Input::Contact(at(*number, "8.8.8.8:1")));
    }
    nodes[..3].iter().for_each(|number| bench.gone(*number));
    assert_eq!(bench.kad.table_len(), 2);
}

#[test]
fn a_network_whose_contacts_are_dead_has_room_again() {
    let mut bench = Bench::new();
    let own = position(&node_id(0));
    let first = |number: &usize| {
        let other = position(&node_id(*number));
        Distance::between(&own, &other).shared_bits() == 0
    };
    let nodes: Vec<usize> = (1..5_000).filter(first).take(3).collect();
    for number in &nodes[..2] {
        bench.input(Input::Contact(at(*number, "8.8.8.8:1")));
    }
    let goal = Goal::Closest(key_value("a"));
    bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
    bench.pass(millis(3_600_000));
    bench.input(Input::Contact(at(nodes[2], "8.8.8.8:1")));
    bench.pass(millis(10_000));
    let known = bench.kad.closest_known(&own, 20);
    assert!(
        known
            .iter()
            .any(|contact| contact.node == node_id(nodes[2]))
    );
}
