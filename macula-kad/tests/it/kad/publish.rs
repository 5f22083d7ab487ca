//! Publishing: who is told, who is told again, and what is renewed.

use std::collections::BTreeMap;

use macula_kad::{Config, PublishError, Refusal};
use macula_testkit::node_id;
use macula_wire::message::{RecordContent, RecordKind, RoutingRecord};
use macula_wire::{Body, ErrorCode, Key, RecordId};

use super::bench::{
    Bench, HOUR_MS, NOBODY, WALL_MS, answer, by_distance, contact, found, interest, key_value,
    millis, name_where, provider, request_of, value, value_of, willing,
};

/// How many keep a record here.
const K: usize = 4;
const MEMBERS: usize = 30;

fn config() -> Config {
    let mut config = Config::default();
    config.k = K;
    config
}

fn bench() -> Bench {
    Bench::among(config(), 1..MEMBERS)
}

/// A name under whose key node 0 is not one of the closest.
fn far_name() -> String {
    name_where(RecordKind::Value, "v", |key| {
        !by_distance(key, 0..MEMBERS + 10)[..K + 1].contains(&0)
    })
}

fn publish(bench: &mut Bench, content: RecordContent) -> RecordId {
    bench.with_kad(|kad, now| kad.publish(now, content).unwrap())
}

/// Those that ought to keep what is under a key.
fn keepers(key: &Key) -> Vec<usize> {
    let mut keepers = by_distance(key, 1..MEMBERS);
    keepers.truncate(K);
    keepers.sort_unstable();
    keepers
}

/// Every version of a record that a node was sent.
fn versions(bench: &Bench, number: usize) -> Vec<RoutingRecord> {
    let sent = bench.sent_to(number).into_iter();
    let stores = sent.filter_map(|body| match body {
        Body::KadStore(store) => Some(&store.records),
        _ => None,
    });
    let records = stores.flatten().map(|signed| signed.record.clone());
    records.collect()
}

/// Refuses everything.
fn unwilling(body: &Body) -> Option<Body> {
    match body {
        Body::KadStore(store) => {
            let codes = vec![ErrorCode::QUOTA_EXCEEDED; store.records.len()];
            Some(answer(store.request, codes).into())
        }
        _ => willing(body),
    }
}

#[test]
fn a_record_is_told_to_the_closest() {
    let name = far_name();
    let key = key_value(&name);
    let mut bench = bench();
    let id = publish(&mut bench, value(&name));
    assert_eq!(bench.told_of(id), keepers(&key));
    assert!(!bench.kad.keeps(&id), "this node is not one of them");
    bench.answer_all(|_, body| willing(body));
    bench.forget();
    bench.pass_willing(millis(60_000));
    assert_eq!(bench.told_of(id), NOBODY, "and once is enough");
    let sequences: Vec<&RecordContent> = bench.kad.own_records().collect();
    assert_eq!(sequences, [&value(&name)]);
}

#[test]
fn this_node_keeps_what_it_is_close_to() {
    let name = name_where(RecordKind::Value, "v", |key| {
        by_distance(key, 0..MEMBERS)[..K].contains(&0)
    });
    let mut bench = bench();
    let id = publish(&mut bench, value(&name));
    assert!(bench.kad.keeps(&id));
    // The other keepers are told.
    let mut others = by_distance(&key_value(&name), 0..MEMBERS);
    others.truncate(K);
    others.retain(|number| *number != 0);
    let told = bench.told_of(id);
    assert!(others.iter().all(|number| told.contains(number)));
}

#[test]
fn many_records_for_one_node_leave_together() {
    let mut bench = Bench::among(config(), 1..3);
    for number in 0..10 {
        publish(&mut bench, value(&format!("v{number}")));
    }
    bench.answer_all(|_, body| willing(body));
    bench.forget();
    bench.member(3);
    bench.pass(millis(100));
    let stores = bench.receivers(|body| matches!(body, Body::KadStore(_)));
    assert_eq!(stores, [3]);
    assert_eq!(versions(&bench, 3).len(), 10);
}

#[test]
fn who_does_not_answer_is_told_again_and_again_later_each_time() {
    let mut bench = bench();
    let name = far_name();
    let id = publish(&mut bench, value(&name));
    let silent = keepers(&key_value(&name))[0];
    let listens = |number: usize, body: &Body| (number != silent).then(|| willing(body)).flatten();
    bench.answer_all(listens);
    let mut moments = Vec::new();
    for second in 0..120 {
        bench.forget();
        bench.pass_with(millis(1_000), listens);
        if bench.told_of(id) == [silent] {
            moments.push(second);
        }
    }
    let pauses: Vec<i32> = moments.windows(2).map(|two| two[1] - two[0]).collect();
    assert!((4..9).contains(&moments.len()), "{moments:?}");
    assert!(
        pauses.is_sorted() && pauses.last() >= Some(&16),
        "{pauses:?}"
    );
    // The twin: it answers in the end, and is left alone.
    bench.pass_willing(millis(80_000));
    bench.forget();
    bench.pass_willing(millis(200_000));
    assert_eq!(bench.told_of(id), NOBODY);
}

#[test]
fn who_refuses_is_told_again() {
    let mut bench = bench();
    let name = far_name();
    let id = publish(&mut bench, value(&name));
    bench.answer_all(|_, body| unwilling(body));
    assert_eq!(bench.stats().stores_refused, 4);
    bench.forget();
    bench.pass_willing(millis(3_000));
    assert_eq!(bench.told_of(id), keepers(&key_value(&name)));
    bench.forget();
    bench.pass_willing(millis(100_000));
    assert_eq!(bench.told_of(id), NOBODY);
}

#[test]
fn too_few_codes_are_no_answer_to_the_rest() {
    let mut bench = Bench::among(config(), [1]);
    for number in 0..3 {
        publish(&mut bench, value(&format!("v{number}")));
    }
    bench.answer_all(|_, body| request_of(body).map(|request| answer(request, Vec::new()).into()));
    assert_eq!(bench.stats().stores_refused, 3);
    bench.forget();
    bench.pass_willing(millis(3_000));
    assert_eq!(versions(&bench, 1).len(), 3);
}

#[test]
fn who_can_be_reached_again_is_told_at_once() {
    let mut bench = bench();
    let name = far_name();
    let id = publish(&mut bench, value(&name));
    let silent = keepers(&key_value(&name))[0];
    let listens = |number: usize, body: &Body| (number != silent).then(|| willing(body)).flatten();
    bench.answer_all(listens);
    bench.pass_with(millis(60_000), listens);
    bench.forget();
    bench.contact(silent);
    bench.pass_willing(millis(100));
    assert_eq!(bench.told_of(id), [silent]);
    // The twin: a contact that keeps everything already.
    bench.forget();
    bench.contact(keepers(&key_value(&name))[1]);
    bench.pass_willing(millis(2_000));
    assert_eq!(bench.told_of(id), NOBODY);
}

#[test]
fn a_newcomer_that_becomes_one_of_the_closest_is_told_and_no_other() {
    let name = far_name();
    let key = key_value(&name);
    let all = by_distance(&key, 1..MEMBERS + 400);
    let near = all.iter().find(|number| **number >= MEMBERS).copied();
    let near = near.unwrap();
    let far = *all.last().unwrap();
    let mut bench = bench();
    let id = publish(&mut bench, value(&name));
    bench.answer_all(|_, body| willing(body));
    bench.forget();
    bench.member(far);
    bench.pass_willing(millis(1_000));
    assert_eq!(bench.told_of(id), NOBODY);
    assert!(all.iter().position(|number| *number == near) < Some(K));
    bench.member(near);
    bench.pass_willing(millis(1_000));
    assert_eq!(bench.told_of(id), [near]);
}

#[test]
fn whoever_takes_the_place_of_one_that_is_gone_is_told() {
    let name = far_name();
    let order = by_distance(&key_value(&name), 1..MEMBERS);
    let mut bench = bench();
    let id = publish(&mut bench, value(&name));
    bench.answer_all(|_, body| willing(body));
    bench.forget();
    bench.gone(order[1]);
    bench.pass_willing(millis(1_000));
    assert_eq!(bench.told_of(id), [order[K]]);
    // The twin: one that had nothing to keep.
    bench.forget();
    bench.gone(*order.last().unwrap());
    bench.pass_willing(millis(1_000));
    assert_eq!(bench.told_of(id), NOBODY);
}

#[test]
fn a_record_is_renewed_at_half_its_life_with_a_higher_sequence() {
    let mut bench = bench();
    let name = far_name();
    publish(&mut bench, value(&name));
    bench.answer_all(|_, body| willing(body));
    let one = keepers(&key_value(&name))[0];
    bench.pass_willing(millis(HOUR_MS * 3 / 8 - 1));
    assert_eq!(versions(&bench, one).len(), 1, "not too early");
    bench.pass_willing(millis(HOUR_MS / 8 + 1));
    let told = versions(&bench, one);
    assert_eq!(told.len(), 2);
    assert!(told[1].sequence > told[0].sequence);
    assert!(told[1].expires_ms >= told[0].expires_ms + HOUR_MS * 3 / 8);
    assert_eq!(
        (&told[1].content, told[1].withdrawn),
        (&value(&name), false)
    );
    bench.pass_willing(millis(5 * HOUR_MS));
    assert!((11..16).contains(&versions(&bench, one).len()));
}

#[test]
fn sequences_follow_the_wall_clock_and_never_repeat() {
    let mut bench = Bench::among(config(), [1]);
    for number in 0..5 {
        publish(&mut bench, value_of("a", &[number]));
    }
    bench.input(macula_kad::Input::WallClock(WALL_MS - HOUR_MS));
    publish(&mut bench, value_of("a", b"back"));
    bench.input(macula_kad::Input::WallClock(WALL_MS + HOUR_MS));
    publish(&mut bench, value_of("a", b"ahead"));
    let told = versions(&bench, 1);
    let sequences: Vec<u64> = told
        .iter()
        .map(|record| record.sequence - WALL_MS)
        .collect();
    assert!(
        sequences.is_sorted_by(|one, next| one < next),
        "{sequences:?}"
    );
    assert_eq!(sequences[6], HOUR_MS);
    let mut contents = BTreeMap::new();
    for record in told {
        assert!(contents.insert(record.sequence, record.content).is_none());
    }
}

#[test]
fn interest_in_dead_letters_is_published_though_they_are_reserved() {
    let mut bench = Bench::among(config(), [1]);
    let mut publish = |content| bench.with_kad(|kad, now| kad.publish(now, content).map(drop));
    assert_eq!(publish(interest("$sys.dlq.x.**")), Ok(()));
    let refused = Err(PublishError::Refused(Refusal::Reserved));
    assert_eq!(publish(interest("$sys.dlq")), refused);
    assert_eq!(publish(provider("$sys.dlq.x")), refused);
}

#[test]
fn what_others_refuse_is_not_published() {
    let mut config = config();
    config.max_own_records = 2;
    let mut bench = Bench::among(config, [1]);
    let refused = |bench: &mut Bench, content| {
        bench.with_kad(|kad, now| kad.publish(now, content).unwrap_err())
    };
    let reserved = refused(&mut bench, provider("$sys.x"));
    assert_eq!(reserved, PublishError::Refused(Refusal::Reserved));
    let reserved = refused(&mut bench, interest("$sys.x"));
    assert_eq!(reserved, PublishError::Refused(Refusal::Reserved));
    let reserved = refused(&mut bench, value("$topic.x"));
    assert_eq!(reserved, PublishError::Refused(Refusal::Reserved));
    let long = refused(&mut bench, value_of("a", &[0; 65_537]));
    assert!(matches!(long, PublishError::Encode(_)), "{long:?}");
    let none = bench.with_kad(|kad, now| kad.publish_for(now, value("a"), millis(0)));
    assert_eq!(none, Err(PublishError::Refused(Refusal::Expired)));
    assert!(bench.sent.is_empty());
    publish(&mut bench, value("a"));
    publish(&mut bench, value("$topics.x"));
    let more = refused(&mut bench, value("c"));
    assert_eq!(more, PublishError::TooMany { limit: 2 });
    // In the place of an earlier one there is room.
    publish(&mut bench, value_of("a", b"new"));
    publish(&mut bench, value_of("$topics.x", &[0; 65_536]));
}

#[test]
fn a_withdrawal_is_told_to_all_that_keep_the_record() {
    let mut bench = bench();
    let name = far_name();
    let id = publish(&mut bench, value(&name));
    bench.answer_all(|_, body| willing(body));
    bench.forget();
    assert!(bench.with_kad(|kad, now| kad.withdraw(now, &id)));
    let keepers = keepers(&key_value(&name));
    assert_eq!(bench.told_of(id), keepers);
    let told = versions(&bench, keepers[0]);
    assert!(told[0].withdrawn && told[0].sequence > WALL_MS);
    assert!(told[0].expires_ms >= WALL_MS + HOUR_MS);
    assert_eq!(told[0].content, value_of(&name, b""));
    assert_eq!(bench.kad.own_records().count(), 0);
    // Once, and nothing that was not published or is withdrawn already.
    bench.answer_all(|_, body| willing(body));
    assert!(!bench.with_kad(|kad, now| kad.withdraw(now, &id)));
    bench.forget();
    bench.pass_willing(millis(2 * HOUR_MS));
    assert_eq!(bench.told_of(id), NOBODY, "it is not renewed");
}

#[test]
fn without_membership_the_closest_are_looked_up_first() {
    let mut bench = Bench::with(config());
    (1..MEMBERS).for_each(|number| bench.contact(number));
    let id = publish(&mut bench, value("a"));
    assert_eq!(bench.told_of(id), NOBODY, "not yet");
    bench.answer_all(|_, body| match body {
        Body::KadFind(find) => {
            let order = by_distance(&find.key, 1..MEMBERS).into_iter();
            Some(found(find.request, order.take(20).map(contact).collect()).into())
        }
        _ => willing(body),
    });
    assert_eq!(bench.told_of(id), keepers(&key_value("a")));
    assert_eq!(node_id(0), bench.kad.node());
}

#[test]
fn without_membership_one_lookup_serves_all_records_of_a_key() {
    let mut bench = Bench::with(config());
    (1..MEMBERS).for_each(|number| bench.contact(number));
    let [one, other] = ["a.b", "a.c"].map(|pattern| publish(&mut bench, interest(pattern)));
    // A newer version of one, and a contact that may be among the closest.
    publish(&mut bench, interest("a.b"));
    bench.contact(MEMBERS);
    bench.pass(millis(100));
    assert_eq!(bench.stats().queries, 1);
    bench.answer_all(|_, body| willing(body));
    assert_eq!(bench.told_of(one).len(), K);
    assert_eq!(bench.told_of(one), bench.told_of(other));
    // The twin: another key.
    publish(&mut bench, interest("b"));
    assert_eq!(bench.stats().queries, 2);
    // One that was withdrawn meanwhile is told as such.
    bench.answer_all(|_, body| willing(body));
    bench.forget();
    let last = publish(&mut bench, interest("c"));
    bench.with_kad(|kad, now| assert!(kad.withdraw(now, &last)));
    bench.answer_all(|_, body| willing(body));
    let told = bench.told_of(last);
    assert_eq!(told.len(), K);
    let versions = versions(&bench, told[0]);
    assert!(matches!(&versions[..], [record] if record.withdrawn));
}

#[test]
fn whoever_knows_few_tells_all_of_them() {
    let mut bench = Bench::with(config());
    bench.contact(1);
    bench.contact(2);
    let id = publish(&mut bench, value("a"));
    assert_eq!(bench.told_of(id), [1, 2]);
    assert!(bench.kad.keeps(&id));
}

#[test]
fn what_was_published_alone_is_told_to_the_first_contact() {
    let mut bench = Bench::with(config());
    let id = bench.with_kad(|kad, now| kad.publish(now, value("a")).unwrap());
    assert_eq!(bench.told_of(id), NOBODY);
    bench.contact(1);
    bench.pass_willing(millis(1_000));
    assert_eq!(bench.told_of(id), [1]);
}
