//! The table: who has a place, who waits, and who loses it.

use std::sync::Arc;

use macula_kad::{
    Config, Distance, Goal, Input, LookupOptions, MemberSnapshot, QueryError, position,
};
use macula_testkit::node_id;
use macula_wire::Body;
use macula_wire::RequestId;
use macula_wire::message::{Contact, KadFind};

use super::bench::{Bench, NOBODY, at, contact, found, key_value, millis, number_of, willing};

/// Nodes that share no bit with node 0, so that they are in its first bucket, and differ from each other within the
/// parts of a bucket as little as can be.
fn first_bucket() -> impl Iterator<Item = usize> {
    let own = position(&node_id(0));
    (1..5_000).filter(move |number| {
        let other = position(&node_id(*number));
        let part = other.as_bytes()[0] >> 3;
        Distance::between(&own, &other).shared_bits() == 0 && part & 15 == 3
    })
}

fn config(k: usize) -> Config {
    let mut config = Config::default();
    config.k = k;
    config
}

fn places(bench: &Bench) -> Vec<usize> {
    let contacts = bench.kad.contacts();
    let mut numbers: Vec<usize> = contacts.map(|contact| number_of(&contact.node)).collect();
    numbers.sort_unstable();
    numbers
}

/// Lets a contact that has a place not answer, once.
fn fail(bench: &mut Bench, number: usize) {
    // A check of it would do; a lookup that it is part of does as well.
    bench.input(Input::Unreachable(node_id(number)));
}

/// To whom checks went since what was sent was forgotten.
fn checked(bench: &Bench) -> Vec<usize> {
    let own = *bench.kad.position();
    bench.receivers(|body| matches!(body, Body::KadFind(find) if find.key == own))
}

#[test]
fn whoever_is_heard_has_a_place_as_long_as_there_is_room() {
    let mut bench = Bench::with(config(3));
    let nodes: Vec<usize> = first_bucket().take(5).collect();
    nodes[..4].iter().for_each(|number| bench.contact(*number));
    let mut expected = nodes[..3].to_vec();
    expected.sort_unstable();
    assert_eq!(places(&bench), expected);
    assert_eq!(bench.kad.table_len(), 3);
    // A question makes a contact as well; another bucket has room of its own.
    let (request, key, kind) = (RequestId::new(1), key_value("a"), None);
    let own = position(&node_id(0));
    let elsewhere = (1..5_000)
        .find(|number| Distance::between(&own, &position(&node_id(*number))).shared_bits() == 3);
    bench.hear(elsewhere.unwrap(), KadFind { request, key, kind });
    assert_eq!(bench.kad.table_len(), 4);
    bench.hear(nodes[4], KadFind { request, key, kind });
    assert_eq!(bench.kad.table_len(), 4);
}

#[test]
fn an_old_contact_keeps_its_place_if_it_answers_a_check() {
    let mut bench = Bench::with(config(3));
    let nodes: Vec<usize> = first_bucket().take(4).collect();
    nodes[..3].iter().for_each(|number| bench.contact(*number));
    bench.contact(nodes[3]);
    assert_eq!(checked(&bench), NOBODY, "they were heard just now");
    bench.pass(millis(900_000));
    bench.forget();
    bench.contact(nodes[3]);
    assert_eq!(checked(&bench), [nodes[0]], "the one not heard for longest");
    bench.contact(nodes[3]);
    assert_eq!(checked(&bench).len(), 1, "one check at a time");
    bench.answer_all(|_, body| willing(body));
    assert!(!places(&bench).contains(&nodes[3]));
    // The twin: it does not answer.
    bench.forget();
    bench.contact(nodes[3]);
    assert_eq!(checked(&bench), [nodes[1]]);
    bench.pass(millis(5_000));
    let places = places(&bench);
    assert!(places.contains(&nodes[3]) && !places.contains(&nodes[1]));
    assert_eq!(bench.kad.table_len(), 3);
}

#[test]
fn whoever_fails_is_replaced_by_the_latest_that_waits() {
    let mut bench = Bench::with(config(3));
    let nodes: Vec<usize> = first_bucket().take(6).collect();
    nodes.iter().for_each(|number| bench.contact(*number));
    bench.pass(millis(900_000));
    bench.forget();
    bench.contact(nodes[5]);
    fail(&mut bench, nodes[0]);
    let places = places(&bench);
    assert!(!places.contains(&nodes[0]) && places.contains(&nodes[5]));
    assert_eq!(places.len(), 3);
}

#[test]
fn one_lost_request_costs_no_contact_its_place() {
    for answers_check in [true, false] {
        let mut bench = Bench::with(config(3));
        let nodes: Vec<usize> = first_bucket().take(4).collect();
        nodes.iter().for_each(|number| bench.contact(*number));
        bench.forget();
        let goal = Goal::Node(node_id(nodes[0]));
        bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
        let own = *bench.kad.position();
        let is_check = |body: &Body| matches!(body, Body::KadFind(find) if find.key == own);
        let answers = |number: usize, body: &Body| {
            let answers = number != nodes[0] || (answers_check && is_check(body));
            answers.then(|| willing(body)).flatten()
        };
        bench.answer_all(answers);
        bench.pass_with(millis(9_000), answers);
        assert_eq!(checked(&bench), [nodes[0]], "it is checked, once");
        let places = places(&bench);
        assert_eq!(places.contains(&nodes[0]), answers_check);
        assert_eq!(places.contains(&nodes[3]), !answers_check);
        assert_eq!(places.len(), 3);
    }
}

#[test]
fn whoever_cannot_be_reached_for_a_check_either_loses_its_place() {
    let mut bench = Bench::with(config(3));
    let nodes: Vec<usize> = first_bucket().take(4).collect();
    nodes.iter().for_each(|number| bench.contact(*number));
    bench.forget();
    let goal = Goal::Closest(key_value("a"));
    bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
    fail(&mut bench, nodes[0]);
    assert_eq!(checked(&bench), [nodes[0]]);
    assert!(places(&bench).contains(&nodes[0]));
    fail(&mut bench, nodes[0]);
    assert!(!places(&bench).contains(&nodes[0]));
}

#[test]
fn joining_counts_as_a_lookup() {
    let mut few = config(3);
    few.max_queries = 2;
    let mut bench = Bench::with(few);
    for number in [1, 2] {
        bench.with_kad(|kad, now| kad.join(now, contact(number)).unwrap());
    }
    let third = bench.with_kad(|kad, now| kad.join(now, contact(3)));
    assert_eq!(third, Err(QueryError::TooMany { limit: 2 }));
    assert_eq!(bench.kad.table_len(), 3, "a contact all the same");
    bench.pass_willing(millis(1));
    bench.answer_all(|_, body| willing(body));
    bench.with_kad(|kad, now| kad.join(now, contact(4)).unwrap());
}

#[test]
fn while_nobody_waits_a_contact_may_fail_some_times() {
    let mut bench = Bench::with(config(3));
    bench.contact(1);
    for failures in 1..=5 {
        assert_eq!(bench.kad.table_len(), 1, "{failures}");
        // It is heard, so it is asked again, and does not answer.
        let goal = Goal::Node(node_id(1));
        let options = LookupOptions::default();
        bench.with_kad(|kad, now| kad.lookup(now, goal, options).unwrap());
        bench.with_kad(|kad, now| kad.lookup(now, goal, options).unwrap());
        fail(&mut bench, 1);
        if failures < 3 {
            bench.contact(1);
        }
    }
    assert!(bench.kad.table_len() <= 1);
}

#[test]
fn members_that_are_gone_leave_the_table_at_once() {
    let mut bench = Bench::among(Config::default(), [1, 2]);
    bench.contact(1);
    bench.contact(2);
    bench.contact(3);
    assert_eq!(bench.kad.table_len(), 3);
    bench.gone(1);
    assert_eq!(bench.kad.table_len(), 2);
    assert_eq!(places(&bench), [2, 3]);
    // The twin: one that cannot be reached at present stays.
    bench.input(Input::Unreachable(node_id(2)));
    assert_eq!(bench.kad.table_len(), 2);
    // Whoever waits takes the place of one that is gone.
    let mut bench = Bench::with(config(3));
    let nodes: Vec<usize> = first_bucket().take(4).collect();
    nodes.iter().for_each(|number| bench.contact(*number));
    bench.gone(nodes[0]);
    assert!(places(&bench).contains(&nodes[3]));
}

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
fn the_size_of_the_realm_is_known_or_guessed() {
    assert_eq!(Bench::new().kad.size_estimate(), 1);
    let mut bench = Bench::among(Config::default(), 1..30);
    assert_eq!(bench.kad.size_estimate(), 30, "29 others and this node");
    bench.gone(3);
    assert_eq!(bench.kad.size_estimate(), 29);
    // A snapshot of all names this node too.
    let snapshot = MemberSnapshot::new((0..30).map(contact));
    let mut bench = Bench::new();
    bench.with_kad(|kad, _| kad.begin_with(snapshot.into()));
    assert_eq!(bench.kad.size_estimate(), 30);
    // Without membership, by the distances of the closest.
    let mut bench = Bench::new();
    let own = position(&node_id(0));
    let mut nodes: Vec<usize> = (1..5_000).collect();
    nodes.sort_by_key(|number| Distance::between(&own, &position(&node_id(*number))));
    nodes[..40].iter().for_each(|number| bench.contact(*number));
    let guess = bench.kad.size_estimate();
    assert!((2_500..10_000).contains(&guess), "{guess}");
}

#[test]
fn contacts_that_others_tell_of_are_asked_before_they_have_a_place() {
    let mut bench = Bench::new();
    bench.with_kad(|kad, now| kad.join(now, contact(1)).unwrap());
    let request = bench.asked(1).unwrap();
    bench.forget();
    bench.hear(1, found(request, (2..12).map(contact).collect()));
    assert_eq!(bench.kad.table_len(), 1, "hearsay gives no place");
    bench.pass_with(millis(20_000), |_, body| willing(body));
    assert!(bench.kad.table_len() > 1);
    let asked = bench.receivers(|body| matches!(body, Body::KadFind(_)));
    assert!(asked.iter().all(|number| (1..12).contains(number)));
}

#[test]
fn whoever_failed_once_is_asked_before_nobody_is() {
    let mut bench = Bench::with(Config::default());
    bench.contact(1);
    let goal = Goal::Closest(key_value("a"));
    let look = |bench: &mut Bench| {
        bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
    };
    look(&mut bench);
    bench.pass(millis(10_000));
    bench.forget();
    look(&mut bench);
    assert_eq!(
        bench.receivers(|body| matches!(body, Body::KadFind(_))),
        [1]
    );
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
