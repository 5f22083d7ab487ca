//! Answers: which ones count, and what counts in them.

use macula_kad::{Config, Goal, LookupOptions};
use macula_testkit::node_id;
use macula_wire::message::{KadFind, KadFound, KadStore, KadWant, RecordKind};
use macula_wire::{Body, ErrorCode, Key, RequestId};

use super::bench::{
    Bench, answer, by_distance, contact, draft, found, key_value, millis, request_of, value,
    watching,
};
use super::lookups::{asked, closest, look, numbers, outcome};

/// How many keep a record here.
const K: usize = 4;

fn config() -> Config {
    let mut config = Config::default();
    config.k = K;
    config
}

#[test]
fn an_answer_counts_from_the_one_that_was_asked_and_once() {
    let mut bench = Bench::among(Config::default(), [1, 2]);
    look(&mut bench, closest());
    let (one, other) = (bench.asked(1).unwrap(), bench.asked(2).unwrap());
    let unasked = |bench: &Bench| bench.stats().unasked;
    bench.hear(2, found(one, Vec::new()));
    assert_eq!(unasked(&bench), 1, "the request of another");
    bench.hear(3, found(one, Vec::new()));
    assert_eq!(unasked(&bench), 2, "from whom nobody asked");
    bench.hear(1, found(RequestId::new(900), Vec::new()));
    assert_eq!(unasked(&bench), 3, "to what nobody asked");
    let (request, ids) = (RequestId::new(901), Vec::new());
    bench.hear(1, KadWant { request, ids });
    bench.hear(1, answer(request, vec![ErrorCode::OK]));
    assert_eq!(unasked(&bench), 5);
    assert!(bench.found.is_empty());
    // The twin.
    bench.hear(1, found(one, Vec::new()));
    assert_eq!(unasked(&bench), 5);
    bench.hear(1, found(one, Vec::new()));
    assert_eq!(unasked(&bench), 6, "twice");
    assert!(bench.found.is_empty());
    bench.hear(2, found(other, Vec::new()));
    assert_eq!(numbers(&outcome(&mut bench).closest).len(), 2);
}

#[test]
fn what_comes_from_oneself_is_ignored() {
    let mut bench = Bench::among(Config::default(), [1]);
    look(&mut bench, closest());
    let before = bench.stats();
    let request = bench.asked(1).unwrap();
    bench.hear(0, found(request, vec![contact(2)]));
    let (key, kind) = (key_value("a"), None);
    bench.sent.clear();
    bench.hear(0, KadFind { request, key, kind });
    bench.contact(0);
    assert_eq!((before, bench.sent.len()), (bench.stats(), 0));
    assert_eq!(bench.kad.table_len(), 0);
}

#[test]
fn contacts_that_cannot_be_right_are_left_out() {
    let mut bench = Bench::among(Config::default(), [1]);
    look(&mut bench, closest());
    let request = bench.asked(1).unwrap();
    bench.forget();
    // The receiver, the sender, and one of them twice.
    let named = vec![contact(0), contact(1), contact(2), contact(2)];
    bench.hear(1, found(request, named));
    assert_eq!(asked(&bench), [2]);
}

#[test]
fn an_answer_names_neither_the_sender_nor_the_asker() {
    let mut bench = Bench::among(Config::default(), 1..60);
    let request = RequestId::new(5);
    let asker = 7;
    let key: Key = macula_kad::position(&node_id(asker));
    let kind = None;
    bench.hear(asker, KadFind { request, key, kind });
    let told = bench.sent_to(asker);
    let [Body::KadFound(told)] = told[..] else {
        panic!("{told:?}");
    };
    let order = by_distance(&key, (1..60).filter(|number| *number != asker));
    assert_eq!(numbers(&told.contacts), order[..20]);
    assert!(!told.more && told.records.is_empty());
}

#[test]
fn an_answer_of_another_kind_is_none() {
    // To a step of a lookup.
    let mut bench = Bench::among(config(), [1]);
    let goal = Goal::Closest(key_value("a"));
    bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
    let request = bench.asked(1).unwrap();
    bench.hear(1, answer(request, vec![ErrorCode::OK]));
    let ids = Vec::new();
    bench.hear(1, KadWant { request, ids });
    assert_eq!(bench.stats().unasked, 2);
    bench.hear(1, found(request, Vec::new()));
    assert_eq!(bench.found.len(), 1);
    // To a record.
    bench.forget();
    let id = bench.with_kad(|kad, now| kad.publish(now, value("a")).unwrap());
    let request = bench.asked(1).unwrap();
    bench.hear(1, found(request, Vec::new()));
    bench.forget();
    bench.pass_willing(millis(20_000));
    assert_eq!(bench.told_of(id), [1], "it is told again");
    // To a watch.
    let (mut bench, at, _) = watching(RecordKind::Provider, K);
    bench.answer_all(|_, body| request_of(body).map(|asked| found(asked, Vec::new()).into()));
    bench.pass(millis(20_000));
    assert_eq!(bench.watching, [at], "nobody answered");
}

#[test]
fn a_late_answer_is_no_offence() {
    let mut bench = Bench::among(config(), [1, 2]);
    let (key, kind, all) = (key_value("a"), RecordKind::Value, false);
    let goal = Goal::Records { key, kind, all };
    bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
    for number in [1, 2] {
        let request = bench.asked(number).unwrap();
        let records = vec![draft(5, value("a")).sign()];
        let told = found(request, Vec::new());
        bench.hear(number, KadFound { records, ..told });
    }
    assert_eq!(bench.found.len(), 1);
    assert_eq!(bench.stats().records_refused(), 0);
}

#[test]
fn contacts_that_cannot_be_right_are_counted() {
    let mut bench = Bench::among(config(), [1]);
    let goal = Goal::Closest(key_value("a"));
    bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
    let request = bench.asked(1).unwrap();
    bench.hear(1, found(request, vec![contact(1), contact(2), contact(2)]));
    assert_eq!(bench.stats().refused_contacts, 2);
}

#[test]
fn every_request_that_was_answered_is_counted() {
    let mut bench = Bench::new();
    let request = RequestId::new(1);
    let records = vec![draft(5, value("a")).sign()];
    bench.hear(1, KadStore { request, records });
    let (key, kind) = (key_value("a"), None);
    bench.hear(1, KadFind { request, key, kind });
    assert_eq!(bench.stats().answered, 2);
}
