//! Keeping records for others: naming them to those that ought to keep them, and sending what they lack.

use macula_kad::Config;
use macula_wire::message::{
    KadDigest, KadStore, KadWant, RecordKind, RecordVersion, SignedRoutingRecord,
};
use macula_wire::{Body, RecordId, RequestId};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::bench::{Bench, Draft, HOUR_MS, NOBODY, by_distance, draft, millis, name_where, value};

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

/// The others that ought to keep a record, ascending.
fn keepers(kept: &Draft, rank: usize) -> Vec<usize> {
    let mut others = by_distance(&kept.key(), 1..MEMBERS);
    others.truncate(if rank < K { K - 1 } else { K });
    others
}

fn sorted(mut numbers: Vec<usize>) -> Vec<usize> {
    numbers.sort_unstable();
    numbers
}

#[test]
fn once_in_an_hour_whoever_keeps_a_record_names_it_to_all_that_ought_to() {
    // Also if those that are closer do not have it.
    for rank in 0..K {
        let (mut bench, kept) = keeping(rank);
        bench.pass_willing(millis(HOUR_MS * 4 / 5 - 1));
        assert_eq!(named(&bench, kept.id()), NOBODY);
        bench.pass_willing(millis(HOUR_MS / 5 + 1));
        let keepers = sorted(keepers(&kept, rank));
        assert_eq!(named(&bench, kept.id()), keepers, "{rank}");
    }
    // Whoever is not one of them any more sees to it that two of them are.
    let (mut bench, kept) = keeping(K);
    bench.pass_willing(millis(HOUR_MS));
    let two = sorted(keepers(&kept, K)[..2].to_vec());
    assert_eq!(named(&bench, kept.id()), two);
}

#[test]
fn what_two_others_see_to_is_not_named() {
    let name_by = |bench: &mut Bench, kept: &Draft, numbers: &[usize], older: u64| {
        for number in numbers {
            let (id, sequence) = (kept.id(), kept.record.sequence - older);
            let versions = vec![RecordVersion { id, sequence }];
            let request = RequestId::new(8);
            bench.hear(*number, KadDigest { request, versions });
        }
        bench.forget();
    };
    let (_, kept) = keeping(2);
    let (all, far) = (keepers(&kept, 2), by_distance(&kept.key(), 1..MEMBERS));
    let cases = [
        (vec![all[0], all[1]], 0, false),
        (vec![all[1], all[2]], 0, false),
        (vec![all[0]], 0, true),
        (vec![all[0], all[0]], 0, true),
        // Not those that ought to keep it, nor of a version before.
        (far[K..K + 2].to_vec(), 0, true),
        (vec![all[0], all[1]], 1, true),
    ];
    for (namers, older, names) in cases {
        let (mut bench, kept) = keeping(2);
        bench.pass_willing(millis(HOUR_MS / 2));
        name_by(&mut bench, &kept, &namers, older);
        bench.pass_willing(millis(HOUR_MS / 2));
        let count = named(&bench, kept.id()).len();
        assert_eq!(count, if names { K - 1 } else { 0 }, "{namers:?}");
    }
    // They have to do so again.
    let (mut bench, kept) = keeping(2);
    name_by(&mut bench, &kept, &all, 0);
    bench.pass_willing(millis(2 * HOUR_MS));
    assert_eq!(named(&bench, kept.id()), sorted(all));
}

#[test]
fn a_full_store_is_named_part_by_part() {
    let mut config = config();
    config.max_owner_records = 5_000;
    let mut bench = Bench::among(config, [1]);
    for part in 0..40 {
        let names = (0..64).map(|number| format!("v{part}.n{number}"));
        let records = names.map(|name| draft(50, value(&name)).for_ms(10 * HOUR_MS).sign());
        let (request, records) = (RequestId::new(1), records.collect());
        bench.hear(1, KadStore { request, records });
    }
    // The first part comes when an empty store would have been named.
    bench.pass_willing(millis(HOUR_MS));
    let mut parts = Vec::new();
    let mut names = BTreeMap::new();
    let end = bench.now + millis(3 * HOUR_MS);
    while bench.now < end {
        for body in bench.sent_to(1) {
            if let Body::KadDigest(digest) = body {
                assert!(digest.versions.is_sorted_by(|one, next| one.id < next.id));
                parts.push((bench.now, digest.versions.len()));
                for version in &digest.versions {
                    *names.entry(version.id).or_insert(0) += 1;
                }
            }
        }
        bench.forget();
        bench.pass_willing(millis(10_000));
    }
    let lengths: Vec<usize> = parts.iter().map(|(_, length)| *length).collect();
    assert_eq!(lengths[..4], [1_024, 1_024, 512, 1_024]);
    // The first one came before this test began to look.
    let pauses = parts[1..]
        .windows(2)
        .map(|two| two[1].0.saturating_since(two[0].0));
    let mut pauses = pauses.map(|pause| pause.as_secs());
    assert!(
        pauses.all(|pause| (950..=1_210).contains(&pause)),
        "{parts:?}"
    );
    assert_eq!(names.len(), 40 * 64);
    assert!(names.values().all(|count| (2..=4).contains(count)));
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
