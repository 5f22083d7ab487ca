//! Groups, acknowledgements by the application, and dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use macula::wire::ErrorCode;
use macula::{
    Balance, Delivery, Event, EventOptions, Group, Node, PendingReceipt, PublishOptions, Publisher,
    Qos, SubscribeOptions, Subscription,
};

use super::kept::patient;
use crate::mesh::{Mortal, Realm, event, hasty, link, numbered, subscribe, until, within};

fn workers() -> Group {
    Group::new("workers").unwrap()
}

async fn share(node: &Node, group: &Group, pattern: &str) -> Subscription {
    let options = SubscribeOptions::default();
    within(node.subscribe_in(group, pattern, options))
        .await
        .unwrap()
}

async fn kept(node: &Node, topic: &str) -> Publisher {
    let options = PublishOptions::default().qos(Qos::AtLeastOnce);
    within(node.publisher(topic, options)).await.unwrap()
}

/// Waits until so many of a group are known where events are published.
async fn known(publisher: &Publisher, subscriptions: &mut [Subscription]) {
    // With turns each of them gets one of as many events once all are known.
    let count = subscriptions.len();
    let mut seen = BTreeSet::new();
    let mut sent = 0_u64;
    while seen.len() < count {
        within(publisher.publish("known?")).await.unwrap();
        sent += 1;
        let mut got = None;
        until(async || {
            for (at, subscription) in subscriptions.iter_mut().enumerate() {
                let next = tokio::time::timeout(Duration::from_millis(1), subscription.next());
                if let Ok(Some(Delivery::Event(_))) = next.await {
                    got = Some(at);
                    return true;
                }
            }
            false
        })
        .await;
        seen.extend(got);
        assert!(sent < 1_000, "some of the group are never chosen");
    }
}

async fn pending(publisher: &Publisher, payload: impl Into<bytes::Bytes>) -> PendingReceipt {
    let options = EventOptions::default().deadline(Duration::from_secs(20));
    within(publisher.publish_with_receipt(payload, &options))
        .await
        .unwrap()
}

fn number(event: &Event) -> u64 {
    u64::from_le_bytes(event.payload()[..8].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_goes_to_one_of_a_group_by_turns() {
    const COUNT: u64 = 300;
    let realm = Realm::new();
    let [one, two, three] = realm.mesh().await;
    let client = realm.client(&three).await;
    let options = SubscribeOptions::default();
    let group = workers();
    let attached = client.subscribe_in(&group, "jobs.*", options);
    let mut shared = [
        share(&one, &workers(), "jobs.x").await,
        share(&two, &workers(), "jobs.**").await,
        within(attached).await.unwrap(),
    ];
    let mut everything = subscribe(&two, "jobs.x").await;
    let publisher = kept(&one, "jobs.x").await;
    known(&publisher, &mut shared).await;
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        receipts.push(pending(&publisher, numbered(number)).await);
    }
    let mut seen = BTreeMap::new();
    for (at, subscription) in shared.iter_mut().enumerate() {
        for _ in 0..COUNT / 3 {
            let event = event(subscription).await;
            assert_eq!(seen.insert(number(&event), at), None, "two got one event");
        }
    }
    assert_eq!(seen.len(), usize::try_from(COUNT).unwrap());
    let mut next = 0;
    while next < COUNT {
        let event = event(&mut everything).await;
        if event.payload()[..] != *b"known?" {
            assert_eq!(number(&event), next, "others get all of them, in order");
            next += 1;
        }
    }
    for receipt in receipts {
        let receipt = within(receipt.receipt()).await.unwrap();
        assert_eq!((receipt.matched, receipt.acked), (2, 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_one_of_a_group_did_not_take_another_gets() {
    const COUNT: u64 = 40;
    let realm = Realm::new();
    let one = within(hasty(realm.builder()).start()).await.unwrap();
    let two = within(hasty(realm.builder()).start()).await.unwrap();
    let doomed = Mortal::start(hasty(realm.builder())).await;
    link(&[one.clone(), two.clone(), doomed.node.clone()]).await;
    let mut shared = [
        share(&two, &workers(), "jobs.x").await,
        share(&doomed.node, &workers(), "jobs.x").await,
    ];
    let publisher = kept(&one, "jobs.x").await;
    known(&publisher, &mut shared).await;
    let [mut staying, _leaving] = shared;
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        receipts.push(pending(&publisher, numbered(number)).await);
    }
    until(async || doomed.node.stats().await.unwrap().kept_in_transit > 0).await;
    doomed.kill();
    let mut seen = BTreeSet::new();
    while seen.len() < usize::try_from(COUNT).unwrap() {
        assert!(seen.insert(number(&event(&mut staying).await)));
    }
    for receipt in receipts {
        let receipt = within(receipt.receipt()).await.unwrap();
        assert_eq!((receipt.matched, receipt.acked, receipt.dropped), (1, 1, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_gives_events_back_and_some_die() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let options = SubscribeOptions::default().manual_acks(Duration::from_secs(60), 3);
    let mut there = within(two.subscribe("work.x", options)).await.unwrap();
    let mut dead = subscribe(&one, "$sys.dlq.work.**").await;
    within(one.wait_for_subscribers("work.x")).await.unwrap();
    let publisher = kept(&one, "work.x").await;
    let mut receipts = Vec::new();
    for text in ["done", "later", "never", "broken"] {
        receipts.push(pending(&publisher, text).await);
    }
    let mut handed = BTreeMap::new();
    for _ in 0..7 {
        let event = event(&mut there).await;
        let text = String::from_utf8(event.payload().to_vec()).unwrap();
        let times = handed.entry(text.clone()).or_insert(0);
        assert_eq!(event.attempt(), *times);
        *times += 1;
        match text.as_str() {
            "later" if event.attempt() == 0 => event.nack(Duration::from_millis(20)),
            "never" => event.nack(Duration::ZERO),
            "broken" => event.reject(),
            _ => event.ack(),
        }
    }
    let times: Vec<_> = handed
        .iter()
        .map(|(text, times)| (text.as_str(), *times))
        .collect();
    assert_eq!(
        times,
        [("broken", 1), ("done", 1), ("later", 2), ("never", 3)]
    );
    let mut letters = BTreeSet::new();
    for _ in 0..2 {
        let letter = event(&mut dead).await;
        assert_eq!(letter.topic().as_str(), "$sys.dlq.work.x");
        letters.insert(letter.payload().to_vec());
    }
    assert_eq!(letters, [b"broken".to_vec(), b"never".to_vec()].into());
    let mut counts = Vec::new();
    for receipt in receipts {
        let receipt = within(receipt.receipt()).await.unwrap();
        counts.push((receipt.acked, receipt.dropped));
    }
    assert_eq!(counts, [(1, 0), (1, 0), (0, 1), (0, 1)]);
    assert_eq!(one.stats().await.unwrap().counts.dead_letters, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_publishes_at_most_once_reaches_groups_and_others_once() {
    const COUNT: u64 = 60;
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let client = realm.client(&one).await;
    let mut shared = [
        share(&one, &workers(), "far.x").await,
        share(&two, &workers(), "far.x").await,
    ];
    let mut all = subscribe(&two, "far.x").await;
    let known_by = within(one.publisher("far.x", PublishOptions::default()))
        .await
        .unwrap();
    known(&known_by, &mut shared).await;
    let publisher = client
        .publisher("far.x", PublishOptions::default())
        .unwrap();
    for number in 0..COUNT {
        let payload = number.to_le_bytes().to_vec();
        within(publisher.publish(payload)).await.unwrap();
    }
    let mut got = BTreeSet::new();
    let [here, there] = &mut shared;
    while u64::try_from(got.len()).unwrap() < COUNT {
        let next = async {
            tokio::select! {
                event = event(here) => event,
                event = event(there) => event,
            }
        };
        let event = within(next).await;
        if event.payload().len() == 8 {
            assert!(got.insert(number(&event)), "an event came twice");
        }
    }
    let mut next = 0;
    while next < COUNT {
        let event = event(&mut all).await;
        if event.payload().len() == 8 {
            assert_eq!(number(&event), next);
            next += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_a_word_comes_again() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let options = SubscribeOptions::default().manual_acks(Duration::from_millis(50), 0);
    let mut there = within(two.subscribe("mute.x", options)).await.unwrap();
    within(one.wait_for_subscribers("mute.x")).await.unwrap();
    let publisher = kept(&one, "mute.x").await;
    let pending = within(publisher.publish_with_receipt("?", &patient()))
        .await
        .unwrap();
    for attempt in 0..4 {
        let event = event(&mut there).await;
        assert_eq!(event.attempt(), attempt);
        if attempt == 3 {
            event.ack();
        }
    }
    assert!(within(pending.receipt()).await.unwrap().is_complete());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_balance_chooses_as_it_says() {
    const COUNT: u64 = 30;
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let publisher = kept(&one, "bal.x").await;
    for (balance, expected) in [
        (Balance::RoundRobin, vec![10, 10, 10]),
        (Balance::Sticky, vec![0, 0, 30]),
        (Balance::Failover, vec![0, 0, 30]),
        (Balance::Hash, vec![0, 0, 30]),
        (Balance::LocalFirst, vec![0, 15, 15]),
    ] {
        let group = Group::new(&format!("{balance:?}"))
            .unwrap()
            .balance(balance);
        let (into, mut from) = tokio::sync::mpsc::unbounded_channel();
        let mut reading = Vec::new();
        let mut handles = Vec::new();
        for node in [&one, &one, &two] {
            let mut subscription = share(node, &group, "bal.x").await;
            let (into, counted) = (into.clone(), tokio::sync::mpsc::unbounded_channel());
            let (give, take) = counted;
            handles.push(take);
            reading.push(tokio::spawn(async move {
                while let Some(Delivery::Event(event)) = subscription.next().await {
                    give.send(number(&event)).ok();
                    into.send(number(&event)).ok();
                }
            }));
        }
        crate::mesh::told(&two, &one).await;
        for number in 0..COUNT {
            within(publisher.publish(numbered(number))).await.unwrap();
        }
        for _ in 0..COUNT {
            within(from.recv()).await.unwrap();
        }
        let mut counts: Vec<usize> = handles.iter().map(|handle| handle.len()).collect();
        counts.sort_unstable();
        assert_eq!(counts, expected, "{balance:?}");
        reading.iter().for_each(tokio::task::JoinHandle::abort);
        for ended in reading {
            ended.await.unwrap_err();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_group_has_one_balance_on_a_node() {
    let node = Realm::new().node().await;
    let options = SubscribeOptions::default();
    let first = share(&node, &workers(), "a.b").await;
    let sticky = workers().balance(Balance::Sticky);
    let error = within(node.subscribe_in(&sticky, "a.c", options))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::POLICY_CONFLICT);
    let second = share(&node, &workers(), "a.c").await;
    for subscription in [first, second] {
        within(node.unsubscribe(subscription)).await.unwrap();
    }
    share(&node, &sticky, "a.c").await;
    for name in ["", "a b", &"x".repeat(65)] {
        assert_eq!(
            Group::new(name).unwrap_err().code(),
            ErrorCode::INVALID_NAME
        );
    }
    assert_eq!(Group::new(&"x".repeat(64)).unwrap().name().len(), 64);
}
