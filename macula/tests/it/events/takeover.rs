//! Events that outlive their publisher at a node that keeps them.

use std::collections::BTreeMap;
use std::time::Duration;

use macula::realm::IssueRequest;
use macula::wire::message::Roles;
use macula::{
    Balance, Delivery, Event, Group, History, Keeping, Node, NodeBuilder, PublishOptions,
    Publisher, Qos, SubscribeOptions, Subscription,
};

use super::durable::Folder;
use super::kept::patient;
use crate::mesh::{Mortal, Realm, event, hasty, link, numbered, subscribe, told, until, within};

/// As many as a node takes for subscribers that do not read.
const FULL: u64 = 16_384;
const COUNT: u64 = 60;

/// A node that may keep events for others.
fn store(realm: &Realm) -> NodeBuilder {
    let role = IssueRequest::new(Roles::MEMBER.with(Roles::STORE));
    hasty(realm.builder_with(realm.identity(&role)))
}

async fn keep(node: &Node) -> Keeping {
    within(node.keep("owed.**", History::Last(5)))
        .await
        .unwrap()
}

/// A node that keeps `owed.**`, two others, and a publisher that is going to die, all linked.
async fn meet(realm: &Realm, doomed: NodeBuilder) -> (Keeping, [Node; 3], Mortal) {
    let keeper = within(store(realm).start()).await.unwrap();
    let one = within(hasty(realm.builder()).start()).await.unwrap();
    let two = within(hasty(realm.builder()).start()).await.unwrap();
    let doomed = Mortal::start(doomed).await;
    let others = [keeper, one, two];
    let [keeper, one, two] = others.clone();
    link(&[keeper.clone(), one, two, doomed.node.clone()]).await;
    let keeping = keep(&keeper).await;
    (keeping, others, doomed)
}

/// One of a group that acknowledges by itself.
async fn share(group: &Group, topic: &str, node: &Node) -> Subscription {
    let by_hand = SubscribeOptions::default().manual_acks(Duration::from_secs(60), 0);
    within(node.subscribe_in(group, topic, by_hand))
        .await
        .unwrap()
}

async fn publisher(node: &Node, topic: &str, qos: Qos) -> Publisher {
    let options = PublishOptions::default().qos(qos);
    within(node.publisher(topic, options)).await.unwrap()
}

async fn publish(publisher: &Publisher, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let options = patient();
        let kept = publisher.publish_with(numbered(number), &options);
        within(kept).await.unwrap();
    }
}

/// Waits until a store keeps so many events for others.
async fn kept(store: &Node, count: u64) {
    until(async || store.stats().await.unwrap().kept_for_others == count).await;
}

async fn taken_over(store: &Node) -> u64 {
    store.stats().await.unwrap().counts.kept_taken_over
}

/// Fills the room that a node has for events of others, by a subscription that nobody reads.
async fn fill(from: &Node, to: &Node) -> Subscription {
    let few = SubscribeOptions::default().max_events(1);
    let stalled = within(to.subscribe("fill", few)).await.unwrap();
    told(to, from).await;
    // A full buffer would stop whoever fills it before the receiver is full, were it not for a second one.
    let fill = publisher(from, "fill", Qos::AtLeastOnce).await;
    for number in 0..FULL {
        within(fill.publish(numbered(number))).await.unwrap();
    }
    until(async || to.stats().await.unwrap().kept_in_transit >= FULL - 1).await;
    stalled
}

/// The next event, whatever is told of lost publishers before.
async fn next(subscription: &mut Subscription) -> Event {
    loop {
        if let Some(Delivery::Event(event)) = within(subscription.next()).await {
            return event;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_sends_what_a_lost_publisher_owed_in_order_and_once() {
    let realm = Realm::new();
    let (_keeping, [keeper, filler, late], doomed) = meet(&realm, hasty(realm.builder())).await;
    let mut owed = subscribe(&late, "owed.x").await;
    told(&keeper, &doomed.node).await;
    told(&late, &doomed.node).await;
    let topic = publisher(&doomed.node, "owed.x", Qos::AtLeastOnce).await;
    publish(&topic, 0..10).await;
    for number in 0..10 {
        assert_eq!(event(&mut owed).await.payload()[..], numbered(number));
    }
    // What is settled the store forgets, though its publisher lives.
    kept(&keeper, 0).await;
    let mut stalled = fill(&filler, &late).await;
    publish(&topic, 10..COUNT).await;
    kept(&keeper, COUNT - 10).await;
    assert_eq!(taken_over(&keeper).await, 0);
    drop(topic);
    doomed.kill();
    until(async || taken_over(&keeper).await == COUNT - 10).await;
    for number in 0..FULL {
        assert_eq!(event(&mut stalled).await.payload()[..], numbered(number));
    }
    for number in 10..COUNT {
        let event = next(&mut owed).await;
        assert_eq!(event.payload()[..], numbered(number));
        assert_eq!(event.sequence().get(), number, "of the publisher");
    }
    kept(&keeper, 0).await;
    while let Ok(more) = tokio::time::timeout(Duration::from_millis(200), owed.next()).await {
        // That the publisher is lost may be told behind what its store sends.
        assert!(matches!(more, Some(Delivery::Gap(_))), "{more:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_comes_back_and_its_store_are_seen_once() {
    let realm = Realm::new();
    let folder = Folder::new("takeover");
    let identity = realm.identity(&IssueRequest::default());
    let builder =
        || -> NodeBuilder { hasty(realm.builder_with(identity.clone()).event_log(&folder.0)) };
    let (_keeping, [keeper, filler, late], doomed) = meet(&realm, builder()).await;
    let mut owed = subscribe(&late, "owed.x").await;
    told(&keeper, &doomed.node).await;
    told(&late, &doomed.node).await;
    let mut stalled = fill(&filler, &late).await;
    let topic = publisher(&doomed.node, "owed.x", Qos::Durable).await;
    publish(&topic, 0..COUNT).await;
    kept(&keeper, COUNT).await;
    drop(topic);
    doomed.kill();
    until(async || taken_over(&keeper).await == COUNT).await;
    let again = within(builder().start()).await.unwrap();
    assert_eq!(again.stats().await.unwrap().kept, COUNT, "both owe it");
    within(again.connect(late.local_addr())).await.unwrap();
    within(again.connect(keeper.local_addr())).await.unwrap();
    for number in 0..FULL {
        assert_eq!(event(&mut stalled).await.payload()[..], numbered(number));
    }
    for number in 0..COUNT {
        let event = next(&mut owed).await;
        assert_eq!(event.payload()[..], numbered(number));
    }
    until(async || again.stats().await.unwrap().kept == 0).await;
    kept(&keeper, 0).await;
    within(again.wait_for_subscribers("owed.x")).await.unwrap();
    let topic = publisher(&again, "owed.x", Qos::Durable).await;
    within(topic.publish("new")).await.unwrap();
    assert_eq!(next(&mut owed).await.payload()[..], *b"new", "none twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_died_with_a_worker_on_the_publishers_node_another_one_gets() {
    let realm = Realm::new();
    let keeper = within(store(&realm).start()).await.unwrap();
    let other = within(hasty(realm.builder()).start()).await.unwrap();
    let doomed = Mortal::start(hasty(realm.builder())).await;
    let nodes = [keeper.clone(), other.clone(), doomed.node.clone()];
    link(&nodes).await;
    let _keeping = keep(&keeper).await;
    let group = Group::new("workers").unwrap().balance(Balance::LocalFirst);
    let mut far = share(&group, "owed.jobs", &other).await;
    let mut near = share(&group, "owed.jobs", &doomed.node).await;
    told(&keeper, &doomed.node).await;
    told(&other, &doomed.node).await;
    let topic = publisher(&doomed.node, "owed.jobs", Qos::AtLeastOnce).await;
    publish(&topic, 0..COUNT).await;
    let mut done = BTreeMap::new();
    for number in 0..COUNT {
        let job = event(&mut near).await;
        assert_eq!(job.payload()[..], numbered(number));
        if number % 3 == 0 {
            job.ack();
            done.insert(number, 1);
        }
    }
    let acked = u64::try_from(done.len()).unwrap();
    until(async || doomed.node.stats().await.unwrap().kept == COUNT - acked).await;
    // What was acknowledged the store hears in a moment, event by event.
    tokio::time::timeout(Duration::from_millis(600), far.next())
        .await
        .expect_err("those of the publisher's node come first");
    drop((topic, near, nodes));
    doomed.kill();
    for _ in acked..COUNT {
        let job = next(&mut far).await;
        let number = u64::from_le_bytes(job.payload()[..8].try_into().unwrap());
        assert!(job.attempt() > 0, "another one may have had it");
        job.ack();
        assert_eq!(done.insert(number, 1), None, "{number} is done twice");
    }
    assert_eq!(u64::try_from(done.len()).unwrap(), COUNT);
    kept(&keeper, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_keeps_what_it_was_given_by_a_publisher_that_is_lost() {
    let realm = Realm::new();
    let (_keeping, [keeper, one, two], doomed) = meet(&realm, hasty(realm.builder())).await;
    let group = Group::new("workers").unwrap();
    let mut workers = [
        share(&group, "owed.jobs", &one).await,
        share(&group, "owed.jobs", &two).await,
    ];
    for node in [&keeper, &one, &two] {
        told(node, &doomed.node).await;
    }
    let topic = publisher(&doomed.node, "owed.jobs", Qos::AtLeastOnce).await;
    publish(&topic, 0..COUNT).await;
    kept(&keeper, COUNT).await;
    let mut jobs = Vec::new();
    for worker in &mut workers {
        for _ in 0..COUNT / 2 {
            jobs.push(event(worker).await);
        }
    }
    drop(topic);
    doomed.kill();
    until(async || taken_over(&keeper).await == COUNT).await;
    // The store waits for them as the publisher did.
    assert!(keeper.stats().await.unwrap().kept_for_others >= COUNT);
    for (at, job) in jobs.iter().enumerate() {
        assert_eq!(job.attempt(), 0);
        if at % 2 == 0 {
            job.ack();
        } else {
            job.nack(Duration::from_millis(1));
        }
    }
    let mut again = 0;
    for worker in &mut workers {
        for _ in 0..COUNT / 4 {
            let job = next(worker).await;
            assert_eq!(job.attempt(), 1, "it was given back");
            job.ack();
            again += 1;
        }
    }
    assert_eq!(again, COUNT / 2);
    kept(&keeper, 0).await;
    for worker in &mut workers {
        while let Ok(more) = tokio::time::timeout(Duration::from_millis(100), worker.next()).await {
            assert!(!matches!(more, Some(Delivery::Event(_))), "{more:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_publisher_remembers_to_whom_of_a_group_it_gave_an_event() {
    let realm = Realm::new();
    let folder = Folder::new("chosen");
    let identity = realm.identity(&IssueRequest::default());
    let builder =
        || -> NodeBuilder { hasty(realm.builder_with(identity.clone()).event_log(&folder.0)) };
    let [one, two] = [
        within(hasty(realm.builder()).start()).await.unwrap(),
        within(hasty(realm.builder()).start()).await.unwrap(),
    ];
    let doomed = Mortal::start(builder()).await;
    let nodes = [one.clone(), two.clone(), doomed.node.clone()];
    link(&nodes).await;
    // By chance, so that who is chosen anew would mostly be somebody else.
    let group = Group::new("workers").unwrap().balance(Balance::Random);
    let mut workers = [
        share(&group, "jobs.x", &one).await,
        share(&group, "jobs.x", &two).await,
    ];
    told(&one, &doomed.node).await;
    told(&two, &doomed.node).await;
    let topic = publisher(&doomed.node, "jobs.x", Qos::Durable).await;
    publish(&topic, 0..COUNT).await;
    let mut jobs = Vec::new();
    until(async || {
        for worker in &mut workers {
            let more = tokio::time::timeout(Duration::from_millis(20), worker.next());
            if let Ok(Some(Delivery::Event(job))) = more.await {
                jobs.push(job);
            }
        }
        u64::try_from(jobs.len()).unwrap() == COUNT
    })
    .await;
    drop((topic, nodes));
    doomed.kill();
    // The publisher cannot hear of it any more, and nothing of it is in its log.
    jobs.iter().for_each(Event::ack);
    let again = within(builder().start()).await.unwrap();
    assert_eq!(again.stats().await.unwrap().kept, COUNT);
    for node in [&one, &two] {
        within(again.connect(node.local_addr())).await.unwrap();
    }
    until(async || again.stats().await.unwrap().kept == 0).await;
    for worker in &mut workers {
        while let Ok(more) = tokio::time::timeout(Duration::from_millis(100), worker.next()).await {
            assert!(!matches!(more, Some(Delivery::Event(_))), "{more:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_of_the_store_had_in_its_hands_is_not_lost_with_it() {
    let realm = Realm::new();
    let (_keeping, [keeper, one, _two], doomed) = meet(&realm, hasty(realm.builder())).await;
    let group = Group::new("workers").unwrap();
    let mut near = share(&group, "owed.jobs", &keeper).await;
    let mut far = share(&group, "owed.jobs", &one).await;
    let mut letters = subscribe(&one, "$sys.dlq.owed.**").await;
    for node in [&keeper, &one] {
        told(node, &doomed.node).await;
    }
    told(&one, &keeper).await;
    let topic = publisher(&doomed.node, "owed.jobs", Qos::AtLeastOnce).await;
    publish(&topic, 0..COUNT).await;
    let mut held = BTreeMap::new();
    for _ in 0..COUNT / 2 {
        event(&mut far).await.ack();
        let job = event(&mut near).await;
        held.insert(job.payload().to_vec(), job);
    }
    until(async || keeper.stats().await.unwrap().kept_for_others >= COUNT / 2).await;
    drop(topic);
    doomed.kill();
    until(async || taken_over(&keeper).await > 0).await;
    let (first, job) = held.pop_first().unwrap();
    job.reject();
    let letter = next(&mut letters).await;
    assert_eq!(
        (letter.payload().to_vec(), letter.publisher()),
        (first, keeper.node_id())
    );
    // It goes with the others in its hands.
    let (second, job) = held.pop_first().unwrap();
    job.ack();
    drop(near);
    for _ in 0..held.len() {
        let job = next(&mut far).await;
        assert!(job.attempt() > 0, "another one may have had it");
        assert_ne!(job.payload().to_vec(), second);
        assert!(
            held.remove(&job.payload().to_vec()).is_some(),
            "{job:?} comes twice"
        );
        job.ack();
    }
    assert!(held.is_empty());
    kept(&keeper, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_to_live_goes_on_at_the_store() {
    const TTL: Duration = Duration::from_secs(60);
    let realm = Realm::new();
    let (_keeping, [keeper, one, two], doomed) = meet(&realm, hasty(realm.builder())).await;
    let group = Group::new("workers").unwrap().balance(Balance::Failover);
    let mut workers = [
        share(&group, "owed.jobs", &one).await,
        share(&group, "owed.jobs", &two).await,
    ];
    for node in [&keeper, &one, &two] {
        told(node, &doomed.node).await;
    }
    let topic = publisher(&doomed.node, "owed.jobs", Qos::AtLeastOnce).await;
    let begun = std::time::Instant::now();
    let options = patient().ttl(TTL);
    // Together, so that the store has to take them apart.
    let all = (0..2).map(|number| topic.publish_with(numbered(number), &options));
    for published in futures::future::join_all(all).await {
        published.unwrap();
    }
    kept(&keeper, 2).await;
    let is_in_time = |job: &Event| {
        let over = begun.elapsed() + job.ttl_left().unwrap();
        assert!(over <= TTL + Duration::from_secs(1), "{over:?}");
    };
    let first = usize::from(one.node_id() > two.node_id());
    for _ in 0..2 {
        is_in_time(&event(&mut workers[first]).await);
    }
    // A part of it that shows is over when the publisher is lost.
    until(async || begun.elapsed() > Duration::from_secs(3)).await;
    drop(topic);
    doomed.kill();
    until(async || taken_over(&keeper).await == 2).await;
    let [one, two] = workers;
    let (lost, mut left) = if first == 0 { (one, two) } else { (two, one) };
    drop(lost);
    for _ in 0..2 {
        let job = next(&mut left).await;
        is_in_time(&job);
        job.ack();
    }
}
