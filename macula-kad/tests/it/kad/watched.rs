//! Serving the watches of others: statements, changes, leases and quotas.

use macula_kad::{Config, Input};
use macula_testkit::node_id;
use macula_wire::message::{KadChanges, KadStore, KadWatch, RecordKind};
use macula_wire::{Body, ErrorCode, Key, RequestId};

use super::bench::{Bench, Draft, HOUR_MS, draft, interest, key_value, millis, value, value_of};

const KIND: RecordKind = RecordKind::Value;

fn watch_key(bench: &mut Bench, from: usize, key: Key, lease_ms: u32, version: u64) -> ErrorCode {
    let (request, kind) = (RequestId::new(4), KIND);
    bench.hear(
        from,
        KadWatch {
            request,
            key,
            kind,
            lease_ms,
            version,
        },
    );
    bench.codes_to(from)[0]
}

fn watch(bench: &mut Bench, from: usize, lease_ms: u32, version: u64) -> ErrorCode {
    watch_key(bench, from, key_value("a"), lease_ms, version)
}

fn store(bench: &mut Bench, record: &Draft) {
    let (request, records) = (RequestId::new(5), vec![record.clone().sign()]);
    bench.hear(900, KadStore { request, records });
}

/// What a node was told since that was asked last.
fn changes(bench: &mut Bench, number: usize) -> Vec<KadChanges> {
    let sent = bench.sent_to(number).into_iter();
    let changes = sent.filter_map(|body| match body {
        Body::KadChanges(changes) => Some(changes.clone()),
        _ => None,
    });
    let changes = changes.collect();
    bench.forget();
    changes
}

#[test]
fn a_new_watch_is_told_everything_and_then_what_changes() {
    let mut bench = Bench::new();
    store(&mut bench, &draft(5, value("a")));
    assert_eq!(watch(&mut bench, 1, 60_000, 0), ErrorCode::OK);
    let told = changes(&mut bench, 1);
    assert_eq!(told.len(), 1);
    let KadChanges { key, kind, .. } = told[0];
    assert_eq!((key, kind, told[0].version), (key_value("a"), KIND, 1));
    assert!(told[0].full && !told[0].more);
    assert_eq!(told[0].records, [draft(5, value("a")).sign()]);
    let next = draft(5, value("a")).version(1).withdrawn();
    store(&mut bench, &next);
    let told = changes(&mut bench, 1);
    assert_eq!(told[0].records, [next.sign()]);
    assert_eq!(
        (told[0].version, told[0].full, told[0].more),
        (2, false, false)
    );
    // Another key, another kind, and what is known are not told.
    store(&mut bench, &draft(6, value("b")));
    store(&mut bench, &draft(6, interest("a")));
    store(&mut bench, &draft(5, value("a")));
    assert_eq!(changes(&mut bench, 1), []);
}

#[test]
fn what_changes_together_is_told_together() {
    let mut bench = Bench::new();
    watch(&mut bench, 1, 60_000, 0);
    watch(&mut bench, 2, 60_000, 0);
    bench.forget();
    let of = |owners: std::ops::Range<usize>| owners.map(|owner| draft(owner, value("a")).sign());
    let mut records: Vec<_> = of(5..35).collect();
    // Two versions of one record are one change.
    records.push(draft(5, value("a")).version(1).sign());
    let request = RequestId::new(5);
    bench.hear(900, KadStore { request, records });
    for watcher in [1, 2] {
        let told = bench.sent_to(watcher);
        let [Body::KadChanges(told)] = &told[..] else {
            panic!("one message, not {told:?}");
        };
        assert_eq!((told.version, told.records.len()), (2, 30));
        assert!(
            told.records
                .contains(&draft(5, value("a")).version(1).sign())
        );
    }
    // What does not fit a message takes another, with a version of its own.
    bench.forget();
    let large = |owner| draft(owner, value_of("a", &[1; 60_000])).version(2).sign();
    let records = (5..15).map(large).collect();
    bench.hear(900, KadStore { request, records });
    let told = changes(&mut bench, 1);
    let told = told.iter().map(|told| (told.version, told.records.len()));
    let told: Vec<_> = told.collect();
    assert_eq!(told, [(3, 4), (4, 4), (5, 2)]);
}

#[test]
fn under_an_empty_key_the_statement_is_empty() {
    let mut bench = Bench::new();
    watch(&mut bench, 1, 60_000, 0);
    let told = changes(&mut bench, 1);
    assert_eq!(
        (told[0].records.len(), told[0].full, told[0].more),
        (0, true, false)
    );
}

#[test]
fn a_long_statement_has_parts_of_one_version() {
    let mut bench = Bench::new();
    for owner in 5..5 + 130 {
        store(&mut bench, &draft(owner, value("a")));
    }
    bench.forget();
    watch(&mut bench, 1, 60_000, 0);
    let told = changes(&mut bench, 1);
    let shape = |part: &KadChanges| (part.records.len(), part.full, part.more, part.version);
    let shapes: Vec<_> = told.iter().map(shape).collect();
    let expected = [
        (64, true, true, 1),
        (64, false, true, 1),
        (2, false, false, 1),
    ];
    assert_eq!(shapes, expected);
}

#[test]
fn long_values_are_told_in_parts() {
    let mut bench = Bench::new();
    for owner in 5..10 {
        store(&mut bench, &draft(owner, value_of("a", &[0; 65_536])));
    }
    watch(&mut bench, 1, 60_000, 0);
    let told = changes(&mut bench, 1);
    let lengths: Vec<usize> = told.iter().map(|part| part.records.len()).collect();
    assert_eq!(lengths, [4, 1]);
}

#[test]
fn a_renewal_with_the_right_version_is_told_nothing_and_with_another_everything() {
    let mut bench = Bench::new();
    store(&mut bench, &draft(5, value("a")));
    watch(&mut bench, 1, 60_000, 0);
    store(&mut bench, &draft(6, value("a")));
    bench.forget();
    watch(&mut bench, 1, 60_000, 2);
    assert_eq!(changes(&mut bench, 1), []);
    for version in [0, 1, 3, u64::MAX] {
        watch(&mut bench, 1, 60_000, version);
        let told = changes(&mut bench, 1);
        assert!(told[0].full && told[0].records.len() == 2, "{version}");
    }
    let told = {
        store(&mut bench, &draft(7, value("a")));
        changes(&mut bench, 1)
    };
    watch(&mut bench, 1, 60_000, told[0].version);
    assert_eq!(changes(&mut bench, 1), []);
}

#[test]
fn a_watch_ends_with_its_lease_and_a_renewed_one_does_not() {
    let mut bench = Bench::new();
    watch(&mut bench, 1, 60_000, 0);
    watch(&mut bench, 2, 60_000, 0);
    bench.pass(millis(30_000));
    watch(&mut bench, 2, 60_000, 1);
    bench.pass(millis(29_999));
    assert_eq!(bench.kad.watched(), 2);
    bench.pass(millis(1));
    assert_eq!(bench.kad.watched(), 1);
    bench.forget();
    store(&mut bench, &draft(5, value("a")));
    assert_eq!(bench.sent_to(1).len(), 0);
    assert_eq!(changes(&mut bench, 2).len(), 1);
    // Who comes back begins anew.
    watch(&mut bench, 1, 60_000, 1);
    assert_eq!(bench.codes_to(1), [ErrorCode::OK]);
}

#[test]
fn a_lease_of_more_than_an_hour_is_an_hour() {
    let mut bench = Bench::new();
    watch(&mut bench, 1, u32::MAX, 0);
    bench.pass(millis(HOUR_MS - 1));
    assert_eq!(bench.kad.watched(), 1);
    bench.pass(millis(1));
    assert_eq!(bench.kad.watched(), 0);
}

#[test]
fn a_lease_of_zero_ends_a_watch() {
    let mut bench = Bench::new();
    watch(&mut bench, 1, 60_000, 0);
    watch(&mut bench, 2, 60_000, 0);
    assert_eq!(watch(&mut bench, 1, 0, 1), ErrorCode::OK);
    assert_eq!(bench.kad.watched(), 1);
    bench.forget();
    assert_eq!(watch(&mut bench, 1, 0, 1), ErrorCode::OK, "and again");
    store(&mut bench, &draft(5, value("a")));
    assert_eq!(changes(&mut bench, 1).len(), 0);
}

#[test]
fn whoever_is_gone_watches_nothing() {
    let mut bench = Bench::among(Config::default(), 1..5);
    watch(&mut bench, 1, 60_000, 0);
    watch(&mut bench, 2, 60_000, 0);
    bench.gone(1);
    assert_eq!(bench.kad.watched(), 1);
    // The twin: whoever is only silent.
    bench.input(Input::Unreachable(node_id(2)));
    assert_eq!(bench.kad.watched(), 1);
}

#[test]
fn watches_are_bounded_for_a_peer_and_in_all() {
    let mut config = Config::default();
    config.max_peer_watches = 2;
    config.max_watches = 3;
    let mut bench = Bench::with(config);
    let over = ErrorCode::QUOTA_EXCEEDED;
    let mut ask = |from, name: &str, lease| watch_key(&mut bench, from, key_value(name), lease, 0);
    assert_eq!(ask(1, "a", 60_000), ErrorCode::OK);
    assert_eq!(ask(1, "b", 60_000), ErrorCode::OK);
    assert_eq!(ask(1, "c", 60_000), over, "of one peer");
    assert_eq!(ask(1, "b", 60_000), ErrorCode::OK, "a renewal");
    assert_eq!(ask(2, "a", 60_000), ErrorCode::OK);
    assert_eq!(ask(2, "b", 60_000), over, "in all");
    assert_eq!(ask(1, "a", 0), ErrorCode::OK);
    assert_eq!(ask(2, "b", 60_000), ErrorCode::OK);
    assert_eq!(bench.stats().refused_watches, 2);
    assert_eq!(bench.kad.watched(), 3);
}
