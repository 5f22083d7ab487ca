//! What is refused of records, when they are stored, looked up and told: each refusal beside what is accepted.

use std::sync::Arc;

use macula_kad::{Config, Goal, LookupOptions, PublishError, Refusal, Stats};
use macula_wire::message::{KadFound, KadStore, RecordKind, SignedRoutingRecord};
use macula_wire::{ErrorCode, RequestId, SIGNATURE_LEN, signed};

use super::bench::{
    Bench, Draft, HOUR_MS, answer, change, draft, found, interest, key_provider, key_value, millis,
    node_content, provider, realm, statement, value, value_of,
};

const VALUE: RecordKind = RecordKind::Value;

fn store(bench: &mut Bench, from: usize, records: Vec<Arc<SignedRoutingRecord>>) -> Vec<ErrorCode> {
    let request = RequestId::new(9);
    bench.hear(from, KadStore { request, records });
    bench.codes_to(from)
}

/// A record by the owner 5 that everybody takes.
fn good() -> Draft {
    draft(5, value("a.b"))
}

/// What is wrong with a record, the code that says so, and which counter counts it.
type Wrong = (&'static str, Draft, ErrorCode, fn(&Stats) -> u64);

fn wrongs() -> Vec<Wrong> {
    let forged: fn(&Stats) -> u64 = |stats| stats.refused_forged;
    let expired: fn(&Stats) -> u64 = |stats| stats.refused_expired;
    let size: fn(&Stats) -> u64 = |stats| stats.refused_size;
    let place: fn(&Stats) -> u64 = |stats| stats.refused_place;
    let longest = 48 * HOUR_MS + 600_000;
    vec![
        (
            "the key of another",
            good().signed_by(6),
            ErrorCode::UNAUTHENTICATED,
            forged,
        ),
        (
            "another realm",
            good().in_realm("be.acme.iot2"),
            ErrorCode::UNAUTHENTICATED,
            forged,
        ),
        ("expired", good().for_ms(0), ErrorCode::EXPIRED, expired),
        (
            "too far ahead",
            good().for_ms(longest + 1_000),
            ErrorCode::INVALID_ARGUMENT,
            size,
        ),
        (
            "reserved",
            draft(5, provider("$sys.x")),
            ErrorCode::INVALID_ARGUMENT,
            place,
        ),
    ]
}

fn rights() -> Vec<Draft> {
    let longest = 48 * HOUR_MS + 600_000;
    vec![
        good(),
        good().version(1).for_ms(1),
        good().version(2).for_ms(longest),
        draft(5, provider("sys.x")),
        draft(5, node_content()),
        draft(5, interest("a.*")),
    ]
}

#[test]
fn a_wrong_record_is_not_kept_and_the_others_beside_it_are() {
    for (what, wrong, code, count) in wrongs() {
        let mut bench = Bench::new();
        let other = draft(6, value("c"));
        let records = vec![wrong.clone().sign(), other.clone().sign()];
        assert_eq!(
            store(&mut bench, 1, records),
            [code, ErrorCode::OK],
            "{what}"
        );
        assert!(!bench.kad.keeps(&wrong.id()), "{what}");
        assert!(bench.kad.keeps(&other.id()), "{what}");
        let stats = bench.stats();
        assert_eq!((count(&stats), stats.records_refused()), (1, 1), "{what}");
    }
    for right in rights() {
        let mut bench = Bench::new();
        let codes = store(&mut bench, 1, vec![right.clone().sign()]);
        assert_eq!(codes, [ErrorCode::OK], "{right:?}");
        assert!(bench.kad.keeps(&right.id()), "{right:?}");
        assert_eq!(bench.stats().records_refused(), 0, "{right:?}");
    }
}

#[test]
fn what_names_another_owner_needs_the_signature_of_that_one() {
    let mut bench = Bench::new();
    let mut stolen = good();
    stolen.record.owner = macula_testkit::node_id(7);
    let codes = store(&mut bench, 5, vec![stolen.clone().sign()]);
    assert_eq!(codes, [ErrorCode::UNAUTHENTICATED]);
    // The twin: anybody may bring what its owner signed.
    let codes = store(&mut bench, 5, vec![stolen.signed_by(7).sign()]);
    assert_eq!(codes, [ErrorCode::OK]);
}

#[test]
fn a_signature_covers_everything_that_a_record_says() {
    let change: [fn(&mut SignedRoutingRecord); 5] = [
        |signed| signed.record.sequence += 1,
        |signed| signed.record.expires_ms += 1,
        |signed| signed.record.withdrawn = true,
        |signed| signed.record.content = value_of("a.b", b"two"),
        |signed| signed.record.content = value_of("a.c", b"one"),
    ];
    let signed = draft(5, value_of("a.b", b"one")).sign();
    assert_eq!(
        store(&mut Bench::new(), 1, vec![Arc::clone(&signed)]),
        [ErrorCode::OK]
    );
    for change in change {
        let mut changed = SignedRoutingRecord::clone(&signed);
        change(&mut changed);
        let codes = store(&mut Bench::new(), 1, vec![Arc::new(changed)]);
        assert_eq!(codes, [ErrorCode::UNAUTHENTICATED]);
    }
}

#[test]
fn an_owner_has_a_bounded_number_of_records_and_of_bytes() {
    let mut config = Config::default();
    config.max_owner_records = 2;
    config.max_owner_bytes = 2_000;
    let mut bench = Bench::with(config);
    let small = |owner, name| draft(owner, value(name)).sign();
    let codes = store(
        &mut bench,
        1,
        vec![small(5, "a"), small(5, "b"), small(5, "c")],
    );
    let (ok, over) = (ErrorCode::OK, ErrorCode::QUOTA_EXCEEDED);
    assert_eq!(codes, [ok, ok, over]);
    assert_eq!(bench.stats().refused_quota, 1);
    // Another owner has room of its own, and a new version takes the room of the old one.
    assert_eq!(store(&mut bench, 1, vec![small(6, "c")]), [ok]);
    let again = draft(5, value("a")).version(1).sign();
    assert_eq!(store(&mut bench, 1, vec![again]), [ok]);
    let long = |bytes| draft(7, value_of("d", &vec![0; bytes])).sign();
    assert_eq!(store(&mut bench, 1, vec![long(2_000)]), [over]);
    assert_eq!(store(&mut bench, 1, vec![long(1_500)]), [ok]);
    assert_eq!(bench.stats().refused_quota, 2);
    // What is withdrawn makes room.
    let withdrawn = draft(5, value("b")).version(1).withdrawn().sign();
    assert_eq!(
        store(&mut bench, 1, vec![withdrawn, small(5, "c")]),
        [ok, ok]
    );
}

#[test]
fn a_node_keeps_a_bounded_number_of_records_and_of_bytes() {
    let mut config = Config::default();
    config.max_records = 2;
    let mut bench = Bench::with(config);
    let small = |owner| draft(owner, value("a")).sign();
    let codes = store(&mut bench, 1, vec![small(5), small(6), small(7)]);
    let (ok, over) = (ErrorCode::OK, ErrorCode::QUOTA_EXCEEDED);
    assert_eq!(codes, [ok, ok, over]);
    assert_eq!((bench.kad.kept().0, bench.stats().refused_quota), (2, 1));
    // What expires makes room.
    bench.pass(millis(HOUR_MS));
    assert_eq!(bench.kad.kept(), (0, 0));
    let later = draft(7, value("a")).for_ms(2 * HOUR_MS).sign();
    assert_eq!(store(&mut bench, 1, vec![later]), [ok]);

    let mut config = Config::default();
    config.max_bytes = 3_000;
    let mut bench = Bench::with(config);
    let long = |owner| draft(owner, value_of("a", &[0; 1_000])).sign();
    let codes = store(&mut bench, 1, vec![long(5), long(6), long(7)]);
    assert_eq!(codes, [ok, ok, over]);
    assert!(bench.kad.kept().1 <= 3_000);
}

#[test]
fn a_record_is_kept_up_to_a_length() {
    let mut config = Config::default();
    config.max_record_len = 1_000;
    let mut bench = Bench::with(config);
    let long = |bytes| draft(5, value_of("a", &vec![0; bytes])).sign();
    let codes = store(&mut bench, 1, vec![long(1_000)]);
    assert_eq!(codes, [ErrorCode::PAYLOAD_TOO_LARGE]);
    assert_eq!(bench.stats().refused_size, 1);
    assert_eq!(store(&mut bench, 1, vec![long(800)]), [ErrorCode::OK]);
    // The length is that of what is signed, and of the signature.
    let signed = signed::record_bytes(&realm(), &long(800).record).unwrap();
    config.max_record_len = signed.len() + SIGNATURE_LEN;
    let mut bench = Bench::with(config);
    let codes = store(&mut bench, 1, vec![long(801), long(800)]);
    assert_eq!(codes, [ErrorCode::PAYLOAD_TOO_LARGE, ErrorCode::OK]);
    assert_eq!(bench.kad.kept().1, config.max_record_len);
    // By default the longest value of the format is kept.
    let mut bench = Bench::new();
    assert_eq!(store(&mut bench, 1, vec![long(65_536)]), [ErrorCode::OK]);
    assert_eq!(Config::default().max_record_len, 73_728);
}

#[test]
fn a_wrong_record_is_not_found() {
    let look = |told: Draft| {
        let mut bench = Bench::among(Config::default(), [1]);
        let all = true;
        let (key, kind) = (told.key(), told.record.content.kind());
        let goal = Goal::Records { key, kind, all };
        bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
        let request = bench.asked(1).unwrap();
        let records = vec![told.sign(), draft(6, value("a.b")).sign()];
        let found = found(request, Vec::new());
        bench.hear(1, KadFound { records, ..found });
        let outcome = bench.found.pop().unwrap();
        assert!(outcome.complete);
        let owners = outcome.records.iter().map(|signed| signed.record.owner);
        let owners: Vec<_> = owners.collect();
        (owners.contains(&macula_testkit::node_id(5)), bench.stats())
    };
    for (what, wrong, _, count) in wrongs() {
        let is_value = wrong.record.content.kind() == VALUE;
        let (found, stats) = look(wrong);
        assert!(!found, "{what}");
        // The other one is of another kind, and counted, where the wrong one is no value.
        let expected = if is_value { 1 } else { 2 };
        assert_eq!(count(&stats), expected, "{what}");
        assert_eq!(stats.records_refused(), expected, "{what}");
    }
    let (found, stats) = look(good());
    assert!(found);
    assert_eq!(stats.records_refused(), 0);
}

#[test]
fn records_of_another_key_or_kind_are_not_found() {
    let mut bench = Bench::among(Config::default(), [1]);
    let goal = Goal::Records {
        key: key_value("a.b"),
        kind: VALUE,
        all: true,
    };
    bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
    let request = bench.asked(1).unwrap();
    let right = good();
    let records = vec![
        draft(5, value("a.c")).sign(),
        draft(5, provider("a.b")).sign(),
        right.clone().sign(),
    ];
    let found = found(request, Vec::new());
    bench.hear(1, KadFound { records, ..found });
    let outcome = bench.found.pop().unwrap();
    assert_eq!(outcome.records, [right.sign()]);
    assert_eq!(bench.stats().refused_place, 2);
}

#[test]
fn records_that_were_not_asked_for_are_refused() {
    let mut bench = Bench::among(Config::default(), [1]);
    let goal = Goal::Closest(key_value("a.b"));
    bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
    let request = bench.asked(1).unwrap();
    let records = vec![good().sign()];
    let found = found(request, Vec::new());
    bench.hear(1, KadFound { records, ..found });
    assert_eq!(bench.found.pop().unwrap().records, []);
    assert_eq!(bench.stats().refused_place, 1);
}

#[test]
fn a_wrong_record_is_not_told_by_a_watch() {
    let mut config = Config::default();
    config.k = 2;
    let near = key_value("a.b");
    let members = super::bench::by_distance(&near, 0..40);
    let holder = members[0];
    assert!(members[..2].iter().all(|number| *number != 0));
    for (what, wrong, _, count) in wrongs() {
        if wrong.record.content.kind() != VALUE {
            continue;
        }
        let mut bench = Bench::among(config, 1..40);
        let at = (near, VALUE);
        bench.with_kad(|kad, now| kad.watch(now, at.0, at.1).unwrap());
        let request = bench.asked(holder).unwrap();
        bench.hear(holder, answer(request, vec![ErrorCode::OK]));
        let other = draft(6, value("a.b"));
        let misplaced = draft(6, value("a.c")).sign();
        let records = vec![wrong.clone().sign(), other.clone().sign(), misplaced];
        bench.hear(holder, statement(at, 1, records));
        assert_eq!(bench.changed, [(other.id(), true)], "{what}");
        let stats = bench.stats();
        assert_eq!(count(&stats), 1, "{what}");
        assert_eq!((stats.refused_place, stats.records_refused()), (1, 2));
        bench.hear(holder, change(at, 2, &wrong.sign()));
        assert_eq!(bench.changed.len(), 1, "{what}");
        assert_eq!(count(&bench.stats()), 2, "{what}");
        // The twin.
        bench.hear(holder, change(at, 3, &good().sign()));
        assert_eq!(bench.changed.pop(), Some((good().id(), true)));
    }
}

#[test]
fn the_key_and_the_id_of_a_record_are_computed_and_not_believed() {
    // KAD_WATCH and KAD_FIND name a key; whatever is told for it has to belong there.
    let mut bench = Bench::new();
    let kept = draft(5, provider("a.b"));
    store(&mut bench, 1, vec![kept.clone().sign()]);
    let under = |key| bench.kad.kept_under(key, RecordKind::Provider).count();
    assert_eq!(
        (under(key_provider("a.b")), under(key_value("a.b"))),
        (1, 0)
    );
    assert!(bench.kad.keeps(&kept.id()));
}

#[test]
fn a_record_that_is_too_large_is_neither_found_nor_told_nor_published() {
    let mut config = Config::default();
    config.max_record_len = 1_000;
    let mut bench = Bench::among(config, [1]);
    let (key, kind, all) = (key_value("a"), RecordKind::Value, true);
    let goal = Goal::Records { key, kind, all };
    bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
    let request = bench.asked(1).unwrap();
    let records = vec![draft(5, value_of("a", &[0; 1_000])).sign()];
    let told = found(request, Vec::new());
    bench.hear(1, KadFound { records, ..told });
    assert_eq!(bench.found[0].records, []);
    assert_eq!(bench.stats().refused_size, 1);
    let content = value_of("a", &[0; 1_000]);
    let published = bench.with_kad(|kad, now| kad.publish(now, content));
    assert_eq!(published, Err(PublishError::Refused(Refusal::TooLarge)));
}
