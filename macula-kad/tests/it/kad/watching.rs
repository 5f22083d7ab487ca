//! Watching a key: snapshot, changes, gaps, holders that fail, owners that go.

use std::sync::Arc;

use macula_kad::{Config, WatchError};
use macula_wire::message::{KadStore, KadWatch, RecordKind, SignedRoutingRecord};
use macula_wire::{Body, ErrorCode, Key, RequestId};

use super::bench::{
    Bench, Draft, HOUR_MS, answer, by_distance, change, draft, key_provider, millis, name_where,
    provider, statement, willing,
};

const K: usize = 4;
const MEMBERS: usize = 30;
const AT_KIND: RecordKind = RecordKind::Provider;

fn config() -> Config {
    let mut config = Config::default();
    config.k = K;
    config
}

/// A procedure under whose key node 0 is not one of the closest.
fn name() -> String {
    name_where(AT_KIND, "p", |key| {
        !by_distance(key, 0..MEMBERS + 10)[..K + 1].contains(&0)
    })
}

/// A bench that watches [`name`], where, and its three holders, closest first.
fn watching() -> (Bench, (Key, RecordKind), Vec<usize>) {
    let mut bench = Bench::among(config(), 1..MEMBERS);
    let at = (key_provider(&name()), AT_KIND);
    bench.with_kad(|kad, now| kad.watch(now, at.0, at.1).unwrap());
    let holders = by_distance(&at.0, 1..MEMBERS)[..3].to_vec();
    (bench, at, holders)
}

/// The same after all holders told that there are `records`.
fn told(records: &[Arc<SignedRoutingRecord>]) -> (Bench, (Key, RecordKind), Vec<usize>) {
    let (mut bench, at, holders) = watching();
    bench.answer_all(|_, body| willing(body));
    for holder in &holders {
        bench.hear(*holder, statement(at, 1, records.to_vec()));
    }
    (bench, at, holders)
}

/// A record under the watched key by a member.
fn of(owner: usize) -> Draft {
    draft(owner, provider(&name())).for_ms(3 * HOUR_MS)
}

/// The last KAD_WATCH to a node.
fn watch_to(bench: &Bench, number: usize) -> Option<KadWatch> {
    let sent = bench.sent_to(number);
    sent.iter().rev().find_map(|body| match body {
        Body::KadWatch(watch) => Some(watch.clone()),
        _ => None,
    })
}

#[test]
fn a_key_is_watched_at_the_closest_and_all_that_is_there_is_told() {
    let (mut bench, at, holders) = watching();
    let asked = bench.receivers(|body| matches!(body, Body::KadWatch(_)));
    assert_eq!(asked, holders);
    let watch = watch_to(&bench, holders[0]).unwrap();
    assert_eq!((watch.key, watch.kind, watch.version), (at.0, at.1, 0));
    assert_eq!(watch.lease_ms, 120_000);
    bench.answer_all(|_, body| willing(body));
    assert!(bench.watching.is_empty(), "nothing was told so far");
    let records = vec![of(5).sign(), of(6).sign()];
    bench.hear(holders[0], statement(at, 1, records));
    assert_eq!(bench.changed, [(of(5).id(), true), (of(6).id(), true)]);
    // The others tell the same, which is no news; but they might know more.
    bench.hear(holders[1], statement(at, 1, vec![of(5).sign()]));
    assert_eq!((bench.changed.len(), bench.watching.len()), (2, 0));
    bench.hear(holders[2], statement(at, 1, Vec::new()));
    assert_eq!((bench.changed.len(), &bench.watching[..]), (2, &[at][..]));
}

#[test]
fn who_does_not_answer_is_not_waited_for() {
    let (mut bench, at, holders) = watching();
    for holder in &holders[..2] {
        bench.hear(*holder, statement(at, 1, vec![of(5).sign()]));
    }
    assert!(bench.watching.is_empty());
    let node = macula_testkit::node_id(holders[2]);
    bench.input(macula_kad::Input::Unreachable(node));
    assert_eq!(bench.watching, [at]);
}

#[test]
fn a_statement_of_several_parts_is_one() {
    let (mut bench, at, holders) = watching();
    let mut first = statement(at, 7, vec![of(5).sign()]);
    first.more = true;
    bench.hear(holders[0], first);
    assert!(bench.watching.is_empty());
    let mut last = statement(at, 7, vec![of(6).sign()]);
    last.full = false;
    bench.hear(holders[0], last);
    assert_eq!(bench.changed.len(), 2);
    bench.hear(holders[1], statement(at, 1, Vec::new()));
    assert!(bench.watching.is_empty());
    bench.hear(holders[2], statement(at, 1, Vec::new()));
    assert_eq!(bench.watching.len(), 1);
    // A change follows it, and nothing is asked anew.
    bench.forget();
    bench.hear(holders[0], change(at, 8, &of(7).sign()));
    assert_eq!(bench.changed, [(of(7).id(), true)]);
    assert!(bench.sent.is_empty());
}

#[test]
fn changes_are_told_as_they_come() {
    let (mut bench, at, holders) = told(&[of(5).sign()]);
    bench.forget();
    bench.hear(holders[0], change(at, 2, &of(6).sign()));
    assert_eq!(bench.changed, [(of(6).id(), true)]);
    // What was told is not told again, neither by the same nor by another.
    bench.hear(holders[0], change(at, 3, &of(6).sign()));
    bench.hear(holders[1], change(at, 2, &of(6).sign()));
    assert_eq!(bench.changed.len(), 1);
    // What says something new is, and what only holds for longer is not.
    bench.hear(holders[1], change(at, 3, &of(6).version(1).sign()));
    assert_eq!(bench.changed.len(), 1);
    let mut other = of(6).version(2);
    other.record.content = {
        let macula_wire::message::RecordContent::Provider(mut content) = provider(&name()) else {
            panic!("a provider");
        };
        content.weight = 9;
        macula_wire::message::RecordContent::Provider(content)
    };
    bench.hear(holders[1], change(at, 4, &other.sign()));
    assert_eq!(bench.changed, [(of(6).id(), true); 2]);
    // An older one stays out.
    bench.hear(holders[0], change(at, 4, &of(6).version(1).sign()));
    assert_eq!(bench.changed.len(), 2);
}

#[test]
fn a_withdrawn_provider_is_gone() {
    let (mut bench, at, holders) = told(&[of(5).sign(), of(6).sign()]);
    bench.forget();
    let withdrawn = of(5).version(1).withdrawn().sign();
    bench.hear(holders[0], change(at, 2, &withdrawn));
    assert_eq!(bench.changed, [(of(5).id(), false)]);
    bench.hear(holders[1], change(at, 2, &withdrawn));
    assert_eq!(bench.changed.len(), 1);
    // It comes back by a later version only.
    bench.hear(holders[1], change(at, 3, &of(5).version(2).sign()));
    assert_eq!(bench.changed.pop(), Some((of(5).id(), true)));
}

#[test]
fn a_gap_makes_everything_be_asked_for_anew() {
    let (mut bench, at, holders) = told(&[of(5).sign()]);
    bench.pass_willing(millis(1_000));
    bench.forget();
    bench.hear(holders[0], change(at, 3, &of(6).sign()));
    let again = watch_to(&bench, holders[0]).unwrap();
    assert_eq!((again.key, again.kind, again.version), (at.0, at.1, 0));
    assert!(bench.changed.is_empty(), "it is told by what follows");
    bench.answer_all(|_, body| willing(body));
    bench.hear(
        holders[0],
        statement(at, 4, vec![of(5).sign(), of(6).sign()]),
    );
    assert_eq!(bench.changed, [(of(6).id(), true)]);
    // The twin: no gap.
    bench.forget();
    bench.hear(holders[0], change(at, 5, &of(7).sign()));
    assert!(bench.sent.is_empty());
}

#[test]
fn what_a_statement_does_not_name_is_gone_when_no_other_has_it() {
    let (mut bench, at, holders) = told(&[of(5).sign(), of(6).sign()]);
    bench.forget();
    for (index, holder) in holders.iter().enumerate() {
        bench.hear(*holder, statement(at, 9, vec![of(6).sign()]));
        let expected: &[_] = if index < 2 {
            &[]
        } else {
            &[(of(5).id(), false)]
        };
        assert_eq!(bench.changed, expected, "{index}");
    }
}

#[test]
fn who_fails_is_asked_again_and_the_watch_goes_on() {
    let (mut bench, at, holders) = told(&[of(5).sign()]);
    bench.forget();
    // The renewals are lost at one of them.
    let listens =
        |number: usize, body: &Body| (number != holders[0]).then(|| willing(body)).flatten();
    bench.pass_with(millis(70_000), listens);
    assert!(watch_to(&bench, holders[0]).is_some());
    assert!(bench.changed.is_empty() && bench.watching.is_empty());
    // It is gone: another is asked in its place.
    bench.forget();
    bench.gone(holders[0]);
    bench.pass_with(millis(1_000), listens);
    let next = by_distance(&at.0, 1..MEMBERS)[3];
    let watch = watch_to(&bench, next).unwrap();
    assert_eq!(watch.version, 0);
    bench.hear(next, statement(at, 1, vec![of(5).sign(), of(6).sign()]));
    assert_eq!(bench.changed, [(of(6).id(), true)]);
}

#[test]
fn all_is_known_once_also_when_nobody_can_be_asked() {
    // Nobody is there.
    let mut bench = Bench::new();
    let at = (key_provider("a.b"), AT_KIND);
    bench.with_kad(|kad, now| kad.watch(now, at.0, at.1).unwrap());
    assert_eq!(bench.watching, [at]);
    bench.member(1);
    bench.pass_willing(millis(300_000));
    assert_eq!(bench.watching.len(), 1);

    // Nobody answers.
    let (mut bench, at, _) = watching();
    assert!(bench.watching.is_empty());
    bench.pass(millis(10_000));
    assert_eq!(bench.watching, [at]);
    bench.pass(millis(300_000));
    assert_eq!(bench.watching.len(), 1);

    // All refuse.
    let (mut bench, at, _) = watching();
    bench.answer_all(|_, body| match body {
        Body::KadWatch(watch) => {
            Some(answer(watch.request, vec![ErrorCode::QUOTA_EXCEEDED]).into())
        }
        _ => None,
    });
    assert_eq!(bench.watching, [at]);
}

#[test]
fn a_node_that_is_one_of_the_closest_has_others_tell_at_first_only() {
    let near = name_where(AT_KIND, "p", |key| {
        by_distance(key, 0..MEMBERS)[..K].contains(&0)
    });
    let mut bench = Bench::among(config(), 1..MEMBERS);
    let at = (key_provider(&near), AT_KIND);
    let kept = draft(5, provider(&near));
    let store = |record: Draft| KadStore {
        request: RequestId::new(1),
        records: vec![record.sign()],
    };
    bench.hear(1, store(kept.clone()));
    bench.forget();
    bench.with_kad(|kad, now| kad.watch(now, at.0, at.1).unwrap());
    assert_eq!(bench.changed, [(kept.id(), true)]);
    // The owners of some records may not know this node yet.
    let holders = by_distance(&at.0, 1..MEMBERS)[..3].to_vec();
    let is_watch = |body: &Body| matches!(body, Body::KadWatch(_));
    assert_eq!(bench.receivers(is_watch), holders);
    assert!(bench.watching.is_empty());
    bench.answer_all(|_, body| willing(body));
    let told = draft(7, provider(&near));
    for holder in &holders {
        bench.hear(*holder, statement(at, 1, vec![told.clone().sign()]));
    }
    assert_eq!(bench.changed.pop(), Some((told.id(), true)));
    assert_eq!(bench.watching, [at]);
    // From here on it is told by the owners, as the others are.
    bench.forget();
    bench.pass_willing(millis(180_000));
    assert!(bench.receivers(is_watch).is_empty());
    bench.hear(1, store(draft(6, provider(&near))));
    assert_eq!(bench.changed.len(), 1);
    bench.hear(1, store(kept.clone().version(1).withdrawn()));
    assert_eq!(bench.changed.pop(), Some((kept.id(), false)));
}

#[test]
fn what_expires_is_gone_and_what_is_renewed_is_not() {
    let (mut bench, at, holders) =
        told(&[of(5).for_ms(20_000).sign(), of(6).for_ms(30_000).sign()]);
    bench.forget();
    bench.pass_willing(millis(10_000));
    bench.hear(holders[0], change(at, 2, &of(6).version(1).sign()));
    bench.pass_willing(millis(9_000));
    assert!(bench.changed.is_empty());
    bench.pass_willing(millis(30_000));
    assert_eq!(bench.changed, [(of(5).id(), false)]);
}

#[test]
fn a_watch_is_renewed_with_the_version_that_was_told() {
    let (mut bench, at, holders) = told(&[of(5).sign()]);
    bench.hear(holders[1], change(at, 2, &of(6).sign()));
    bench.forget();
    bench.pass_willing(millis(60_000));
    let versions = holders
        .iter()
        .map(|holder| watch_to(&bench, *holder).unwrap().version);
    assert_eq!(versions.collect::<Vec<_>>(), [1, 2, 1]);
}

#[test]
fn an_end_is_told_to_the_holders_and_nothing_follows() {
    let (mut bench, at, holders) = told(&[of(5).sign()]);
    bench.forget();
    assert!(bench.with_kad(|kad, now| kad.unwatch(now, at.0, at.1)));
    let ends = holders
        .iter()
        .map(|holder| watch_to(&bench, *holder).unwrap().lease_ms);
    assert_eq!(ends.collect::<Vec<_>>(), [0; 3]);
    bench.answer_all(|_, body| willing(body));
    bench.forget();
    assert!(!bench.with_kad(|kad, now| kad.unwatch(now, at.0, at.1)));
    bench.hear(holders[0], change(at, 2, &of(6).sign()));
    assert_eq!(bench.stats().unasked, 1);
    bench.pass_willing(millis(300_000));
    assert!(bench.changed.is_empty());
    let watches = bench.receivers(|body| matches!(body, Body::KadWatch(_)));
    assert!(watches.is_empty());
    assert_eq!(bench.kad.watches(), 0);
}

#[test]
fn nobody_tells_who_was_not_asked() {
    let (mut bench, at, holders) = told(&[of(5).sign()]);
    let stranger = (1..MEMBERS)
        .find(|number| !holders.contains(number))
        .unwrap();
    bench.forget();
    bench.hear(stranger, change(at, 2, &of(6).sign()));
    bench.hear(stranger, statement(at, 1, Vec::new()));
    let elsewhere = (key_provider("else.where"), AT_KIND);
    bench.hear(holders[0], statement(elsewhere, 1, Vec::new()));
    bench.hear(
        holders[0],
        statement((at.0, RecordKind::Value), 1, Vec::new()),
    );
    assert_eq!(bench.stats().unasked, 4);
    assert!(bench.changed.is_empty());
}

#[test]
fn the_number_of_own_watches_is_bounded() {
    let mut config = config();
    config.max_own_watches = 2;
    let mut bench = Bench::among(config, 1..MEMBERS);
    let watch = |bench: &mut Bench, name: &str| {
        let key = key_provider(name);
        bench.with_kad(|kad, now| kad.watch(now, key, AT_KIND))
    };
    assert_eq!(watch(&mut bench, "a"), Ok(()));
    assert_eq!(watch(&mut bench, "b"), Ok(()));
    let limit = 2;
    assert_eq!(watch(&mut bench, "c"), Err(WatchError::TooMany { limit }));
    assert_eq!(watch(&mut bench, "b"), Ok(()), "it is watched already");
    assert_eq!(bench.kad.watches(), 2);
    bench.with_kad(|kad, now| kad.unwatch(now, key_provider("a"), AT_KIND));
    assert_eq!(watch(&mut bench, "c"), Ok(()));
}

#[test]
fn without_membership_the_closest_are_looked_up_and_watched() {
    let mut bench = Bench::with(config());
    (1..MEMBERS).for_each(|number| bench.contact(number));
    let at = (key_provider(&name()), AT_KIND);
    bench.with_kad(|kad, now| kad.watch(now, at.0, at.1).unwrap());
    bench.answer_all(|_, body| willing(body));
    let asked = bench.receivers(|body| matches!(body, Body::KadWatch(_)));
    assert_eq!(asked.len(), 3);
    for holder in asked {
        bench.hear(holder, statement(at, 1, vec![of(500).sign()]));
    }
    assert_eq!((bench.changed.len(), &bench.watching[..]), (1, &[at][..]));
}
