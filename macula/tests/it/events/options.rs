//! What events are published with, and how a subscription ends.

use std::time::{Duration, Instant};

use bytes::Bytes;
use macula::realm::{IssueRequest, Tenant};
use macula::wire::message::{Priority, Roles};
use macula::wire::{ContentType, ErrorCode};
use macula::{
    ClosedReason, Delivery, EventOptions, GapCause, Order, Overflow, PublishOptions, Publisher,
    SubscribeOptions, Subscribers, Subscription,
};

use crate::clients::listen;
use crate::mesh::{Realm, event, link, subscribe, told, until, within};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn publish(publisher: &Publisher, payload: &str, options: &EventOptions) {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    let published = within(publisher.publish_with(payload, options)).await;
    published.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_arrives_with_all_that_it_was_published_with() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let far = realm.client(&two).await;
    let source = realm.client(&one).await;
    let mut subscriptions = [
        subscribe(&one, "full.*").await,
        subscribe(&two, "full.*").await,
        listen(&far, "full.*").await,
    ];
    told(&two, &one).await;
    let declared = PublishOptions::default().priority(Priority::High);
    let publishers = [
        (
            one.node_id(),
            one.publisher("full.a", declared.clone()).await.unwrap(),
        ),
        (
            source.node_id(),
            source.publisher("full.b", declared).unwrap(),
        ),
    ];
    let options = EventOptions::default()
        .header("z", "last")
        .header("traceparent", TRACE)
        .key("home-42")
        .dedup_id("the first")
        .ttl(Duration::from_secs(3_600))
        .content(ContentType::Json);
    for (node, publisher) in &publishers {
        publish(publisher, "{}", &options).await;
        publish(publisher, "plain", &EventOptions::default()).await;
        for subscription in &mut subscriptions {
            let full = event(subscription).await;
            assert_eq!((full.publisher(), full.sequence().get()), (*node, 0));
            assert_eq!(full.header("traceparent").unwrap(), TRACE);
            let keys: Vec<_> = full
                .headers()
                .iter()
                .map(|header| &header.key[..])
                .collect();
            assert_eq!(keys, ["traceparent", "z"]);
            assert_eq!(full.header("missing"), None);
            assert_eq!(full.key().unwrap(), "home-42");
            assert_eq!(full.dedup_id().unwrap(), "the first");
            assert_eq!(*full.content_type(), ContentType::Json);
            assert_eq!(full.priority(), Priority::High);
            let left = full.ttl_left().unwrap();
            assert!(left > Duration::from_secs(3_500) && left <= Duration::from_secs(3_600));
            assert_eq!(full.payload()[..], *b"{}");
            let plain = event(subscription).await;
            assert_eq!(plain.payload()[..], *b"plain");
            assert_eq!((plain.headers().len(), plain.key()), (0, None));
            assert_eq!((plain.ttl_left(), plain.dedup_id()), (None, None));
            assert_eq!(*plain.content_type(), ContentType::Bytes);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_handed_to_its_audience_and_to_nobody_else() {
    let realm = Realm::new();
    let of_tenant = IssueRequest::new(Roles::MEMBER.with(Roles::STORE));
    let of_tenant = of_tenant.with_tenant(Tenant::new("acme").unwrap());
    let nodes = [
        realm.node().await,
        realm.node().await,
        realm
            .builder_with(realm.identity(&of_tenant))
            .start()
            .await
            .unwrap(),
    ];
    link(&nodes).await;
    let [own, plain, acme] = &nodes;
    let of_gateway = IssueRequest::new(Roles::CLIENT.with(Roles::GATEWAY));
    let client = realm.client_with(plain, &of_gateway).await;
    let mut subscriptions = [
        subscribe(own, "acme.who").await,
        subscribe(plain, "acme.who").await,
        subscribe(acme, "acme.who").await,
        listen(&client, "acme.who").await,
    ];
    told(plain, own).await;
    let ready = subscribe(acme, "acme.ready").await;
    within(own.wait_for_subscribers("acme.ready"))
        .await
        .unwrap();
    drop(ready);
    let publisher = own
        .publisher("acme.who", PublishOptions::default())
        .await
        .unwrap();
    let options = EventOptions::default;
    let cases = [
        ("all", options(), [true; 4]),
        (
            "not self",
            options().exclude_self(),
            [false, true, true, true],
        ),
        (
            "one node",
            options().eligible(Subscribers::of_node(plain.node_id())),
            [false, true, false, false],
        ),
        (
            "not that node",
            options().exclude(Subscribers::of_node(plain.node_id())),
            [true, false, true, true],
        ),
        (
            "gateways",
            options().eligible(Subscribers::with_role(Roles::GATEWAY)),
            [false, false, false, true],
        ),
        (
            "acme or a gateway, but no store",
            options()
                .eligible(Subscribers::of_tenant("acme").and_role(Roles::GATEWAY))
                .exclude(Subscribers::with_role(Roles::STORE)),
            [false, false, false, true],
        ),
        ("end", options(), [true; 4]),
    ];
    for (name, options, _) in &cases {
        publish(&publisher, name, options).await;
    }
    for (at, subscription) in subscriptions.iter_mut().enumerate() {
        for (name, _, who) in &cases {
            if who[at] {
                // A gap for one that is not for it would be found here.
                assert_eq!(event(subscription).await.payload()[..], *name.as_bytes());
            }
        }
    }
    let counts = plain.stats().await.unwrap().counts;
    assert_eq!((counts.not_addressed, counts.missing), (3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_again_under_one_id_is_handed_out_once() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut near = subscribe(&one, "once.*").await;
    let mut far = subscribe(&two, "once.*").await;
    told(&two, &one).await;
    let [a, b] = ["once.a", "once.b"];
    let a = one.publisher(a, PublishOptions::default()).await.unwrap();
    let b = one.publisher(b, PublishOptions::default()).await.unwrap();
    let other = two
        .publisher("once.a", PublishOptions::default())
        .await
        .unwrap();
    let id = EventOptions::default().dedup_id("7");
    publish(&a, "first", &id).await;
    a.flush().await;
    publish(&b, "again, elsewhere", &id).await;
    publish(&a, "again", &id).await;
    publish(&a, "end", &EventOptions::default().dedup_id("8")).await;
    for subscription in [&mut near, &mut far] {
        assert_eq!(event(subscription).await.payload()[..], *b"first");
        assert_eq!(event(subscription).await.payload()[..], *b"end");
    }
    publish(&other, "of another publisher", &id).await;
    for subscription in [&mut near, &mut far] {
        let event = event(subscription).await;
        assert_eq!(event.payload()[..], *b"of another publisher");
    }
    until(async || two.stats().await.unwrap().counts.dropped_repeated == 2).await;
}

/// The next delivery, which has to be a gap: its cause and count.
async fn gap(subscription: &mut Subscription) -> (GapCause, Option<u64>) {
    match within(subscription.next()).await {
        Some(Delivery::Gap(gap)) => (gap.cause(), gap.count()),
        other => panic!("no gap: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_taken_within_its_time_to_live_is_told_as_expired() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut late = subscribe(&two, "ttl.x").await;
    told(&two, &one).await;
    let publisher = one
        .publisher("ttl.x", PublishOptions::default())
        .await
        .unwrap();
    let short = EventOptions::default().ttl(Duration::from_millis(200));
    for options in [short.clone(), short.key("k")] {
        publish(&publisher, "short", &options).await;
        publisher.flush().await;
    }
    publish(
        &publisher,
        "long",
        &EventOptions::default().ttl(Duration::from_secs(60)),
    )
    .await;
    until(async || two.stats().await.unwrap().counts.events_delivered == 3).await;
    let over = Instant::now() + Duration::from_millis(200);
    until(async || Instant::now() > over).await;
    assert_eq!(gap(&mut late).await, (GapCause::Expired, Some(1)));
    assert_eq!(gap(&mut late).await, (GapCause::Expired, Some(1)));
    assert_eq!(event(&mut late).await.payload()[..], *b"long");
    let counts = late.counts();
    assert_eq!(
        (counts.delivered, counts.expired, counts.dropped()),
        (1, 2, 2)
    );
    assert_eq!(two.stats().await.unwrap().counts.dropped_expired, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_ends_by_its_deadline_while_there_is_no_room() {
    let node = Realm::new().node().await;
    let blocking = SubscribeOptions::default()
        .max_events(1)
        .overflow(Overflow::Block);
    let mut subscription = node.subscribe("deadline.x", blocking).await.unwrap();
    let publisher = node
        .publisher("deadline.x", PublishOptions::default())
        .await
        .unwrap();
    let options = EventOptions::default()
        .key("k")
        .deadline(Duration::from_millis(20));
    let mut taken = 0_u64;
    let error = loop {
        match within(publisher.publish_with(vec![0; 16 << 10], &options)).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), ErrorCode::DEADLINE_EXCEEDED);
    let refused = publisher.try_publish_with(vec![0; 16 << 10], &EventOptions::default().key("k"));
    assert_eq!(refused.unwrap_err().code(), ErrorCode::WOULD_BLOCK);
    assert!(taken > 0 && taken < 16, "{taken}");
    // What was not taken was not published: the next one follows the last that was.
    for sequence in 0..taken {
        assert_eq!(event(&mut subscription).await.sequence().get(), sequence);
    }
    publish(&publisher, "next", &EventOptions::default()).await;
    assert_eq!(event(&mut subscription).await.sequence().get(), taken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_beyond_their_limits_are_refused_and_nothing_is_published() {
    let node = Realm::new().node().await;
    let mut subscription = subscribe(&node, "bad.x").await;
    let publisher = node
        .publisher("bad.x", PublishOptions::default())
        .await
        .unwrap();
    for options in [
        EventOptions::default().header("$trace", "x"),
        EventOptions::default().key(""),
        EventOptions::default().ttl(Duration::ZERO),
    ] {
        let refused = within(publisher.publish_with("", &options)).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
    }
    for options in [
        SubscribeOptions::default().max_events(0),
        SubscribeOptions::default()
            .order(Order::Latest)
            .overflow(Overflow::Block),
    ] {
        let refused = within(node.subscribe("bad.x", options)).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::INVALID_ARGUMENT);
    }
    publish(
        &publisher,
        "good",
        &EventOptions::default().header("trace", "x"),
    )
    .await;
    assert_eq!(event(&mut subscription).await.sequence().get(), 0);
}

/// The reason that follows what waited, and that nothing follows it.
async fn closed(subscription: &mut Subscription) -> ClosedReason {
    let reason = match within(subscription.next()).await {
        Some(Delivery::Closed(reason)) => reason,
        other => panic!("not closed: {other:?}"),
    };
    assert!(within(subscription.next()).await.is_none());
    reason
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_says_why_it_has_ended() {
    let realm = Realm::new();
    let node = realm.node().await;
    let client = realm.client(&node).await;
    let mut far = listen(&client, "end.x").await;
    let mut near = subscribe(&node, "end.x").await;
    let impatient = SubscribeOptions::default()
        .max_events(2)
        .overflow(Overflow::Disconnect);
    let mut slow = node.subscribe("end.x", impatient).await.unwrap();
    let publisher = node.publisher("end.x", PublishOptions::default());
    let publisher = publisher.await.unwrap();
    for payload in ["1", "2", "3"] {
        publisher.publish(payload).await.unwrap();
    }
    publisher.flush().await;
    for expected in ["1", "2"] {
        assert_eq!(event(&mut slow).await.payload()[..], *expected.as_bytes());
    }
    assert_eq!(gap(&mut slow).await, (GapCause::Overflow, Some(1)));
    assert!(matches!(closed(&mut slow).await, ClosedReason::Overflow));
    for subscription in [&mut far, &mut near] {
        for _ in 0..3 {
            event(subscription).await;
        }
    }
    node.shutdown().await;
    assert!(matches!(closed(&mut near).await, ClosedReason::Stopped));
    assert!(matches!(closed(&mut far).await, ClosedReason::LinkLost(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_each_key_only_the_newest_waits_where_that_was_chosen() {
    let node = Realm::new().node().await;
    let latest = SubscribeOptions::default().overflow(Overflow::LatestPerKey);
    let mut subscription = node.subscribe("latest.*", latest).await.unwrap();
    let publisher = node
        .publisher("latest.x", PublishOptions::default())
        .await
        .unwrap();
    for (key, payload) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")] {
        publish(&publisher, payload, &EventOptions::default().key(key)).await;
    }
    publisher.flush().await;
    assert!(matches!(
        within(subscription.next()).await,
        Some(Delivery::Lagged(2))
    ));
    for expected in ["2", "4"] {
        assert_eq!(
            event(&mut subscription).await.payload()[..],
            *expected.as_bytes()
        );
    }
    let counts = subscription.counts();
    assert_eq!((counts.delivered, counts.superseded), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_is_told_when_somebody_matches_and_when_nobody_does_any_more() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let publisher = one
        .publisher("match.x", PublishOptions::default())
        .await
        .unwrap();
    let mut matching = publisher.matching();
    assert!(!within(matching.changed()).await);
    let elsewhere = subscribe(&two, "match.y").await;
    let subscription = subscribe(&two, "match.*").await;
    assert!(within(matching.changed()).await);
    assert!(matching.is_matched());
    two.unsubscribe(subscription).await.unwrap();
    assert!(!within(matching.changed()).await);
    drop(elsewhere);
}
