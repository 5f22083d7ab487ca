//! The table: who has a place, who waits, and who loses it.

use macula_kad::{
    Config, Distance, Goal, Input, LookupOptions, MemberSnapshot, QueryError, position,
};
use macula_testkit::node_id;
use macula_wire::Body;
use macula_wire::RequestId;
use macula_wire::message::KadFind;

use super::bench::{Bench, NOBODY, contact, found, key_value, millis, number_of, willing};

/// Nodes that share no bit with node 0, so that they are in its first bucket, and differ from each other within the
/// parts of a bucket as little as can be.
pub(super) fn first_bucket() -> impl Iterator<Item = usize> {
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
