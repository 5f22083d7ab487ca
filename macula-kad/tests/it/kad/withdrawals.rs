//! Taking records back.

use macula_kad::Config;
use macula_wire::message::RecordKind;

use super::bench::{
    Bench, by_distance, change, draft, far_name, key_value, millis, number_of, statement, value,
    watching, willing,
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
fn a_value_that_is_withdrawn_is_told_to_whoever_watches_it() {
    let kind = RecordKind::Value;
    let (mut bench, at, holders) = watching(kind, K);
    let kept = draft(5, value(&far_name(kind, K)));
    bench.hear(holders[0], statement(at, 1, vec![kept.clone().sign()]));
    assert_eq!(bench.changed, [(kept.id(), true)]);
    let gone = kept.clone().version(1).withdrawn().sign();
    bench.hear(holders[0], change(at, 2, &gone));
    assert_eq!(bench.changed.pop(), Some((kept.id(), false)));
}

#[test]
fn a_withdrawal_that_was_not_taken_is_told_again() {
    let mut bench = Bench::among(config(), 1..MEMBERS);
    let name = far_name(RecordKind::Value, K);
    let id = bench.with_kad(|kad, now| kad.publish(now, value(&name)).unwrap());
    bench.answer_all(|_, body| willing(body));
    let silent = by_distance(&key_value(&name), 1..MEMBERS)[0];
    bench.forget();
    assert!(bench.with_kad(|kad, now| kad.withdraw(now, &id)));
    bench.answer_all(|number, body| (number != silent).then(|| willing(body)).flatten());
    bench.forget();
    bench.pass_willing(millis(10_000));
    assert_eq!(bench.told_of(id), [silent]);
}

#[test]
fn the_answer_to_a_publication_is_none_to_the_withdrawal_after_it() {
    let mut bench = Bench::among(config(), 1..MEMBERS);
    let name = far_name(RecordKind::Value, K);
    let id = bench.with_kad(|kad, now| kad.publish(now, value(&name)).unwrap());
    let first = bench.sent.clone();
    assert!(bench.with_kad(|kad, now| kad.withdraw(now, &id)));
    let keepers = bench.told_of(id);
    // The answers to what was published come; the withdrawals are lost.
    for (to, body) in first {
        bench.hear(number_of(&to), willing(&body).unwrap());
    }
    bench.forget();
    bench.pass_willing(millis(10_000));
    assert_eq!(bench.told_of(id), keepers);
}
