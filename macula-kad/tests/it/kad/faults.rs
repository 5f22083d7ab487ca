//! Peers that are behind, that fail, and that tell without end.

use macula_kad::Config;
use macula_wire::message::{KadChanges, KadFind, KadStore, RecordKind};
use macula_wire::{Body, RequestId};

use super::bench::{
    Bench, HOUR_MS, by_distance, change, draft, far_name, interest, key_value, millis, name_where,
    provider, statement, value, watching, willing,
};

/// How many keep a record here.
const K: usize = 4;
const MEMBERS: usize = 30;

fn config() -> Config {
    let mut config = Config::default();
    config.k = K;
    config
}

#[test]
fn a_holder_that_fails_is_replaced_by_another() {
    let (mut bench, at, holders) = watching(RecordKind::Provider, K);
    let next = by_distance(&at.0, 1..MEMBERS)[3];
    let listens =
        |number: usize, body: &Body| (number != holders[0]).then(|| willing(body)).flatten();
    bench.answer_all(listens);
    bench.pass_with(millis(20_000), listens);
    let asked = bench.receivers(|body| matches!(body, Body::KadWatch(_)));
    assert!(asked.contains(&next), "another is asked");
    let to_good = asked.iter().filter(|number| **number == holders[1]).count();
    assert!(to_good <= 2, "the good ones are left alone: {to_good}");
    let to_bad = asked.iter().filter(|number| **number == holders[0]).count();
    assert!(to_bad <= 5, "the bad one is asked less and less: {to_bad}");
}

#[test]
fn holders_that_say_yes_and_then_nothing_do_not_keep_the_caller_waiting() {
    let (mut bench, at, _) = watching(RecordKind::Provider, K);
    bench.answer_all(|_, body| willing(body));
    bench.pass_willing(millis(30_000));
    assert_eq!(bench.watching, [at]);
}

#[test]
fn what_a_holder_may_tell_is_bounded() {
    // An owner may be interested in patterns without number under one first segment.
    let mut config = config();
    config.max_owner_records = 10;
    let kind = RecordKind::Interest;
    let name = name_where(kind, "v", |key| {
        !by_distance(key, 0..MEMBERS + 10)[..K + 1].contains(&0)
    });
    let first = name.split('.').next().unwrap().to_owned();
    let at = (draft(5, interest(&name)).key(), kind);
    let mut bench = Bench::among(config, 1..MEMBERS);
    bench.with_kad(|kad, now| kad.watch(now, at.0, at.1).unwrap());
    let Some(holder) = bench
        .receivers(|body| matches!(body, Body::KadWatch(_)))
        .first()
        .copied()
    else {
        return;
    };
    for version in 1..=40 {
        let patterns = (0..50).map(|number| format!("{first}.x{version}.y{number}"));
        let records = patterns.map(|pattern| draft(5, interest(&pattern)).sign());
        let changes = KadChanges {
            full: version == 1,
            ..statement(at, version, records.collect())
        };
        bench.hear(holder, changes);
    }
    assert!(bench.changed.len() <= 10, "{}", bench.changed.len());
}

#[test]
fn what_was_withdrawn_does_not_come_back_by_a_holder_that_is_behind() {
    let kind = RecordKind::Provider;
    let (mut bench, at, holders) = watching(kind, K);
    let kept = draft(5, provider(&far_name(kind, K)));
    bench.hear(holders[0], statement(at, 1, vec![kept.clone().sign()]));
    let gone = kept.clone().version(1).withdrawn().sign();
    bench.hear(holders[0], change(at, 2, &gone));
    assert_eq!(bench.changed.len(), 2);
    bench.hear(holders[1], statement(at, 1, vec![kept.sign()]));
    assert_eq!(bench.changed.len(), 2);
}

#[test]
fn a_withdrawal_is_handed_on_to_whoever_has_the_record() {
    // The owner is gone; one of the closest missed the withdrawal. It names the record, and learns better.
    let mut bench = Bench::among(config(), 1..MEMBERS);
    let kept = draft(50, value("a"));
    let request = RequestId::new(1);
    let records = vec![kept.version(1).withdrawn().sign()];
    bench.hear(1, KadStore { request, records });
    bench.forget();
    let asks = (key_value("a"), Some(RecordKind::Value));
    let (key, kind) = asks;
    bench.hear(2, KadFind { request, key, kind });
    let sent = bench.sent_to(2);
    let [Body::KadFound(told)] = sent[..] else {
        panic!("{sent:?}");
    };
    assert_eq!(
        told.records.len(),
        1,
        "who looks for it learns that it is withdrawn"
    );
}

#[test]
fn one_owner_cannot_make_withdrawals_of_others_be_forgotten() {
    let mut config = config();
    config.max_records = 20;
    config.max_owner_records = 5;
    let mut bench = Bench::with(config);
    let request = RequestId::new(1);
    let old = draft(5, value("a"));
    let records = vec![old.clone().version(1).withdrawn().sign()];
    bench.hear(1, KadStore { request, records });
    for number in 0..40 {
        let made = draft(6, value(&format!("x{number}"))).for_ms(40 * HOUR_MS);
        let records = vec![made.withdrawn().sign()];
        bench.hear(1, KadStore { request, records });
    }
    let records = vec![old.clone().sign()];
    bench.hear(1, KadStore { request, records });
    assert!(!bench.kad.keeps(&old.id()));
}

#[test]
fn when_a_node_is_half_full_it_keeps_only_what_is_near() {
    let mut config = Config::default();
    (config.k, config.max_records) = (2, 20);
    let mut bench = Bench::among(config, 1..MEMBERS);
    let rank = |key: &macula_wire::Key| {
        let order = by_distance(key, 0..MEMBERS);
        order.iter().position(|number| *number == 0).unwrap()
    };
    let mut store = |owner: usize, name: &str| {
        let request = RequestId::new(1);
        let records = vec![draft(owner, value(name)).sign()];
        bench.hear(1, KadStore { request, records });
        bench.kad.keeps(&draft(owner, value(name)).id())
    };
    let far = |start: &str| name_where(RecordKind::Value, start, |key| rank(key) > 4);
    let near = name_where(RecordKind::Value, "near", |key| rank(key) < 2);
    // While there is room, whatever comes is kept.
    assert!((0..11).all(|owner| store(owner + 50, &far("far"))));
    assert!(!store(70, &far("more")));
    assert!(store(71, &near));
}
