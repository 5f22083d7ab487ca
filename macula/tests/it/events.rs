//! Events between nodes of one process, over real sockets.

mod baseline;
mod batches;
mod durable;
mod earlier;
mod early;
mod groups;
mod kept;
mod letters;
mod loss;
mod options;
mod sizes;
mod takeover;
mod trees;
mod typed;
mod unlinked;

use std::collections::{BTreeMap, BTreeSet};

use macula::wire::ErrorCode;
use macula::wire::message::Priority;
use macula::{CallOptions, Node, PublishOptions, RegisterOptions, Reply, SubscribeOptions};

use crate::mesh::{Realm, event, numbered, subscribe, told, until, within};

const COUNT: u64 = 500;

async fn publish_numbered(node: &Node, topic: &str, count: u64) {
    let publisher = node
        .publisher(topic, PublishOptions::default())
        .await
        .unwrap();
    for sequence in 0..count {
        within(publisher.publish(numbered(sequence))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_subscribers_get_the_events_of_two_publishers_in_order_and_once() {
    let realm = Realm::new();
    let [one, two, three] = realm.mesh().await;
    let mut subscriptions = [
        subscribe(&two, "order.*").await,
        subscribe(&three, "order.*").await,
    ];
    for (subscriber, publisher) in [(&two, &one), (&three, &one), (&three, &two)] {
        told(subscriber, publisher).await;
    }
    tokio::join!(
        publish_numbered(&one, "order.x", COUNT),
        publish_numbered(&two, "order.x", COUNT)
    );
    for subscription in &mut subscriptions {
        let mut next = BTreeMap::from([(one.node_id(), 0), (two.node_id(), 0)]);
        for _ in 0..2 * COUNT {
            let event = event(subscription).await;
            let expected = next.get_mut(&event.publisher()).unwrap();
            assert_eq!(event.sequence().get(), *expected);
            assert_eq!(event.payload()[..], numbered(*expected));
            assert_eq!(event.topic().as_str(), "order.x");
            *expected += 1;
        }
        assert!(next.values().all(|next| *next == COUNT));
    }
    for node in [&two, &three] {
        // They are counted once they are in the queue, where they may have been seen by now.
        until(async || node.stats().await.unwrap().counts.events_delivered == 2 * COUNT).await;
        let counts = node.stats().await.unwrap().counts;
        assert_eq!((counts.dropped_duplicate, counts.missing), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wildcards_choose_and_an_event_matches_each_subscription_once() {
    const TOPICS: [&str; 6] = [
        "w.end",
        "w.home",
        "w.home.1.2.temperature",
        "w.home.42.humidity",
        "w.home.42.temperature",
        "x.home.42.temperature",
    ];
    let realm = Realm::new();
    let [publisher, subscriber] = realm.mesh().await;
    let cases: [(&str, &[usize]); 4] = [
        ("w.home.*.temperature", &[4]),
        ("w.home.**", &[1, 2, 3, 4]),
        ("w.*", &[0, 1]),
        ("w.home.42.humidity", &[3]),
    ];
    let mut subscriptions = Vec::new();
    for (pattern, _) in cases {
        subscriptions.push(subscribe(&subscriber, pattern).await);
    }
    told(&subscriber, &publisher).await;
    for topic in TOPICS {
        publisher.publish(topic, topic).await.unwrap();
    }
    // The last topic has no subscriber, so it is not sent.
    until(async || subscriber.stats().await.unwrap().counts.events_received == 5).await;
    for ((pattern, expected), subscription) in cases.into_iter().zip(&mut subscriptions) {
        let mut found = BTreeSet::new();
        for _ in expected {
            let event = event(subscription).await;
            assert_eq!(event.payload()[..], *event.topic().as_str().as_bytes());
            found.insert(event.topic().to_string());
        }
        let expected: BTreeSet<_> = expected.iter().map(|at| TOPICS[*at].to_owned()).collect();
        assert_eq!(found, expected, "{pattern}");
    }
    let counts = subscriber.stats().await.unwrap().counts;
    assert_eq!(counts.events_delivered, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reserved_names_are_denied_beside_others_that_are_not() {
    let node = Realm::new().node().await;
    let echo = |_| async { Ok(Reply::default()) };
    let (subscribing, registering) = (SubscribeOptions::default(), RegisterOptions::default());
    let codes = [
        node.publish("$sys.x", "").await.unwrap_err(),
        node.subscribe("$sys.**", subscribing).await.unwrap_err(),
        node.register("$sys.x", registering.clone(), echo)
            .await
            .unwrap_err(),
        node.call("$sys.x", "", CallOptions::default())
            .await
            .unwrap_err(),
    ]
    .map(|error| error.code());
    assert_eq!(codes, [ErrorCode::DENIED; 4]);
    let mut subscription = subscribe(&node, "sys.**").await;
    let served = node
        .register("sys.x", registering.clone(), echo)
        .await
        .unwrap();
    node.publish("sys.x", "").await.unwrap();
    assert!(event(&mut subscription).await.payload().is_empty());
    node.call("sys.x", "", CallOptions::default())
        .await
        .unwrap();
    drop(served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_none_are_refused_beside_one_that_is() {
    let node = Realm::new().node().await;
    let long = "a".repeat(300);
    for topic in ["", "a..b", "a.*", "a\u{7}", long.as_str()] {
        let error = node.publish(topic, "").await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::INVALID_NAME, "{topic:?}");
    }
    node.publish("a.b", "").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_unsubscribe_nothing_more_comes_and_nothing_more_is_sent() {
    let realm = Realm::new();
    let [publisher, subscriber] = realm.mesh().await;
    let mut ending = subscribe(&subscriber, "u.x").await;
    let mut staying = subscribe(&subscriber, "u.y").await;
    told(&subscriber, &publisher).await;
    publisher.publish("u.x", "first").await.unwrap();
    assert_eq!(event(&mut ending).await.payload()[..], *b"first");
    subscriber.unsubscribe(ending).await.unwrap();
    told(&subscriber, &publisher).await;
    let before = subscriber.stats().await.unwrap().counts.events_received;
    publisher.publish("u.x", "second").await.unwrap();
    let quiet = publisher
        .publisher("u.x", PublishOptions::default())
        .await
        .unwrap();
    within(quiet.flush()).await;
    publisher.publish("u.y", "third").await.unwrap();
    assert_eq!(event(&mut staying).await.payload()[..], *b"third");
    let after = subscriber.stats().await.unwrap().counts.events_received;
    assert_eq!(after, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_topic_has_one_priority_on_a_node() {
    let node = Realm::new().node().await;
    let with = |priority| PublishOptions::default().priority(priority);
    let mut subscription = subscribe(&node, "p.*").await;
    let high = node.publisher("p.x", with(Priority::High)).await.unwrap();
    let error = node
        .publisher("p.x", with(Priority::Bulk))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::POLICY_CONFLICT);
    node.publisher("p.y", with(Priority::Bulk)).await.unwrap();
    let again = node.publisher("p.x", with(Priority::High)).await.unwrap();
    high.publish("1").await.unwrap();
    again.publish("2").await.unwrap();
    for sequence in 0..2 {
        let event = event(&mut subscription).await;
        assert_eq!(event.sequence().get(), sequence);
        assert_eq!(event.priority(), Priority::High);
    }
}
