//! Directed tests of every rule of the registry, each refusal with an accepted twin.

use macula_realm::{DefaultRules, Principal, Tenant, Verdict};
use macula_rpc::{
    Config, Input, Offer, Output, Provider, RegisterError, RegisterOptions, Registrant, Rpc,
    SessionKey, UnregisterError, UnwatchError, WatchError,
};
use macula_testkit::node_id;
use macula_wire::message::Invoke;
use macula_wire::{ErrorCode, Machine, NodeId};

use crate::common::{
    Always, anybody, at, drain, local, machine, own, pattern, procedure, register, session, watch,
};

fn offered(rpc: &mut Rpc, millis: u64, node: NodeId, text: &str, weight: u32) {
    offered_as(rpc, millis, node, text, Offer::new(weight, Invoke::P2c));
}

fn offered_as(rpc: &mut Rpc, millis: u64, node: NodeId, text: &str, offer: Offer) {
    let input = Input::Offered {
        node,
        pattern: pattern(text),
        offer,
    };
    rpc.handle_input(at(millis), input);
}

fn unoffered(rpc: &mut Rpc, millis: u64, node: NodeId, text: &str) {
    let pattern = pattern(text);
    rpc.handle_input(at(millis), Input::Unoffered { node, pattern });
}

/// Registers with a weight, and at most so many calls at a time.
fn register_with(
    rpc: &mut Rpc,
    millis: u64,
    registrant: Registrant,
    text: &str,
    weight: u32,
    concurrency: u32,
) -> Result<(), RegisterError> {
    let mut options = RegisterOptions::default();
    options.weight = weight;
    options.concurrency = concurrency;
    let name = pattern(text);
    rpc.register(
        at(millis),
        &DefaultRules,
        &anybody(),
        registrant,
        name,
        options,
    )
}

/// What is announced with its weight and what is withdrawn, in order.
fn announced(outputs: &[Output]) -> Vec<String> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Announce { pattern, offer } => Some(format!("+{pattern} {}", offer.weight)),
            Output::Withdraw { pattern } => Some(format!("-{pattern}")),
            _ => None,
        })
        .collect()
}

fn tables(outputs: &[Output]) -> usize {
    let is_table = |output: &&Output| matches!(output, Output::Table(_));
    outputs.iter().filter(is_table).count()
}

fn offers<'a>(rpc: &'a Rpc, text: &str) -> impl Iterator<Item = &'a macula_rpc::Candidate> {
    rpc.table().candidates(&procedure(text)).iter()
}

fn providers(rpc: &Rpc, text: &str) -> Vec<Provider> {
    let table = rpc.table();
    let candidates = table.candidates(&procedure(text));
    candidates
        .iter()
        .map(|candidate| candidate.provider)
        .collect()
}

#[test]
fn rights_are_asked_for_before_anything_else() {
    let mut rpc = machine(Config::default());
    let tenant = anybody().with_tenant(Tenant::new("acme").unwrap());
    let mut try_as = |who: &Principal, text: &str| {
        let (name, options) = (pattern(text), RegisterOptions::default());
        rpc.register(at(0), &DefaultRules, who, local(1), name, options)
    };
    assert_eq!(try_as(&tenant, "other.a"), Err(RegisterError::Denied));
    assert_eq!(try_as(&anybody(), "$sys.a"), Err(RegisterError::Denied));
    assert_eq!(try_as(&tenant, "acme.a"), Ok(()));
    assert_eq!(try_as(&tenant, "other.a"), Err(RegisterError::Denied));
    assert_eq!(try_as(&tenant, "acme.b"), Err(RegisterError::Exists));
    assert_eq!(RegisterError::Exists.code(), ErrorCode::ALREADY_REGISTERED);
    assert_eq!(rpc.registrations(), 1);
}

#[test]
fn what_is_not_decided_yet_can_be_tried_again() {
    let mut rpc = machine(Config::default());
    let mut try_with = |verdict| {
        let (name, options) = (pattern("a"), RegisterOptions::default());
        rpc.register(at(0), &Always(verdict), &anybody(), local(1), name, options)
    };
    assert_eq!(try_with(Verdict::Unknown), Err(RegisterError::Undecided));
    assert_eq!(try_with(Verdict::Allow), Ok(()));
}

#[test]
fn sessions_procedures_and_the_node_have_limits() {
    let mut config = Config::default();
    config.max_session_registrations = 1;
    config.max_procedures = 2;
    config.max_registrations = 4;
    let mut rpc = machine(config);
    let mut try_as = |registrant, text| register_with(&mut rpc, 0, registrant, text, 1, 0);
    assert_eq!(try_as(session(1, 1), "a"), Ok(()));
    let refused = RegisterError::SessionFull { limit: 1 };
    assert_eq!(try_as(session(1, 2), "a"), Err(refused));
    assert_eq!(try_as(session(2, 1), "b"), Ok(()));
    let refused = RegisterError::TooManyProcedures { limit: 2 };
    assert_eq!(try_as(local(1), "c"), Err(refused));
    assert_eq!(try_as(local(1), "b"), Ok(()));
    assert_eq!(try_as(local(2), "b"), Ok(()));
    let refused = RegisterError::TooManyRegistrations { limit: 4 };
    assert_eq!(try_as(local(3), "b"), Err(refused));
    rpc.unregister(at(0), session(1, 1)).unwrap();
    register(&mut rpc, at(0), session(1, 2), "a");
    // What a client held no longer counts once it is gone.
    rpc.drop_session(at(0), SessionKey::new(1));
    register(&mut rpc, at(0), session(1, 3), "a");
}

#[test]
fn only_what_is_there_can_be_ended() {
    let mut rpc = machine(Config::default());
    register(&mut rpc, at(0), local(1), "a");
    let unknown = Err(UnregisterError::Unknown);
    assert_eq!(rpc.unregister(at(0), local(2)), unknown);
    assert_eq!(rpc.unregister(at(0), local(1)), Ok(()));
    assert_eq!(rpc.unregister(at(0), local(1)), unknown);
}

#[test]
fn a_client_that_goes_takes_its_registrations_along() {
    let mut rpc = machine(Config::default());
    register(&mut rpc, at(0), session(1, 1), "a");
    register(&mut rpc, at(10), session(1, 2), "b");
    register(&mut rpc, at(20), session(2, 1), "a");
    assert_eq!(providers(&rpc, "a").len(), 2);
    assert_eq!(rpc.drop_session(at(30), SessionKey::new(1)), 2);
    assert_eq!(rpc.drop_session(at(30), SessionKey::new(1)), 0);
    assert_eq!(providers(&rpc, "a"), [Provider::from(session(2, 1))]);
    assert!(providers(&rpc, "b").is_empty());
    assert!(rpc.table().slots(session(1, 1).into()).is_none());
}

#[test]
fn a_node_offers_a_procedure_once_with_the_sum_of_the_weights() {
    let mut rpc = machine(Config::default());
    let said = |rpc: &mut Rpc| announced(&drain(rpc));
    register_with(&mut rpc, 10, local(1), "a", 2, 0).unwrap();
    assert_eq!(said(&mut rpc), ["+a 2"]);
    register_with(&mut rpc, 20, session(1, 1), "a", u32::MAX, 0).unwrap();
    assert_eq!(said(&mut rpc), [format!("+a {}", u32::MAX)]);
    rpc.unregister(at(30), session(1, 1)).unwrap();
    assert_eq!(said(&mut rpc), ["+a 2"]);
    // A weight of nothing changes only how many calls are taken at a time.
    register_with(&mut rpc, 40, local(2), "a", 0, 0).unwrap();
    assert_eq!(said(&mut rpc), ["+a 2"]);
    let provided = offers(&rpc, "a");
    assert_eq!(provided.map(|one| one.concurrency).sum::<u32>(), 2 * 1_024);
    rpc.unregister(at(50), local(1)).unwrap();
    assert_eq!(said(&mut rpc), ["+a 0"]);
    rpc.unregister(at(60), local(2)).unwrap();
    assert_eq!(said(&mut rpc), ["-a"]);
    assert!(rpc.table().is_empty());
}

#[test]
fn the_table_tells_those_on_this_node_from_members() {
    let mut rpc = machine(Config::default());
    watch(&mut rpc, at(0), &["a", "b"]);
    offered(&mut rpc, 0, node_id(1), "a", 1);
    offered(&mut rpc, 5, node_id(1), "b", 1);
    register(&mut rpc, at(10), local(1), "a");
    register(&mut rpc, at(20), session(1, 1), "a");
    let here: [Provider; 2] = [local(1).into(), session(1, 1).into()];
    let member = Provider::Member(node_id(1));
    let table = rpc.table();
    assert_eq!(providers(&rpc, "a"), [here[0], here[1], member]);
    let near = table.candidates_here(&procedure("a")).iter();
    assert!(near.map(|one| one.provider).eq(here));
    assert!(table.candidates_here(&procedure("b")).is_empty());
    assert!(table.candidates(&procedure("c")).is_empty());
    assert!(
        table
            .iter()
            .map(|(served, _)| served)
            .eq(&[pattern("a"), pattern("b")])
    );
    assert_eq!(table.len(), 2);
}

#[test]
fn a_registration_says_how_many_calls_it_takes_within_the_limit() {
    let mut config = Config::default();
    config.max_concurrency = 8;
    let mut rpc = machine(config);
    for (number, (wanted, granted)) in (0..).zip([(0, 8), (3, 3), (8, 8), (9, 8)]) {
        let registrant = local(number);
        register_with(&mut rpc, number * 10, registrant, "a", 1, wanted).unwrap();
        let table = rpc.table();
        let slots = table.slots(registrant.into()).unwrap();
        assert_eq!(slots.limit(), granted, "{wanted}");
    }
    assert!(rpc.table().slots(Provider::Member(node_id(1))).is_none());
}

#[test]
fn many_registrations_in_one_turn_make_two_tables() {
    let mut rpc = machine(Config::default());
    for number in 0..1_500 {
        register(&mut rpc, at(10), local(number), &format!("a.{number}"));
    }
    assert_eq!((rpc.table().version(), rpc.version()), (1, 2));
    rpc.handle_timeout(at(11));
    let outputs = drain(&mut rpc);
    assert_eq!((tables(&outputs), announced(&outputs).len()), (2, 1_500));
    assert_eq!(rpc.table().len(), 1_500);
}

#[test]
fn the_table_is_there_before_the_announcement() {
    let mut rpc = machine(Config::default());
    register(&mut rpc, at(0), local(1), "a");
    let outputs = drain(&mut rpc);
    assert!(
        matches!(
            outputs[..],
            [
                Output::Watch { .. },
                Output::Table(_),
                Output::Announce { .. }
            ]
        ),
        "{outputs:?}"
    );
}

#[test]
fn the_offers_of_others_enter_the_table_and_leave_with_them() {
    let mut rpc = machine(Config::default());
    watch(&mut rpc, at(0), &["a", "b", "c"]);
    let (one, two) = (node_id(1), node_id(2));
    let member = Provider::Member(one);
    offered(&mut rpc, 0, one, "a", 1);
    offered(&mut rpc, 5, one, "b", 1);
    offered(&mut rpc, 10, two, "b", 1);
    assert_eq!(providers(&rpc, "a"), [member]);
    offered(&mut rpc, 20, one, "c", 1);
    unoffered(&mut rpc, 30, one, "a");
    assert!(providers(&rpc, "a").is_empty());
    assert_eq!(providers(&rpc, "c"), [member]);
    let of_one = rpc.offers_of(&one).map(|(name, _)| name);
    assert!(of_one.eq(&[pattern("b"), pattern("c")]));
    offered(&mut rpc, 40, one, "c", 0);
    assert_eq!(rpc.table().candidates(&procedure("c"))[0].weight, 0);
    rpc.handle_input(at(50), Input::MemberDown { node: one });
    assert_eq!(providers(&rpc, "b"), [Provider::Member(two)]);
    assert_eq!((rpc.table().len(), rpc.offers()), (1, 1));
    assert!(rpc.offering().eq([&two]));
    // It may come back.
    offered(&mut rpc, 60, one, "b", 1);
    assert_eq!(providers(&rpc, "b").len(), 2);
}

#[test]
fn what_is_known_already_makes_no_table() {
    let mut rpc = machine(Config::default());
    watch(&mut rpc, at(0), &["a"]);
    offered(&mut rpc, 0, node_id(1), "a", 1);
    drain(&mut rpc);
    offered(&mut rpc, 10, node_id(1), "a", 1);
    unoffered(&mut rpc, 20, node_id(2), "a");
    let node = node_id(3);
    rpc.handle_input(at(30), Input::MemberDown { node });
    assert!(drain(&mut rpc).is_empty());
    offered(&mut rpc, 40, node_id(1), "a", 2);
    assert_eq!(tables(&drain(&mut rpc)), 1);
}

#[test]
fn only_what_is_watched_is_taken_in_and_it_goes_with_the_watch() {
    let mut rpc = machine(Config::default());
    offered(&mut rpc, 0, node_id(1), "a", 1);
    watch(&mut rpc, at(10), &["a", "b"]);
    offered(&mut rpc, 10, node_id(1), "a", 1);
    offered(&mut rpc, 20, node_id(1), "b", 1);
    offered(&mut rpc, 30, node_id(1), "c", 1);
    // What this node itself offers it knows.
    offered(&mut rpc, 30, own(), "b", 1);
    register(&mut rpc, at(40), local(1), "a");
    assert_eq!((rpc.offers(), providers(&rpc, "a").len()), (2, 2));
    drain(&mut rpc);
    // What is served here is watched as well.
    rpc.unwatch(at(50), &procedure("a")).unwrap();
    assert_eq!((tables(&drain(&mut rpc)), rpc.offers()), (0, 2));
    rpc.unregister(at(60), local(1)).unwrap();
    assert_eq!((tables(&drain(&mut rpc)), rpc.offers()), (1, 1));
    register(&mut rpc, at(70), local(1), "a");
    assert_eq!(providers(&rpc, "a"), [Provider::from(local(1))]);
    assert_eq!((rpc.offers(), providers(&rpc, "b").len()), (1, 1));
}

#[test]
fn offers_beyond_the_limits_are_refused_and_counted() {
    let mut config = Config::default();
    config.max_offers = 3;
    config.max_procedures = 2;
    let mut rpc = machine(config);
    watch(&mut rpc, at(0), &["a", "b", "c"]);
    for text in ["a", "b", "c"] {
        offered(&mut rpc, 0, node_id(1), text, 1);
    }
    assert_eq!((rpc.offers(), rpc.offers_refused()), (2, 1));
    offered(&mut rpc, 10, node_id(2), "a", 1);
    offered(&mut rpc, 10, node_id(3), "a", 1);
    assert_eq!((rpc.offers(), rpc.offers_refused()), (3, 2));
    // Another weight is no more, and what went makes room.
    offered(&mut rpc, 20, node_id(1), "a", 5);
    unoffered(&mut rpc, 20, node_id(1), "b");
    offered(&mut rpc, 20, node_id(3), "a", 1);
    assert_eq!((rpc.offers(), rpc.offers_refused()), (3, 2));
    rpc.handle_timeout(at(30));
    assert_eq!(providers(&rpc, "a").len(), 3);
}

#[test]
fn a_caller_watches_what_it_calls() {
    let mut config = Config::default();
    config.max_watched = 1;
    let mut rpc = machine(config);
    let mut watch = |text: &str| {
        let result = rpc.watch(at(0), &DefaultRules, &anybody(), &procedure(text));
        (result, drain(&mut rpc).len())
    };
    assert_eq!(watch("$sys.a"), (Err(WatchError::Denied), 0));
    // Its own key, that of its first segment, and that of what begins with a wildcard.
    assert_eq!(watch("a"), (Ok(()), 3));
    assert_eq!(watch("a"), (Ok(()), 0));
    let refused = WatchError::TooManyProcedures { limit: 1 };
    assert_eq!(watch("b"), (Err(refused), 0));
    let mut unwatch = |text: &str| {
        let result = rpc.unwatch(at(1), &procedure(text));
        (result, drain(&mut rpc).len())
    };
    assert_eq!(unwatch("b"), (Err(UnwatchError::Unknown), 0));
    assert_eq!(unwatch("a"), (Ok(()), 0));
    assert_eq!(unwatch("a"), (Ok(()), 3));
    assert_eq!(unwatch("a"), (Err(UnwatchError::Unknown), 0));
}

#[test]
fn another_policy_is_refused_and_who_came_first_holds() {
    let mut rpc = machine(Config::default());
    register(&mut rpc, at(0), local(1), "a");
    let other = || RegisterOptions::default().invoke(Invoke::Hash);
    let mut try_with = |millis, registrant, options| {
        let (who, name) = (anybody(), pattern("a"));
        rpc.register(at(millis), &DefaultRules, &who, registrant, name, options)
    };
    let held = Invoke::P2c;
    let refused = RegisterError::Conflict { held };
    assert_eq!(refused.code(), ErrorCode::POLICY_CONFLICT);
    assert_eq!(try_with(10, local(2), other()), Err(refused));
    assert_eq!(try_with(20, local(2), RegisterOptions::default()), Ok(()));
    assert_eq!(providers(&rpc, "a").len(), 2);
}

/// A member that registered before this node did, by another policy, puts it out.
#[test]
fn who_turns_out_to_be_later_ends_and_is_told() {
    let mut config = Config::default();
    config.started_ms = 1_000;
    let mut rpc = machine(config);
    register(&mut rpc, at(0), local(1), "a");
    drain(&mut rpc);
    let mut later = Offer::new(1, Invoke::Hash);
    later.since_ms = 2_000;
    offered_as(&mut rpc, 10, node_id(1), "a", later.clone());
    assert_eq!(providers(&rpc, "a"), [Provider::from(local(1))]);
    let mut earlier = later;
    earlier.since_ms = 500;
    offered_as(&mut rpc, 20, node_id(2), "a", earlier);
    rpc.handle_timeout(at(30));
    let outputs = drain(&mut rpc);
    let ended = outputs.iter().find_map(|output| match output {
        Output::Ended { registrant, why } => Some((*registrant, *why)),
        _ => None,
    });
    let why = RegisterError::Conflict { held: Invoke::Hash };
    assert_eq!((ended, rpc.registrations()), (Some((local(1), why)), 0));
    assert_eq!(announced(&outputs), ["-a"]);
}

#[test]
fn one_alone_serves_where_there_is_to_be_one_until_it_is_taken_over() {
    let mut rpc = machine(Config::default());
    let single = || RegisterOptions::default().invoke(Invoke::Single);
    let mut try_with = |millis, registrant, options| {
        let (who, name) = (anybody(), pattern("a"));
        let done = rpc.register(at(millis), &DefaultRules, &who, registrant, name, options);
        (done, drain(&mut rpc))
    };
    assert_eq!(try_with(0, local(1), single()).0, Ok(()));
    let (refused, _) = try_with(10, local(2), single());
    assert_eq!(refused, Err(RegisterError::Taken));
    let (done, outputs) = try_with(20, local(2), single().takeover());
    assert_eq!(done, Ok(()));
    let is_told = |output: &Output| matches!(output, Output::Ended { registrant, why: RegisterError::Taken } if *registrant == local(1));
    assert!(outputs.iter().any(is_told), "{outputs:?}");
    assert_eq!(providers(&rpc, "a"), [Provider::from(local(2))]);
}

#[test]
fn the_most_specific_pattern_alone_is_served() {
    let mut rpc = machine(Config::default());
    watch(&mut rpc, at(0), &["a.b", "a.c", "x"]);
    for (millis, number, text) in [(0, 1, "a.b"), (10, 2, "a.*"), (20, 3, "**")] {
        let options = RegisterOptions::default();
        let name = pattern(text);
        rpc.register(
            at(millis),
            &DefaultRules,
            &anybody(),
            local(number),
            name,
            options,
        )
        .unwrap();
    }
    offered(&mut rpc, 30, node_id(1), "a.*", 1);
    rpc.handle_timeout(at(40));
    assert_eq!(providers(&rpc, "a.b"), [Provider::from(local(1))]);
    let both = [Provider::from(local(2)), Provider::Member(node_id(1))];
    assert_eq!(providers(&rpc, "a.c"), both);
    assert_eq!(providers(&rpc, "x"), [Provider::from(local(3))]);
    assert!(rpc.asked().eq([node_id(1)]));
    assert!(rpc.table().find(&procedure("$svc.ping")).is_none());
}

#[test]
fn a_registration_that_drains_is_known_to_ask_for_no_calls() {
    let mut rpc = machine(Config::default());
    register(&mut rpc, at(0), local(1), "a");
    drain(&mut rpc);
    let unknown = Err(UnregisterError::Unknown);
    assert_eq!(rpc.set_weight(at(10), local(2), 0), unknown);
    assert_eq!(rpc.set_weight(at(10), local(1), 0), Ok(()));
    assert_eq!(announced(&drain(&mut rpc)), ["+a 0"]);
    assert_eq!(offers(&rpc, "a").map(|one| one.weight).sum::<u32>(), 0);
    assert_eq!(rpc.set_weight(at(20), local(1), 3), Ok(()));
    assert_eq!(announced(&drain(&mut rpc)), ["+a 3"]);
}

#[test]
fn whoever_serves_the_names_of_services_announces_them_and_hears_of_no_others() {
    let mut rpc = machine(Config::default());
    let watching = |outputs: &[Output]| {
        let is_watch = |output: &&Output| matches!(output, Output::Watch { .. });
        outputs.iter().filter(is_watch).count()
    };
    for (number, text, watched) in [(1, "$svc.ping", 0), (2, "a.b", 1)] {
        let (name, options) = (pattern(text), RegisterOptions::default());
        let allow = Always(Verdict::Allow);
        let registrant = local(number);
        rpc.register(
            at(10 * number),
            &allow,
            &anybody(),
            registrant,
            name,
            options,
        )
        .unwrap();
        let outputs = drain(&mut rpc);
        assert_eq!(announced(&outputs), [format!("+{text} 1")]);
        assert_eq!(watching(&outputs), watched, "{text}");
    }
    assert_eq!(rpc.registrations(), 1, "those of applications");
    offered(&mut rpc, 30, node_id(1), "$svc.ping", 1);
    assert_eq!(providers(&rpc, "$svc.ping"), [Provider::from(local(1))]);
    // Who asks hears of all.
    rpc.watch(
        at(40),
        &Always(Verdict::Allow),
        &anybody(),
        &procedure("$svc.ping"),
    )
    .unwrap();
    offered(&mut rpc, 50, node_id(1), "$svc.ping", 1);
    let all = [Provider::from(local(1)), Provider::Member(node_id(1))];
    assert_eq!(providers(&rpc, "$svc.ping"), all);
    rpc.unregister(at(60), local(1)).unwrap();
    assert_eq!(providers(&rpc, "$svc.ping"), [Provider::Member(node_id(1))]);
    assert_eq!(rpc.unwatch(at(70), &procedure("$svc.ping")), Ok(()));
    assert!(providers(&rpc, "$svc.ping").is_empty());
}

#[test]
fn nobody_puts_out_those_who_describe_their_services() {
    let mut rpc = machine(Config::default());
    let allow = Always(Verdict::Allow);
    for text in ["$svc.ping", "a.b"] {
        let (name, options) = (pattern(text), RegisterOptions::default());
        let number = if text == "a.b" { 1 } else { 2 };
        let registrant = local(number);
        rpc.register(at(10), &allow, &anybody(), registrant, name, options)
            .unwrap();
        rpc.watch(at(20), &allow, &anybody(), &procedure(text))
            .unwrap();
    }
    let mut takeover = Offer::new(1, Invoke::P2c);
    (takeover.takeover, takeover.since_ms) = (true, u64::MAX);
    for (millis, rogue) in [(30, Offer::new(1, Invoke::Single)), (40, takeover)] {
        offered_as(&mut rpc, millis, node_id(1), "$svc.ping", rogue);
        rpc.handle_timeout(at(millis + 5));
        assert_eq!(providers(&rpc, "$svc.ping"), [Provider::from(local(2))]);
    }
    // The twins: who does as all do is taken in, and other names may be taken over.
    offered(&mut rpc, 50, node_id(1), "$svc.ping", 1);
    rpc.handle_timeout(at(55));
    let both = [Provider::from(local(2)), Provider::Member(node_id(1))];
    assert_eq!(providers(&rpc, "$svc.ping"), both);
    let single = Offer::new(1, Invoke::Single);
    offered_as(&mut rpc, 60, node_id(1), "a.b", single);
    rpc.handle_timeout(at(65));
    assert_eq!(providers(&rpc, "a.b"), [Provider::Member(node_id(1))]);
}
