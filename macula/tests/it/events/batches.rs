//! Events that are published and taken together.

use std::time::Duration;

use macula::wire::ErrorCode;
use macula::{
    DeliveryBatch, EventBatch, EventOptions, Node, Overflow, PendingReceipts, PublishOptions,
    Publisher, Qos, Receipts, SubscribeOptions, Subscription,
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

/// How many events there were of each fate: matched, acked, expired, dropped.
async fn fates(pending: PendingReceipts, first: u64) -> Vec<(u64, [u32; 4])> {
    let receipts = within(pending.receipts()).await.unwrap();
    let mut next = first;
    for receipts in &receipts {
        assert_eq!(receipts.first.as_ref().unwrap().sequence.get(), next);
        next += receipts.count;
    }
    let figures = |one: &Receipts| [one.matched, one.acked, one.expired, one.dropped];
    receipts
        .iter()
        .map(|one| (one.count, figures(one)))
        .collect()
}

fn filled(numbers: std::ops::Range<u64>) -> EventBatch {
    let mut batch = EventBatch::new();
    for number in numbers {
        assert!(batch.push(&numbered(number)));
    }
    batch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_of_a_batch_has_its_receipt() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut here = subscribe(&one, "many.*").await;
    let manual = SubscribeOptions::default().manual_acks(Duration::from_secs(60), 3);
    let mut there = within(two.subscribe("many.kept", manual)).await.unwrap();
    told(&two, &one).await;
    // Whatever the promise of the publisher is.
    let publisher = publisher(&one, "many.kept", Qos::AtMostOnce).await;
    let mut empty = EventBatch::new();
    let nothing = within(publisher.publish_batch_with_receipts(&mut empty)).await;
    let nothing = nothing.unwrap();
    assert_eq!(nothing.left(), 0);
    assert!(fates(nothing, 0).await.is_empty());
    let mut batch = filled(0..100);
    let pending = publisher.publish_batch_with_receipts(&mut batch);
    let pending = within(pending).await.unwrap();
    assert!(batch.is_empty());
    assert_eq!(pending.left(), 100);
    let options = EventOptions::default();
    let single = within(publisher.publish_with_receipt(numbered(100), &options)).await;
    let single = single.unwrap();
    read(&mut here, 0..101).await;
    for number in 0..101 {
        let event = event(&mut there).await;
        assert_eq!(event.payload()[..], numbered(number));
        if number % 50 == 20 {
            event.reject();
        } else {
            event.ack();
        }
    }
    let (all, one_less) = ([2, 2, 0, 0], [2, 1, 0, 1]);
    let expected = [
        (20, all),
        (1, one_less),
        (49, all),
        (1, one_less),
        (29, all),
    ];
    assert_eq!(fates(pending, 0).await, expected);
    assert!(within(single.receipt()).await.unwrap().is_complete());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_waits_until_there_is_room_for_all_of_it() {
    let mut replay = macula_pubsub::ReplayConfig::default();
    replay.max_events = 150;
    let one = within(Realm::new().builder().replay(replay).start()).await;
    let one = one.unwrap();
    let mut here = subscribe(&one, "many.kept").await;
    let publisher = publisher(&one, "many.kept", Qos::AtLeastOnce).await;
    let mut first = filled(0..100);
    let receipts = within(publisher.publish_batch_with_receipts(&mut first)).await;
    let receipts = receipts.unwrap();
    let mut second = filled(100..200);
    {
        let waiting = publisher.publish_batch(&mut second);
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
    }
    assert_eq!(second.len(), 100, "it was not published");
    read(&mut here, 0..100).await;
    assert_eq!(fates(receipts, 0).await, [(100, [1, 1, 0, 0])]);
    within(publisher.publish_batch(&mut second)).await.unwrap();
    // What is larger than the buffer has it to itself.
    let mut third = filled(200..400);
    let (_, third) = tokio::join!(read(&mut here, 100..200), async {
        within(publisher.publish_batch_with_receipts(&mut third)).await
    });
    let (_, fates) = tokio::join!(read(&mut here, 200..400), fates(third.unwrap(), 200));
    assert_eq!(fates, [(200, [1, 1, 0, 0])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_has_the_receipts_of_a_batch_too() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut there = subscribe(&two, "many.kept").await;
    told(&two, &one).await;
    let client = realm.client(&one).await;
    let publisher = client
        .publisher("many.kept", PublishOptions::default())
        .unwrap();
    let mut batch = filled(0..20);
    let pending = within(publisher.publish_batch_with_receipts(&mut batch)).await;
    let pending = pending.unwrap();
    assert!(batch.is_empty());
    read(&mut there, 0..20).await;
    let receipts = within(pending.receipts()).await.unwrap();
    assert_eq!(receipts.len(), 1, "{receipts:?}");
    assert_eq!((&receipts[0].first, receipts[0].count), (&None, 20));
    assert!(receipts[0].is_complete());
}
