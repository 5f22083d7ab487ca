//! Events that are kept until their receivers have them.

use std::time::Duration;

use macula::wire::ErrorCode;
use macula::{
    EventBatch, EventOptions, Node, Overflow, PublishOptions, Publisher, Qos, Receipt,
    SubscribeOptions, Subscription,
};

use crate::mesh::{Mortal, Realm, event, hasty, link, numbered, subscribe, told, until, within};

pub(super) fn patient() -> EventOptions {
    EventOptions::default().deadline(Duration::from_secs(20))
}

fn kept() -> PublishOptions {
    PublishOptions::default().qos(Qos::AtLeastOnce)
}

async fn publisher(node: &Node, topic: &str) -> Publisher {
    within(node.publisher(topic, kept())).await.unwrap()
}

/// Publishes events with these numbers, and waits for what becomes of each.
async fn publish(publisher: &Publisher, numbers: std::ops::Range<u64>) -> Vec<Receipt> {
    let mut pending = Vec::new();
    for number in numbers.clone() {
        let taken = within(publisher.publish_with_receipt(numbered(number), &patient())).await;
        pending.push(taken.unwrap());
    }
    let mut receipts = Vec::new();
    for (number, pending) in numbers.zip(pending) {
        assert_eq!(pending.id().unwrap().sequence.get(), number);
        receipts.push(within(pending.receipt()).await.unwrap());
    }
    receipts
}

fn counts(receipt: &Receipt) -> [u32; 4] {
    [
        receipt.matched,
        receipt.acked,
        receipt.expired,
        receipt.dropped,
    ]
}

/// Reads events with these numbers, and nothing else.
async fn read(subscription: &mut Subscription, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let event = event(subscription).await;
        assert_eq!(event.sequence().get(), number);
        assert_eq!(event.payload()[..], numbered(number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_counts_who_was_handed_the_event() {
    const COUNT: u64 = 500;
    let realm = Realm::new();
    let [one, two, three] = realm.mesh().await;
    let mut here = subscribe(&one, "kept.*").await;
    let mut there = subscribe(&two, "kept.x").await;
    let client = realm.client(&three).await;
    let options = SubscribeOptions::default();
    let mut attached = within(client.subscribe("kept.**", options)).await.unwrap();
    for other in [&two, &three] {
        told(other, &one).await;
    }
    let publisher = publisher(&one, "kept.x").await;
    let reading = async {
        tokio::join!(
            read(&mut here, 0..COUNT),
            read(&mut there, 0..COUNT),
            read(&mut attached, 0..COUNT),
        )
    };
    let (receipts, _) = tokio::join!(publish(&publisher, 0..COUNT), reading);
    for receipt in &receipts {
        assert_eq!(counts(receipt), [3, 3, 0, 0]);
        assert!(receipt.is_complete());
    }
    let stats = one.stats().await.unwrap();
    assert_eq!(stats.counts.events_published, COUNT);
    assert_eq!(two.stats().await.unwrap().counts.dropped_duplicate, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_not_taken_is_not_acknowledged() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut there = subscribe(&two, "kept.x").await;
    told(&two, &one).await;
    let publisher = publisher(&one, "kept.x").await;
    let first = within(publisher.publish_with_receipt("1", &patient()))
        .await
        .unwrap();
    let second = within(publisher.publish_with_receipt("2", &patient()))
        .await
        .unwrap();
    until(async || two.stats().await.unwrap().counts.events_received == 2).await;
    event(&mut there).await;
    assert_eq!(
        counts(&within(first.receipt()).await.unwrap()),
        [1, 1, 0, 0]
    );
    // Its subscriber ends without having taken it.
    drop(there);
    assert_eq!(
        counts(&within(second.receipt()).await.unwrap()),
        [1, 0, 0, 1]
    );
    let nobody = within(publisher.publish_with_receipt("3", &patient()))
        .await
        .unwrap();
    let receipt = within(nobody.receipt()).await.unwrap();
    assert_eq!(receipt.acked, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_application_has_taken_is_acknowledged_though_it_takes_no_more() {
    const COUNT: u64 = 100;
    const TAKEN: u64 = 37;
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut there = subscribe(&two, "kept.x").await;
    told(&two, &one).await;
    let publisher = publisher(&one, "kept.x").await;
    let mut pending = Vec::new();
    for number in 0..COUNT {
        let taken = within(publisher.publish_with_receipt(numbered(number), &patient())).await;
        pending.push(taken.unwrap());
    }
    let rest = pending.split_off(usize::try_from(TAKEN).unwrap());
    read(&mut there, 0..TAKEN).await;
    for pending in pending {
        assert_eq!(
            counts(&within(pending.receipt()).await.unwrap()),
            [1, 1, 0, 0]
        );
    }
    // It goes on, and is heard again.
    read(&mut there, TAKEN..TAKEN + 1).await;
    let mut rest = rest.into_iter();
    let next = rest.next().unwrap();
    assert_eq!(counts(&within(next.receipt()).await.unwrap()), [1, 1, 0, 0]);
    drop(there);
    for pending in rest {
        assert_eq!(
            counts(&within(pending.receipt()).await.unwrap()),
            [1, 0, 0, 1]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_application_has_taken_counts_though_it_ends_at_once() {
    const COUNT: u64 = 100;
    const TAKEN: u64 = 37;
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let publisher = publisher(&one, "kept.x").await;
    for turn in 0..10 {
        let mut there = subscribe(&two, "kept.x").await;
        told(&two, &one).await;
        let mut batch = EventBatch::new();
        for number in turn * COUNT..(turn + 1) * COUNT {
            assert!(batch.push(&numbered(number)));
        }
        let pending = within(publisher.publish_batch_with_receipts(&mut batch)).await;
        let pending = pending.unwrap();
        read(&mut there, turn * COUNT..turn * COUNT + TAKEN).await;
        drop(there);
        let receipts = within(pending.receipts()).await.unwrap();
        let fates = receipts
            .iter()
            .map(|one| (one.count, one.acked, one.dropped));
        let expected = [(TAKEN, 1, 0), (COUNT - TAKEN, 0, 1)];
        assert_eq!(fates.collect::<Vec<_>>(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_has_sent_all_holds_up_no_other() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut there = subscribe(&two, "kept.*").await;
    told(&two, &one).await;
    let first = publisher(&one, "kept.x").await;
    let second = publisher(&one, "kept.y").await;
    within(first.publish("1")).await.unwrap();
    // As soon as it has left, and at once from then on.
    until(async || second.try_publish("2").is_ok()).await;
    for _ in 0..2 {
        event(&mut there).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_gets_all_of_them_whatever_its_policy() {
    const COUNT: u64 = 3_000;
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let options = |overflow| SubscribeOptions::default().max_events(8).overflow(overflow);
    let oldest = within(two.subscribe("slow.x", options(Overflow::DropOldest))).await;
    let newest = within(one.subscribe("slow.x", options(Overflow::DropNewest))).await;
    let (mut oldest, mut newest) = (oldest.unwrap(), newest.unwrap());
    told(&two, &one).await;
    let publisher = publisher(&one, "slow.x").await;
    for number in 0..COUNT {
        within(publisher.publish(numbered(number))).await.unwrap();
    }
    within(publisher.flush()).await;
    read(&mut oldest, 0..COUNT).await;
    read(&mut newest, 0..COUNT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_outlive_the_links_that_they_travel_on() {
    const COUNT: u64 = 4_000;
    const LINKS: u32 = 8;
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let few = SubscribeOptions::default().max_events(8);
    let mut there = within(two.subscribe("cut.x", few)).await.unwrap();
    told(&two, &one).await;
    let publisher = publisher(&one, "cut.x").await;
    let address = one.local_addr();
    let read_from = tokio::sync::Notify::new();
    let cutting = async {
        // The dialler gives its link up for another. Nobody has read before the first time, so all of it is sent again.
        until(async || one.stats().await.unwrap().counts.kept_sent > 100).await;
        within(two.connect(address)).await.unwrap();
        read_from.notify_one();
        for link in 1..=LINKS {
            let share = u64::from(link) * COUNT / u64::from(LINKS + 1);
            until(async || one.stats().await.unwrap().counts.events_published >= share).await;
            // The former one may have to end before there is room for another.
            until(async || two.connect(address).await.is_ok()).await;
        }
    };
    let reading = async {
        within(read_from.notified()).await;
        read(&mut there, 0..COUNT).await;
    };
    let (receipts, (), ()) = tokio::join!(publish(&publisher, 0..COUNT), cutting, reading);
    for receipt in &receipts {
        assert_eq!(counts(receipt), [1, 1, 0, 0]);
    }
    let sent = one.stats().await.unwrap().counts.kept_sent;
    assert!(sent > COUNT, "nothing had to be sent again: {sent}");
    until(async || one.stats().await.unwrap().kept == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_buffer_makes_publishers_wait() {
    let mut few = macula_pubsub::ReplayConfig::default();
    few.max_events = 16;
    let node = within(Realm::new().builder().replay(few).start())
        .await
        .unwrap();
    let options = SubscribeOptions::default().max_events(4);
    let mut slow = within(node.subscribe("full.x", options)).await.unwrap();
    let publisher = publisher(&node, "full.x").await;
    let mut taken = 0;
    let error = loop {
        assert!(taken <= 16, "nothing is ever refused");
        let soon = EventOptions::default().deadline(Duration::from_millis(200));
        match publisher.publish_with_receipt(numbered(taken), &soon).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.code(), taken), (ErrorCode::BUFFER_FULL, 16));
    let error = publisher.try_publish(numbered(taken)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::WOULD_BLOCK);
    let waiting = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish(numbered(16)).await }
    });
    read(&mut slow, 0..17).await;
    within(waiting).await.unwrap().unwrap();
    publisher.try_publish(numbered(17)).unwrap();
    read(&mut slow, 17..18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_come_back_within_its_lease_is_dropped() {
    let realm = Realm::new();
    let mut short = macula_pubsub::ReplayConfig::default();
    short.lease = Duration::from_millis(500);
    let one = within(hasty(realm.builder()).replay(short).start())
        .await
        .unwrap();
    let two = Mortal::start(hasty(realm.builder())).await;
    let mut here = subscribe(&one, "lease.x").await;
    link(&[one.clone(), two.node.clone()]).await;
    let _there = subscribe(&two.node, "lease.x").await;
    told(&two.node, &one).await;
    let publisher = publisher(&one, "lease.x").await;
    let pending = within(publisher.publish_with_receipt(numbered(0), &patient())).await;
    read(&mut here, 0..1).await;
    two.kill();
    let receipt = within(pending.unwrap().receipt()).await.unwrap();
    assert_eq!(counts(&receipt), [2, 1, 0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_holds_where_a_topic_becomes_kept() {
    const COUNT: u64 = 300;
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut there = subscribe(&two, "mixed.x").await;
    let mut here = subscribe(&one, "mixed.x").await;
    told(&two, &one).await;
    let plain = one.publisher("mixed.x", PublishOptions::default());
    let plain = within(plain).await.unwrap();
    let kept = publisher(&one, "mixed.x").await;
    for number in 0..COUNT {
        let by = if number / 10 % 3 == 1 { &kept } else { &plain };
        within(by.publish(numbered(number))).await.unwrap();
    }
    read(&mut there, 0..COUNT).await;
    read(&mut here, 0..COUNT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_publisher_keep_their_order_over_topics() {
    const COUNT: u64 = 600;
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut here = subscribe(&one, "over.*").await;
    let mut there = subscribe(&two, "over.*").await;
    told(&two, &one).await;
    let topics = ["over.a", "over.b", "over.c"];
    let mut publishers = Vec::new();
    for topic in topics {
        publishers.push(publisher(&one, topic).await);
    }
    // Another task publishes at the same time, on a topic of its own and on a shared one.
    let noise = async {
        let own = [
            publisher(&one, "noise.a").await,
            publisher(&one, "over.b").await,
        ];
        for number in 0..COUNT {
            let to = &own[usize::try_from(number % 2).unwrap()];
            within(to.publish_with(vec![0; 3], &patient()))
                .await
                .unwrap();
        }
    };
    let publishing = async {
        for number in 0..COUNT {
            // Runs of one topic, and changes at each event.
            let turn = if number % 50 < 25 { number / 5 } else { number };
            let to = &publishers[usize::try_from(turn % 3).unwrap()];
            let options = patient();
            let put = to.publish_with(numbered(number), &options);
            within(put).await.unwrap();
        }
    };
    let reading = async |subscription: &mut Subscription| {
        let mut next = 0;
        while next < COUNT {
            let event = event(subscription).await;
            if event.payload().len() == 8 {
                assert_eq!(event.payload()[..], numbered(next));
                next += 1;
            }
        }
    };
    tokio::join!(noise, publishing, reading(&mut here), reading(&mut there));
}
