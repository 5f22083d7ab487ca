//! Lookups by hand-fed answers: who is asked, what counts, and when it ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use macula_kad::{Config, Goal, Input, LookupOptions, Outcome, QueryError, StepEnd};
use macula_testkit::node_id;
use macula_wire::message::{Contact, KadFind, KadFound, RecordKind};
use macula_wire::{Body, RequestId};

use super::bench::{
    Bench, by_distance, contact, draft, found, key_value, millis, number_of, provider, value,
    willing,
};

pub(super) fn closest() -> Goal {
    Goal::Closest(key_value("a"))
}

pub(super) fn look(bench: &mut Bench, goal: Goal) {
    look_over(bench, goal, 1);
}

pub(super) fn look_over(bench: &mut Bench, goal: Goal, paths: usize) {
    let mut options = LookupOptions::default();
    options.paths = paths;
    bench.with_kad(|kad, now| kad.lookup(now, goal, options).unwrap());
}

/// What a node says that knows the nodes 1 to 29.
fn knowing(body: &Body) -> Option<Body> {
    let Body::KadFind(find) = body else {
        return willing(body);
    };
    let order = by_distance(&find.key, 1..30).into_iter();
    Some(found(find.request, order.take(20).map(contact).collect()).into())
}

pub(super) fn numbers(contacts: &[Arc<Contact>]) -> Vec<usize> {
    let nodes = contacts.iter().map(|contact| number_of(&contact.node));
    nodes.collect()
}

/// Who was asked in a lookup.
pub(super) fn asked(bench: &Bench) -> Vec<usize> {
    bench.receivers(|body| matches!(body, Body::KadFind(_)))
}

pub(super) fn outcome(bench: &mut Bench) -> Outcome {
    assert_eq!(bench.found.len(), 1);
    bench.found.pop().unwrap()
}

#[test]
fn a_lookup_ends_when_the_closest_have_answered() {
    let mut config = Config::default();
    config.k = 4;
    let mut bench = Bench::among(config, 1..30);
    let order = by_distance(&key_value("a"), 1..30);
    look(&mut bench, closest());
    assert_eq!(asked(&bench), order[..3], "alpha at a time, closest first");
    bench.answer_all(|_, body| willing(body));
    let outcome = outcome(&mut bench);
    assert!(outcome.complete);
    assert_eq!(numbers(&outcome.closest), order[..4]);
    assert_eq!((outcome.hops, outcome.requests, outcome.late), (1, 4, 0));
    let ends: Vec<StepEnd> = outcome.steps.iter().map(|step| step.end).collect();
    assert_eq!(ends, [StepEnd::Answered; 4]);
}

#[test]
fn without_anybody_a_lookup_ends_at_once() {
    let mut bench = Bench::new();
    look(&mut bench, closest());
    let outcome = outcome(&mut bench);
    assert!(outcome.complete && outcome.closest.is_empty());
    assert_eq!((outcome.hops, outcome.requests), (0, 0));
}

#[test]
fn closer_ones_that_are_named_are_asked() {
    let mut config = Config::default();
    config.k = 2;
    let order = by_distance(&key_value("a"), 1..30);
    let far = *order.last().unwrap();
    let mut bench = Bench::among(config, [far]);
    look(&mut bench, closest());
    let nearer = vec![contact(order[0]), contact(order[1])];
    bench.answer_all(|number, body| match body {
        Body::KadFind(find) if number == far => Some(found(find.request, nearer.clone()).into()),
        _ => willing(body),
    });
    let outcome = outcome(&mut bench);
    assert_eq!(numbers(&outcome.closest), order[..2]);
    assert_eq!((outcome.hops, outcome.requests), (2, 3));
}

#[test]
fn a_node_is_found_when_it_has_answered_itself() {
    let mut bench = Bench::among(Config::default(), 1..10);
    look(&mut bench, Goal::Node(node_id(3)));
    let request = bench.asked(3).unwrap();
    // The word of another is not enough.
    let other = asked(&bench).into_iter().find(|number| *number != 3);
    let other = other.unwrap();
    let of_other = bench.asked(other).unwrap();
    bench.hear(other, found(of_other, vec![contact(3)]));
    assert!(bench.found.is_empty());
    bench.hear(3, found(request, Vec::new()));
    assert!(outcome(&mut bench).complete);
}

#[test]
fn the_first_with_records_is_enough_unless_all_are_wanted() {
    let kind = RecordKind::Value;
    let key = key_value("a");
    for all in [false, true] {
        let mut bench = Bench::among(Config::default(), 1..10);
        look(&mut bench, Goal::Records { key, kind, all });
        let first = asked(&bench)[0];
        let request = bench.asked(first).unwrap();
        let records = vec![draft(40, value("a")).sign()];
        let told = found(request, Vec::new());
        bench.hear(first, KadFound { records, ..told });
        assert_eq!(bench.found.is_empty(), all);
        if all {
            bench.answer_all(|number, body| (number != first).then(|| willing(body)).flatten());
        }
        assert_eq!(outcome(&mut bench).records.len(), 1);
    }
}

#[test]
fn of_each_record_the_latest_is_found() {
    let (key, kind, all) = (key_value("a"), RecordKind::Value, true);
    let mut bench = Bench::among(Config::default(), [1, 2, 3]);
    look(&mut bench, Goal::Records { key, kind, all });
    let late = draft(40, value("a")).version(2).sign();
    let told = [draft(40, value("a")).version(1).sign(), Arc::clone(&late)];
    let told = [&told[0], &told[1], &told[0]];
    for (number, record) in (1..).zip(told) {
        let request = bench.asked(number).unwrap();
        let records = vec![Arc::clone(record)];
        let empty = found(request, Vec::new());
        bench.hear(number, KadFound { records, ..empty });
    }
    assert_eq!(outcome(&mut bench).records, [late]);
}

#[test]
fn a_record_that_was_withdrawn_is_not_found() {
    let (key, kind, all) = (key_value("a"), RecordKind::Value, true);
    let mut bench = Bench::among(Config::default(), [1, 2]);
    look(&mut bench, Goal::Records { key, kind, all });
    let old = draft(40, value("a"));
    let told = [old.clone().version(1).withdrawn().sign(), old.sign()];
    for (number, record) in (1..).zip(told) {
        let request = bench.asked(number).unwrap();
        let records = vec![record];
        let empty = found(request, Vec::new());
        bench.hear(number, KadFound { records, ..empty });
    }
    assert_eq!(outcome(&mut bench).records, []);
}

#[test]
fn what_is_kept_here_is_found_here() {
    let mut bench = Bench::among(Config::default(), [1, 2]);
    bench.with_kad(|kad, now| kad.publish(now, value("a")).unwrap());
    let (key, kind, all) = (key_value("a"), RecordKind::Value, false);
    look(&mut bench, Goal::Records { key, kind, all });
    assert_eq!(outcome(&mut bench).records.len(), 1);
    assert!(asked(&bench).is_empty());
}

#[test]
fn whoever_is_late_is_made_up_for_and_still_counts() {
    let mut config = Config::default();
    config.k = 4;
    let mut bench = Bench::among(config, 1..30);
    let order = by_distance(&key_value("a"), 1..30);
    look(&mut bench, closest());
    let late = bench.asked(order[0]).unwrap();
    bench.pass(millis(300));
    assert!(asked(&bench).len() > 3, "more are asked");
    assert_eq!(bench.stats().late, 3);
    bench.hear(order[0], found(late, Vec::new()));
    bench.answer_all(|number, body| (number != order[0]).then(|| willing(body)).flatten());
    let outcome = outcome(&mut bench);
    assert_eq!(numbers(&outcome.closest)[0], order[0]);
    assert_eq!(outcome.late, 3);
}

#[test]
fn whoever_does_not_answer_is_replaced() {
    let mut config = Config::default();
    config.k = 4;
    let mut bench = Bench::among(config, 1..30);
    let order = by_distance(&key_value("a"), 1..30);
    look(&mut bench, closest());
    // The first three stay silent.
    bench.pass_with(millis(5_000), |_, body| knowing(body));
    let outcome = outcome(&mut bench);
    assert!(outcome.complete);
    assert_eq!(numbers(&outcome.closest), order[3..7]);
    assert_eq!(bench.stats().failed, 3);
}

#[test]
fn unreachable_nodes_are_replaced_at_once() {
    let mut config = Config::default();
    config.k = 4;
    let mut bench = Bench::among(config, 1..30);
    let order = by_distance(&key_value("a"), 1..30);
    look(&mut bench, closest());
    bench.input(Input::Unreachable(node_id(order[0])));
    assert_eq!(bench.stats().failed, 1);
    bench.answer_all(|_, body| knowing(body));
    let closest = outcome(&mut bench).closest;
    assert_eq!(numbers(&closest), order[1..5]);
}

#[test]
fn every_lookup_ends_in_its_time() {
    let mut config = Config::default();
    config.request_timeout = millis(60_000);
    let mut bench = Bench::among(config, 1..30);
    look(&mut bench, closest());
    bench.pass(millis(9_999));
    let waits = bench.found.is_empty();
    bench.pass(millis(1));
    let outcome = outcome(&mut bench);
    // All may have been late, which ends it as well.
    assert!(outcome.complete != waits || outcome.complete);
    assert!(outcome.closest.is_empty() && outcome.took <= millis(10_000));
}

#[test]
fn somebody_who_invents_contacts_for_ever_does_not_hold_a_lookup_up() {
    let mut bench = Bench::among(Config::default(), [1]);
    look(&mut bench, closest());
    let mut next = 1_000;
    bench.pass_with(millis(10_000), |number, body| match body {
        Body::KadFind(find) if number == 1 => Some(invented(find.request, &mut next)),
        _ => None,
    });
    let request = bench.asked(1).unwrap();
    bench.hear(1, invented(request, &mut next));
    bench.pass(millis(10_000));
    let first = outcome(&mut bench);
    assert!(first.took <= millis(10_000));
    assert!(first.requests <= 60, "{}", first.requests);
}

#[test]
fn inventors_in_league_do_not_hold_a_lookup_up() {
    // Whoever is asked is one of them, and answers at once with 20 that nobody has heard of.
    let mut bench = Bench::among(Config::default(), [1]);
    look(&mut bench, closest());
    let mut next = 1_000;
    bench.answer_all(|_, body| match body {
        Body::KadFind(find) => Some(invented(find.request, &mut next)),
        _ => None,
    });
    let outcome = outcome(&mut bench);
    assert!(outcome.complete);
    assert!(outcome.requests < 200, "{}", outcome.requests);
    assert!(bench.kad.table_len() <= 20 * 12);
}

fn invented(request: RequestId, next: &mut usize) -> Body {
    let contacts = (*next..*next + 20).map(contact).collect();
    *next += 20;
    found(request, contacts).into()
}

#[test]
fn disjoint_paths_never_ask_a_node_twice() {
    for paths in [1, 2, 4, 20, 100] {
        let mut bench = Bench::among(Config::default(), 1..20);
        look_over(&mut bench, closest(), paths);
        let mut next = 100;
        bench.answer_all(|_, body| match body {
            Body::KadFind(find) => {
                // Everybody names the same ones over and over, and some new ones.
                next += 3;
                let old = (1..9).map(contact);
                let new = (next..next + 6).map(contact);
                Some(found(find.request, old.chain(new).collect()).into())
            }
            _ => None,
        });
        let asked = asked(&bench);
        let each: BTreeSet<usize> = asked.iter().copied().collect();
        assert_eq!(each.len(), asked.len(), "{paths} paths");
        let outcome = outcome(&mut bench);
        assert_eq!(outcome.requests as usize, asked.len());
        let closest = numbers(&outcome.closest);
        assert_eq!(closest, by_distance(&key_value("a"), closest.clone()));
    }
}

#[test]
fn the_number_of_lookups_is_bounded() {
    let mut config = Config::default();
    config.max_queries = 2;
    let mut bench = Bench::among(config, 1..30);
    for _ in 0..2 {
        look(&mut bench, closest());
    }
    let more = bench.with_kad(|kad, now| kad.lookup(now, closest(), LookupOptions::default()));
    assert_eq!(more, Err(QueryError::TooMany { limit: 2 }));
    bench.answer_all(|_, body| willing(body));
    look(&mut bench, closest());
}

#[test]
fn a_storm_is_limited_and_others_are_answered() {
    let mut config = Config::default();
    config.requests_per_second = 10;
    let mut bench = Bench::among(config, 1..30);
    let ask = |bench: &mut Bench, from| {
        let (request, key, kind) = (RequestId::new(1), key_value("a"), None);
        bench.hear(from, KadFind { request, key, kind });
    };
    (0..200).for_each(|_| ask(&mut bench, 1));
    assert_eq!(bench.sent_to(1).len(), 20);
    assert_eq!(bench.stats().refused_rate, 180);
    ask(&mut bench, 2);
    assert_eq!(bench.sent_to(2).len(), 1);
    // Answers are not requests.
    look(&mut bench, Goal::Node(node_id(1)));
    let request = bench.asked(1).unwrap();
    bench.hear(1, found(request, Vec::new()));
    assert!(outcome(&mut bench).complete);
    bench.pass(millis(1_000));
    bench.forget();
    (0..200).for_each(|_| ask(&mut bench, 1));
    assert_eq!(bench.sent_to(1).len(), 10);
}

#[test]
fn a_lookup_may_leave_out_what_membership_knows() {
    let mut bench = Bench::among(Config::default(), 1..30);
    bench.contact(40);
    let mut options = LookupOptions::default();
    options.seeded = false;
    bench.with_kad(|kad, now| kad.lookup(now, closest(), options).unwrap());
    assert_eq!(asked(&bench), [40]);
}

#[test]
fn records_of_providers_are_found_under_their_procedure() {
    let mut bench = Bench::among(Config::default(), [1]);
    let told = draft(40, provider("a.b"));
    let (key, kind, all) = (told.key(), RecordKind::Provider, false);
    look(&mut bench, Goal::Records { key, kind, all });
    let asked = bench.sent_to(1);
    let [Body::KadFind(find)] = asked[..] else {
        panic!("{asked:?}");
    };
    assert_eq!((find.key, find.kind), (key, Some(kind)));
}
