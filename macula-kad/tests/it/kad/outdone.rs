//! Records of this node that others know in a later version: an earlier run made it, by a clock that was ahead.

use std::sync::Arc;

use macula_kad::Config;
use macula_wire::message::{
    KadDigest, KadStore, KadWant, RecordKind, RecordVersion, RoutingRecord, SignedRoutingRecord,
};
use macula_wire::{Body, ErrorCode, RequestId};

use super::bench::{
    Bench, Draft, HOUR_MS, WALL_MS, draft, far_name, millis, value, value_of, willing,
};

const REQUEST: RequestId = RequestId::new(7);
const K: usize = 4;

fn among() -> Bench {
    let mut config = Config::default();
    config.k = K;
    Bench::among(config, 1..30)
}

fn name() -> String {
    far_name(RecordKind::Value, K)
}

/// A bench that has published a value, which the others keep.
fn published() -> Bench {
    let mut bench = among();
    bench.with_kad(|kad, now| kad.publish(now, value(&name())).unwrap());
    bench.answer_all(|_, body| willing(body));
    bench.forget();
    bench
}

/// The same record as another run of this node made it, so much later.
fn earlier_run(later_ms: u64) -> Draft {
    draft(0, value(&name()))
        .version(later_ms)
        .for_ms(2 * HOUR_MS)
}

fn store(bench: &mut Bench, from: usize, record: Arc<SignedRoutingRecord>) -> Vec<ErrorCode> {
    let (request, records) = (REQUEST, vec![record]);
    bench.hear(from, KadStore { request, records });
    bench.codes_to(from)
}

/// The versions that were sent to the closest, each once.
fn versions(bench: &Bench) -> Vec<RoutingRecord> {
    let stores = bench.sent.iter().filter_map(|(_, body)| match body {
        Body::KadStore(store) => Some(&store.records),
        _ => None,
    });
    let mut versions: Vec<_> = stores
        .flatten()
        .map(|signed| signed.record.clone())
        .collect();
    versions.dedup();
    versions
}

#[test]
fn an_owner_is_named_later_versions_than_it_sends() {
    let mut bench = Bench::new();
    let later = draft(5, value("a")).version(HOUR_MS);
    store(&mut bench, 9, later.clone().sign());
    bench.forget();
    // Others that are behind need not know.
    store(&mut bench, 9, draft(5, value("a")).sign());
    assert_eq!(bench.sent.len(), 1);
    bench.forget();
    let codes = store(&mut bench, 5, draft(5, value("a")).sign());
    assert_eq!(codes, [ErrorCode::OK]);
    let sent = bench.sent_to(5);
    let Some(Body::KadDigest(KadDigest { request, versions })) = sent.last() else {
        panic!("the owner is not told: {sent:?}");
    };
    let sequence = WALL_MS + HOUR_MS;
    assert_eq!(
        *versions,
        [RecordVersion {
            id: later.id(),
            sequence
        }]
    );
    let (request, ids) = (*request, vec![later.id()]);
    bench.forget();
    bench.hear(5, KadWant { request, ids });
    let sent = bench.sent_to(5);
    assert!(matches!(&sent[..], [Body::KadStore(store)] if store.records == [later.sign()]));
}

#[test]
fn an_owner_outdoes_what_an_earlier_run_made() {
    let mut bench = published();
    let later = earlier_run(HOUR_MS);
    let sequence = WALL_MS + HOUR_MS;
    let id = later.id();
    let versions_named = vec![RecordVersion { id, sequence }];
    let digest = KadDigest {
        request: REQUEST,
        versions: versions_named,
    };
    bench.hear(9, digest);
    let wanted = bench.sent_to(9);
    assert!(matches!(&wanted[..], [Body::KadWant(want)] if want.ids == [id]));
    assert_eq!(store(&mut bench, 9, later.sign()), [ErrorCode::OK]);
    bench.forget();
    bench.pass_willing(millis(2_000));
    let told = versions(&bench);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].sequence, sequence + 1);
    assert_eq!(told[0].content, value(&name()));
    assert_eq!(bench.kad.kept().0, 0, "it is not near its own record");
    // Whatever is published from here on is later too.
    bench.forget();
    bench.with_kad(|kad, now| kad.publish(now, value_of(&name(), b"new")).unwrap());
    assert!(versions(&bench)[0].sequence > sequence + 1);
}

#[test]
fn what_others_signed_or_no_clock_shows_is_not_outdone() {
    let mut bench = published();
    let forged = earlier_run(HOUR_MS).signed_by(9);
    let codes = store(&mut bench, 9, forged.sign());
    assert_eq!(codes, [ErrorCode::UNAUTHENTICATED]);
    let mut last = earlier_run(0);
    last.record.sequence = u64::MAX - 1;
    store(&mut bench, 9, last.sign());
    store(&mut bench, 9, earlier_run(0).for_ms(0).version(9).sign());
    bench.forget();
    bench.pass_willing(millis(5_000));
    assert_eq!(versions(&bench), []);
    bench.with_kad(|kad, now| kad.publish(now, value_of(&name(), b"new")).unwrap());
    assert!(versions(&bench)[0].sequence < WALL_MS + HOUR_MS);
}

#[test]
fn two_that_outdo_each_other_take_their_time() {
    let mut bench = published();
    bench.pass(millis(1_000));
    bench.forget();
    let mut sequence = HOUR_MS;
    for _ in 0..100 {
        sequence += 10;
        store(&mut bench, 9, earlier_run(sequence).sign());
        bench.pass_willing(millis(50));
    }
    let count = versions(&bench).len();
    assert!((4..=6).contains(&count), "{count} versions in 5 s");
}

#[test]
fn a_withdrawal_outdoes_what_it_takes_back() {
    let mut bench = published();
    let id = earlier_run(0).id();
    bench.with_kad(|kad, now| assert!(kad.withdraw(now, &id)));
    bench.answer_all(|_, body| willing(body));
    store(&mut bench, 9, earlier_run(HOUR_MS).sign());
    bench.forget();
    bench.pass_willing(millis(2_000));
    let told = versions(&bench);
    assert_eq!(told.len(), 1);
    assert!(told[0].withdrawn && told[0].sequence > WALL_MS + HOUR_MS);
    assert_eq!(told[0].expires_ms, WALL_MS + 2 * HOUR_MS);
    bench.forget();
    bench.pass_willing(millis(3 * HOUR_MS));
    assert_eq!(versions(&bench), []);
}
