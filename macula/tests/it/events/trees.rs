//! Events that more members want than their publisher sends them to itself.

use std::collections::BTreeMap;

use macula::{
    DEFAULT_DIRECT, Delivery, EventOptions, Node, NodeBuilder, PublishOptions, Qos, Subscription,
};

use super::publish_numbered;
use crate::mesh::{Mortal, Realm, event, hasty, link, numbered, subscribe, told, until, within};

const COUNT: u64 = 100;

/// Nodes that are all linked to each other, of which each sends to two others itself at most.
async fn mesh(realm: &Realm, count: usize) -> Vec<Node> {
    let builders = (0..count).map(|_| realm.builder().direct_members(2));
    started(builders).await
}

async fn started(builders: impl Iterator<Item = NodeBuilder>) -> Vec<Node> {
    let mut nodes = Vec::new();
    for builder in builders {
        nodes.push(within(builder.start()).await.unwrap());
    }
    link(&nodes).await;
    nodes
}

/// Each of `nodes` subscribes to `pattern`, and each of `publishers` knows it.
async fn all_subscribe(nodes: &[Node], publishers: &[&Node], pattern: &str) -> Vec<Subscription> {
    let mut subscriptions = Vec::new();
    for node in nodes {
        subscriptions.push(subscribe(node, pattern).await);
        for publisher in publishers {
            told(node, publisher).await;
        }
    }
    subscriptions
}

/// Reads `count` events of each publisher, which have to come once, in order, and without gaps.
async fn read(subscription: &mut Subscription, publishers: &[&Node], count: u64) {
    let mut next: BTreeMap<_, u64> = publishers.iter().map(|node| (node.node_id(), 0)).collect();
    for _ in 0..count * u64::try_from(publishers.len()).unwrap() {
        match within(subscription.next()).await.unwrap() {
            Delivery::Event(event) => {
                let expected = next.get_mut(&event.publisher()).unwrap();
                assert_eq!(event.sequence().get(), *expected);
                assert_eq!(event.payload()[..], numbered(*expected));
                *expected += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn forwarded(node: &Node) -> u64 {
    node.stats().await.unwrap().counts.events_forwarded
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_more_than_sixteen_members_want_goes_along_trees() {
    let realm = Realm::new();
    let nodes = started((0..DEFAULT_DIRECT + 3).map(|_| realm.builder())).await;
    let publishers = [&nodes[0], &nodes[1]];
    let mut subscriptions = all_subscribe(&nodes, &publishers, "many.*").await;
    for publisher in publishers {
        publish_numbered(publisher, "many.x", COUNT).await;
    }
    for subscription in &mut subscriptions {
        read(subscription, &publishers, COUNT).await;
    }
    let mut others = 0;
    for node in &nodes[2..] {
        others += forwarded(node).await;
    }
    assert!(others > COUNT, "{others} were passed on by others");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_few_want_goes_straight() {
    let realm = Realm::new();
    let nodes = mesh(&realm, 3).await;
    let publishers = [&nodes[0]];
    let mut subscriptions = all_subscribe(&nodes[1..], &publishers, "few.*").await;
    publish_numbered(publishers[0], "few.x", COUNT).await;
    for subscription in &mut subscriptions {
        read(subscription, &publishers, COUNT).await;
    }
    for node in &nodes {
        assert_eq!(forwarded(node).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_on_the_way_that_is_killed_costs_nobody_an_event() {
    let realm = Realm::new();
    let builder = || hasty(realm.builder()).direct_members(2);
    let mortal = Mortal::start(builder()).await;
    let mut nodes = vec![within(builder().start()).await.unwrap()];
    for _ in 0..6 {
        nodes.push(within(builder().start()).await.unwrap());
    }
    nodes.push(mortal.node.clone());
    link(&nodes).await;
    let publishers = [&nodes[0]];
    let mut subscriptions = all_subscribe(&nodes, &publishers, "kill.*").await;
    let publisher = nodes[0]
        .publisher("kill.x", PublishOptions::default())
        .await
        .unwrap();
    let mut mortal = Some(mortal);
    subscriptions.pop();
    for sequence in 0..COUNT {
        within(publisher.publish(numbered(sequence))).await.unwrap();
        if sequence == COUNT / 2 {
            event(&mut subscriptions[1]).await;
            mortal.take().unwrap().kill();
        }
    }
    let mut rest = subscriptions.drain(..);
    let mut first = rest.next().unwrap();
    read(&mut first, &publishers, COUNT).await;
    let mut second = rest.next().unwrap();
    for _ in 1..COUNT {
        event(&mut second).await;
    }
    for mut subscription in rest {
        read(&mut subscription, &publishers, COUNT).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clients_events_go_along_trees_and_reach_clients() {
    let realm = Realm::new();
    let nodes = mesh(&realm, 6).await;
    let mut subscriptions = all_subscribe(&nodes, &[&nodes[0]], "client.*").await;
    let from = realm.client(&nodes[0]).await;
    let to = realm.client(&nodes[5]).await;
    let mut heard = within(to.subscribe("client.*", macula::SubscribeOptions::default()))
        .await
        .unwrap();
    let publisher = from
        .publisher("client.x", PublishOptions::default())
        .unwrap();
    for sequence in 0..COUNT {
        within(publisher.publish(numbered(sequence))).await.unwrap();
    }
    for sequence in 0..COUNT {
        for subscription in subscriptions.iter_mut().chain([&mut heard]) {
            let event = event(subscription).await;
            assert_eq!(event.publisher(), from.node_id());
            assert_eq!(event.sequence().get(), sequence);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_wants_nothing_more_is_left_out_and_the_others_are_not() {
    let realm = Realm::new();
    let nodes = mesh(&realm, 7).await;
    let publishers = [&nodes[0]];
    let mut subscriptions = all_subscribe(&nodes, &publishers, "leave.*").await;
    publish_numbered(publishers[0], "leave.x", 1).await;
    for subscription in &mut subscriptions {
        read(subscription, &publishers, 1).await;
    }
    let gone = subscriptions.pop().unwrap();
    nodes[6].unsubscribe(gone).await.unwrap();
    told(&nodes[6], publishers[0]).await;
    let before = nodes[6].stats().await.unwrap().counts.events_delivered;
    for sequence in 1..COUNT {
        let publisher = publishers[0].publisher("leave.x", PublishOptions::default());
        let publisher = publisher.await.unwrap();
        within(publisher.publish(numbered(sequence))).await.unwrap();
    }
    for subscription in &mut subscriptions {
        for sequence in 1..COUNT {
            assert_eq!(event(subscription).await.sequence().get(), sequence);
        }
    }
    until(async || nodes[1].stats().await.unwrap().counts.events_delivered >= COUNT).await;
    let after = nodes[6].stats().await.unwrap().counts.events_delivered;
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_events_go_straight_behind_those_that_went_along_a_tree() {
    let realm = Realm::new();
    let nodes = mesh(&realm, 6).await;
    let publishers = [&nodes[0]];
    let mut subscriptions = all_subscribe(&nodes[1..], &publishers, "kept.*").await;
    publish_numbered(publishers[0], "kept.x", COUNT).await;
    let stats = async || publishers[0].stats().await.unwrap();
    until(async || stats().await.trees.pushed > 0).await;
    let kept = PublishOptions::default().qos(Qos::AtLeastOnce);
    let kept = publishers[0].publisher("kept.x", kept).await.unwrap();
    let others = publishers[0].publisher("kept.x", PublishOptions::default());
    let others = others.await.unwrap();
    let options = EventOptions::default();
    let mut receipts = Vec::new();
    for sequence in COUNT..2 * COUNT {
        if sequence.is_multiple_of(2) {
            let taken = kept.publish_with_receipt(numbered(sequence), &options);
            receipts.push(within(taken).await.unwrap());
        } else {
            within(others.publish(numbered(sequence))).await.unwrap();
        }
    }
    for subscription in &mut subscriptions {
        read(subscription, &publishers, 2 * COUNT).await;
    }
    for receipt in receipts {
        let receipt = within(receipt.receipt()).await.unwrap();
        assert_eq!((receipt.matched, receipt.acked), (5, 5));
    }
    assert!(stats().await.counts.kept_sent >= 5 * COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_as_fast_as_it_goes_arrives_whole() {
    const MANY: u64 = 20_000;
    let realm = Realm::new();
    let nodes = mesh(&realm, 8).await;
    let publishers = [&nodes[0], &nodes[1]];
    let mut subscriptions = all_subscribe(&nodes, &publishers, "flood.*").await;
    let publish = async |node: &Node| publish_numbered(node, "flood.x", MANY).await;
    tokio::join!(publish(&nodes[0]), publish(&nodes[1]));
    for subscription in &mut subscriptions {
        read(subscription, &publishers, MANY).await;
    }
}
