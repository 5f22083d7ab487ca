//! Each rule of probing, suspecting and joining, by itself.

use std::time::Duration;

use macula_swim::{Class, Config, JoinError, Offence, Output, OwnRecord, RecordError, State, Swim};
use macula_testkit::{StubSigner, node_id};
use macula_wire::message::{
    SwimAck, SwimJoin, SwimNack, SwimPing, SwimPingReq, SwimState, Tag, Update,
};
use macula_wire::{Body, Epoch, Instant, Machine, Message, ProbeId, Random};

use crate::bench::{Bench, EPOCH, dead, record, suspect};
use crate::realm::{realm_name, wall_ms};

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn ack(probe: ProbeId) -> SwimAck {
    SwimAck {
        probe,
        updates: Vec::new(),
    }
}

#[test]
fn a_machine_may_move_between_threads() {
    const fn assert_send<T: Send>() {}
    const { assert_send::<Swim>() };
}

#[test]
fn a_ping_is_answered() {
    let mut bench = Bench::new(1);
    let probe = ProbeId::new(5);
    let updates = Vec::new();
    bench.hear(1, SwimPing { probe, updates });
    let acks = bench.sent_to(1);
    assert!(matches!(acks[..], [Body::SwimAck(ack)] if ack.probe == probe));
}

#[test]
fn an_ack_from_the_wrong_peer_is_ignored_and_blamed() {
    let check = |from: usize, accepted: bool| {
        let mut bench = Bench::new(3);
        bench.log.clear();
        let probe = bench.pinged(1);
        bench.hear(from, ack(probe));
        bench.pass(millis(1_100), |other| other != 1);
        let suspected = bench.state(1) == Some(State::Suspect);
        assert_eq!(!suspected, accepted, "{from} answers");
        let blamed = bench.blames(from).contains(&Offence::WrongAck);
        assert_eq!(!blamed, accepted, "{from} answers");
    };
    check(1, true);
    check(2, false);
}

#[test]
fn a_helper_may_answer_once_it_was_asked() {
    let mut bench = Bench::new(4);
    bench.log.clear();
    let probe = bench.pinged(1);
    bench.pass(millis(510), |other| other != 1);
    let helpers: Vec<_> = bench.requests().iter().map(|(to, _)| *to).collect();
    assert_eq!(helpers.len(), 3);
    assert!(!helpers.contains(&node_id(1)));
    let helper = (2..5).find(|number| *number != 1).unwrap();
    bench.hear(helper, ack(probe));
    bench.pass(millis(700), |other| other != 1);
    assert_eq!(bench.state(1), Some(State::Alive));
    assert!(bench.blames(helper).is_empty());
    assert_eq!(bench.swim.stats().probes_indirect, 1);
}

#[test]
fn a_suspicion_is_raised_on_time() {
    let mut bench = Bench::new(3);
    bench.log.clear();
    bench.pinged(2);
    let answers = |other| other != 2;
    bench.pass(millis(785), answers);
    assert_eq!(bench.state(2), Some(State::Alive));
    bench.pass(millis(15), answers);
    assert_eq!(bench.state(2), Some(State::Suspect));
    let told = bench.sent_to(2);
    let accused =
        |body: &&&Body| matches!(body, Body::SwimGossip(gossip) if gossip.updates.len() == 1);
    assert_eq!(told.iter().filter(accused).count(), 1, "it is told at once");
    bench.pass(millis(4_980), answers);
    assert_eq!(bench.state(2), Some(State::Suspect));
    bench.pass(millis(30), answers);
    assert_eq!(bench.state(2), Some(State::Dead));
    let epoch = Epoch::new(EPOCH);
    let node = node_id(2);
    assert!(bench.log.contains(&Output::Down { node, epoch }));
}

#[test]
fn a_suspicion_that_others_confirm_ends_sooner() {
    let mut bench = Bench::new(6);
    bench.pinged(2);
    let answers = |other| other != 2;
    bench.pass(millis(800), answers);
    assert_eq!(bench.state(2), Some(State::Suspect));
    let accused = record(2, EPOCH, 0, false);
    for by in [3, 4, 5] {
        bench.news(by, vec![suspect(&accused, by)]);
    }
    bench.pass(millis(2_980), answers);
    assert_eq!(bench.state(2), Some(State::Suspect));
    bench.pass(millis(30), answers);
    assert_eq!(bench.state(2), Some(State::Dead));
}

#[test]
fn the_word_of_one_is_checked_and_the_word_of_one_is_not_enough() {
    let mut bench = Bench::new(3);
    let accused = record(1, EPOCH, 0, false);
    for _ in 0..20 {
        bench.news(2, vec![suspect(&accused, 2), dead(&accused, 2)]);
        bench.pass(millis(500), |_| true);
        assert_ne!(bench.state(1), Some(State::Dead));
    }
    bench.pass(millis(10_000), |_| true);
    assert_eq!(bench.state(1), Some(State::Alive));
    // The twin: the accuser is right.
    bench.news(2, vec![suspect(&accused, 2)]);
    bench.pass(millis(5_000), |other| other != 1);
    assert_eq!(bench.state(1), Some(State::Dead));
}

#[test]
fn two_accusers_are_not_enough_against_what_one_sees() {
    let mut bench = Bench::new(4);
    let accused = record(1, EPOCH, 0, false);
    bench.news(2, vec![dead(&accused, 2), dead(&accused, 3)]);
    assert_eq!(bench.state(1), Some(State::Suspect));
    bench.pass(millis(10_000), |_| true);
    assert_eq!(bench.state(1), Some(State::Alive));
}

#[test]
fn a_confirmed_death_leaves_time_to_refute_although_ones_own_probe_failed() {
    let begin = || {
        let mut bench = Bench::new(3);
        let accused = record(1, EPOCH, 0, false);
        bench.news(2, vec![dead(&accused, 2)]);
        bench.pass(millis(2_500), |other| other != 1);
        assert_eq!(bench.state(1), Some(State::Suspect));
        bench
    };
    let mut bench = begin();
    bench.news(2, vec![Update::Record(record(1, EPOCH, 1, false))]);
    bench.pass(millis(1_000), |_| true);
    assert_eq!(bench.state(1), Some(State::Alive));
    // The twin: no refutation comes, and it is dead sooner than without the confirmation.
    let mut bench = begin();
    bench.pass(millis(300), |other| other != 1);
    assert_eq!(bench.state(1), Some(State::Dead));
}

#[test]
fn a_refutation_ends_a_suspicion_and_an_old_record_does_not() {
    let mut bench = Bench::new(3);
    bench.pinged(1);
    bench.pass(millis(1_100), |other| other != 1);
    assert_eq!(bench.state(1), Some(State::Suspect));
    bench.news(2, vec![Update::Record(record(1, EPOCH, 0, false))]);
    assert_eq!(bench.state(1), Some(State::Suspect));
    bench.news(2, vec![Update::Record(record(1, EPOCH, 1, false))]);
    assert_eq!(bench.state(1), Some(State::Alive));
}

#[test]
fn an_accused_node_refutes_once_and_tells_its_accuser() {
    let mut bench = Bench::new(3);
    let own = bench.swim.own_record().clone();
    bench.news(2, vec![suspect(&own, 2), suspect(&own, 3)]);
    let record = &bench.swim.own_record().record;
    assert_eq!(record.incarnation.get(), 1);
    assert_eq!(bench.swim.stats().refutations, 1);
    let told = bench.sent_to(2);
    assert!(
        told.iter().any(|body| matches!(body, Body::SwimGossip(gossip) if gossip.updates == [Update::Record(bench.swim.own_record().clone())]))
    );
    // An accusation of the version before means nothing any more.
    bench.pass(millis(1_000), |_| true);
    bench.news(3, vec![suspect(&own, 3)]);
    assert_eq!(bench.swim.own_record().record.incarnation.get(), 1);
}

#[test]
fn refutations_have_a_pace_and_none_is_forgotten() {
    let mut bench = Bench::new(3);
    let own = bench.swim.own_record().clone();
    bench.news(2, vec![suspect(&own, 2)]);
    let own = bench.swim.own_record().clone();
    bench.news(2, vec![suspect(&own, 2)]);
    assert_eq!(bench.swim.own_record().record.incarnation.get(), 1);
    bench.pass(millis(510), |_| true);
    assert_eq!(bench.swim.own_record().record.incarnation.get(), 2);
}

#[test]
fn the_dead_are_told_and_may_come_back() {
    let mut bench = Bench::new(2);
    bench.pinged(1);
    bench.pass(millis(6_000), |other| other != 1);
    assert_eq!(bench.state(1), Some(State::Dead));
    bench.log.clear();
    bench.hear(
        1,
        SwimNack {
            probe: ProbeId::new(1),
            target: node_id(2),
        },
    );
    let told = bench.sent_to(1);
    assert!(
        matches!(told[..], [Body::SwimGossip(gossip)] if matches!(gossip.updates[..], [Update::Dead(_)])),
        "{told:?}"
    );
    bench.news(1, vec![Update::Record(record(1, EPOCH, 1, false))]);
    assert_eq!(bench.state(1), Some(State::Alive));
    let asked = bench.sent_to(1);
    assert!(
        asked.iter().any(|body| matches!(body, Body::SwimDigest(_))),
        "what else differs?"
    );
}

#[test]
fn a_lost_link_is_looked_into_and_is_no_death() {
    let mut bench = Bench::new(4);
    // The lower of two ids asks for the link at once.
    let lost = (1..5).find(|n| node_id(*n) > node_id(0)).unwrap();
    bench.unlink(lost);
    let asked = bench.requests();
    assert_eq!(asked.len(), 3, "others are asked at once");
    assert_eq!(bench.state(lost), Some(State::Alive));
    let (helper, probe) = (asked[0].0, asked[0].1.probe);
    let helper = (1..5).find(|n| node_id(*n) == helper).unwrap();
    bench.pass(millis(200), |_| true);
    let node = node_id(lost);
    let connects =
        |output: &Output| matches!(output, Output::Connect { node: to, .. } if *to == node);
    assert!(bench.log.iter().any(connects), "the link is wanted back");
    bench.hear(helper, ack(probe));
    bench.pass(millis(900), |_| true);
    assert_eq!(bench.state(lost), Some(State::Alive));
}

#[test]
fn a_probe_that_is_late_is_tried_on_the_way_on_which_nothing_is_lost() {
    let mut bench = Bench::new(3);
    let reliable = |bench: &Bench| {
        let to = node_id(1);
        let ping = |output: &&Output| matches!(output, Output::Send { to: peer, class: Class::Reliable, body: Body::SwimPing(_) } if *peer == to);
        bench.log.iter().filter(ping).count()
    };
    bench.pinged(1);
    bench.pass(millis(230), |other| other != 1);
    assert_eq!(reliable(&bench), 0);
    bench.pass(millis(20), |other| other != 1);
    assert_eq!(reliable(&bench), 1);
}

#[test]
fn an_accusation_is_checked_before_its_time_is_up() {
    // Among forty, it is nobody's turn so soon.
    let mut bench = Bench::new(40);
    bench.news(2, vec![suspect(&record(1, EPOCH, 0, false), 2)]);
    bench.pass(millis(2_900), |other| other != 1);
    assert_eq!(bench.state(1), Some(State::Suspect));
    bench.pass(millis(1_200), |other| other != 1);
    assert_eq!(bench.state(1), Some(State::Dead));
}

#[test]
fn the_membership_is_compared_now_and_then() {
    let mut bench = Bench::new(3);
    let asked = |bench: &Bench| {
        let bodies = (1..4).flat_map(|number| bench.sent_to(number));
        bodies
            .filter(|body| matches!(body, Body::SwimDigest(_)))
            .count()
    };
    bench.pass(millis(25_000), |_| true);
    assert!((1..4).contains(&asked(&bench)));
    bench.pass(millis(10_000), |_| true);
    assert!(asked(&bench) > 0);
}

#[test]
fn a_request_to_probe_is_carried_out() {
    let mut bench = Bench::new(2);
    let request = SwimPingReq {
        probe: ProbeId::new(77),
        target: node_id(2),
        updates: Vec::new(),
    };
    bench.hear(1, request.clone());
    let probe = match bench.sent_to(2)[..] {
        [Body::SwimPing(ping)] => ping.probe,
        ref other => panic!("{other:?}"),
    };
    bench.hear(1, ack(probe));
    assert_eq!(
        bench.blames(1),
        [Offence::WrongAck],
        "only the target answers"
    );
    bench.hear(2, ack(probe));
    let passed = bench.sent_to(1);
    assert!(matches!(passed[..], [Body::SwimAck(ack)] if ack.probe == ProbeId::new(77)));
    // Without an answer the origin hears a NACK in time, and for an unknown target at once.
    bench.log.clear();
    bench.hear(1, request);
    bench.pass(millis(410), |_| false);
    let nacked = bench.sent_to(1).into_iter().cloned().collect::<Vec<_>>();
    assert!(
        nacked
            .iter()
            .any(|body| matches!(body, Body::SwimNack(nack) if nack.probe == ProbeId::new(77)))
    );
    bench.log.clear();
    bench.hear(
        1,
        SwimPingReq {
            probe: ProbeId::new(78),
            target: node_id(9),
            updates: Vec::new(),
        },
    );
    assert!(matches!(bench.sent_to(1)[..], [Body::SwimNack(_)]));
}

#[test]
fn a_join_is_answered_with_everybody() {
    let mut bench = Bench::new(150);
    bench.link(200);
    let record = record(200, EPOCH, 0, false);
    bench.hear(200, SwimJoin { record });
    bench.pass(millis(50), |_| true);
    let mut told = std::collections::BTreeSet::new();
    let mut ends = 0;
    for body in bench.sent_to(200) {
        if let Body::SwimState(state) = body {
            ends += usize::from(!state.more);
            assert!(state.updates.len() <= 64);
            told.extend(state.updates.iter().map(|update| match update {
                Update::Record(record) => record.record.node,
                other => panic!("{other:?}"),
            }));
        }
    }
    assert_eq!(
        (told.len(), ends),
        (151, 1),
        "all but who asked, and one end"
    );
}

#[test]
fn a_state_counts_only_from_who_was_asked() {
    let mut bench = Bench::new(1);
    let state = || SwimState {
        more: false,
        updates: vec![Update::Record(record(5, EPOCH, 0, false))],
    };
    bench.hear(1, state());
    assert_eq!(bench.blames(1), [Offence::UnexpectedState]);
    assert_eq!(bench.state(5), None);
    bench.swim.join(bench.now, node_id(1)).unwrap();
    bench.hear(1, state());
    assert_eq!(bench.state(5), Some(State::Alive));
    assert!(bench.log.contains(&Output::Joined { via: node_id(1) }));
    bench.hear(1, state());
    assert_eq!(bench.blames(1).len(), 2, "once");
}

#[test]
fn a_join_waits_for_its_link_and_is_repeated() {
    let mut bench = Bench::new(0);
    let joins = |bench: &Bench| {
        let bodies = bench.sent_to(1);
        bodies
            .iter()
            .filter(|body| matches!(body, Body::SwimJoin(_)))
            .count()
    };
    bench.swim.join(bench.now, node_id(1)).unwrap();
    bench.drain();
    assert_eq!(joins(&bench), 0);
    bench.link(1);
    assert_eq!(joins(&bench), 1);
    bench.unlink(1);
    bench.link(1);
    assert_eq!(joins(&bench), 2);
    bench.pass(millis(5_100), |_| false);
    assert_eq!(joins(&bench), 3);
    assert_eq!(bench.swim.join(bench.now, node_id(0)), Err(JoinError::Own));
    bench.swim.leave(bench.now);
    assert_eq!(bench.swim.join(bench.now, node_id(2)), Err(JoinError::Left));
}

#[test]
fn a_new_run_ends_the_one_before() {
    let mut bench = Bench::new(2);
    bench.news(1, vec![Update::Record(record(1, EPOCH + 5, 0, false))]);
    let node = node_id(1);
    let epoch = Epoch::new(EPOCH);
    let down = bench
        .log
        .iter()
        .position(|output| *output == Output::Down { node, epoch });
    let up = bench
        .log
        .iter()
        .position(|output| matches!(output, Output::Up { .. }));
    assert!(down.is_some() && down < up, "{:?}", bench.log);
    bench.news(2, vec![Update::Record(record(1, EPOCH, 900, false))]);
    let member = bench.swim.member(&node).unwrap();
    assert_eq!(
        member.record().epoch,
        Epoch::new(EPOCH + 5),
        "an old run is over"
    );
}

#[test]
fn a_later_run_of_oneself_is_reported() {
    let mut bench = Bench::new(1);
    bench.news(1, vec![Update::Record(record(0, EPOCH + 1, 0, false))]);
    let epoch = Epoch::new(EPOCH + 1);
    assert!(bench.log.contains(&Output::Superseded { epoch }));
    // A record of this run that is ahead is overtaken.
    bench.news(1, vec![Update::Record(record(0, EPOCH, 9, false))]);
    assert_eq!(bench.swim.own_record().record.incarnation.get(), 10);
}

#[test]
fn who_has_left_says_nothing_more() {
    let mut bench = Bench::new(3);
    bench.swim.leave(bench.now);
    bench.drain();
    let goodbyes = bench.log.iter().filter(|output| {
        matches!(
            output,
            Output::Send {
                class: Class::Reliable,
                ..
            }
        )
    });
    assert_eq!(goodbyes.count(), 3);
    assert_eq!(bench.swim.poll_timeout(), None);
    bench.log.clear();
    bench.hear(
        1,
        SwimPing {
            probe: ProbeId::new(1),
            updates: Vec::new(),
        },
    );
    assert!(bench.log.is_empty());
    assert_eq!(
        bench.swim.set_tags(bench.now, Vec::new()),
        Err(RecordError::Left)
    );
}

#[test]
fn tags_and_addresses_are_spread() {
    let mut bench = Bench::new(2);
    let tag = |number: usize, len: usize| Tag {
        key: format!("site{number:02}"),
        value: "x".repeat(len),
    };
    bench.swim.set_tags(bench.now, vec![tag(1, 8)]).unwrap();
    bench.swim.set_addresses(bench.now, Vec::new()).unwrap();
    let record = &bench.swim.own_record().record;
    assert_eq!(
        (
            record.incarnation.get(),
            record.tags.len(),
            record.addresses.len()
        ),
        (2, 1, 0)
    );
    bench.pass(millis(300), |_| true);
    let own = Update::Record(bench.swim.own_record().clone());
    let told =
        |body: &&Body| matches!(body, Body::SwimGossip(gossip) if gossip.updates.contains(&own));
    assert!(bench.sent_to(1).into_iter().any(|body| told(&body)));
    // The twins: one tag too long, and too many that are short enough.
    assert!(matches!(
        bench.swim.set_tags(bench.now, vec![tag(1, 65)]),
        Err(RecordError::Field(_))
    ));
    let many = (0..16).map(|number| tag(number, 60)).collect();
    assert!(matches!(
        bench.swim.set_tags(bench.now, many),
        Err(RecordError::TooLarge { max: 880, .. })
    ));
    assert_eq!(bench.swim.own_record().record.incarnation.get(), 2);
}

#[test]
fn an_own_record_over_the_limit_is_refused() {
    let create = |agent: usize| {
        let now = Instant::from_millis(1);
        let mut own = OwnRecord::new(Epoch::new(1));
        own.agent = "a".repeat(agent);
        let signer = std::sync::Arc::new(StubSigner::new(node_id(0)));
        let random = Random::new(1);
        Swim::new(
            Config::default(),
            realm_name(),
            signer,
            own,
            random,
            now,
            wall_ms(now),
        )
    };
    assert!(create(64).is_ok());
    assert!(matches!(create(65), Err(RecordError::Field(_))));
}

#[test]
fn who_is_gone_is_forgotten_in_time() {
    let mut config = Config::default();
    config.forget_after = Duration::from_secs(60);
    let mut bench = Bench::with(config, 3);
    bench.news(1, vec![Update::Record(record(1, EPOCH, 1, true))]);
    bench.pass(Duration::from_secs(10), |other| other != 2);
    assert_eq!(bench.state(1), Some(State::Left));
    assert_eq!(bench.state(2), Some(State::Dead));
    bench.pass(Duration::from_secs(51), |_| true);
    assert_eq!(bench.state(1), None);
    bench.pass(Duration::from_secs(15), |_| true);
    assert_eq!(bench.state(2), None);
    assert_eq!(bench.swim.counts().present(), 2);
    assert_eq!(bench.swim.members().count(), 2);
}

#[test]
fn a_datagram_stays_within_its_limit_however_much_there_is_to_say() {
    let mut bench = Bench::new(1);
    for number in 2..200 {
        bench.news(1, vec![Update::Record(record(number, EPOCH, 0, false))]);
        let accused = record(number, EPOCH, 0, false);
        bench.news(1, vec![suspect(&accused, 1)]);
    }
    bench.pass(millis(2_000), |_| true);
    let mut longest = 0;
    for output in &bench.log {
        if let Output::Send {
            class: Class::Datagram,
            body,
            ..
        } = output
        {
            longest = longest.max(Message::from(body.clone()).to_bytes().unwrap().len());
        }
    }
    assert!((900..=1_100).contains(&longest), "{longest}");
}

#[test]
fn an_answer_that_comes_part_by_part_is_not_asked_for_again() {
    let joins = |parts: bool| {
        let mut bench = Bench::new(0);
        bench.link(1);
        bench.swim.join(bench.now, node_id(1)).unwrap();
        bench.drain();
        for _ in 0..4 {
            bench.pass(millis(3_000), |_| true);
            if parts {
                let updates = vec![Update::Record(record(1, EPOCH, 0, false))];
                bench.hear(
                    1,
                    SwimState {
                        more: true,
                        updates,
                    },
                );
            }
        }
        let sent = bench.sent_to(1).into_iter();
        sent.filter(|body| matches!(body, Body::SwimJoin(_)))
            .count()
    };
    assert_eq!(joins(true), 1);
    assert!(joins(false) > 1, "the twin");
}
