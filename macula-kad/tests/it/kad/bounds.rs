//! What one peer, one answer or one period may cost.

use macula_kad::{Config, Goal, LookupOptions};
use macula_wire::message::RecordKind;

use super::bench::{
    Bench, change, draft, far_name, key_provider, key_value, millis, provider, statement, value,
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
fn periods_of_zero_count_as_short_ones() {
    let mut config = config();
    config.watch_lease = millis(0);
    config.refresh_every = millis(0);
    config.replicate_every = millis(0);
    config.patience = (millis(500), millis(50));
    config.query_timeout = millis(0);
    let mut bench = Bench::among(config, 1..MEMBERS);
    bench.with_kad(|kad, now| {
        kad.watch(
            now,
            key_provider(&far_name(RecordKind::Provider, K)),
            RecordKind::Provider,
        )
        .unwrap();
    });
    let goal = Goal::Closest(key_value("a"));
    bench.with_kad(|kad, now| kad.lookup(now, goal, LookupOptions::default()).unwrap());
    bench.pass(millis(2_000));
}

#[test]
fn a_short_lease_is_no_storm() {
    let mut bench = Bench::among(config(), 1..MEMBERS);
    let published = bench.with_kad(|kad, now| kad.publish_for(now, value("a"), millis(2)));
    bench.pass_willing(millis(1_000));
    assert!(
        published.is_err() || bench.sent.len() < 100,
        "{}",
        bench.sent.len()
    );
}

#[test]
fn an_answer_costs_no_look_at_all_that_was_published() {
    // Thousands of answers; if each took a look at all records, this would take minutes.
    let mut bench = Bench::among(Config::default(), 1..25);
    for number in 0..800 {
        let content = value(&format!("v{number}"));
        bench.with_kad(|kad, now| kad.publish(now, content).unwrap());
    }
    let answers = bench.sent.len();
    assert!(answers > 15_000, "{answers}");
    bench.answer_all(|_, body| willing(body));
    bench.forget();
    bench.pass_willing(millis(200_000));
    assert!(bench.sent.is_empty());
}

#[test]
fn a_holder_that_skips_versions_is_asked_once() {
    let (mut bench, at, holders) = watching(RecordKind::Provider, K);
    bench.answer_all(|_, body| willing(body));
    bench.hear(holders[0], statement(at, 1, Vec::new()));
    bench.pass_willing(millis(1_000));
    bench.forget();
    let record = draft(5, provider(&far_name(RecordKind::Provider, K))).sign();
    for version in 0..100 {
        bench.hear(holders[0], change(at, 50 + 2 * version, &record));
        bench.hear(holders[0], statement(at, 51 + 3 * version, Vec::new()));
    }
    assert_eq!(bench.sent.len(), 1);
    bench.pass_willing(millis(1_000));
    assert_eq!(bench.sent.len(), 4, "and once more, with all others");
}
