//! Events that outlive their node, and those that clients have kept.

use std::path::PathBuf;
use std::time::Duration;

use macula::realm::IssueRequest;
use macula::wire::ErrorCode;
use macula::{EventOptions, Node, NodeBuilder, PublishOptions, Publisher, Qos, SubscribeOptions};

use crate::mesh::{Mortal, Realm, event, hasty, link, numbered, subscribe, told, until, within};

const COUNT: u64 = 60;

/// A folder that goes with the test.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("macula-it-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

async fn durable(node: &Node, topic: &str) -> Publisher {
    let options = PublishOptions::default().qos(Qos::Durable);
    within(node.publisher(topic, options)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_published_arrives_though_the_publisher_was_killed() {
    let realm = Realm::new();
    let folder = Folder::new("killed");
    let identity = realm.identity(&IssueRequest::default());
    let publisher =
        || -> NodeBuilder { hasty(realm.builder_with(identity.clone()).event_log(&folder.0)) };
    let subscriber = within(hasty(realm.builder()).start()).await.unwrap();
    let doomed = Mortal::start(publisher()).await;
    link(&[subscriber.clone(), doomed.node.clone()]).await;
    let few = SubscribeOptions::default().max_events(8);
    let mut there = within(subscriber.subscribe("dur.x", few)).await.unwrap();
    told(&subscriber, &doomed.node).await;
    let topic = durable(&doomed.node, "dur.x").await;
    for number in 0..COUNT {
        within(topic.publish(numbered(number))).await.unwrap();
    }
    let first_run = event(&mut there).await;
    assert_eq!(first_run.payload()[..], numbered(0));
    doomed.kill();
    let again = within(publisher().start()).await.unwrap();
    assert!(again.stats().await.unwrap().kept > 0, "nothing was owed");
    within(again.connect(subscriber.local_addr()))
        .await
        .unwrap();
    let mut next = 1;
    while next < COUNT {
        if let Some(macula::Delivery::Event(event)) = within(there.next()).await {
            assert_eq!(event.payload()[..], numbered(next));
            assert_eq!(event.sequence().get(), next);
            assert_eq!(event.epoch(), first_run.epoch());
            next += 1;
        }
    }
    until(async || again.stats().await.unwrap().kept == 0).await;
    // What is published now is of the new run, and comes as well.
    let topic = durable(&again, "dur.x").await;
    within(again.wait_for_subscribers("dur.x")).await.unwrap();
    within(topic.publish("new")).await.unwrap();
    let fresh = loop {
        if let Some(macula::Delivery::Event(event)) = within(there.next()).await {
            break event;
        }
    };
    assert_eq!(fresh.payload()[..], *b"new");
    assert!(fresh.epoch() > first_run.epoch());
    until(async || again.stats().await.unwrap().kept == 0).await;
    within(again.shutdown()).await;
    let third = within(publisher().start()).await.unwrap();
    assert_eq!(
        third.stats().await.unwrap().kept,
        0,
        "all of it was settled"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_folder_refuses_what_is_to_outlive_it() {
    let realm = Realm::new();
    let folder = Folder::new("folder");
    let [without, with] = [realm.builder(), realm.builder().event_log(&folder.0)];
    let without = within(without.start()).await.unwrap();
    let error = within(durable(&without, "a.b").await.publish("x")).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::UNSUPPORTED_FEATURE);
    let with = within(with.start()).await.unwrap();
    within(durable(&with, "a.b").await.publish("x"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_has_its_events_kept_by_its_member() {
    let realm = Realm::new();
    let folder = Folder::new("client");
    let member = within(realm.builder().event_log(&folder.0).start())
        .await
        .unwrap();
    let other = realm.node().await;
    link(&[member.clone(), other.clone()]).await;
    let client = realm.client(&member).await;
    let mut there = subscribe(&other, "c.*").await;
    let mut here = subscribe(&member, "c.*").await;
    told(&other, &member).await;
    let options = PublishOptions::default().qos(Qos::Durable);
    let publisher = client.publisher("c.x", options).unwrap();
    let kept = EventOptions::default()
        .key("k")
        .deadline(Duration::from_secs(20));
    let mut receipts = Vec::new();
    for number in 0..COUNT {
        let taken = publisher.publish_with_receipt(numbered(number), &kept);
        receipts.push(within(taken).await.unwrap());
    }
    for subscription in [&mut there, &mut here] {
        for number in 0..COUNT {
            let event = event(subscription).await;
            assert_eq!(event.payload()[..], numbered(number));
            assert_eq!(event.publisher(), member.node_id());
            assert_eq!(event.key().unwrap()[..], *b"k");
        }
    }
    for receipt in receipts {
        let receipt = within(receipt.receipt()).await.unwrap();
        assert_eq!((receipt.matched, receipt.acked), (2, 2));
        assert_eq!(receipt.id, None);
    }
    let reserved = client.publisher("$sys.x", options_of(Qos::AtLeastOnce));
    assert_eq!(reserved.unwrap_err().code(), ErrorCode::DENIED);
}

fn options_of(qos: Qos) -> PublishOptions {
    PublishOptions::default().qos(qos)
}
