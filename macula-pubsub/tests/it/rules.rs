//! Directed tests of every rule of the machine, each refusal with an accepted twin.

use macula_pubsub::{
    Config, DeclareError, Destination, Input, LocalId, Output, PubSub, RetractError, SessionId,
    SubscribeError, UnsubscribeError, WatchKey,
};
use macula_realm::{DefaultRules, Principal, Tenant, Verdict};
use macula_testkit::node_id;
use macula_wire::{ErrorCode, Machine, NodeId};

use crate::common::{
    Always, anybody, at, declare, drain, local, machine, own, pattern, session, subscribe, topic,
};

fn wanted(pubsub: &mut PubSub, millis: u64, node: NodeId, text: &str) {
    let pattern = pattern(text);
    pubsub.handle_input(at(millis), Input::Wanted { node, pattern });
}

fn unwanted(pubsub: &mut PubSub, millis: u64, node: NodeId, text: &str) {
    let pattern = pattern(text);
    pubsub.handle_input(at(millis), Input::Unwanted { node, pattern });
}

/// What is announced and withdrawn, in order.
fn announced(outputs: &[Output]) -> Vec<String> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Announce { pattern } => Some(format!("+{pattern}")),
            Output::Withdraw { pattern } => Some(format!("-{pattern}")),
            _ => None,
        })
        .collect()
}

fn tables(outputs: &[Output]) -> usize {
    let is_table = |output: &&Output| matches!(output, Output::Table(_));
    outputs.iter().filter(is_table).count()
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
    for name in ["$sys.x", "sys.x"] {
        let allow = Always(Verdict::Allow);
        let result = pubsub.declare(at(0), &allow, &anybody(), &topic(name));
        assert_eq!(result, Ok(()), "{name}");
    }
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
    assert_eq!(announced(&drain(&mut pubsub)), ["+sys.x"]);
    assert_eq!(destinations(&pubsub, "$sys.x"), [LOCAL]);
    // What another member wants of it is not for that member.
    wanted(&mut pubsub, 200, other, "$sys.x");
    wanted(&mut pubsub, 200, other, "sys.x");
    assert_eq!(destinations(&pubsub, "$sys.x"), [LOCAL]);
    assert_eq!(destinations(&pubsub, "sys.x").len(), 2);
    pubsub.unsubscribe(at(300), local(1)).unwrap();
    pubsub.handle_timeout(at(400));
    assert!(announced(&drain(&mut pubsub)).is_empty());
    assert!(destinations(&pubsub, "$sys.x").is_empty());
}

#[test]
fn dead_letters_are_for_everybody() {
    let mut pubsub = machine(Config::default());
    let allow = Always(Verdict::Allow);
    let letter = topic("$sys.dlq.jobs.x");
    let result = pubsub.declare(at(0), &allow, &anybody(), &letter);
    assert_eq!(result, Ok(()));
    drain(&mut pubsub);
    for (id, text) in [(1, "$sys.dlq.jobs.**"), (2, "$sys.dlqs.x"), (3, "**")] {
        let result = pubsub.subscribe(at(10), &allow, &anybody(), local(id), pattern(text));
        assert_eq!(result, Ok(()), "{text}");
    }
    pubsub.handle_timeout(at(100));
    let told = announced(&drain(&mut pubsub));
    assert_eq!(told, ["+$sys.dlq.jobs.**", "+**"]);
    let other = node_id(1);
    wanted(&mut pubsub, 200, other, "$sys.dlq.*.x");
    // A pattern that does not name them does not match them.
    wanted(&mut pubsub, 200, node_id(2), "**");
    let to = destinations(&pubsub, "$sys.dlq.jobs.x");
    assert_eq!(to, [LOCAL, Destination::Member(other)]);
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
    for (time, subscriber) in [(10, local(1)), (20, local(2)), (30, session(1, 1))] {
        subscribe(&mut pubsub, at(time), subscriber, "a");
    }
    subscribe(&mut pubsub, at(40), session(1, 2), "a");
    assert_eq!(announced(&drain(&mut pubsub)), ["+a"]);
    for (time, subscriber) in [(50, local(1)), (60, session(1, 2)), (70, session(1, 1))] {
        pubsub.unsubscribe(at(time), subscriber).unwrap();
    }
    assert!(announced(&drain(&mut pubsub)).is_empty());
    pubsub.unsubscribe(at(80), local(2)).unwrap();
    assert_eq!(announced(&drain(&mut pubsub)), ["-a"]);
    assert!(pubsub.table().is_empty());
}

#[test]
fn what_comes_and_goes_within_a_turn_is_not_announced() {
    let mut pubsub = machine(Config::default());
    subscribe(&mut pubsub, at(10), local(1), "a");
    assert_eq!(announced(&drain(&mut pubsub)), ["+a"]);
    subscribe(&mut pubsub, at(10), local(2), "b");
    pubsub.unsubscribe(at(10), local(2)).unwrap();
    pubsub.unsubscribe(at(10), local(1)).unwrap();
    subscribe(&mut pubsub, at(10), local(3), "a");
    pubsub.handle_timeout(at(20));
    assert!(announced(&drain(&mut pubsub)).is_empty());
    // The twin is announced.
    subscribe(&mut pubsub, at(30), local(2), "b");
    assert_eq!(announced(&drain(&mut pubsub)), ["+b"]);
}

#[test]
fn a_thousand_subscriptions_in_one_turn_make_two_tables() {
    let mut pubsub = machine(Config::default());
    for number in 0..3_000 {
        subscribe(&mut pubsub, at(10), local(number), &format!("a.{number}"));
    }
    assert_eq!((pubsub.table().version(), pubsub.version()), (1, 2));
    let outputs = drain(&mut pubsub);
    assert_eq!((tables(&outputs), announced(&outputs).len()), (1, 1));
    assert_eq!(pubsub.poll_timeout(), Some(at(11)));
    pubsub.handle_timeout(at(11));
    let outputs = drain(&mut pubsub);
    assert_eq!((tables(&outputs), announced(&outputs).len()), (1, 2_999));
    assert_eq!((pubsub.table().len(), pubsub.version()), (3_000, 2));
}

#[test]
fn a_thousand_members_that_want_something_in_one_turn_make_two_tables() {
    let mut pubsub = machine(Config::default());
    declare(&mut pubsub, at(0), &["a"]);
    drain(&mut pubsub);
    for number in 1..=1_000 {
        wanted(&mut pubsub, 10, node_id(number), "a");
    }
    pubsub.handle_timeout(at(11));
    assert_eq!(tables(&drain(&mut pubsub)), 2);
    assert_eq!(destinations(&pubsub, "a").len(), 1_000);
    assert_eq!(pubsub.poll_timeout(), None);
}

#[test]
fn the_table_is_there_before_the_announcement() {
    let mut pubsub = machine(Config::default());
    subscribe(&mut pubsub, at(5), local(1), "a");
    let outputs = drain(&mut pubsub);
    assert!(
        matches!(outputs[..], [Output::Table(_), Output::Announce { .. }]),
        "{outputs:?}"
    );
}

#[test]
fn the_interest_of_others_enters_the_table_and_leaves_with_them() {
    let mut pubsub = machine(Config::default());
    declare(&mut pubsub, at(0), &["a", "b", "c"]);
    let (one, two) = (node_id(1), node_id(2));
    let member = Destination::Member(one);
    for text in ["a.*", "b"] {
        wanted(&mut pubsub, 0, one, text);
    }
    wanted(&mut pubsub, 5, two, "b");
    pubsub.handle_timeout(at(9));
    assert_eq!(destinations(&pubsub, "a.x"), [member]);
    wanted(&mut pubsub, 10, one, "c");
    unwanted(&mut pubsub, 20, one, "a.*");
    assert!(destinations(&pubsub, "a.x").is_empty());
    assert_eq!(destinations(&pubsub, "c"), [member]);
    assert!(pubsub.interest_of(&one).eq(&[pattern("b"), pattern("c")]));
    assert_eq!(pubsub.interests(), 3);
    pubsub.handle_input(at(30), Input::MemberDown { node: one });
    assert_eq!(destinations(&pubsub, "b"), [Destination::Member(two)]);
    assert_eq!((pubsub.table().len(), pubsub.interests()), (1, 1));
    assert!(pubsub.interested().eq([&two]));
    // It may come back.
    wanted(&mut pubsub, 40, one, "b");
    assert_eq!(destinations(&pubsub, "b").len(), 2);
}

#[test]
fn what_is_known_already_makes_no_table() {
    let mut pubsub = machine(Config::default());
    declare(&mut pubsub, at(0), &["a"]);
    wanted(&mut pubsub, 0, node_id(1), "a");
    drain(&mut pubsub);
    wanted(&mut pubsub, 10, node_id(1), "a");
    unwanted(&mut pubsub, 20, node_id(1), "a.b");
    unwanted(&mut pubsub, 30, node_id(2), "a");
    let node = node_id(3);
    pubsub.handle_input(at(40), Input::MemberDown { node });
    assert!(drain(&mut pubsub).is_empty());
    unwanted(&mut pubsub, 50, node_id(1), "a");
    assert_eq!(tables(&drain(&mut pubsub)), 1);
}

#[test]
fn only_what_is_watched_is_taken_in_and_it_goes_with_the_watch() {
    let mut pubsub = machine(Config::default());
    let one = node_id(1);
    wanted(&mut pubsub, 0, one, "a.b");
    wanted(&mut pubsub, 0, one, "*.b");
    assert_eq!(pubsub.interests(), 0);
    declare(&mut pubsub, at(10), &["a.x", "b.x"]);
    for text in ["a.b", "*.b", "b.**", "c"] {
        wanted(&mut pubsub, 20, one, text);
    }
    // What this node itself wants it knows.
    wanted(&mut pubsub, 20, own(), "a.b");
    pubsub.handle_timeout(at(25));
    assert!(
        pubsub
            .interest_of(&one)
            .eq(&[pattern("*.b"), pattern("a.b"), pattern("b.**")])
    );
    pubsub.retract(at(30), &topic("a.x")).unwrap();
    assert!(destinations(&pubsub, "a.b").len() == 1, "by the wildcard");
    assert!(
        pubsub
            .interest_of(&one)
            .eq(&[pattern("*.b"), pattern("b.**")])
    );
    drain(&mut pubsub);
    pubsub.retract(at(40), &topic("b.x")).unwrap();
    let outputs = drain(&mut pubsub);
    assert!(pubsub.table().is_empty() && pubsub.interested().count() == 0);
    assert_eq!((tables(&outputs), pubsub.interests()), (1, 0));
}

#[test]
fn interest_beyond_the_limits_is_refused_and_counted() {
    let mut config = Config::default();
    config.max_interests = 3;
    config.max_patterns = 2;
    let mut pubsub = machine(config);
    declare(&mut pubsub, at(0), &["a"]);
    for text in ["a.1", "a.2", "a.3"] {
        wanted(&mut pubsub, 10, node_id(1), text);
    }
    assert_eq!((pubsub.interests(), pubsub.interests_refused()), (2, 1));
    wanted(&mut pubsub, 20, node_id(2), "a.1");
    wanted(&mut pubsub, 20, node_id(3), "a.1");
    assert_eq!((pubsub.interests(), pubsub.interests_refused()), (3, 2));
    // What is known is no more interest, and what went makes room.
    wanted(&mut pubsub, 30, node_id(1), "a.1");
    unwanted(&mut pubsub, 30, node_id(1), "a.2");
    wanted(&mut pubsub, 30, node_id(3), "a.1");
    assert_eq!((pubsub.interests(), pubsub.interests_refused()), (3, 2));
    pubsub.handle_timeout(at(40));
    assert_eq!(destinations(&pubsub, "a.1").len(), 3);
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
