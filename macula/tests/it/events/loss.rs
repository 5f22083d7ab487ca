//! Events that do not arrive, and how their subscribers hear of it.

use macula::wire::ErrorCode;
use macula::{Delivery, GapCause, Node, Overflow, PublishOptions, SubscribeOptions, Subscription};

use super::publish_numbered;
use crate::mesh::{Mortal, Realm, event, hasty, link, numbered, subscribe, told, until, within};

/// Reads up to the event with the number before `end`. Says how many came and how many gaps told of.
async fn read_to(subscription: &mut Subscription, end: u64) -> (u64, u64) {
    let (mut delivered, mut missing, mut next) = (0, 0, 0);
    while next < end {
        match within(subscription.next()).await.unwrap() {
            Delivery::Event(event) => {
                assert_eq!(event.sequence().get(), next);
                assert_eq!(event.payload()[..], numbered(next));
                delivered += 1;
                next += 1;
            }
            Delivery::Gap(gap) => {
                assert_eq!(gap.from().get(), next);
                assert_eq!(gap.cause(), GapCause::Overflow);
                missing += gap.count().unwrap();
                next = gap.to().unwrap().get();
            }
            other => panic!("{other:?}"),
        }
    }
    (delivered, missing)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_is_told_what_it_missed_and_the_others_miss_nothing() {
    const COUNT: u64 = 2_000;
    let realm = Realm::new();
    let [publisher, slow, fast] = realm.mesh().await;
    let few = SubscribeOptions::default().max_events(8);
    let mut sleepy = slow.subscribe("slow.x", few).await.unwrap();
    let mut awake = subscribe(&fast, "slow.x").await;
    told(&slow, &publisher).await;
    told(&fast, &publisher).await;
    publish_numbered(&publisher, "slow.x", COUNT).await;
    assert_eq!(read_to(&mut awake, COUNT).await, (COUNT, 0));
    until(async || slow.stats().await.unwrap().counts.events_received == COUNT).await;
    let (delivered, missing) = read_to(&mut sleepy, COUNT).await;
    assert_eq!(delivered + missing, COUNT);
    assert_eq!((delivered, missing), (8, COUNT - 8));
    let counts = sleepy.counts();
    assert_eq!((counts.delivered, counts.overflow), (delivered, missing));
    // It is counted once the queue has what is left, where it may have been seen by now.
    until(async || slow.stats().await.unwrap().counts.dropped_overflow == missing).await;
}

/// The next delivery, which has to say that the publisher is lost, behind `count` events.
async fn lost(subscription: &mut Subscription, publisher: &Node, count: u64) {
    match within(subscription.next()).await {
        Some(Delivery::Gap(gap)) => {
            assert_eq!(gap.cause(), GapCause::PublisherLost);
            assert_eq!(gap.publisher(), publisher.node_id());
            assert_eq!(gap.topic().as_str(), "lost.x");
            assert_eq!((gap.from().get(), gap.count()), (count, None));
        }
        other => panic!("no gap: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_is_killed_is_a_gap() {
    let realm = Realm::new();
    let subscriber = hasty(realm.builder()).start().await.unwrap();
    let publisher = Mortal::start(hasty(realm.builder())).await;
    link(&[subscriber.clone(), publisher.node.clone()]).await;
    let mut subscription = subscribe(&subscriber, "lost.*").await;
    told(&subscriber, &publisher.node).await;
    publish_numbered(&publisher.node, "lost.x", 3).await;
    for _ in 0..3 {
        event(&mut subscription).await;
    }
    let node = publisher.node.clone();
    publisher.kill();
    lost(&mut subscription, &node, 3).await;
    let members = subscriber.stats().await.unwrap().members;
    assert_eq!((members.alive, members.dead), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_leaves_is_a_gap() {
    let realm = Realm::new();
    let [subscriber, publisher] = realm.mesh().await;
    let mut subscription = subscribe(&subscriber, "lost.*").await;
    told(&subscriber, &publisher).await;
    publish_numbered(&publisher, "lost.x", 5).await;
    within(publisher.shutdown()).await;
    for sequence in 0..5 {
        let event = event(&mut subscription).await;
        assert_eq!(
            event.sequence().get(),
            sequence,
            "what was published has left"
        );
    }
    lost(&mut subscription, &publisher, 5).await;
    let members = subscriber.stats().await.unwrap().members;
    assert_eq!((members.alive, members.left), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn try_publish_refuses_where_publish_would_wait() {
    let node = Realm::new().node().await;
    let options = SubscribeOptions::default()
        .max_events(1)
        .overflow(Overflow::Block);
    let mut subscription = node.subscribe("full.x", options).await.unwrap();
    let publisher = node
        .publisher("full.x", PublishOptions::default())
        .await
        .unwrap();
    let payload = |number: u64| [numbered(number), vec![0; 1_000]].concat();
    let mut taken = 0;
    let error = loop {
        // The batch before may be on its way still, so only a full queue and a full batch refuse for good.
        assert!(taken < 10_000, "nothing is ever refused");
        match publisher.try_publish(payload(taken)) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), ErrorCode::WOULD_BLOCK);
    let waiting = tokio::spawn({
        let publisher = publisher.clone();
        async move { publisher.publish(payload(taken)).await }
    });
    for sequence in 0..=taken {
        let event = event(&mut subscription).await;
        assert_eq!(event.sequence().get(), sequence);
        assert_eq!(event.payload()[..8], numbered(sequence));
    }
    within(waiting).await.unwrap().unwrap();
    within(publisher.flush()).await;
    publisher.try_publish(payload(taken + 1)).unwrap();
    assert_eq!(event(&mut subscription).await.sequence().get(), taken + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_ends_with_its_node() {
    let node = Realm::new().node().await;
    let mut subscription = subscribe(&node, "end.*").await;
    node.publish("end.x", "last").await.unwrap();
    within(node.shutdown()).await;
    assert_eq!(event(&mut subscription).await.payload()[..], *b"last");
    let end = within(subscription.next()).await;
    assert!(matches!(end, Some(Delivery::Closed(_))), "{end:?}");
    assert!(within(subscription.next()).await.is_none());
    let error = node.subscribe("end.*", SubscribeOptions::default()).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::SHUTTING_DOWN);
}
