//! Events that are published and taken together.

use std::time::Duration;

use macula::wire::ErrorCode;
use macula::{
    DeliveryBatch, EventBatch, Node, Overflow, PublishOptions, Publisher, Qos, SubscribeOptions,
    Subscription,
};

use crate::mesh::{Realm, event, numbered, subscribe, told, until, within};

const COUNT: u64 = 20_000;

async fn publisher(node: &Node, topic: &str, qos: Qos) -> Publisher {
    let options = PublishOptions::default().qos(qos);
    within(node.publisher(topic, options)).await.unwrap()
}

/// Takes events with these numbers, and nothing else, batch by batch.
async fn read(subscription: &mut Subscription, numbers: std::ops::Range<u64>) {
    let mut next = numbers.start;
    while next < numbers.end {
        match within(subscription.next_batch()).await {
            Some(DeliveryBatch::Events(events)) => {
                for event in events {
                    assert_eq!(event.sequence().get(), next);
                    assert_eq!(event.payload(), numbered(next));
                    next += 1;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(next, numbers.end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_batches_arrive_in_order_and_once() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let client = realm.client(&two).await;
    let options = || SubscribeOptions::default().overflow(Overflow::Block);
    let mut all = [
        within(one.subscribe("many.x", options())).await.unwrap(),
        within(two.subscribe("many.x", options())).await.unwrap(),
        within(client.subscribe("many.*", options())).await.unwrap(),
    ];
    told(&two, &one).await;
    let publisher = publisher(&one, "many.x", Qos::AtMostOnce).await;
    let publishing = async {
        let mut batch = EventBatch::new();
        for number in 0..COUNT {
            // In turns with events by themselves.
            if number % 3_000 == 0 {
                within(publisher.publish_batch(&mut batch)).await.unwrap();
                assert!(batch.is_empty());
                within(publisher.publish(numbered(number))).await.unwrap();
            } else if !batch.push(&numbered(number)) {
                within(publisher.publish_batch(&mut batch)).await.unwrap();
                assert!(batch.push(&numbered(number)), "it was emptied");
            }
        }
        within(publisher.publish_batch(&mut batch)).await.unwrap();
        let rest = (COUNT..2 * COUNT).map(numbered);
        within(publisher.publish_many(rest)).await.unwrap();
    };
    let [here, there, attached] = &mut all;
    tokio::join!(
        publishing,
        read(here, 0..2 * COUNT),
        read(there, 0..2 * COUNT),
        read(attached, 0..2 * COUNT)
    );
    for subscription in &all {
        assert_eq!(subscription.counts().delivered, 2 * COUNT);
        assert_eq!(subscription.counts().dropped(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_a_payload_that_is_too_large_is_not_published() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut there = subscribe(&two, "many.large").await;
    told(&two, &one).await;
    let publisher = publisher(&one, "many.large", Qos::AtMostOnce).await;
    let mut batch = EventBatch::new();
    let max = 1 << 20;
    assert!(batch.push(&vec![0; max + 1]));
    let refused = within(publisher.publish_batch(&mut batch)).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::PAYLOAD_TOO_LARGE);
    assert_eq!(batch.len(), 1, "it is still there");
    batch.clear();
    assert!(batch.is_empty());
    within(publisher.publish_batch(&mut batch)).await.unwrap();
    assert!(batch.push(&vec![7; max]), "the first always has room");
    assert!(!batch.push(b"no more"));
    within(publisher.publish_batch(&mut batch)).await.unwrap();
    let found = event(&mut there).await;
    assert_eq!((found.sequence().get(), found.payload().len()), (0, max));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_kept_is_acknowledged_event_by_event() {
    const KEPT: u64 = 300;
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut there = subscribe(&two, "many.kept").await;
    let manual = SubscribeOptions::default().manual_acks(Duration::from_secs(60), 3);
    let mut by_word = within(two.subscribe("many.kept", manual)).await.unwrap();
    told(&two, &one).await;
    let publisher = publisher(&one, "many.kept", Qos::AtLeastOnce).await;
    within(publisher.publish_many((0..KEPT).map(numbered)))
        .await
        .unwrap();
    read(&mut there, 0..KEPT).await;
    assert!(one.stats().await.unwrap().kept > 0, "not all are done");
    let (mut next, mut again) = (0, 0);
    while next + again < KEPT + 1 {
        let Some(DeliveryBatch::Events(events)) = within(by_word.next_batch()).await else {
            panic!("no events");
        };
        for event in events {
            if event.attempt() > 0 {
                assert_eq!(event.sequence().get(), 7);
                again += 1;
                event.ack();
            } else {
                assert_eq!(event.payload(), numbered(next));
                next += 1;
                if event.sequence().get() == 7 {
                    event.nack(Duration::from_millis(1));
                } else {
                    event.ack();
                }
            }
        }
    }
    assert_eq!((next, again), (KEPT, 1));
    until(async || one.stats().await.unwrap().kept == 0).await;
}
