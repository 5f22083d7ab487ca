//! What a subscription begins with: last values and history.

use std::time::Duration;

use macula::realm::IssueRequest;
use macula::wire::ErrorCode;
use macula::wire::message::Roles;
use macula::{
    Delivery, Event, EventOptions, FindOptions, History, Node, PublishOptions, Query,
    SubscribeOptions, Subscription,
};

use super::publish_numbered;
use crate::mesh::{Mortal, Realm, event, hasty, link, told, until, within};

/// The next delivery, which has to be a value that was retained.
async fn retained(subscription: &mut Subscription) -> Event {
    match within(subscription.next()).await {
        Some(Delivery::Retained(event)) => event,
        other => panic!("no value: {other:?}"),
    }
}

async fn retain(node: &Node, topic: &str, payload: &'static str) {
    let publisher = node
        .publisher(topic, PublishOptions::default())
        .await
        .unwrap();
    let options = EventOptions::default().retain().header("unit", "C");
    within(publisher.publish_with(payload, &options))
        .await
        .unwrap();
    publisher.flush().await;
}

/// Waits until `node` finds exactly these values under a name, whoever keeps them.
async fn found(node: &Node, name: &str, payloads: &[&str]) {
    until(async || {
        let query = Query::Value(name.parse().unwrap());
        let found = within(node.find(&query, FindOptions::default()))
            .await
            .unwrap();
        let has = |payload: &&str| {
            let hex: String = payload.bytes().map(|byte| format!("{byte:02x}")).collect();
            let records = found.records.iter();
            let mut shown = records.filter_map(|one| one.hex.as_ref().or(one.text.as_ref()));
            shown.any(|shown| shown.contains(payload) || shown.contains(&hex))
        };
        found.records.len() == payloads.len() && payloads.iter().all(has)
    })
    .await;
}

fn last() -> SubscribeOptions {
    SubscribeOptions::default().last()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_begins_with_the_last_values_of_each_publisher_and_topic() {
    let realm = Realm::new();
    let [one, two, three] = realm.mesh().await;
    retain(&one, "room.1.temperature", "20").await;
    retain(&one, "room.1.temperature", "21").await;
    retain(&two, "room.1.temperature", "22").await;
    retain(&one, "room.2.temperature", "19").await;
    retain(&one, "room.2.humidity", "40").await;
    found(&three, "room.1.temperature", &["21", "22"]).await;
    found(&three, "room.2.temperature", &["19"]).await;
    until(async || {
        let index = Query::Value("$topics.room".parse().unwrap());
        let found = three.find(&index, FindOptions::default()).await.unwrap();
        found.records.len() == 2
    })
    .await;
    let client = realm.client(&two).await;
    let mut subscriptions = [
        within(three.subscribe("room.*.temperature", last()))
            .await
            .unwrap(),
        within(one.subscribe("room.*.temperature", last()))
            .await
            .unwrap(),
        within(client.subscribe("room.*.temperature", last()))
            .await
            .unwrap(),
    ];
    told(&three, &one).await;
    for subscription in &mut subscriptions {
        let mut values = Vec::new();
        for _ in 0..3 {
            let event = retained(subscription).await;
            assert!(event.is_retained());
            assert_eq!(event.header("unit").unwrap(), "C");
            values.push((
                event.topic().to_string(),
                event.publisher(),
                event.payload().clone(),
            ));
        }
        let first = |topic: &str, node: &Node, payload: &'static str| {
            (topic.to_owned(), node.node_id(), payload.into())
        };
        let mut expected = [
            first("room.1.temperature", &one, "21"),
            first("room.1.temperature", &two, "22"),
            first("room.2.temperature", &one, "19"),
        ];
        expected.sort();
        assert_eq!(values, expected);
    }
    // One that is named without wildcards is found by its name, and others come behind.
    let mut exact = within(three.subscribe("room.2.humidity", last()))
        .await
        .unwrap();
    assert_eq!(retained(&mut exact).await.payload()[..], *b"40");
    told(&three, &one).await;
    one.publish("room.2.humidity", "41").await.unwrap();
    let next = event(&mut exact).await;
    assert_eq!(
        (&next.payload()[..], next.sequence().get()),
        (&b"41"[..], 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_outlives_its_publisher_until_it_is_taken_back_or_its_time_is_over() {
    let realm = Realm::new();
    let (one, two) = (
        hasty(realm.builder()).start().await.unwrap(),
        hasty(realm.builder()).start().await.unwrap(),
    );
    let identity = realm.identity(&IssueRequest::default());
    let mortal = Mortal::start(hasty(realm.builder_with(identity))).await;
    let nodes = [one.clone(), two.clone(), mortal.node.clone()];
    link(&nodes).await;
    retain(&mortal.node, "testimony.x", "last words").await;
    found(&two, "testimony.x", &["last words"]).await;
    let owner = mortal.node.node_id();
    drop(nodes);
    mortal.kill();
    until(async || {
        let members = two.members().await.unwrap();
        let gone = members
            .iter()
            .find(|member| member.node == owner.to_string());
        gone.is_none_or(|member| member.state == "dead")
    })
    .await;
    let mut subscription = within(two.subscribe("testimony.*", last())).await.unwrap();
    let value = retained(&mut subscription).await;
    assert_eq!(
        (value.publisher(), &value.payload()[..]),
        (owner, &b"last words"[..])
    );
    // What is taken back is not there any more, beside one that is.
    retain(&one, "testimony.y", "mine").await;
    retain(&one, "testimony.z", "stays").await;
    found(&two, "testimony.y", &["mine"]).await;
    found(&two, "testimony.z", &["stays"]).await;
    retain(&one, "testimony.y", "").await;
    found(&two, "testimony.y", &[]).await;
    let mut subscription = within(two.subscribe("testimony.*", last())).await.unwrap();
    for expected in ["last words", "stays"] {
        assert_eq!(
            retained(&mut subscription).await.payload()[..],
            *expected.as_bytes()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_cannot_be_retained_are_refused_beside_those_that_can() {
    let realm = Realm::new();
    let node = realm.node().await;
    let client = realm.client(&node).await;
    let publisher = node
        .publisher("big.x", PublishOptions::default())
        .await
        .unwrap();
    let far = client
        .publisher("big.x", PublishOptions::default())
        .unwrap();
    let retain = EventOptions::default().retain();
    let refused = within(publisher.publish_with(vec![0; 65_536], &retain)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::PAYLOAD_TOO_LARGE);
    within(publisher.publish_with(vec![0; 64_000], &retain))
        .await
        .unwrap();
    let refused = within(far.publish_with("", &retain)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::UNSUPPORTED_FEATURE);
    within(far.publish_with("", &EventOptions::default()))
        .await
        .unwrap();
    let refused = within(node.subscribe("*.x", last())).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
    within(node.subscribe("big.*", last())).await.unwrap();
    let refused = within(node.keep("big.*", History::Last(1))).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::DENIED);
}

/// The payloads of the next events, as numbers.
async fn numbers(subscription: &mut Subscription, count: u64) -> Vec<u64> {
    let mut found = Vec::new();
    for _ in 0..count {
        let event = event(subscription).await;
        found.push(u64::from_le_bytes(event.payload()[..].try_into().unwrap()));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_begins_with_the_history_that_publishers_keep_and_misses_nothing_behind() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let keeping = PublishOptions::default().history(10);
    let publisher = one.publisher("log.x", keeping).await.unwrap();
    publish_numbered(&one, "log.x", 25).await;
    publisher.flush().await;
    until(async || {
        let index = Query::Value("$topics.log".parse().unwrap());
        let found = two.find(&index, FindOptions::default()).await.unwrap();
        found.records.len() == 1
    })
    .await;
    let client = realm.client(&two).await;
    let some = SubscribeOptions::default().history(History::Last(4));
    let all = SubscribeOptions::default().history(History::Since(Duration::from_secs(60)));
    let mut few = within(two.subscribe("log.*", some)).await.unwrap();
    let mut far = within(client.subscribe("log.x", some)).await.unwrap();
    let mut near = within(one.subscribe("log.*", all)).await.unwrap();
    assert_eq!(numbers(&mut few, 4).await, [21, 22, 23, 24]);
    assert_eq!(numbers(&mut far, 4).await, [21, 22, 23, 24]);
    assert_eq!(numbers(&mut near, 10).await, (15..25).collect::<Vec<_>>());
    told(&two, &one).await;
    within(publisher.publish(25_u64.to_le_bytes().to_vec()))
        .await
        .unwrap();
    for subscription in [&mut few, &mut far, &mut near] {
        assert_eq!(numbers(subscription, 1).await, [25]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_keeps_the_events_of_publishers_that_are_gone() {
    let realm = Realm::new();
    let store = IssueRequest::new(Roles::MEMBER.with(Roles::STORE));
    let store = hasty(realm.builder_with(realm.identity(&store)));
    let store = within(store.start()).await.unwrap();
    let two = within(hasty(realm.builder()).start()).await.unwrap();
    let identity = realm.identity(&IssueRequest::default());
    let mortal = Mortal::start(hasty(realm.builder_with(identity))).await;
    let nodes = [store.clone(), two.clone(), mortal.node.clone()];
    link(&nodes).await;
    let keeping = within(store.keep("kept.**", History::Last(5)))
        .await
        .unwrap();
    assert_eq!(keeping.pattern().as_str(), "kept.**");
    told(&store, &mortal.node).await;
    publish_numbered(&mortal.node, "kept.x", 8).await;
    until(async || {
        let index = Query::Value("$topics.kept".parse().unwrap());
        let found = two.find(&index, FindOptions::default()).await.unwrap();
        let received = store.stats().await.unwrap().counts.events_received;
        found.records.len() == 1 && received == 8
    })
    .await;
    drop(nodes);
    mortal.kill();
    let all = SubscribeOptions::default().history(History::Last(100));
    // The last of them may be on its way from the subscription of the store to what it keeps.
    until(async || {
        let mut subscription = within(two.subscribe("kept.x", all)).await.unwrap();
        let all = numbers(&mut subscription, 5);
        let told = tokio::time::timeout(Duration::from_secs(2), all).await;
        told.is_ok_and(|told| told == [3, 4, 5, 6, 7])
    })
    .await;
}
