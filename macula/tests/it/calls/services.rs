//! Services that describe themselves.

use std::time::Duration;

use macula::realm::{IssueRequest, Tenant};
use macula::wire::ErrorCode;
use macula::wire::message::Roles;
use macula::{
    CallFailure, CallOptions, Client, Error, Node, RegisterOptions, Replies, Reply, ServiceOptions,
};
use serde_json::Value;

use super::{echo, seconds};
use crate::mesh::{Realm, until, within};

/// All that the answers tell, by name and instance.
async fn gathered(replies: Result<Replies, Error>) -> Vec<Value> {
    let mut replies = replies.unwrap();
    let mut all = Vec::new();
    while let Ok(Some(one)) = within(replies.next()).await {
        if let Ok(reply) = one.result {
            let mut answer: Value = serde_json::from_slice(&reply.payload).unwrap();
            assert_eq!(answer["node"], one.node.to_string());
            assert_eq!(answer["more"], 0);
            all.append(answer["services"].as_array_mut().unwrap());
        }
    }
    all.sort_by_key(|one| (one["name"].to_string(), one["id"].to_string()));
    all
}

async fn asked(node: &Node, procedure: &str) -> Vec<Value> {
    gathered(within(node.call_all(procedure, "", seconds(5), 0)).await).await
}

async fn asked_by(client: &Client, procedure: &str) -> Vec<Value> {
    gathered(within(client.call_all(procedure, "", seconds(5), 0)).await).await
}

/// Waits until so many services answer.
async fn are(node: &Node, procedure: &str, count: usize) -> Vec<Value> {
    let mut all = Vec::new();
    until(async || {
        all = asked(node, procedure).await;
        all.len() == count
    })
    .await;
    all
}

fn chat() -> ServiceOptions {
    ServiceOptions::new("chat", "1.2.0")
        .description("rooms and who is in them")
        .metadata("team", "talk")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_instance_of_a_service_answers_wherever_it_is_asked() {
    let realm = Realm::new();
    let nodes: [Node; 3] = realm.mesh().await;
    let mut held = Vec::new();
    for node in &nodes[..2] {
        let service = node.service(chat()).unwrap();
        let served = service.register("chat.say", RegisterOptions::default(), echo);
        held.push((service.clone(), served.await.unwrap()));
    }
    let client = realm.client(&nodes[2]).await;
    for node in &nodes {
        let all = are(node, "$svc.info.chat", 2).await;
        for (service, _) in &held {
            let told = all.iter().find(|one| one["id"] == service.id()).unwrap();
            assert_eq!(told["version"], "1.2.0");
            assert_eq!(told["metadata"]["team"], "talk");
            let endpoint = &told["endpoints"][0];
            assert_eq!(endpoint["procedure"], "chat.say");
            assert_eq!(
                (&endpoint["match"], &endpoint["invoke"]),
                (&"exact".into(), &"p2c".into())
            );
        }
    }
    assert_eq!(asked_by(&client, "$svc.ping.chat").await.len(), 2);
    // One alone is asked by its id, also by a call that goes to one only.
    for (service, _) in &held {
        let alone = format!("$svc.ping.chat.{}", service.id());
        let reply = within(nodes[2].call(&alone, "", seconds(5))).await.unwrap();
        let answer: Value = serde_json::from_slice(&reply.payload).unwrap();
        assert_eq!(answer["services"][0]["id"], service.id());
        assert_eq!(answer["services"].as_array().unwrap().len(), 1);
    }
    for unknown in ["$svc.ping.mail", "$svc.ping.chat.0", "$svc.other", "$svc"] {
        let error = within(nodes[2].call(unknown, "", seconds(5))).await;
        assert_eq!(
            error.unwrap_err().code(),
            ErrorCode::NO_SUCH_PROCEDURE,
            "{unknown}"
        );
    }
    let (_, served) = held.remove(0);
    nodes[0].unregister(served).await.unwrap();
    are(&nodes[2], "$svc.info.chat", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_no_service_is_told_under_its_node() {
    let realm = Realm::new();
    let provider = realm.builder().tag("name", "kitchen");
    let provider = within(provider.start()).await.unwrap();
    let [caller] = realm.mesh().await;
    within(caller.connect(provider.local_addr())).await.unwrap();
    assert!(asked(&caller, "$svc.info").await.is_empty());
    let served = provider
        .register("oven.heat", RegisterOptions::default(), echo)
        .await
        .unwrap();
    let all = are(&caller, "$svc.info", 1).await;
    assert_eq!(all[0]["name"], "kitchen");
    assert_eq!(all[0]["provider"], provider.node_id().to_string());
    assert_eq!(all[0]["endpoints"][0]["procedure"], "oven.heat");
    provider.unregister(served).await.unwrap();
    are(&caller, "$svc.info", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_with_their_errors_and_times() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let client = realm.client(&provider).await;
    let fail = |invocation: macula::Invocation| async move {
        match &invocation.payload[..] {
            b"" => Ok(Reply::default()),
            _ => Err(CallFailure::application("cold", "the sensor is frozen")),
        }
    };
    let of_node = provider
        .service(ServiceOptions::new("near", "1.0.0"))
        .unwrap();
    let of_client = client
        .service(ServiceOptions::new("of-client", "2.0.0"))
        .unwrap();
    let options = RegisterOptions::default;
    let _near = of_node.register("n.x", options(), fail).await.unwrap();
    let _far = of_client.register("c.x", options(), fail).await.unwrap();
    for procedure in ["n.x", "c.x"] {
        until(async || caller.call(procedure, "", seconds(5)).await.is_ok()).await;
        let before = stats(&caller, procedure).await;
        for payload in ["", "", "x"] {
            drop(within(caller.call(procedure, payload, seconds(5))).await);
        }
        let now = stats(&caller, procedure).await;
        let more = |key: &str| now[key].as_u64().unwrap() - before[key].as_u64().unwrap();
        assert_eq!((more("calls"), more("errors")), (3, 1), "{now}");
        assert_eq!(now["last_error"], "APPLICATION: the sensor is frozen");
        assert_eq!(now["in_flight"], 0);
        let time = |key: &str| now[key].as_u64().unwrap();
        assert!(
            time("p50_us") <= time("p99_us") && time("p99_us") > 0,
            "{now}"
        );
        assert!(time("mean_us") > 0 || procedure == "n.x", "{now}");
    }
    let of_client = are(&caller, "$svc.info.of-client", 1).await;
    assert_eq!(of_client[0]["provider"], client.node_id().to_string());
    assert_eq!(of_client[0]["version"], "2.0.0");
    within(client.close()).await;
    are(&caller, "$svc.info.of-client", 0).await;
}

/// What is counted of a procedure, once it is told.
async fn stats(node: &Node, procedure: &str) -> Value {
    let mut found = None;
    until(async || {
        let all = asked(node, "$svc.stats").await;
        let mut endpoints = all
            .iter()
            .flat_map(|one| one["endpoints"].as_array().unwrap());
        found = endpoints.find(|one| one["procedure"] == procedure).cloned();
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_told_of_its_own_and_nobody_serves_the_names_himself() {
    let realm = Realm::new();
    let [provider, caller] = realm.mesh().await;
    let of_tenant =
        |tenant: &str| IssueRequest::new(Roles::CLIENT).with_tenant(Tenant::new(tenant).unwrap());
    let acme = realm.client_with(&caller, &of_tenant("acme")).await;
    let other = realm.client_with(&caller, &of_tenant("other")).await;
    let service = provider
        .service(ServiceOptions::new("heat", "1.0.0"))
        .unwrap();
    let options = RegisterOptions::default;
    let _mine = service.register("acme.x", options(), echo).await.unwrap();
    let _own = service.register("house.x", options(), echo).await.unwrap();
    let mut all = are(&caller, "$svc.info", 1).await;
    assert_eq!(all[0]["endpoints"].as_array().unwrap().len(), 2);
    all = asked_by(&acme, "$svc.info").await;
    assert_eq!(all[0]["endpoints"].as_array().unwrap().len(), 1);
    assert_eq!(all[0]["endpoints"][0]["procedure"], "acme.x");
    assert!(asked_by(&other, "$svc.info").await.is_empty());
    // A client may ask, and neither it nor a node may answer in place of the platform.
    for name in ["$svc.info", "$svc.info.heat", "$svc.mine"] {
        let refused = [
            caller.register(name, options(), echo).await.err(),
            acme.register(name, options(), echo).await.err(),
            service.register(name, options(), echo).await.err(),
        ];
        for error in refused {
            assert_eq!(error.unwrap().code(), ErrorCode::DENIED, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_a_limit_is_refused_and_what_is_within_is_not() {
    let realm = Realm::new();
    let node = realm.node().await;
    let client = realm.client(&node).await;
    for (options, expected) in [
        (ServiceOptions::new("a.b", "1.0.0"), ErrorCode::INVALID_NAME),
        (ServiceOptions::new("a", "1"), ErrorCode::INVALID_ARGUMENT),
    ] {
        let refused = node.service(options.clone()).unwrap_err();
        assert_eq!(refused.code(), expected);
        assert_eq!(client.service(options).unwrap_err().code(), expected);
    }
    // The member judges for itself what a client declares.
    let declare = async |id: &str, version: &str, registration: u64| {
        let text = format!(
            r#"{{"registration":{registration},"id":"{id}","service":{{"name":"a","version":"{version}"}}}}"#
        );
        let called = client.call("$sys.service", text, CallOptions::default());
        within(called).await.map_err(|error| error.code())
    };
    let wrong = Err(ErrorCode::INVALID_ARGUMENT);
    assert_eq!(declare("x", "one", 1).await.map(drop), wrong);
    assert_eq!(declare("x.y", "1.0.0", 1).await.map(drop), wrong);
    let nonsense = client.call("$sys.service", "{}", CallOptions::default());
    assert_eq!(
        within(nonsense).await.unwrap_err().code(),
        ErrorCode::INVALID_ARGUMENT
    );
    for at in 0..16 {
        declare(&format!("x{at}"), "1.0.0", at).await.unwrap();
    }
    let full = Err(ErrorCode::QUOTA_EXCEEDED);
    assert_eq!(declare("x16", "1.0.0", 16).await.map(drop), full);
    // What was declared and never registered is not shown.
    let patience = CallOptions::default().deadline(Duration::from_secs(5));
    let error = within(node.call("$svc.info", "", patience)).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::NO_SUCH_PROCEDURE);
}
