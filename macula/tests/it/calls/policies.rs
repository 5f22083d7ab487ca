//! Who of several providers gets a call, and who may provide at all.

use std::sync::Arc;
use std::time::Duration;

use macula::realm::{IssueRequest, Zone};
use macula::wire::ErrorCode;
use macula::wire::message::Invoke;
use macula::{CallFailure, CallOptions, Invocation, Match, Node, RegisterOptions, Reply, Served};
use tokio::sync::{Notify, Semaphore};

use super::seconds;
use crate::mesh::{Realm, link, offered, until, within};

/// Serves `name` by a function that answers with the id of its node.
pub(super) async fn serve_id(node: &Node, name: &str, options: RegisterOptions) -> Served {
    let id = node.node_id().to_string();
    let function = move |_| {
        let id = id.clone();
        async move { Ok(Reply::text(id)) }
    };
    node.register(name, options, function).await.unwrap()
}

pub(super) async fn answered_by(caller: &Node, name: &str, options: CallOptions) -> String {
    let reply = within(caller.call(name, "", options)).await.unwrap();
    String::from_utf8(reply.payload.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_serves_by_another_policy_later_is_out_and_told() {
    let realm = Realm::new();
    let [first, second] = realm.mesh().await;
    let by_turns = RegisterOptions::default().invoke(Invoke::RoundRobin);
    let held = serve_id(&first, "p.x", by_turns.clone()).await;
    // On the same node it is refused at once.
    let refused = first.register("p.x", RegisterOptions::default(), super::echo);
    let error = within(refused).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::POLICY_CONFLICT);
    assert!(error.detail().contains("round-robin"), "{error}");
    // Elsewhere as soon as the first one is known there. Of two in the same millisecond the lower id would have it.
    later().await;
    let conflicting = RegisterOptions::default().invoke(Invoke::Hash);
    let refused = second.register("p.x", conflicting, super::echo);
    let error = match within(refused).await {
        Ok(served) => within(served.ended()).await,
        Err(error) => error,
    };
    assert_eq!(error.code(), ErrorCode::POLICY_CONFLICT);
    for node in [&first, &second] {
        let by = answered_by(node, "p.x", seconds(5)).await;
        assert_eq!(by, first.node_id().to_string());
    }
    // The twin agrees, and shares the calls.
    let also = serve_id(&second, "p.x", by_turns).await;
    offered(&second, &first).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        seen.insert(answered_by(&first, "p.x", seconds(5)).await);
    }
    assert_eq!(seen.len(), 2);
    drop((held, also));
}

/// Waits until what is registered next counts as later.
async fn later() {
    let begun = std::time::Instant::now();
    until(async || begun.elapsed() > Duration::from_millis(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_alone_serves_until_it_is_taken_over() {
    let realm = Realm::new();
    let [first, second] = realm.mesh().await;
    let single = || RegisterOptions::default().invoke(Invoke::Single);
    let held = serve_id(&first, "o.x", single()).await;
    assert_eq!(
        answered_by(&second, "o.x", seconds(5)).await,
        first.node_id().to_string()
    );
    let refused = second.register("o.x", single(), super::echo);
    let error = within(refused).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ALREADY_REGISTERED);
    later().await;
    let _taken = serve_id(&second, "o.x", single().takeover()).await;
    let error = within(held.ended()).await;
    assert_eq!(error.code(), ErrorCode::ALREADY_REGISTERED);
    offered(&second, &first).await;
    for node in [&first, &second] {
        let by = answered_by(node, "o.x", seconds(5)).await;
        assert_eq!(by, second.node_id().to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_told_when_its_registration_ends() {
    let realm = Realm::new();
    let [member, other] = realm.mesh().await;
    let client = realm.client(&member).await;
    let single = || RegisterOptions::default().invoke(Invoke::Single);
    let held = within(client.register("t.x", single(), super::echo))
        .await
        .unwrap();
    let also = within(client.register("t.y", single(), super::echo))
        .await
        .unwrap();
    let _taken = serve_id(&other, "t.x", single().takeover()).await;
    let error = within(held.ended()).await;
    assert_eq!(error.code(), ErrorCode::ALREADY_REGISTERED);
    // The other one goes on.
    offered(&other, &member).await;
    within(client.call("t.y", "", seconds(5))).await.unwrap();
    let by = answered_by(&member, "t.x", seconds(5)).await;
    assert_eq!(by, other.node_id().to_string());
    drop(also);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_and_a_pattern_serve_what_they_cover() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let name = |how: &'static str| {
        move |invocation: Invocation| async move {
            Ok(Reply::text(format!("{how} {}", invocation.procedure)))
        }
    };
    let matching = |how| RegisterOptions::default().matching(how);
    let prefix = provider.register("f.a", matching(Match::Prefix), name("prefix"));
    let _prefix = prefix.await.unwrap();
    let pattern = provider.register("f.*.get", matching(Match::Wildcard), name("pattern"));
    let _pattern = pattern.await.unwrap();
    let exact = provider.register("f.a.get", matching(Match::Exact), name("exact"));
    let _exact = exact.await.unwrap();
    offered(&provider, &caller).await;
    for node in [&provider, &caller] {
        for (procedure, how) in [
            ("f.a", "prefix"),
            ("f.a.b.c", "prefix"),
            ("f.b.get", "pattern"),
            ("f.a.get", "exact"),
        ] {
            let reply = within(node.call(procedure, "", seconds(5))).await.unwrap();
            let expected = format!("{how} {procedure}");
            assert_eq!(reply.payload[..], *expected.as_bytes());
        }
        let error = within(node.call("f.b", "", seconds(5))).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NO_SUCH_PROCEDURE);
    }
    let refused = provider.register("f.*", matching(Match::Exact), name("never"));
    assert_eq!(refused.await.unwrap_err().code(), ErrorCode::INVALID_NAME);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_leads_every_caller_to_the_same_provider() {
    let realm = Realm::new();
    let nodes: [Node; 3] = realm.mesh().await;
    let hash = || RegisterOptions::default().invoke(Invoke::Hash);
    let mut served = Vec::new();
    for node in &nodes {
        served.push(serve_id(node, "h.x", hash()).await);
    }
    for provider in &nodes {
        for caller in &nodes {
            if provider.node_id() != caller.node_id() {
                offered(provider, caller).await;
            }
        }
    }
    let mut chosen = std::collections::BTreeSet::new();
    for key in 0..12_u8 {
        let options = || seconds(5).key(vec![key]);
        let by = answered_by(&nodes[0], "h.x", options()).await;
        for caller in &nodes[1..] {
            assert_eq!(answered_by(caller, "h.x", options()).await, by);
        }
        chosen.insert(by);
    }
    assert!(chosen.len() > 1, "all keys chose one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_to_the_node_or_the_zone_that_is_named() {
    let realm = Realm::new();
    let in_zone = |zone: &str| IssueRequest::default().with_zone(Zone::new(zone).unwrap());
    let east = realm.builder_with(realm.identity(&in_zone("east")));
    let west = realm.builder_with(realm.identity(&in_zone("west")));
    let nodes = [
        realm.node().await,
        east.start().await.unwrap(),
        west.start().await.unwrap(),
    ];
    link(&nodes).await;
    let [caller, east, west] = &nodes;
    let mut served = Vec::new();
    for node in [east, west] {
        served.push(serve_id(node, "z.x", RegisterOptions::default()).await);
        offered(node, caller).await;
    }
    let client = realm.client(caller).await;
    for node in [east, west] {
        let by = answered_by(caller, "z.x", seconds(5).to_node(node.node_id())).await;
        assert_eq!(by, node.node_id().to_string());
        let options = seconds(5).to_node(node.node_id());
        let reply = within(client.call("z.x", "", options)).await.unwrap();
        assert_eq!(reply.payload[..], *by.as_bytes());
    }
    for _ in 0..8 {
        let west_zone = || seconds(5).to_zone(Zone::new("west").unwrap());
        let by = answered_by(caller, "z.x", west_zone()).await;
        assert_eq!(by, west.node_id().to_string());
        let reply = within(client.call("z.x", "", west_zone())).await.unwrap();
        assert_eq!(reply.payload[..], *by.as_bytes());
    }
    let nowhere = seconds(5).to_zone(Zone::new("north").unwrap());
    let error = within(caller.call("z.x", "", nowhere)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NO_AVAILABLE_CALLEE);
    let not_there = seconds(5).to_node(caller.node_id());
    let error = within(caller.call("z.x", "", not_there)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NO_SUCH_PROCEDURE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_drains_ends_what_runs_and_takes_nothing_new() {
    let realm = Realm::new();
    let [draining, other, caller] = realm.mesh().await;
    let (started, gate) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (begin, pass) = (Arc::clone(&started), Arc::clone(&gate));
    let function = move |_| {
        begin.notify_one();
        let pass = Arc::clone(&pass);
        async move {
            pass.acquire().await.unwrap().forget();
            Ok(Reply::text("slow"))
        }
    };
    let options = RegisterOptions::default();
    let served = draining.register("d.x", options, function).await.unwrap();
    offered(&draining, &caller).await;
    let calling = caller.clone();
    let first = tokio::spawn(async move { calling.call("d.x", "", seconds(30)).await });
    within(started.notified()).await;
    let _other = serve_id(&other, "d.x", RegisterOptions::default()).await;
    assert_eq!(served.running(), 1);
    let drained = tokio::spawn(served.drain());
    // Calls go to the other one from now on, also those that are sent before the caller knows.
    offered(&other, &caller).await;
    for _ in 0..10 {
        let by = answered_by(&caller, "d.x", seconds(5)).await;
        assert_eq!(by, other.node_id().to_string());
    }
    assert!(!drained.is_finished());
    gate.add_permits(1);
    let reply = within(first).await.unwrap().unwrap();
    assert_eq!(reply.payload[..], *b"slow");
    within(drained).await.unwrap();
}

/// One that is busy is not asked while another has room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_avoid_whoever_has_many() {
    let realm = Realm::new();
    let [slow, quick, caller] = realm.mesh().await;
    let gate = Arc::new(Semaphore::new(0));
    let pass = Arc::clone(&gate);
    let function = move |_: Invocation| {
        let pass = Arc::clone(&pass);
        async move {
            pass.acquire().await.unwrap().forget();
            Ok::<_, CallFailure>(Reply::text("slow"))
        }
    };
    let options = RegisterOptions::default().invoke(Invoke::LeastLoaded);
    let served = slow
        .register("l.x", options.clone(), function)
        .await
        .unwrap();
    offered(&slow, &caller).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let calling = caller.clone();
        waiting.push(tokio::spawn(async move {
            calling.call("l.x", "", seconds(30)).await
        }));
    }
    until(async || served.running() == 3).await;
    let _quick = serve_id(&quick, "l.x", options).await;
    offered(&quick, &caller).await;
    for _ in 0..20 {
        let options = CallOptions::default().deadline(Duration::from_secs(10));
        let by = answered_by(&caller, "l.x", options).await;
        assert_eq!(by, quick.node_id().to_string());
    }
    gate.add_permits(3);
    for call in waiting {
        within(call).await.unwrap().unwrap();
    }
}
