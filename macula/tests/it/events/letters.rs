//! Dead letters, which whoever in the realm wants them gets.

use std::collections::BTreeSet;
use std::time::Duration;

use macula::realm::{IssueRequest, Tenant};
use macula::wire::ErrorCode;
use macula::wire::message::Roles;
use macula::{
    Delivery, EventOptions, Group, History, Node, PublishOptions, Publisher, Qos, SubscribeOptions,
    Subscription,
};

use crate::mesh::{Mortal, Realm, event, hasty, link, numbered, subscribe, told, until, within};

fn by_hand(times: u32) -> SubscribeOptions {
    SubscribeOptions::default().manual_acks(Duration::from_secs(60), times)
}

async fn kept(node: &Node, topic: &str) -> Publisher {
    let options = PublishOptions::default().qos(Qos::AtLeastOnce);
    within(node.publisher(topic, options)).await.unwrap()
}

/// A dead letter of the event that `publisher` published with a sequence.
async fn letter(subscription: &mut Subscription, publisher: &Node, sequence: u64) {
    let letter = event(subscription).await;
    assert_eq!(letter.payload()[..], numbered(sequence));
    assert_eq!(letter.topic().as_str(), "$sys.dlq.jobs.x");
    let was = letter.dead_letter().unwrap();
    assert_eq!(was.publisher, publisher.node_id());
    assert_eq!(was.sequence.get(), sequence);
    assert_eq!(
        letter.header("job").map(|value| &value[..]),
        Some(&b"7"[..])
    );
}

async fn dead(node: &Node) -> (u64, u64) {
    let counts = node.stats().await.unwrap().counts;
    (counts.dead_letters, counts.dead_letters_lost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_reach_whoever_subscribed_to_them_anywhere() {
    let realm = Realm::new();
    let [one, two, three] = realm.mesh().await;
    let client = realm.client(&three).await;
    let mut here = subscribe(&one, "$sys.dlq.jobs.**").await;
    let mut there = subscribe(&three, "$sys.dlq.jobs.*").await;
    let options = SubscribeOptions::default();
    let mut attached = within(client.subscribe("$sys.dlq.**", options))
        .await
        .unwrap();
    // What does not name dead letters does not get them.
    let mut all = subscribe(&three, "**").await;
    let mut jobs = within(two.subscribe("jobs.x", by_hand(0))).await.unwrap();
    told(&two, &one).await;
    told(&three, &one).await;
    let publisher = kept(&one, "jobs.x").await;
    // The id is that of the event, not of its dead letter.
    let options = EventOptions::default().header("job", "7").dedup_id("a");
    for number in 0..3 {
        let options = match number {
            0 => options.clone(),
            _ => EventOptions::default().header("job", "7"),
        };
        within(publisher.publish_with(numbered(number), &options))
            .await
            .unwrap();
        event(&mut jobs).await.reject();
    }
    for subscription in [&mut here, &mut there, &mut attached] {
        for number in 0..3 {
            letter(subscription, &one, number).await;
        }
    }
    assert_eq!(dead(&one).await, (3, 0));
    for number in 0..3 {
        assert_eq!(event(&mut all).await.payload()[..], numbered(number));
    }
    within(one.publish("last", "")).await.unwrap();
    assert_eq!(event(&mut all).await.topic().as_str(), "last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_gets_the_dead_letters_of_its_own_topics_only() {
    let realm = Realm::new();
    let node = realm.node().await;
    let tenant = Tenant::new("acme").unwrap();
    let request = IssueRequest::new(Roles::CLIENT).with_tenant(tenant);
    let client = realm.client_with(&node, &request).await;
    let options = SubscribeOptions::default;
    for (pattern, may) in [
        ("$sys.dlq.acme.**", true),
        ("$sys.dlq.**", false),
        ("$sys.dlq.other.x", false),
        ("$sys.dlq", false),
    ] {
        let subscribed = within(client.subscribe(pattern, options())).await;
        let denied = subscribed.err().map(|error| error.code());
        assert_eq!(denied, (!may).then_some(ErrorCode::DENIED), "{pattern}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_keeps_dead_letters_and_publishes_those_of_a_lost_publisher() {
    let realm = Realm::new();
    let role = IssueRequest::new(Roles::MEMBER.with(Roles::STORE));
    let store = hasty(realm.builder_with(realm.identity(&role)));
    let store = within(store.start()).await.unwrap();
    let worker = within(hasty(realm.builder()).start()).await.unwrap();
    let doomed = Mortal::start(hasty(realm.builder())).await;
    link(&[store.clone(), worker.clone(), doomed.node.clone()]).await;
    let _jobs = within(store.keep("jobs.**", History::Last(5)))
        .await
        .unwrap();
    let _letters = within(store.keep("$sys.dlq.**", History::Last(5)))
        .await
        .unwrap();
    let group = Group::new("workers").unwrap();
    let mut jobs = within(worker.subscribe_in(&group, "jobs.x", by_hand(0)))
        .await
        .unwrap();
    let mut letters = subscribe(&worker, "$sys.dlq.jobs.**").await;
    for node in [&store, &worker] {
        told(node, &doomed.node).await;
    }
    told(&worker, &store).await;
    let publisher = kept(&doomed.node, "jobs.x").await;
    let options = EventOptions::default().header("job", "7");
    for number in 0..2 {
        within(publisher.publish_with(numbered(number), &options))
            .await
            .unwrap();
    }
    // The first is rejected while its publisher lives, the second when it is lost.
    event(&mut jobs).await.reject();
    letter(&mut letters, &doomed.node, 0).await;
    let second = event(&mut jobs).await;
    until(async || store.stats().await.unwrap().kept_for_others > 0).await;
    let lost = doomed.node.clone();
    doomed.kill();
    until(async || store.stats().await.unwrap().counts.kept_taken_over > 0).await;
    second.reject();
    loop {
        // It is told as well that the publisher is lost.
        match within(letters.next()).await.unwrap() {
            Delivery::Event(event) => {
                let was = event.dead_letter().unwrap();
                assert_eq!(event.publisher(), store.node_id());
                assert_eq!(was.publisher, lost.node_id());
                assert_eq!(event.payload()[..], numbered(was.sequence.get()));
                // The store may not have heard of the first one yet.
                if was.sequence.get() == 1 {
                    break;
                }
            }
            Delivery::Gap(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // Both are in the history of the store, for whoever comes later. To find it may take a while, since a member has died.
    until(async || {
        let history = SubscribeOptions::default().history(History::Last(5));
        let late = worker.subscribe("$sys.dlq.jobs.x", history);
        let mut late = within(late).await.unwrap();
        let read = async {
            let mut found = BTreeSet::new();
            while found.len() < 2 {
                if let Some(Delivery::Event(event)) = late.next().await {
                    found.insert(event.payload().to_vec());
                }
            }
            found
        };
        let found = tokio::time::timeout(Duration::from_secs(9), read).await;
        found.is_ok_and(|found| found == [numbered(0), numbered(1)].into())
    })
    .await;
}
