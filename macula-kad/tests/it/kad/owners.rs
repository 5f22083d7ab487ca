//! Records of owners that come and go.

use macula_kad::Config;
use macula_wire::RequestId;
use macula_wire::message::{KadStore, RecordKind};

use super::bench::{
    Bench, HOUR_MS, by_distance, change, draft, interest, key_provider, name_where, provider,
    statement, value, willing,
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
fn what_an_owner_offers_is_hidden_while_it_is_gone_and_values_are_not() {
    let kinds = [
        (RecordKind::Provider, false),
        (RecordKind::Interest, false),
        (RecordKind::Value, true),
    ];
    for (kind, outlives) in kinds {
        let name = name_where(kind, "p", |key| {
            !by_distance(key, 0..MEMBERS + 10)[..K + 1].contains(&0)
        });
        let content = match kind {
            RecordKind::Provider => provider(&name),
            RecordKind::Interest => interest(&name),
            _ => value(&name),
        };
        let record = draft(5, content.clone()).for_ms(3 * HOUR_MS);
        let at = (record.key(), kind);
        let mut bench = Bench::among(config(), 1..MEMBERS);
        bench.with_kad(|kad, now| kad.watch(now, at.0, at.1).unwrap());
        bench.answer_all(|_, body| willing(body));
        let holders = by_distance(&at.0, 1..MEMBERS);
        let holder = holders.iter().find(|number| **number != 5).unwrap();
        bench.hear(*holder, statement(at, 1, vec![record.clone().sign()]));
        assert_eq!(bench.changed, [(record.id(), true)], "{kind}");
        bench.forget();
        bench.gone(5);
        let expected: &[_] = if outlives {
            &[]
        } else {
            &[(record.id(), false)]
        };
        assert_eq!(bench.changed, expected, "{kind}");
        // What it says of itself while it is gone does not show it.
        bench.hear(*holder, change(at, 2, &record.clone().version(1).sign()));
        assert_eq!(bench.changed, expected, "{kind}");
        bench.forget();
        bench.member(5);
        let expected: &[_] = if outlives {
            &[]
        } else {
            &[(record.id(), true)]
        };
        assert_eq!(bench.changed, expected, "{kind}");
    }
}

#[test]
fn the_last_member_that_goes_takes_what_it_offered_with_it() {
    let mut bench = Bench::among(config(), [5]);
    let at = (key_provider("a.b"), RecordKind::Provider);
    bench.with_kad(|kad, now| kad.watch(now, at.0, at.1).unwrap());
    let request = RequestId::new(1);
    let records = vec![draft(5, provider("a.b")).sign()];
    bench.hear(5, KadStore { request, records });
    assert_eq!(bench.changed.len(), 1);
    bench.gone(5);
    assert_eq!(bench.changed.len(), 2);
    assert!(!bench.changed[1].1);
}
