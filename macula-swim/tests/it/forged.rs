//! What a member may not make others believe. Each refusal stands beside what is accepted.

use std::sync::Arc;
use std::time::Duration;

use macula_swim::{Config, MAX_RECORD_LEN, Offence, State, verify};
use macula_testkit::{StubVerifier, node_id};
use macula_wire::message::{SwimGossip, SwimJoin, SwimPing, SwimState, Tag, Update};
use macula_wire::{Body, Domain, ProbeId, RealmName, Signature};

use crate::bench::{Bench, EPOCH, accuse, dead, record, suspect};
use crate::realm::realm_name;

fn check(updates: Vec<Update>) -> Result<(), Offence> {
    verify(
        &realm_name(),
        &SwimGossip { updates }.into(),
        &StubVerifier::new(),
    )
}

#[test]
fn a_record_counts_only_if_its_owner_signed_it() {
    let right = record(1, EPOCH, 0, false);
    assert_eq!(check(vec![Update::Record(right.clone())]), Ok(()));
    let mut unsigned = right.clone();
    Arc::make_mut(&mut unsigned).signature = Signature::from_bytes([0; 64]);
    let mut changed = right.clone();
    Arc::make_mut(&mut changed).record.agent = "another".into();
    let mut stolen = record(2, EPOCH, 0, false);
    Arc::make_mut(&mut stolen).record.node = node_id(1);
    for wrong in [unsigned, changed, stolen] {
        let wrong = vec![Update::Record(right.clone()), Update::Record(wrong)];
        assert_eq!(check(wrong), Err(Offence::BadSignature));
    }
}

#[test]
fn an_accusation_counts_only_if_its_accuser_signed_it_as_such() {
    let subject = record(1, EPOCH, 0, false);
    assert_eq!(check(vec![suspect(&subject, 2), dead(&subject, 2)]), Ok(()));
    let mut other = accuse(Domain::Suspect, &subject, 2);
    Arc::make_mut(&mut other).accusation.accuser = node_id(3);
    let swapped = accuse(Domain::Suspect, &subject, 2);
    for wrong in [Update::Suspect(other), Update::Dead(swapped)] {
        assert_eq!(check(vec![wrong]), Err(Offence::BadSignature));
    }
}

#[test]
fn a_signature_is_worth_nothing_in_another_realm() {
    let body: Body = SwimJoin {
        record: record(1, EPOCH, 0, false),
    }
    .into();
    let other = RealmName::new("be.other").unwrap();
    assert_eq!(verify(&realm_name(), &body, &StubVerifier::new()), Ok(()));
    assert_eq!(
        verify(&other, &body, &StubVerifier::new()),
        Err(Offence::BadSignature)
    );
}

#[test]
fn every_message_with_updates_is_checked() {
    let mut wrong = record(1, EPOCH, 0, false);
    Arc::make_mut(&mut wrong).signature = Signature::from_bytes([1; 64]);
    let updates = vec![Update::Record(wrong.clone())];
    let probe = ProbeId::new(1);
    let target = node_id(0);
    let bodies: [Body; 6] = [
        SwimPing {
            probe,
            updates: updates.clone(),
        }
        .into(),
        macula_wire::message::SwimAck {
            probe,
            updates: updates.clone(),
        }
        .into(),
        macula_wire::message::SwimPingReq {
            probe,
            target,
            updates: updates.clone(),
        }
        .into(),
        SwimGossip {
            updates: updates.clone(),
        }
        .into(),
        SwimState {
            more: false,
            updates,
        }
        .into(),
        SwimJoin { record: wrong }.into(),
    ];
    for body in bodies {
        let verdict = verify(&realm_name(), &body, &StubVerifier::new());
        assert_eq!(verdict, Err(Offence::BadSignature), "{body:?}");
    }
    let nack = macula_wire::message::SwimNack { probe, target };
    assert_eq!(
        verify(&realm_name(), &nack.into(), &StubVerifier::new()),
        Ok(())
    );
    let foreign = macula_wire::message::Ping { nonce: 1 };
    assert_eq!(
        verify(&realm_name(), &foreign.into(), &StubVerifier::new()),
        Err(Offence::NotMembership)
    );
}

#[test]
fn a_record_that_no_datagram_could_carry_is_refused() {
    let sized = |tags: usize| {
        let mut record = record(1, EPOCH, 0, false).record.clone();
        record.tags = (0..tags)
            .map(|number| Tag {
                key: format!("{number:040}"),
                value: "v".repeat(40),
            })
            .collect();
        let bytes = macula_wire::signed::member_bytes(&realm_name(), &record).unwrap();
        let signer = macula_testkit::StubSigner::new(node_id(1));
        let signature = macula_wire::Signer::sign(&signer, &bytes);
        let signed = macula_wire::message::SignedRecord { record, signature };
        check(vec![Update::Record(Arc::new(signed))])
    };
    assert_eq!(sized(8), Ok(()));
    assert_eq!(sized(12), Err(Offence::RecordTooLarge));
    const { assert!(MAX_RECORD_LEN < 1_100) };
}

#[test]
fn an_unknown_sender_is_blamed_unless_it_introduces_itself() {
    let mut bench = Bench::new(1);
    let ping = |updates| SwimPing {
        probe: ProbeId::new(1),
        updates,
    };
    bench.hear(7, ping(Vec::new()));
    assert_eq!(bench.blames(7), [Offence::UnknownSender]);
    assert!(bench.sent_to(7).is_empty());
    bench.hear(8, ping(vec![Update::Record(record(8, EPOCH, 0, false))]));
    assert!(bench.blames(8).is_empty());
    assert!(matches!(bench.sent_to(8)[..], [Body::SwimAck(_)]));
}

#[test]
fn a_join_in_another_name_is_refused() {
    let mut bench = Bench::new(0);
    let join = |number| SwimJoin {
        record: record(number, EPOCH, 0, false),
    };
    bench.hear(1, join(2));
    assert_eq!(bench.blames(1), [Offence::NotOwner]);
    assert_eq!(bench.swim.counts().present(), 1);
    bench.hear(2, join(2));
    assert_eq!(bench.state(2), Some(State::Alive));
}

#[test]
fn a_replay_of_an_old_record_changes_nothing() {
    let mut bench = Bench::new(2);
    let old = Update::Record(record(1, EPOCH, 3, false));
    let bye = Update::Record(record(1, EPOCH, 4, true));
    bench.news(2, vec![old.clone()]);
    bench.news(2, vec![bye.clone()]);
    assert_eq!(bench.state(1), Some(State::Left));
    bench.news(2, vec![old.clone()]);
    assert_eq!(bench.state(1), Some(State::Left));
    bench.news(1, vec![Update::Record(record(1, EPOCH, 5, false))]);
    assert_eq!(bench.state(1), Some(State::Left), "a goodbye ends the run");
    bench.news(2, vec![Update::Record(record(1, EPOCH + 1, 0, false))]);
    assert_eq!(bench.state(1), Some(State::Alive), "the twin: a later run");
    bench.news(2, vec![old, bye]);
    assert_eq!(bench.state(1), Some(State::Alive));
    let mut body = SwimGossip {
        updates: vec![Update::Record(record(1, EPOCH, 3, false))],
    }
    .into();
    bench.swim.retain_news(&mut body);
    assert_eq!(
        body,
        SwimGossip {
            updates: Vec::new()
        }
        .into()
    );
}

#[test]
fn an_incarnation_cannot_jump() {
    let reach = |incarnation| {
        let mut bench = Bench::new(2);
        bench.news(
            1,
            vec![Update::Record(record(1, EPOCH, incarnation, false))],
        );
        let known = bench.swim.member(&node_id(1)).unwrap().record().incarnation;
        (
            known.get(),
            bench.blames(1),
            bench.swim.stats().refused_records,
        )
    };
    // A view that was cut off may have missed any number of versions that an honest member can have had.
    for jump in [1_000, 1_001, 1 << 32] {
        assert_eq!(reach(jump), (jump, vec![], 0));
    }
    for jump in [(1 << 32) + 1, 1 << 63, u64::MAX] {
        assert_eq!(reach(jump), (0, vec![Offence::IncarnationJump], 1));
    }
}

#[test]
fn an_epoch_cannot_lie_far_ahead() {
    let reach = |ahead_ms: u64| {
        let mut bench = Bench::new(2);
        bench.news(
            1,
            vec![Update::Record(record(9, EPOCH + ahead_ms, 0, false))],
        );
        bench.news(
            1,
            vec![Update::Record(record(1, EPOCH + ahead_ms, 0, false))],
        );
        (bench.state(9), bench.blames(1))
    };
    assert_eq!(reach(600_000), (Some(State::Alive), vec![]));
    assert_eq!(reach(600_001), (None, vec![Offence::EpochAhead]));
}

#[test]
fn an_accusation_of_a_version_that_does_not_exist_is_ignored() {
    let mut bench = Bench::new(2);
    for incarnation in [1, 1_000, 1 << 63, u64::MAX] {
        let subject = record(1, EPOCH, incarnation, false);
        bench.news(2, vec![suspect(&subject, 2), dead(&subject, 2)]);
    }
    bench.news(2, vec![suspect(&record(1, EPOCH - 1, 0, false), 2)]);
    assert_eq!(bench.state(1), Some(State::Alive));
    // Nor does it move this node's own incarnation.
    bench.news(2, vec![suspect(&record(0, EPOCH, u64::MAX, false), 2)]);
    assert_eq!(bench.swim.own_record().record.incarnation.get(), 0);
    assert_eq!(bench.blames(2), [Offence::IncarnationJump]);
    bench.news(2, vec![suspect(&record(1, EPOCH, 0, false), 2)]);
    assert_eq!(bench.state(1), Some(State::Suspect), "the twin");
}

#[test]
fn only_members_accuse() {
    let mut bench = Bench::new(2);
    let subject = record(1, EPOCH, 0, false);
    bench.news(2, vec![suspect(&subject, 9), suspect(&subject, 1)]);
    assert_eq!(bench.state(1), Some(State::Alive));
    let gone = record(3, EPOCH, 1, true);
    bench.news(2, vec![Update::Record(record(3, EPOCH, 0, false))]);
    bench.news(2, vec![Update::Record(gone), suspect(&subject, 3)]);
    assert_eq!(
        bench.state(1),
        Some(State::Alive),
        "who is gone accuses nobody"
    );
    bench.news(2, vec![suspect(&subject, 2)]);
    assert_eq!(bench.state(1), Some(State::Suspect));
}

#[test]
fn one_liar_kills_nobody_however_much_it_says() {
    let mut bench = Bench::new(5);
    let mut blamed = 0;
    for round in 0..100 {
        let accusations = (1..5).map(|number| {
            let known = bench.swim.member(&node_id(number)).unwrap();
            let incarnation = known.record().incarnation.get();
            let subject = record(number, EPOCH, incarnation, false);
            if round % 2 == 0 {
                suspect(&subject, 5)
            } else {
                dead(&subject, 5)
            }
        });
        let accusations = accusations.collect();
        bench.news(5, accusations);
        // The accused refute, as they do.
        for number in 1..5 {
            let refuted = record(number, EPOCH, round + 1, false);
            bench.news(number, vec![Update::Record(refuted)]);
        }
        bench.pass(Duration::from_millis(5), |_| true);
        blamed += usize::from(bench.blames(5).contains(&Offence::TooManyAccusations));
    }
    assert!(blamed > 0, "there is a limit to what a peer may say");
    for number in 1..5 {
        assert_eq!(bench.state(number), Some(State::Alive));
    }
}

#[test]
fn invented_members_stop_at_the_cap() {
    let mut config = Config::default();
    config.max_members = 20;
    let mut bench = Bench::with(config, 2);
    for number in 100..1_000 {
        bench.news(1, vec![Update::Record(record(number, EPOCH, 0, false))]);
    }
    assert_eq!(bench.swim.members().count(), 20);
    assert_eq!(bench.swim.stats().refused_full, 900 - 17);
    assert_eq!(bench.state(1), Some(State::Alive));
    assert_eq!(bench.state(2), Some(State::Alive));
    // Nobody answers in their names, and then there is room for who is real.
    bench.pass(Duration::from_secs(60), |number| number <= 2);
    bench.news(3, vec![Update::Record(record(3, EPOCH, 0, false))]);
    assert_eq!(bench.state(3), Some(State::Alive));
    assert!(bench.swim.members().count() <= 20);
}

#[test]
fn accusers_that_one_member_makes_up_kill_nobody_who_answers() {
    let accused = |answers: bool| {
        let mut bench = Bench::new(3);
        let subject = record(1, EPOCH, 0, false);
        let invented = 11..16;
        let records = invented
            .clone()
            .map(|number| record(number, EPOCH, 0, false));
        bench.news(2, records.map(Update::Record).collect());
        let claims =
            invented.flat_map(|number| [suspect(&subject, number), dead(&subject, number)]);
        bench.news(2, claims.collect());
        assert_eq!(bench.state(1), Some(State::Suspect));
        bench.pass(Duration::from_secs(3), |number| answers || number != 1);
        bench.state(1)
    };
    assert_eq!(accused(true), Some(State::Alive));
    assert_eq!(accused(false), Some(State::Dead), "the twin");
}

#[test]
fn who_is_no_member_is_not_even_checked_as_an_accuser() {
    let mut bench = Bench::new(2);
    let subject = record(1, EPOCH, 0, false);
    let own = record(0, EPOCH, 0, false);
    let left = |bench: &mut Bench, updates: Vec<Update>| {
        let mut body = SwimGossip { updates }.into();
        bench.swim.retain_news(&mut body);
        match body {
            Body::SwimGossip(gossip) => gossip.updates.len(),
            other => panic!("{other:?}"),
        }
    };
    let by = |accuser| vec![suspect(&subject, accuser)];
    assert_eq!([2, 9].map(|accuser| left(&mut bench, by(accuser))), [1, 0]);
    // After a split who is held for dead holds this node for dead, which has to hear of it.
    let told = bench.swim.own_record().record.clone();
    let mut own = (*own).clone();
    own.record = told;
    assert_eq!(left(&mut bench, vec![dead(&own, 9)]), 1);
}

#[test]
fn one_peer_does_not_take_up_all_help() {
    let mut bench = Bench::new(3);
    let target = node_id(3);
    for number in 0..100 {
        let probe = ProbeId::new(number);
        let updates = Vec::new();
        bench.hear(
            1,
            macula_wire::message::SwimPingReq {
                probe,
                target,
                updates,
            },
        );
    }
    let pings = |bench: &Bench| {
        let pings = bench.sent_to(3).into_iter();
        pings
            .filter(|body| matches!(body, Body::SwimPing(_)))
            .count()
    };
    assert_eq!(pings(&bench), 16);
    let refused = bench.sent_to(1).into_iter();
    let refused = refused.filter(|body| matches!(body, Body::SwimNack(_)));
    assert_eq!(refused.count(), 84);
    let (probe, updates) = (ProbeId::new(1), Vec::new());
    bench.hear(
        2,
        macula_wire::message::SwimPingReq {
            probe,
            target,
            updates,
        },
    );
    assert_eq!(pings(&bench), 17, "the twin");
}

#[test]
fn a_record_leaves_room_for_refuting() {
    let mut bench = Bench::new(1);
    let fits = |bench: &mut Bench, length: usize| {
        let tags = (0..13).map(|number| Tag {
            key: format!("k{number:02}"),
            value: if number < 12 {
                "v".repeat(54)
            } else {
                "v".repeat(length)
            },
        });
        bench.swim.set_tags(bench.now, tags.collect()).is_ok()
    };
    let longest = (0..64)
        .rev()
        .find(|length| fits(&mut bench, *length))
        .unwrap();
    assert!(longest < 63, "the limit is met within the range");
    // Frame header and two counts stand before the record.
    let updates = vec![Update::Record(Arc::clone(bench.swim.own_record()))];
    let message = macula_wire::Message::from(SwimGossip { updates });
    let room = MAX_RECORD_LEN + 10 - message.to_bytes().unwrap().len();
    assert!(room >= 8, "{room} bytes for a higher number");
}
