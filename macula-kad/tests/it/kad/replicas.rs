//! Keeping records for others: naming them to those that ought to keep them, and sending what they lack.

use macula_kad::Config;
use macula_wire::message::{KadDigest, KadStore, KadWant, RecordKind, SignedRoutingRecord};
use macula_wire::{Body, RecordId, RequestId};
use std::sync::Arc;

use super::bench::{
    Bench, Draft, HOUR_MS, NOBODY, by_distance, draft, key_value, millis, name_where, value,
    willing,
};

const K: usize = 4;
const MEMBERS: usize = 30;

fn config() -> Config {
    let mut config = Config::default();
    config.k = K;
    config
}

/// A record by the owner 50 whose key node 0 is the `rank`-th closest to, counted from 0.
fn record_at(rank: usize) -> Draft {
    let name = name_where(RecordKind::Value, "v", |key| {
        by_distance(key, 0..MEMBERS)[rank] == 0
    });
    draft(50, value(&name)).for_ms(10 * HOUR_MS)
}

/// A bench that keeps a record to which it is the `rank`-th closest.
fn keeping(rank: usize) -> (Bench, Draft) {
    let kept = record_at(rank);
    let mut bench = Bench::among(config(), 1..MEMBERS);
    keep(&mut bench, kept.clone().sign());
    bench.forget();
    (bench, kept)
}

fn keep(bench: &mut Bench, record: Arc<SignedRoutingRecord>) {
    let (request, records) = (RequestId::new(1), vec![record]);
    bench.hear(1, KadStore { request, records });
}

/// To whom a record was named, ascending.
fn named(bench: &Bench, id: RecordId) -> Vec<usize> {
    let names = |body: &Body| {
        matches!(body, Body::KadDigest(KadDigest { versions, .. })
            if versions.iter().any(|version| version.id == id))
    };
    let mut named = bench.receivers(names);
    named.sort_unstable();
    named
}

#[test]
fn a_newcomer_hears_what_it_ought_to_keep_from_the_two_closest() {
    for (rank, tells) in [(0, true), (1, true), (2, false)] {
        let (mut bench, kept) = keeping(rank);
        let all = by_distance(&kept.key(), 0..MEMBERS + 400);
        // It is farther than this node, and among the closest.
        let first = all.iter().find(|number| **number >= MEMBERS).copied();
        let place = all.iter().position(|number| *number == 0).unwrap();
        let later = all[place..]
            .iter()
            .find(|number| **number >= MEMBERS)
            .copied();
        let newcomer = later.filter(|_| place + 1 < K).or(first).unwrap();
        bench.member(newcomer);
        bench.pass(millis(100));
        let ranks = by_distance(&kept.key(), (0..MEMBERS).chain([newcomer]));
        let is_keeper = ranks[..K].contains(&newcomer);
        let own = ranks.iter().position(|number| *number == 0).unwrap();
        let expected: &[usize] = if is_keeper && own < 2 {
            &[newcomer]
        } else {
            &[]
        };
        assert_eq!(named(&bench, kept.id()), expected, "{rank}");
        assert!(tells || expected.is_empty());
    }
}

#[test]
fn a_newcomer_that_is_far_hears_nothing() {
    let (mut bench, kept) = keeping(0);
    let far = *by_distance(&kept.key(), MEMBERS..MEMBERS + 200)
        .last()
        .unwrap();
    bench.member(far);
    bench.pass(millis(100));
    assert_eq!(named(&bench, kept.id()), NOBODY);
}

#[test]
fn what_the_newcomer_lacks_is_sent_and_nothing_else() {
    let (mut bench, kept) = keeping(0);
    let gone = by_distance(&kept.key(), 1..MEMBERS)[0];
    bench.gone(gone);
    bench.pass(millis(100));
    let next = by_distance(&kept.key(), 1..MEMBERS)[K - 1];
    assert_eq!(named(&bench, kept.id()), [next]);
    let request = bench.asked(next).unwrap();
    bench.forget();
    let ids = vec![kept.id()];
    // From another, for another request: nothing.
    bench.hear(
        next + 1,
        KadWant {
            request,
            ids: ids.clone(),
        },
    );
    bench.hear(
        next,
        KadWant {
            request: RequestId::new(900),
            ids: ids.clone(),
        },
    );
    assert_eq!(bench.told_of(kept.id()), NOBODY);
    assert_eq!(bench.stats().unasked, 2);
    let want = KadWant { request, ids };
    bench.hear(next, want.clone());
    assert_eq!(bench.told_of(kept.id()), [next]);
    bench.forget();
    bench.hear(next, want);
    assert_eq!(bench.told_of(kept.id()), NOBODY, "once");
}

#[test]
fn only_what_was_named_is_sent() {
    let (mut bench, kept) = keeping(0);
    let other = draft(51, value("elsewhere"));
    keep(&mut bench, other.clone().sign());
    bench.forget();
    let gone = by_distance(&kept.key(), 1..MEMBERS)[0];
    bench.gone(gone);
    bench.pass(millis(100));
    let next = by_distance(&kept.key(), 1..MEMBERS)[K - 1];
    let request = bench.asked(next).unwrap();
    let is_named = named(&bench, other.id()).contains(&next);
    let mut ids = vec![kept.id(), other.id(), draft(52, value("nowhere")).id()];
    ids.sort_unstable();
    bench.hear(next, KadWant { request, ids });
    assert_eq!(bench.told_of(kept.id()), [next]);
    assert_eq!(bench.told_of(other.id()).contains(&next), is_named);
}

#[test]
fn once_in_an_hour_the_closest_names_its_records_to_all_keepers() {
    let (mut bench, kept) = keeping(0);
    bench.pass_with(millis(HOUR_MS * 4 / 5 - 1), |_, body| willing(body));
    assert_eq!(named(&bench, kept.id()), NOBODY);
    bench.pass_with(millis(HOUR_MS / 5 + 1), |_, body| willing(body));
    let mut others = by_distance(&kept.key(), 1..MEMBERS);
    others.truncate(K - 1);
    others.sort_unstable();
    assert_eq!(named(&bench, kept.id()), others);
    // The twin: it is not one of the two closest.
    let (mut bench, kept) = keeping(2);
    bench.pass_with(millis(HOUR_MS), |_, body| willing(body));
    assert_eq!(named(&bench, kept.id()), NOBODY);
}

#[test]
fn digests_have_a_bounded_length() {
    let mut config = config();
    config.max_owner_records = 3_000;
    let mut bench = Bench::among(config, [1]);
    for part in 0..24 {
        let names = (0..64).map(|number| format!("v{part}.n{number}"));
        let records = names.map(|name| draft(50, value(&name)).for_ms(10 * HOUR_MS).sign());
        let (request, records) = (RequestId::new(1), records.collect());
        bench.hear(1, KadStore { request, records });
    }
    bench.forget();
    bench.pass_with(millis(HOUR_MS), |_, body| willing(body));
    let digests = bench.sent_to(1).into_iter().filter_map(|body| match body {
        Body::KadDigest(digest) => Some(digest.versions.clone()),
        _ => None,
    });
    let digests: Vec<_> = digests.collect();
    let lengths: Vec<usize> = digests.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1_024, 512]);
    for versions in digests {
        assert!(versions.is_sorted_by(|one, next| one.id < next.id));
    }
    assert_eq!(key_value("a"), draft(1, value("a")).key());
}

#[test]
fn two_newcomers_at_once_do_not_take_the_duty_from_those_who_have_the_record() {
    let name = name_where(RecordKind::Value, "v", |key| {
        by_distance(key, 0..MEMBERS)[0] == 0
    });
    let kept = draft(50, value(&name)).for_ms(10 * HOUR_MS);
    let mut bench = Bench::among(config(), 1..MEMBERS);
    let (request, records) = (RequestId::new(1), vec![kept.clone().sign()]);
    bench.hear(1, KadStore { request, records });
    bench.forget();
    let closer: Vec<usize> = by_distance(&kept.key(), (MEMBERS..2_000).chain([0]));
    assert_ne!(closer[..2].iter().filter(|number| **number != 0).count(), 0);
    let two: Vec<usize> = closer
        .iter()
        .copied()
        .take_while(|number| *number != 0)
        .take(2)
        .collect();
    assert_eq!(two.len(), 2);
    for number in &two {
        bench.member(*number);
    }
    bench.pass(millis(100));
    let named = bench.receivers(|body| matches!(body, Body::KadDigest(_)));
    assert!(two.iter().all(|number| named.contains(number)), "{named:?}");
}
