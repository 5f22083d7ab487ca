//! Directed tests of every rule of the registry, each refusal with an accepted twin.

use std::time::Duration;

use macula_realm::{DefaultRules, Principal, Tenant, Verdict};
use macula_rpc::{
    Audience, Candidate, Config, Input, Offence, Output, Provider, RegisterError, RegisterOptions,
    Registrant, Rpc, SessionKey, UnregisterError, UnwatchError, WatchError,
};
use macula_testkit::node_id;
use macula_wire::message::Offer;
use macula_wire::{ErrorCode, Machine, NodeId};

use crate::common::{
    Always, anybody, at, change, drain, full, local, machine, own, procedure, register, session,
};

fn up(rpc: &mut Rpc, millis: u64, node: NodeId) {
    rpc.handle_input(at(millis), Input::MemberUp { node });
}

fn hear(rpc: &mut Rpc, millis: u64, from: NodeId, message: Offer) {
    rpc.handle_input(at(millis), Input::Offer { from, message });
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
    let name = procedure(text);
    rpc.register(
        at(millis),
        &DefaultRules,
        &anybody(),
        registrant,
        name,
        options,
    )
}

/// What is announced to all, in order.
fn announced(outputs: &[Output]) -> Vec<&Offer> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Announce {
                to: Audience::AllMembers,
                offer,
            } => Some(offer),
            _ => None,
        })
        .collect()
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
        let (name, options) = (procedure(text), RegisterOptions::default());
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
        let (name, options) = (procedure("a"), RegisterOptions::default());
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
    up(&mut rpc, 0, node_id(1));
    drain(&mut rpc);
    let offers = |rpc: &mut Rpc| -> Vec<(Vec<u32>, usize)> {
        let weights = |offer: &&Offer| offer.add.iter().map(|one| one.weight).collect();
        announced(&drain(rpc))
            .iter()
            .map(|offer| (weights(offer), offer.remove.len()))
            .collect()
    };
    register_with(&mut rpc, 10, local(1), "a", 2, 0).unwrap();
    assert_eq!(offers(&mut rpc), [(vec![2], 0)]);
    register_with(&mut rpc, 20, session(1, 1), "a", u32::MAX, 0).unwrap();
    assert_eq!(offers(&mut rpc), [(vec![u32::MAX], 0)]);
    rpc.unregister(at(30), session(1, 1)).unwrap();
    assert_eq!(offers(&mut rpc), [(vec![2], 0)]);
    // A weight of nothing changes nothing that is announced.
    register_with(&mut rpc, 40, local(2), "a", 0, 0).unwrap();
    assert!(offers(&mut rpc).is_empty());
    rpc.unregister(at(50), local(1)).unwrap();
    assert_eq!(offers(&mut rpc), [(vec![0], 0)]);
    rpc.unregister(at(60), local(2)).unwrap();
    assert_eq!(offers(&mut rpc), [(vec![], 1)]);
    assert!(rpc.table().is_empty());
}

#[test]
fn the_table_tells_those_on_this_node_from_members() {
    let mut rpc = machine(Config::default());
    hear(&mut rpc, 0, node_id(1), full(0, &["a", "b"]));
    register(&mut rpc, at(10), local(1), "a");
    register(&mut rpc, at(20), session(1, 1), "a");
    let here: [Provider; 2] = [local(1).into(), session(1, 1).into()];
    let member = Provider::Member(node_id(1));
    let weight = 1;
    let table = rpc.table();
    let expected = [here[0], here[1], member].map(|provider| Candidate { provider, weight });
    assert_eq!(table.candidates(&procedure("a")), expected);
    assert_eq!(table.candidates_here(&procedure("a")), &expected[..2]);
    assert!(table.candidates_here(&procedure("b")).is_empty());
    assert!(table.candidates(&procedure("c")).is_empty());
    assert!(table.procedures().eq(&[procedure("a"), procedure("b")]));
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
    up(&mut rpc, 0, node_id(1));
    drain(&mut rpc);
    for number in 0..1_500 {
        register(&mut rpc, at(10), local(number), &format!("a.{number}"));
    }
    assert_eq!((rpc.table().version(), rpc.version()), (1, 2));
    rpc.handle_timeout(at(11));
    let outputs = drain(&mut rpc);
    let is_table = |output: &&Output| matches!(output, Output::Table(_));
    assert_eq!(outputs.iter().filter(is_table).count(), 2);
    let sizes: Vec<usize> = announced(&outputs)
        .iter()
        .map(|offer| offer.add.len())
        .collect();
    assert_eq!(sizes, [1, 1_024, 475]);
    assert_eq!(rpc.table().len(), 1_500);
}

#[test]
fn whoever_comes_up_is_told_everything_each_time() {
    let mut rpc = machine(Config::default());
    register(&mut rpc, at(0), local(1), "a");
    drain(&mut rpc);
    for time in [1, 2] {
        up(&mut rpc, time, node_id(1));
        let outputs = drain(&mut rpc);
        let [Output::Announce { to, offer }] = &outputs[..] else {
            panic!("{outputs:?}");
        };
        assert_eq!(*to, Audience::Member(node_id(1)));
        assert_eq!(*offer, full(0, &["a"]));
    }
    up(&mut rpc, 3, own());
    assert!(drain(&mut rpc).is_empty());
}

#[test]
fn what_is_announced_is_renewed_before_half_of_the_lease() {
    let mut rpc = machine(Config::default());
    up(&mut rpc, 0, node_id(1));
    drain(&mut rpc);
    let mut last = at(0);
    for _ in 0..20 {
        let due = rpc.poll_timeout().unwrap();
        let pause = due.saturating_since(last);
        assert!(pause > Duration::from_secs(26) && pause <= Duration::from_secs(30));
        rpc.handle_timeout(due);
        assert_eq!(announced(&drain(&mut rpc)), [&change(0, &[], &[])]);
        last = due;
    }
}

#[test]
fn the_offers_of_others_enter_the_table_and_leave_with_them() {
    let mut rpc = machine(Config::default());
    let member = Provider::Member(node_id(1));
    hear(&mut rpc, 0, node_id(1), full(7, &["a", "b"]));
    assert_eq!(providers(&rpc, "a"), [member]);
    hear(&mut rpc, 10, node_id(1), change(8, &["c"], &["a"]));
    assert!(providers(&rpc, "a").is_empty());
    assert_eq!(providers(&rpc, "c"), [member]);
    assert!(
        rpc.offers_of(&node_id(1))
            .map(|(name, _)| name)
            .eq(&[procedure("b"), procedure("c")])
    );
    let mut drained = change(9, &["b"], &[]);
    drained.add[0].weight = 0;
    hear(&mut rpc, 20, node_id(1), drained);
    assert_eq!(rpc.table().candidates(&procedure("b"))[0].weight, 0);
    let node = node_id(1);
    rpc.handle_input(at(30), Input::MemberDown { node });
    assert!(rpc.table().is_empty());
    assert!(offences(&drain(&mut rpc)).is_empty());
}

#[test]
fn offers_that_nobody_renews_are_forgotten_when_their_lease_ends() {
    let mut rpc = machine(Config::default());
    hear(&mut rpc, 0, node_id(1), full(0, &["a"]));
    hear(&mut rpc, 30_000, node_id(1), change(0, &[], &[]));
    drain(&mut rpc);
    assert_eq!(rpc.poll_timeout(), Some(at(90_000)));
    rpc.handle_timeout(at(89_999));
    assert_eq!(rpc.table().len(), 1);
    rpc.handle_timeout(at(90_000));
    assert!(rpc.table().is_empty());
}

#[test]
fn broken_rules_are_reported_and_change_nothing() {
    let mut disorder = full(9, &["b", "c"]);
    disorder.add.reverse();
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
        let mut rpc = machine(Config::default());
        hear(&mut rpc, 0, node_id(1), full(1, &["a"]));
        drain(&mut rpc);
        hear(&mut rpc, 1, from, message);
        assert_eq!(offences(&drain(&mut rpc)), [(from, offence)]);
        assert_eq!(rpc.table().len(), 1);
        // The twin goes through.
        hear(&mut rpc, 2, node_id(1), change(2, &["b"], &["a"]));
        rpc.handle_timeout(at(10));
        assert!(offences(&drain(&mut rpc)).is_empty());
        assert_eq!(providers(&rpc, "b").len(), 1);
    }
}

#[test]
fn a_member_beyond_the_limits_is_an_offender() {
    let mut config = Config::default();
    config.max_members = 1;
    config.max_procedures = 2;
    let mut rpc = machine(config);
    hear(&mut rpc, 0, node_id(1), full(0, &["a", "b", "c"]));
    hear(&mut rpc, 0, node_id(1), full(0, &["a", "b"]));
    hear(&mut rpc, 0, node_id(2), full(0, &[]));
    let expected = [
        (node_id(1), Offence::TooMany),
        (node_id(2), Offence::TooManyMembers),
    ];
    assert_eq!(offences(&drain(&mut rpc)), expected);
    assert_eq!(rpc.table().len(), 2);
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
    assert_eq!(watch("a"), (Ok(()), 1));
    assert_eq!(watch("a"), (Ok(()), 0));
    let refused = WatchError::TooManyProcedures { limit: 1 };
    assert_eq!(watch("b"), (Err(refused), 0));
    let mut unwatch = |text: &str| {
        let result = rpc.unwatch(at(1), &procedure(text));
        (result, drain(&mut rpc).len())
    };
    assert_eq!(unwatch("b"), (Err(UnwatchError::Unknown), 0));
    assert_eq!(unwatch("a"), (Ok(()), 0));
    assert_eq!(unwatch("a"), (Ok(()), 1));
    assert_eq!(unwatch("a"), (Err(UnwatchError::Unknown), 0));
}

#[test]
fn nothing_is_renewed_while_nobody_listens() {
    let mut rpc = machine(Config::default());
    for number in 1..3 {
        up(&mut rpc, 0, node_id(number));
    }
    drain(&mut rpc);
    for (number, is_heard) in [(1, true), (2, false)] {
        let node = node_id(number);
        rpc.handle_input(at(1), Input::MemberDown { node });
        assert_eq!(rpc.poll_timeout().is_some(), is_heard);
    }
    up(&mut rpc, 2, node_id(1));
    drain(&mut rpc);
    assert!(rpc.poll_timeout().is_some());
}
