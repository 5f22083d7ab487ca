//! Topics that came and went leave nothing behind, on either side.

use futures::future::join_all;
use macula::{Node, PublishOptions};

use crate::mesh::{Realm, subscribe, until, within};

const TURNS: u64 = 10;
const TOPICS: u64 = 1_000;

/// How many subscriptions and patterns a node holds, and how much interest of others.
async fn held(node: &Node) -> [u64; 3] {
    let stats = node.stats().await.unwrap();
    [stats.subscriptions, stats.patterns, stats.routing.interests]
}

async fn interests(node: &Node) -> u64 {
    node.stats().await.unwrap().routing.interests
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_hold_what_they_held_before_ten_thousand_topics() {
    let realm = Realm::new();
    let [publisher, subscriber] = realm.mesh().await;
    let stays = within(publisher.publisher("topic.stays", PublishOptions::default()));
    let stays = stays.await.unwrap();
    let _kept = subscribe(&subscriber, "topic.stays").await;
    until(async || interests(&publisher).await == 1).await;
    let before = [held(&publisher).await, held(&subscriber).await];
    for turn in 0..TURNS {
        let topics: Vec<String> = (0..TOPICS).map(|n| format!("topic.{turn}.{n}")).collect();
        let subscriptions = topics.iter().map(|topic| subscribe(&subscriber, topic));
        let subscriptions = join_all(subscriptions).await;
        let mut publishers = Vec::new();
        for topic in topics.iter().step_by(100) {
            let options = PublishOptions::default();
            publishers.push(within(publisher.publisher(topic, options)).await.unwrap());
        }
        until(async || interests(&publisher).await == TOPICS + 1).await;
        for publisher in &publishers {
            within(publisher.publish("x")).await.unwrap();
            within(publisher.flush()).await;
        }
        let ends = subscriptions.into_iter();
        let ends = ends.map(|one| within(subscriber.unsubscribe(one)));
        for end in join_all(ends).await {
            end.unwrap();
        }
        until(async || interests(&publisher).await == 1).await;
    }
    for (node, before) in [&publisher, &subscriber].into_iter().zip(before) {
        until(async || held(node).await == before).await;
    }
    drop(stays);
}
