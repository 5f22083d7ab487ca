//! Records of owners that come and go.

use std::sync::Arc;

use macula_kad::{Config, Goal, Input};
use macula_testkit::node_id;
use macula_wire::message::{KadFound, KadStore, RecordKind};
use macula_wire::{Body, RequestId};

use super::bench::{
    Bench, Draft, HOUR_MS, WALL_MS, by_distance, change, draft, found, interest, key_provider,
    name_where, provider, statement, value, willing,
};
use super::lookups::look;

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

/// Everybody has this record.
fn having(record: &Draft) -> impl Fn(usize, &Body) -> Option<Body> {
    let signed = record.clone().sign();
    move |_, body| match body {
        Body::KadFind(find) => {
            let records = vec![Arc::clone(&signed)];
            let empty = found(find.request, Vec::new());
            Some(KadFound { records, ..empty }.into())
        }
        _ => willing(body),
    }
}

/// How many records a lookup of what is under the key of `record` finds; something happens before its last answer.
fn found_of(bench: &mut Bench, record: &Draft, happens: impl FnOnce(&mut Bench)) -> usize {
    let (key, kind, all) = (record.key(), record.record.content.kind(), true);
    bench.forget();
    look(bench, Goal::Records { key, kind, all });
    let last = *by_distance(&key, 1..MEMBERS).get(K - 1).unwrap();
    let having = having(record);
    bench.answer_all(|number, body| (number != last).then(|| having(number, body)).flatten());
    assert!(bench.found.is_empty());
    happens(bench);
    let request = bench.asked(last).unwrap();
    bench.hear(last, found(request, Vec::new()));
    bench.found.pop().unwrap().records.len()
}

#[test]
fn a_lookup_tells_of_no_offers_of_owners_that_are_gone() {
    let gone = |bench: &mut Bench| bench.gone(5);
    let reborn = |bench: &mut Bench| {
        let (node, since) = (node_id(5), WALL_MS + 1);
        bench.input(Input::Run { node, since });
    };
    let far = |key: &macula_wire::Key| !by_distance(key, 0..MEMBERS)[..K + 1].contains(&5);
    let offer = draft(5, provider(&name_where(RecordKind::Provider, "p", far)));
    let lasting = draft(5, value(&name_where(RecordKind::Value, "v", far)));
    let among = || Bench::among(config(), 1..MEMBERS);
    assert_eq!(found_of(&mut among(), &offer, |_| ()), 1);
    assert_eq!(found_of(&mut among(), &offer, gone), 0, "meanwhile");
    assert_eq!(found_of(&mut among(), &offer, reborn), 0, "meanwhile");
    assert_eq!(found_of(&mut among(), &lasting, gone), 1, "a value");
    let mut bench = among();
    gone(&mut bench);
    assert_eq!(found_of(&mut bench, &offer, |_| ()), 0, "before");
    bench.member(5);
    reborn(&mut bench);
    assert_eq!(found_of(&mut bench, &offer, |_| ()), 0, "of a run before");
    assert_eq!(found_of(&mut bench, &offer.clone().version(1), |_| ()), 1);
    // Without membership nobody is known to be gone.
    let mut bench = Bench::with(config());
    (1..MEMBERS).for_each(|number| bench.contact(number));
    gone(&mut bench);
    let (key, kind, all) = (offer.key(), RecordKind::Provider, true);
    look(&mut bench, Goal::Records { key, kind, all });
    bench.answer_all(having(&offer));
    assert_eq!(bench.found.pop().unwrap().records.len(), 1);
}

#[test]
fn an_offer_of_one_that_is_gone_is_not_enough_for_a_lookup() {
    let offer = draft(5, provider("a.b"));
    let (key, kind, all) = (offer.key(), RecordKind::Provider, false);
    let request = RequestId::new(1);
    let mut bench = Bench::among(config(), 1..MEMBERS);
    let records = vec![offer.sign()];
    bench.hear(9, KadStore { request, records });
    bench.gone(5);
    bench.forget();
    look(&mut bench, Goal::Records { key, kind, all });
    assert!(bench.found.is_empty(), "what is kept here does not end it");
    bench.answer_all(having(&draft(6, provider("a.b"))));
    let outcome = bench.found.pop().unwrap();
    let owners = outcome.records.iter().map(|signed| signed.record.owner);
    assert!(owners.eq([node_id(6)]));
    // The twin: it is there.
    bench.member(5);
    look(&mut bench, Goal::Records { key, kind, all });
    let outcome = bench.found.pop().unwrap();
    assert_eq!((outcome.records.len(), outcome.requests), (1, 0));
}
