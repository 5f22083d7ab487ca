//! Which of two versions of a record holds.

use std::sync::Arc;

use macula_kad::Config;
use macula_wire::message::{
    KadDigest, KadFind, KadStore, RecordKind, RecordVersion, SignedRoutingRecord,
};
use macula_wire::{Body, ErrorCode, Machine, RequestId};

use super::bench::{Bench, Draft, HOUR_MS, WALL_MS, draft, key_value, millis, value, value_of};
use macula_kad::Input;

const REQUEST: RequestId = RequestId::new(3);

fn store(bench: &mut Bench, draft: &Draft) -> Vec<ErrorCode> {
    let (request, records) = (REQUEST, vec![draft.clone().sign()]);
    bench.hear(1, KadStore { request, records });
    bench.codes_to(1)
}

/// What a node answers who asks for the values of `a`.
fn told(bench: &mut Bench) -> Vec<Arc<SignedRoutingRecord>> {
    let (request, kind) = (REQUEST, Some(RecordKind::Value));
    let key = key_value("a");
    bench.sent.clear();
    bench.hear(2, KadFind { request, key, kind });
    let answers = bench.sent_to(2);
    match answers[..] {
        [Body::KadFound(found)] => {
            assert_eq!(found.request, request);
            found.records.clone()
        }
        _ => panic!("{answers:?}"),
    }
}

fn wanted(bench: &mut Bench, versions: &[(&Draft, u64)]) -> usize {
    let version = |(draft, sequence): &(&Draft, u64)| RecordVersion {
        id: draft.id(),
        sequence: *sequence,
    };
    let versions = versions.iter().map(version).collect();
    bench.sent.clear();
    let request = REQUEST;
    bench.hear(2, KadDigest { request, versions });
    let answers = bench.sent_to(2);
    match answers[..] {
        [Body::KadWant(want)] => want.ids.len(),
        _ => panic!("{answers:?}"),
    }
}

#[test]
fn the_higher_sequence_holds_whichever_comes_first() {
    let first = draft(5, value_of("a", b"first"));
    let second = draft(5, value_of("a", b"second")).version(1);
    for order in [[&first, &second], [&second, &first]] {
        let mut bench = Bench::new();
        for one in order {
            assert_eq!(store(&mut bench, one), [ErrorCode::OK]);
        }
        assert_eq!(told(&mut bench), [second.clone().sign()]);
        assert_eq!(bench.kad.kept().0, 1);
    }
}

#[test]
fn of_two_of_one_sequence_the_one_known_first_stays() {
    let one = draft(5, value_of("a", b"one"));
    let other = draft(5, value_of("a", b"other"));
    let mut bench = Bench::new();
    store(&mut bench, &one);
    assert_eq!(store(&mut bench, &other), [ErrorCode::OK]);
    assert_eq!(told(&mut bench), [one.sign()]);
    // The same name by another owner is another record.
    store(&mut bench, &draft(6, value_of("a", b"other")));
    assert_eq!(told(&mut bench).len(), 2);
}

#[test]
fn what_was_withdrawn_does_not_come_back_by_an_older_copy() {
    let old = draft(5, value("a"));
    let withdrawn = draft(5, value("a")).version(1).withdrawn();
    for order in [[&old, &withdrawn], [&withdrawn, &old]] {
        let mut bench = Bench::new();
        for one in order {
            assert_eq!(store(&mut bench, one), [ErrorCode::OK]);
        }
        assert_eq!(told(&mut bench), []);
        assert_eq!(bench.kad.kept(), (0, 0));
        assert_eq!(wanted(&mut bench, &[(&old, WALL_MS)]), 0);
        // The twin: a later version does.
        let again = draft(5, value("a")).version(2);
        store(&mut bench, &again);
        assert_eq!(told(&mut bench), [again.sign()]);
    }
}

#[test]
fn a_withdrawal_is_remembered_until_it_expires() {
    let old = draft(5, value("a")).for_ms(2 * HOUR_MS);
    let withdrawn = draft(5, value("a")).version(1).withdrawn();
    let mut bench = Bench::new();
    store(&mut bench, &withdrawn);
    bench.pass(millis(HOUR_MS - 1));
    store(&mut bench, &old);
    assert_eq!(bench.kad.kept().0, 0);
    bench.pass(millis(1));
    store(&mut bench, &old);
    assert_eq!(bench.kad.kept().0, 1);
}

#[test]
fn what_is_lacked_is_asked_for() {
    let (one, other) = (draft(5, value("a")), draft(6, value("a")));
    let mut bench = Bench::new();
    store(&mut bench, &one);
    assert_eq!(wanted(&mut bench, &[(&one, WALL_MS)]), 0);
    assert_eq!(wanted(&mut bench, &[(&one, WALL_MS - 1)]), 0);
    assert_eq!(wanted(&mut bench, &[(&one, WALL_MS + 1)]), 1);
    let mut both = [(&one, WALL_MS), (&other, WALL_MS)];
    both.sort_by_key(|(draft, _)| draft.id());
    assert_eq!(wanted(&mut bench, &both), 1);
}

#[test]
fn a_record_is_dropped_when_its_time_is_over_and_not_before() {
    let mut bench = Bench::new();
    store(&mut bench, &draft(5, value("a")).for_ms(5_000));
    store(&mut bench, &draft(6, value("a")).for_ms(6_000));
    bench.pass(millis(4_999));
    assert_eq!(told(&mut bench).len(), 2);
    bench.pass(millis(1));
    assert_eq!(told(&mut bench).len(), 1);
    bench.pass(millis(1_000));
    assert_eq!(told(&mut bench).len(), 0);
    assert_eq!(bench.kad.kept(), (0, 0));
}

#[test]
fn time_between_milliseconds_counts() {
    let mut bench = Bench::new();
    bench.now = bench.now + std::time::Duration::from_micros(600);
    store(&mut bench, &draft(5, value("a")).for_ms(5_000));
    bench.now = bench.now + std::time::Duration::from_micros(4_999_600);
    bench.with_kad(|kad, now| kad.handle_timeout(now));
    store(&mut bench, &draft(6, value("a")).for_ms(6_000));
    assert_eq!(told(&mut bench).len(), 1);
}

#[test]
fn a_clock_that_was_set_back_lets_records_live_on() {
    let mut bench = Bench::new();
    store(&mut bench, &draft(5, value("a")).for_ms(5_000));
    bench.input(Input::WallClock(WALL_MS - 60_000));
    bench.pass(millis(64_999));
    assert_eq!(told(&mut bench).len(), 1);
    bench.pass(millis(1));
    assert_eq!(told(&mut bench).len(), 0);
}

#[test]
fn a_clock_that_was_set_ahead_ends_records_at_once() {
    let mut bench = Bench::new();
    store(&mut bench, &draft(5, value("a")).for_ms(HOUR_MS));
    store(&mut bench, &draft(6, value("a")).for_ms(2 * HOUR_MS));
    bench.input(Input::WallClock(WALL_MS + HOUR_MS));
    assert_eq!(told(&mut bench).len(), 1);
    store(&mut bench, &draft(7, value("a")).for_ms(3 * HOUR_MS));
    bench.pass(millis(HOUR_MS));
    assert_eq!(told(&mut bench).len(), 1);
}

#[test]
fn answers_are_bounded_and_say_when_there_is_more() {
    let kept = |count: usize, length: usize| {
        let mut bench = Bench::with(Config::default());
        for owner in 5..5 + count {
            store(&mut bench, &draft(owner, value_of("a", &vec![0; length])));
        }
        bench.sent.clear();
        let (key, kind) = (key_value("a"), Some(RecordKind::Value));
        bench.hear(
            2,
            KadFind {
                request: REQUEST,
                key,
                kind,
            },
        );
        match bench.sent_to(2)[..] {
            [Body::KadFound(found)] => (found.records.len(), found.more),
            _ => panic!("no answer"),
        }
    };
    assert_eq!(kept(64, 10), (64, false));
    assert_eq!(kept(65, 10), (64, true));
    // A message carries 256 KiB of values.
    assert_eq!(kept(4, 65_536), (4, false));
    assert_eq!(kept(5, 65_536), (4, true));
}
