//! Directed tests of every rule of the machine, each refusal with an accepted twin.

use std::time::Duration;

use macula_pubsub::{
    Audience, Config, DeclareError, Destination, Input, LocalId, Offence, Output, PubSub,
    RetractError, SessionId, SubscribeError, UnsubscribeError, WatchKey,
};
use macula_realm::{DefaultRules, Principal, Tenant, Verdict};
use macula_testkit::node_id;
use macula_wire::message::Interest;
use macula_wire::{ErrorCode, Machine, NodeId};

use crate::common::{
    Always, anybody, at, change, drain, full, local, machine, own, pattern, session, subscribe,
    topic,
};

fn up(pubsub: &mut PubSub, millis: u64, node: NodeId) {
    pubsub.handle_input(at(millis), Input::MemberUp { node });
}

fn hear(pubsub: &mut PubSub, millis: u64, from: NodeId, message: Interest) {
    pubsub.handle_input(at(millis), Input::Interest { from, message });
}

/// What is announced to all, in order.
fn announced(outputs: &[Output]) -> Vec<&Interest> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Announce {
                to: Audience::AllMembers,
                interest,
            } => Some(interest),
            _ => None,
        })
        .collect()
}

fn tables(outputs: &[Output]) -> usize {
    let is_table = |output: &&Output| matches!(output, Output::Table(_));
    outputs.iter().filter(is_table).count()
}

fn offences(outputs: &[Output]) -> Vec<(NodeId, Offence)> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Misbehaved { peer, offence } => Some((*peer, *offence)),
            _ => None,
        })
        .collect()
}

fn destinations(pubsub: &PubSub, text: &str) -> Vec<Destination> {
    pubsub.table().matches(&topic(text))
}

const LOCAL: Destination = Destination::Local(LocalId::new(1));

#[test]
fn rights_are_asked_for_before_anything_else() {
    let mut pubsub = machine(Config::default());
    let tenant = anybody().with_tenant(Tenant::new("acme").unwrap());
    let mut try_as = |who: &Principal, text: &str| {
        pubsub.subscribe(at(0), &DefaultRules, who, local(1), pattern(text))
    };
    assert_eq!(try_as(&tenant, "other.**"), Err(SubscribeError::Denied));
    assert_eq!(try_as(&tenant, "**"), Err(SubscribeError::Denied));
    assert_eq!(try_as(&anybody(), "$sys.**"), Err(SubscribeError::Denied));
    assert_eq!(try_as(&tenant, "acme.**"), Ok(()));
    // Who may not is not told that the id is in use.
    assert_eq!(try_as(&tenant, "other.**"), Err(SubscribeError::Denied));
    assert_eq!(try_as(&tenant, "acme.a"), Err(SubscribeError::Exists));
    assert_eq!(pubsub.subscriptions(), 1);
}

#[test]
fn interest_in_reserved_names_stays_on_the_node() {
    let mut pubsub = machine(Config::default());
    let other = node_id(1);
    up(&mut pubsub, 0, other);
    drain(&mut pubsub);
    for (id, text) in [(1, "$sys.x"), (2, "sys.x")] {
        let result = pubsub.subscribe(
            at(10),
            &Always(Verdict::Allow),
            &anybody(),
            local(id),
            pattern(text),
        );
        assert_eq!(result, Ok(()), "{text}");
    }
    pubsub.handle_timeout(at(100));
    let outputs = drain(&mut pubsub);
    let said: Vec<_> = announced(&outputs)
        .into_iter()
        .flat_map(|interest| interest.add.clone())
        .collect();
    assert_eq!(said, [pattern("sys.x")]);
    assert_eq!(destinations(&pubsub, "$sys.x"), [LOCAL]);
    // What another member wants of it is not for that member.
    hear(&mut pubsub, 200, other, full(1, &["$sys.x", "sys.x"]));
    assert_eq!(destinations(&pubsub, "$sys.x"), [LOCAL]);
    assert_eq!(destinations(&pubsub, "sys.x").len(), 2);
    pubsub.unsubscribe(at(300), local(1)).unwrap();
    pubsub.handle_timeout(at(400));
    assert!(announced(&drain(&mut pubsub)).is_empty());
    assert!(destinations(&pubsub, "$sys.x").is_empty());
}

#[test]
fn what_is_not_decided_yet_can_be_tried_again() {
    let mut pubsub = machine(Config::default());
    let (who, wanted) = (anybody(), pattern("a"));
    let unknown = Always(Verdict::Unknown);
    let result = pubsub.subscribe(at(0), &unknown, &who, local(1), wanted.clone());
    assert_eq!(result, Err(SubscribeError::Undecided));
    assert_eq!(SubscribeError::Undecided.code(), ErrorCode::AUTHZ_FAILED);
    let allow = Always(Verdict::Allow);
    assert_eq!(
        pubsub.subscribe(at(0), &allow, &who, local(1), wanted),
        Ok(())
    );
}

#[test]
fn a_session_has_a_limit_of_its_own() {
    let mut config = Config::default();
    config.max_session_subscriptions = 2;
    let mut pubsub = machine(config);
    let mut try_as = |subscriber, text: &str| {
        pubsub.subscribe(at(0), &DefaultRules, &anybody(), subscriber, pattern(text))
    };
    let limit = 2;
    assert_eq!(try_as(session(1, 1), "a"), Ok(()));
    assert_eq!(try_as(session(1, 2), "b"), Ok(()));
    assert_eq!(
        try_as(session(1, 3), "c"),
        Err(SubscribeError::SessionFull { limit })
    );
    assert_eq!(try_as(session(2, 3), "c"), Ok(()));
    assert_eq!(try_as(local(1), "c"), Ok(()));
    pubsub.unsubscribe(at(0), session(1, 1)).unwrap();
    subscribe(&mut pubsub, at(0), session(1, 3), "c");
    // What a client held no longer counts once it is gone.
    pubsub.drop_session(at(0), SessionId::new(1));
    subscribe(&mut pubsub, at(0), session(1, 4), "a");
}

#[test]
fn the_node_has_limits_for_subscriptions_and_for_patterns() {
    let mut config = Config::default();
    config.max_subscriptions = 3;
    config.max_patterns = 2;
    let mut pubsub = machine(config);
    let mut try_as = |id, text: &str| {
        pubsub.subscribe(at(0), &DefaultRules, &anybody(), local(id), pattern(text))
    };
    assert_eq!(try_as(1, "a"), Ok(()));
    assert_eq!(try_as(2, "b"), Ok(()));
    let refused = SubscribeError::TooManyPatterns { limit: 2 };
    assert_eq!(try_as(3, "c"), Err(refused));
    assert_eq!(refused.code(), ErrorCode::OVERLOADED);
    assert_eq!(try_as(3, "b"), Ok(()));
    let refused = SubscribeError::TooManySubscriptions { limit: 3 };
    assert_eq!(try_as(4, "b"), Err(refused));
}

#[test]
fn only_what_is_there_can_be_ended() {
    let mut pubsub = machine(Config::default());
    subscribe(&mut pubsub, at(0), local(1), "a");
    let unknown = Err(UnsubscribeError::Unknown);
    assert_eq!(pubsub.unsubscribe(at(0), local(2)), unknown);
    assert_eq!(pubsub.unsubscribe(at(0), local(1)), Ok(()));
    assert_eq!(pubsub.unsubscribe(at(0), local(1)), unknown);
}

#[test]
fn a_client_that_goes_takes_its_subscriptions_along() {
    let mut pubsub = machine(Config::default());
    subscribe(&mut pubsub, at(0), session(1, 1), "a");
    subscribe(&mut pubsub, at(0), session(1, u64::MAX), "a.**");
    subscribe(&mut pubsub, at(0), session(2, 1), "a");
    subscribe(&mut pubsub, at(0), local(1), "a");
    pubsub.handle_timeout(at(1));
    let other = Destination::Session(SessionId::new(2));
    let gone = Destination::Session(SessionId::new(1));
    assert_eq!(destinations(&pubsub, "a"), [LOCAL, gone, other]);
    assert_eq!(pubsub.drop_session(at(10), SessionId::new(1)), 2);
    assert_eq!(pubsub.drop_session(at(10), SessionId::new(1)), 0);
    assert_eq!(destinations(&pubsub, "a"), [LOCAL, other]);
    assert!(destinations(&pubsub, "a.b").is_empty());
}

#[test]
fn a_pattern_is_announced_once_and_withdrawn_with_its_last_subscriber() {
    let mut pubsub = machine(Config::default());
    up(&mut pubsub, 0, node_id(1));
    drain(&mut pubsub);
    for (time, subscriber) in [(10, local(1)), (20, local(2)), (30, session(1, 1))] {
        subscribe(&mut pubsub, at(time), subscriber, "a");
    }
    subscribe(&mut pubsub, at(40), session(1, 2), "a");
    let outputs = drain(&mut pubsub);
    assert_eq!(announced(&outputs), [&change(1, &["a"], &[])]);
    for (time, subscriber) in [(50, local(1)), (60, session(1, 2)), (70, session(1, 1))] {
        pubsub.unsubscribe(at(time), subscriber).unwrap();
    }
    assert!(announced(&drain(&mut pubsub)).is_empty());
    pubsub.unsubscribe(at(80), local(2)).unwrap();
    let outputs = drain(&mut pubsub);
    assert_eq!(announced(&outputs), [&change(2, &[], &["a"])]);
    assert!(pubsub.table().is_empty());
}

#[test]
fn a_thousand_subscriptions_in_one_turn_make_two_tables() {
    let mut pubsub = machine(Config::default());
    up(&mut pubsub, 0, node_id(1));
    drain(&mut pubsub);
    for number in 0..3_000 {
        subscribe(&mut pubsub, at(10), local(number), &format!("a.{number}"));
    }
    assert_eq!((pubsub.table().version(), pubsub.version()), (1, 2));
    let outputs = drain(&mut pubsub);
    assert_eq!((tables(&outputs), announced(&outputs).len()), (1, 1));
    assert_eq!(pubsub.poll_timeout(), Some(at(11)));
    pubsub.handle_timeout(at(11));
    let outputs = drain(&mut pubsub);
    assert_eq!(tables(&outputs), 1);
    let sizes: Vec<usize> = announced(&outputs)
        .iter()
        .map(|interest| interest.add.len())
        .collect();
    assert_eq!(sizes, [1_024, 1_024, 951]);
    assert_eq!((pubsub.table().len(), pubsub.version()), (3_000, 2));
}

#[test]
fn the_table_is_there_before_the_announcement() {
    let mut pubsub = machine(Config::default());
    up(&mut pubsub, 0, node_id(1));
    drain(&mut pubsub);
    subscribe(&mut pubsub, at(5), local(1), "a");
    let outputs = drain(&mut pubsub);
    assert!(
        matches!(outputs[..], [Output::Table(_), Output::Announce { .. }]),
        "{outputs:?}"
    );
}

#[test]
fn whoever_comes_up_is_told_everything_each_time() {
    let mut pubsub = machine(Config::default());
    subscribe(&mut pubsub, at(0), local(1), "a");
    drain(&mut pubsub);
    for time in [1, 2] {
        up(&mut pubsub, time, node_id(1));
        let outputs = drain(&mut pubsub);
        let [Output::Announce { to, interest }] = &outputs[..] else {
            panic!("{outputs:?}");
        };
        assert_eq!(*to, Audience::Member(node_id(1)));
        assert_eq!(*interest, full(0, &["a"]));
    }
    up(&mut pubsub, 3, own());
    assert!(drain(&mut pubsub).is_empty());
}

#[test]
fn what_is_announced_is_renewed_before_half_of_the_lease() {
    let mut pubsub = machine(Config::default());
    up(&mut pubsub, 0, node_id(1));
    drain(&mut pubsub);
    let mut last = at(0);
    for _ in 0..20 {
        let due = pubsub.poll_timeout().unwrap();
        let pause = due.saturating_since(last);
        assert!(pause > Duration::from_secs(26) && pause <= Duration::from_secs(30));
        pubsub.handle_timeout(due);
        let outputs = drain(&mut pubsub);
        assert_eq!(announced(&outputs), [&change(0, &[], &[])]);
        last = due;
    }
}

#[test]
fn the_interest_of_others_enters_the_table_and_leaves_with_them() {
    let mut pubsub = machine(Config::default());
    let member = Destination::Member(node_id(1));
    hear(&mut pubsub, 0, node_id(1), full(7, &["a.*", "b"]));
    assert_eq!(destinations(&pubsub, "a.x"), [member]);
    hear(&mut pubsub, 10, node_id(1), change(8, &["c"], &["a.*"]));
    assert!(destinations(&pubsub, "a.x").is_empty());
    assert_eq!(destinations(&pubsub, "c"), [member]);
    assert!(
        pubsub
            .interest_of(&node_id(1))
            .eq(&[pattern("b"), pattern("c")])
    );
    let node = node_id(1);
    pubsub.handle_input(at(20), Input::MemberDown { node });
    assert!(pubsub.table().is_empty());
    assert_eq!(pubsub.interested().count(), 0);
    assert!(offences(&drain(&mut pubsub)).is_empty());
}

#[test]
fn interest_that_nobody_renews_is_forgotten_when_its_lease_ends() {
    let mut pubsub = machine(Config::default());
    hear(&mut pubsub, 0, node_id(1), full(0, &["a"]));
    hear(&mut pubsub, 30_000, node_id(1), change(0, &[], &[]));
    drain(&mut pubsub);
    assert_eq!(pubsub.poll_timeout(), Some(at(90_000)));
    pubsub.handle_timeout(at(89_999));
    assert_eq!(pubsub.table().len(), 1);
    pubsub.handle_timeout(at(90_000));
    assert!(pubsub.table().is_empty());
    assert_eq!(tables(&drain(&mut pubsub)), 1);
}

#[test]
fn broken_rules_are_reported_and_change_nothing() {
    let disorder = Interest {
        add: vec![pattern("c"), pattern("b")],
        ..full(9, &[])
    };
    for (from, message, offence) in [
        (node_id(2), change(1, &["b"], &[]), Offence::WithoutFull),
        (node_id(1), change(3, &["b"], &[]), Offence::Skipped),
        (
            node_id(1),
            change(2, &["b"], &["b"]),
            Offence::Contradiction,
        ),
        (node_id(1), disorder, Offence::Disorder),
        (own(), full(0, &["b"]), Offence::OwnIdentity),
    ] {
        let mut pubsub = machine(Config::default());
        hear(&mut pubsub, 0, node_id(1), full(1, &["a"]));
        drain(&mut pubsub);
        hear(&mut pubsub, 1, from, message);
        assert_eq!(offences(&drain(&mut pubsub)), [(from, offence)]);
        assert_eq!(pubsub.table().len(), 1);
        // The twin goes through.
        hear(&mut pubsub, 2, node_id(1), change(2, &["b"], &["a"]));
        pubsub.handle_timeout(at(10));
        assert!(offences(&drain(&mut pubsub)).is_empty());
        assert_eq!(destinations(&pubsub, "b").len(), 1);
    }
}

#[test]
fn a_member_beyond_the_limits_is_an_offender() {
    let mut config = Config::default();
    config.max_members = 1;
    config.max_patterns = 2;
    let mut pubsub = machine(config);
    hear(&mut pubsub, 0, node_id(1), full(0, &["a", "b", "c"]));
    hear(&mut pubsub, 0, node_id(1), full(0, &["a", "b"]));
    hear(&mut pubsub, 0, node_id(2), full(0, &[]));
    let expected = [
        (node_id(1), Offence::TooMany),
        (node_id(2), Offence::TooManyMembers),
    ];
    assert_eq!(offences(&drain(&mut pubsub)), expected);
    assert_eq!(pubsub.table().len(), 2);
}

#[test]
fn a_publisher_watches_where_its_subscribers_announce() {
    let mut pubsub = machine(Config::default());
    let mut declare = |millis, text: &str| {
        let result = pubsub.declare(at(millis), &DefaultRules, &anybody(), &topic(text));
        (result, drain(&mut pubsub))
    };
    let keys = |outputs: &[Output]| -> Vec<String> {
        let key = |output: &Output| match output {
            Output::Watch { key } => format!("watch {key}"),
            Output::Unwatch { key } => format!("unwatch {key}"),
            other => panic!("{other:?}"),
        };
        outputs.iter().map(key).collect()
    };
    let (result, outputs) = declare(0, "$sys.a");
    assert_eq!((result, outputs.len()), (Err(DeclareError::Denied), 0));
    assert_eq!(keys(&declare(0, "home.1").1), ["watch home", "watch *"]);
    assert!(declare(0, "home.1").1.is_empty());
    assert!(declare(0, "home.2").1.is_empty());
    assert_eq!(keys(&declare(0, "car.1").1), ["watch car"]);

    let mut retract = |text: &str| {
        let result = pubsub.retract(at(1), &topic(text));
        (result, drain(&mut pubsub))
    };
    assert_eq!(keys(&retract("car.1").1), ["unwatch car"]);
    assert_eq!(retract("car.1").0, Err(RetractError::Unknown));
    assert!(retract("home.1").1.is_empty());
    assert!(retract("home.1").1.is_empty());
    assert_eq!(keys(&retract("home.2").1), ["unwatch home", "unwatch *"]);
}

#[test]
fn topics_that_are_declared_have_a_limit() {
    let mut config = Config::default();
    config.max_publications = 1;
    let mut pubsub = machine(config);
    let mut declare = |text: &str| pubsub.declare(at(0), &DefaultRules, &anybody(), &topic(text));
    assert_eq!(declare("a"), Ok(()));
    let limit = 1;
    assert_eq!(declare("b"), Err(DeclareError::TooManyTopics { limit }));
    assert_eq!(declare("a"), Ok(()));
}

#[test]
fn a_pattern_that_matches_is_announced_under_a_key_that_is_watched() {
    let texts = [
        "**", "*", "a", "a.*", "*.b", "a.**", "b.c", "$sys.**", "$sys.a",
    ];
    for name in ["a", "a.b", "b.c", "$sys.a", "$sys"] {
        for text in texts
            .iter()
            .filter(|text| pattern(text).matches(&topic(name)))
        {
            let key = WatchKey::of_pattern(&pattern(text));
            assert!(
                key == WatchKey::Wildcard || key == WatchKey::of_topic(&topic(name)),
                "{text} {name}"
            );
        }
    }
}

#[test]
fn nothing_is_renewed_while_nobody_listens() {
    let mut pubsub = machine(Config::default());
    for number in 1..3 {
        up(&mut pubsub, 0, node_id(number));
    }
    drain(&mut pubsub);
    for (number, is_heard) in [(1, true), (2, false)] {
        let node = node_id(number);
        pubsub.handle_input(at(1), Input::MemberDown { node });
        assert_eq!(pubsub.poll_timeout().is_some(), is_heard);
    }
    up(&mut pubsub, 2, node_id(1));
    drain(&mut pubsub);
    assert!(pubsub.poll_timeout().is_some());
}
