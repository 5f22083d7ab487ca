//! What is registered, subscribed to and attached, asked of a member and told by it.

use std::collections::BTreeSet;

use macula::realm::{IssueRequest, Tenant};
use macula::wire::ErrorCode;
use macula::wire::message::{Invoke, Roles};
use macula::{
    CallOptions, Client, Delivery, Error, Match, Node, RegisterOptions, Reply, SubscribeOptions,
    Subscription,
};
use serde_json::{Value, json};

use super::who;
use crate::mesh::{Realm, subscribe, until, within};

async fn ask(client: &Client, question: &str, about: Value) -> Result<Value, Error> {
    let payload = if about.is_null() {
        String::new()
    } else {
        about.to_string()
    };
    let reply = within(client.call(question, payload, CallOptions::default())).await?;
    Ok(serde_json::from_slice(&reply.payload).unwrap())
}

/// The application's own name for why there is no answer.
fn missing(answer: Result<Value, Error>) -> String {
    let error = answer.unwrap_err();
    assert_eq!(error.code(), ErrorCode::APPLICATION);
    error.failure().unwrap().name.clone().unwrap()
}

fn names(list: &Value, key: &str) -> Vec<String> {
    let all = list.as_array().unwrap().iter();
    all.map(|one| one[key].as_str().unwrap().to_owned())
        .collect()
}

async fn of_tenant(realm: &Realm, node: &Node, tenant: &str) -> Client {
    let request = IssueRequest::new(Roles::CLIENT).with_tenant(Tenant::new(tenant).unwrap());
    realm.client_with(node, &request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_are_listed_looked_up_matched_and_counted() {
    let realm = Realm::new();
    let node = realm.node().await;
    let client = realm.client(&node).await;
    let options = RegisterOptions::default;
    let hash = options().invoke(Invoke::Hash).matching(Match::Prefix);
    let _served = [
        node.register("acme.x", options(), who).await.unwrap(),
        client.register("acme.x", options(), who).await.unwrap(),
        node.register("acme", hash, who).await.unwrap(),
        node.register("other.x", options(), who).await.unwrap(),
    ];
    let list = ask(&client, "$meta.registration.list", Value::Null)
        .await
        .unwrap();
    assert_eq!(list["node"], node.node_id().to_string());
    assert_eq!(
        names(&list["registrations"], "procedure"),
        ["acme.**", "acme.x", "other.x"]
    );
    let named = |name: &str| json!({ "name": name });
    let found = ask(&client, "$meta.registration.lookup", named("acme.x"))
        .await
        .unwrap();
    assert_eq!(
        (&found["providers"], &found["match"]),
        (&2.into(), &"exact".into())
    );
    let prefix = json!({ "name": "acme", "match": "prefix" });
    let found = ask(&client, "$meta.registration.get", prefix)
        .await
        .unwrap();
    assert_eq!(
        (&found["invoke"], &found["match"]),
        (&"hash".into(), &"prefix".into())
    );
    assert_eq!(found["each"][0]["provider"], node.node_id().to_string());
    assert!(found["each"][0]["session"].is_null());
    // The most specific one gets the call.
    for (procedure, expected) in [("acme.x", "acme.x"), ("acme.y.z", "acme.**")] {
        let found = ask(&client, "$meta.registration.match", named(procedure)).await;
        assert_eq!(found.unwrap()["procedure"], expected);
    }
    let of_client = ask(&client, "$meta.registration.get", named("acme.x"))
        .await
        .unwrap();
    let sessions = of_client["each"].as_array().unwrap().iter();
    assert_eq!(sessions.filter(|one| one["session"].is_u64()).count(), 1);
    let count = ask(&client, "$meta.registration.count", Value::Null)
        .await
        .unwrap();
    assert_eq!(
        (&count["patterns"], &count["count"]),
        (&3.into(), &4.into())
    );
    // A tenant hears of what it may call.
    let acme = of_tenant(&realm, &node, "acme").await;
    let list = ask(&acme, "$meta.registration.list", Value::Null)
        .await
        .unwrap();
    assert_eq!(
        names(&list["registrations"], "procedure"),
        ["acme.**", "acme.x"]
    );
    let hidden = ask(&acme, "$meta.registration.get", named("other.x")).await;
    assert_eq!(missing(hidden), "no_such_registration");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_about_nothing_or_in_other_words_is_refused() {
    let realm = Realm::new();
    let node = realm.node().await;
    let client = realm.client(&node).await;
    let _served = node.register("a.x", RegisterOptions::default(), who).await;
    let named = |name: &str| json!({ "name": name });
    for verb in ["lookup", "get", "match"] {
        let question = format!("$meta.registration.{verb}");
        let nothing = ask(&client, &question, named("nobody.x")).await;
        assert_eq!(missing(nothing), "no_such_registration", "{verb}");
        let code = |answer: Result<Value, Error>| answer.unwrap_err().code();
        assert_eq!(
            code(ask(&client, &question, Value::Null).await),
            ErrorCode::INVALID_ARGUMENT
        );
        assert_eq!(
            code(ask(&client, &question, json!(7)).await),
            ErrorCode::INVALID_ARGUMENT
        );
        assert_eq!(
            code(ask(&client, &question, named("a..b")).await),
            ErrorCode::INVALID_NAME
        );
    }
    let unknown = ask(&client, "$meta.registration.other", Value::Null).await;
    assert_eq!(unknown.unwrap_err().code(), ErrorCode::NO_SUCH_PROCEDURE);
    for verb in ["lookup", "get", "match"] {
        let question = format!("$meta.registration.{verb}");
        assert!(
            ask(&client, &question, named("a.x")).await.is_ok(),
            "{verb}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_are_listed_looked_up_matched_and_counted_also_elsewhere() {
    let realm = Realm::new();
    let [near, far] = realm.mesh().await;
    let client = realm.client(&near).await;
    let acme = of_tenant(&realm, &near, "acme").await;
    let _wanted = [
        subscribe(&far, "acme.*").await,
        subscribe(&far, "acme.*").await,
        subscribe(&far, "other.**").await,
        subscribe(&far, "$meta.**").await,
    ];
    let far_client = realm.client(&far).await;
    let options = SubscribeOptions::default();
    let _more = within(far_client.subscribe("acme.x", options))
        .await
        .unwrap();
    // By the own member of another one.
    let elsewhere = async |client: &Client, question: &str, about: &str| {
        let options = CallOptions::default().to_node(far.node_id());
        let reply = within(client.call(question, about.to_owned(), options)).await;
        reply.map(|reply| serde_json::from_slice::<Value>(&reply.payload).unwrap())
    };
    let list = elsewhere(&client, "$meta.subscription.list", "")
        .await
        .unwrap();
    assert_eq!(list["node"], far.node_id().to_string());
    assert_eq!(
        names(&list["subscriptions"], "pattern"),
        ["acme.*", "acme.x", "other.**"]
    );
    assert_eq!(list["subscriptions"][0]["subscribers"], 2);
    assert_eq!(list["subscriptions"][1]["clients"], 1);
    let matching = elsewhere(&client, "$meta.subscription.match", r#"{"name":"acme.x"}"#).await;
    assert_eq!(
        names(&matching.unwrap()["subscriptions"], "pattern"),
        ["acme.*", "acme.x"]
    );
    let got = elsewhere(&client, "$meta.subscription.get", r#"{"name":"acme.x"}"#)
        .await
        .unwrap();
    assert_eq!(got["each"][0]["node"], far_client.node_id().to_string());
    let looked = elsewhere(&client, "$meta.subscription.lookup", r#"{"name":"acme.*"}"#).await;
    assert_eq!(looked.unwrap()["subscribers"], 2);
    let nothing = elsewhere(&client, "$meta.subscription.lookup", r#"{"name":"acme.y"}"#).await;
    assert_eq!(missing(nothing), "no_such_subscription");
    let count = elsewhere(&client, "$meta.subscription.count", "")
        .await
        .unwrap();
    assert_eq!(
        (&count["patterns"], &count["count"]),
        (&3.into(), &4.into())
    );
    let list = elsewhere(&acme, "$meta.subscription.list", "")
        .await
        .unwrap();
    assert_eq!(
        names(&list["subscriptions"], "pattern"),
        ["acme.*", "acme.x"]
    );
    // The own member answers for itself, and an application asks another node as well.
    let own = ask(&client, "$meta.subscription.count", Value::Null)
        .await
        .unwrap();
    assert_eq!(own["count"], 0);
    let options = CallOptions::default().to_node(far.node_id());
    within(near.call("$sys.ping", "", options)).await.unwrap();
    let private = elsewhere(&client, "$sys.stats", "").await.unwrap();
    assert_eq!(
        private["links_clients"], 2,
        "that of its own member, whoever was meant"
    );
    let options = CallOptions::default().to_node(far.node_id());
    let refused = within(near.call("$sys.stats", "", options)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::DENIED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_members_and_the_clients_of_the_node() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let client = realm.client(&one).await;
    let acme = of_tenant(&realm, &one, "acme").await;
    until(async || one.stats().await.unwrap().links_clients == 2).await;
    let list = ask(&client, "$meta.session.list", Value::Null)
        .await
        .unwrap();
    let of_kind = |kind: &str| {
        let all = list["sessions"].as_array().unwrap().iter();
        all.filter(|one| one["kind"] == kind)
            .map(|one| one["node"].as_str().unwrap().to_owned())
            .collect::<BTreeSet<_>>()
    };
    let ids = |nodes: [String; 2]| nodes.into_iter().collect::<BTreeSet<_>>();
    let members = ids([one.node_id().to_string(), two.node_id().to_string()]);
    assert_eq!(of_kind("member"), members);
    let clients = ids([client.node_id().to_string(), acme.node_id().to_string()]);
    assert_eq!(of_kind("client"), clients);
    let count = ask(&client, "$meta.session.count", Value::Null)
        .await
        .unwrap();
    assert_eq!(
        (&count["members"], &count["clients"]),
        (&2.into(), &2.into())
    );
    let sessions = list["sessions"].as_array().unwrap();
    for session in sessions {
        let named = json!({ "name": session["id"] });
        let got = ask(&client, "$meta.session.get", named.clone())
            .await
            .unwrap();
        assert_eq!(got["node"], session["node"]);
        // A tenant sees the members, and of clients its own.
        let seen = ask(&acme, "$meta.session.get", named).await;
        let is_hidden = session["node"] == client.node_id().to_string();
        assert_eq!(seen.is_err(), is_hidden, "{session}");
    }
    let nobody = ask(&client, "$meta.session.get", json!({ "name": "0" })).await;
    assert_eq!(missing(nobody), "no_such_session");
}

/// The next thing that was told.
async fn told(subscription: &mut Subscription) -> (String, Value) {
    loop {
        if let Some(Delivery::Event(event)) = within(subscription.next()).await {
            let what: Value = serde_json::from_slice(event.payload()).unwrap();
            return (event.topic().to_string(), what);
        }
    }
}

/// Reads on until something is told of this name.
async fn told_of(subscription: &mut Subscription, topic: &str, key: &str, name: &str) -> Value {
    loop {
        let (on, what) = told(subscription).await;
        if on == topic && what[key] == name {
            return what;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_and_goes_is_told_to_clients_and_applications_of_the_node() {
    let realm = Realm::new();
    let node = realm.node().await;
    let client = realm.client(&node).await;
    let options = SubscribeOptions::default;
    let listeners = [
        within(node.subscribe("$meta.**", options())).await.unwrap(),
        within(client.subscribe("$meta.**", options()))
            .await
            .unwrap(),
    ];
    let provider = realm.client(&node).await;
    let once = RegisterOptions::default;
    let first = provider.register("r.x", once(), who).await.unwrap();
    let second = node.register("r.x", once(), who).await.unwrap();
    let wanted = [subscribe(&node, "s.*").await, subscribe(&node, "s.*").await];
    provider.unregister(first).await.unwrap();
    node.unregister(second).await.unwrap();
    drop(wanted);
    let id = provider.node_id().to_string();
    within(provider.close()).await;
    for mut listener in listeners {
        // Each topic has an order of its own.
        let mut all = Vec::new();
        let mut of = async |topic: &str, key: &str, name: &str| {
            let fits = |(on, what): &&(String, Value)| on == topic && what[key] == name;
            loop {
                if let Some((_, what)) = all.iter().find(fits) {
                    return Value::clone(what);
                }
                all.push(told(&mut listener).await);
            }
        };
        let joined = of("$meta.session.on_join", "node", &id).await;
        assert_eq!(
            (&joined["event"], &joined["kind"]),
            (&"join".into(), &"client".into())
        );
        // Once for both who serve it, and once for both who want it.
        let created = of("$meta.registration.on_create", "name", "r.x").await;
        assert_eq!(
            (&created["change"], &created["match"]),
            (&1.into(), &"exact".into())
        );
        let created = of("$meta.subscription.on_create", "name", "s.*").await;
        assert_eq!(created["match"], "wildcard");
        assert_eq!(created["change"], 1, "what listens is no news itself");
        let deleted = of("$meta.registration.on_delete", "name", "r.x").await;
        assert_eq!(deleted["change"], 1);
        of("$meta.subscription.on_delete", "name", "s.*").await;
        let left = of("$meta.session.on_leave", "node", &id).await;
        assert_eq!(left["event"], "leave");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_and_only_the_node_itself_tells_of_it() {
    let realm = Realm::new();
    let node = realm.node().await;
    let client = realm.client(&node).await;
    let acme = of_tenant(&realm, &node, "acme").await;
    let options = SubscribeOptions::default;
    let mut session = within(client.subscribe("$meta.session.*", options()))
        .await
        .unwrap();
    let other = realm.node().await;
    within(other.connect(node.local_addr())).await.unwrap();
    let id = other.node_id().to_string();
    told_of(&mut session, "$meta.session.on_join", "id", &id).await;
    within(other.shutdown()).await;
    told_of(&mut session, "$meta.session.on_leave", "id", &id).await;
    // Tenants are not told of others, and nobody but the node tells.
    for pattern in ["$meta.**", "$meta.session.on_join"] {
        let refused = within(acme.subscribe(pattern, options())).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::DENIED, "{pattern}");
    }
    within(acme.subscribe("$sys.members", options()))
        .await
        .unwrap();
    for name in ["$meta.session.on_join", "$meta.mine"] {
        let refused = within(client.publish(name, "x")).await.err();
        assert_eq!(refused.unwrap().code(), ErrorCode::DENIED, "{name}");
        let refused = within(node.publish(name, "x")).await.err();
        assert_eq!(refused.unwrap().code(), ErrorCode::DENIED, "{name}");
        let serve = |_| async { Ok(Reply::default()) };
        let refused = node.register(name, RegisterOptions::default(), serve).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::DENIED, "{name}");
    }
    for pattern in ["$other.**", "$sys.**", "$svc.**"] {
        let refused = within(node.subscribe(pattern, options())).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::DENIED, "{pattern}");
    }
}
