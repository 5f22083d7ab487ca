//! What a node and its clients hear of members.

mod testament;

use std::collections::BTreeMap;

use macula::wire::{ErrorCode, NodeId};
use macula::{Delivery, MemberEvent, Node, SubscribeOptions};
use tokio::sync::broadcast::Receiver;

use crate::mesh::{Mortal, Realm, hasty, until, within};

/// What happens next to `node`.
async fn next(events: &mut Receiver<MemberEvent>, node: NodeId) -> MemberEvent {
    within(async {
        loop {
            let event = events.recv().await.unwrap();
            if event.node() == node {
                return event;
            }
        }
    })
    .await
}

fn tags_of(event: &MemberEvent) -> Vec<(&str, &str)> {
    let (MemberEvent::Up(signed) | MemberEvent::Tags(signed)) = event else {
        panic!("no record: {event:?}")
    };
    let tags = signed.record.tags.iter();
    tags.map(|tag| (tag.key.as_str(), tag.value.as_str()))
        .collect()
}

async fn seen_by(node: &Node, other: NodeId) -> macula::MemberInfo {
    let members = node.members().await.unwrap();
    let id = other.to_string();
    members
        .into_iter()
        .find(|member| member.node == id)
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_tags_and_leaving_are_told_by_their_names() {
    let realm = Realm::new();
    let one = realm.node().await;
    let mut events = one.member_events();
    let two = within(realm.builder().tag("site", "cellar").start())
        .await
        .unwrap();
    let id = two.node_id();
    within(two.connect(one.local_addr())).await.unwrap();
    let up = next(&mut events, id).await;
    assert_eq!((up.name(), tags_of(&up)), ("up", vec![("site", "cellar")]));
    let mut own = two.member_events();
    two.set_tags([("site", "attic"), ("rack", "7")])
        .await
        .unwrap();
    let told = next(&mut events, id).await;
    assert_eq!(
        (told.name(), tags_of(&told)),
        ("tags", vec![("rack", "7"), ("site", "attic")])
    );
    assert_eq!(next(&mut own, id).await.name(), "tags", "its own as well");
    let info = seen_by(&one, id).await;
    assert_eq!(
        info.tags,
        BTreeMap::from([("rack", "7"), ("site", "attic")].map(|(k, v)| (k.into(), v.into())))
    );
    assert!(info.rtt_us.is_some() && info.incarnation == 1, "{info:?}");
    assert!(info.since_at_ms > 1_600_000_000_000, "{info:?}");
    within(two.shutdown()).await;
    assert_eq!(next(&mut events, id).await.name(), "left");
    one.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_over_a_limit_change_nothing() {
    let realm = Realm::new();
    let node = realm.node().await;
    node.set_tags([("site", "cellar")]).await.unwrap();
    let long = "x".repeat(65);
    for wrong in [
        vec![("site", long.as_str())],
        vec![("", "x")],
        vec![("a b", "x")],
        vec![("a", "x"), ("a", "y")],
    ] {
        let error = node.set_tags(wrong.clone()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::INVALID_ARGUMENT, "{wrong:?}");
    }
    let many: Vec<(String, &str)> = (0..17).map(|number| (number.to_string(), "x")).collect();
    node.set_tags(many).await.unwrap_err();
    let info = seen_by(&node, node.node_id()).await;
    assert_eq!(info.tags["site"], "cellar");
    assert_eq!(info.tags.len(), 1);
    node.set_tags([("", ""); 0]).await.unwrap();
    assert!(seen_by(&node, node.node_id()).await.tags.is_empty());
    node.shutdown().await;
    let late = node.set_tags([("a", "b")]).await.unwrap_err();
    assert_eq!(late.code(), ErrorCode::SHUTTING_DOWN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_suspected_before_it_is_death() {
    let realm = Realm::new();
    let one = within(hasty(realm.builder()).start()).await.unwrap();
    let victim = Mortal::start(hasty(realm.builder())).await;
    let id = victim.node.node_id();
    let mut events = one.member_events();
    within(victim.node.connect(one.local_addr())).await.unwrap();
    assert_eq!(next(&mut events, id).await.name(), "up");
    victim.kill();
    // On a busy machine it may have been doubted while it lived, and have answered.
    let mut before = "up";
    loop {
        match next(&mut events, id).await.name() {
            "down" => break,
            name => before = name,
        }
    }
    assert_eq!(before, "suspect");
    assert_eq!(seen_by(&one, id).await.state, "dead");
    one.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_of_the_members_of_its_node_and_of_nobody_elses() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let client = realm.client(&one).await;
    let other = realm.client(&two).await;
    let mut watched = within(client.subscribe("$sys.members", SubscribeOptions::default()))
        .await
        .unwrap();
    let mut elsewhere = within(other.subscribe("$sys.members", SubscribeOptions::default()))
        .await
        .unwrap();
    two.set_tags([("site", "attic")]).await.unwrap();
    for (subscription, member) in [(&mut watched, &one), (&mut elsewhere, &two)] {
        let Some(Delivery::Event(event)) = within(subscription.next()).await else {
            panic!("no event")
        };
        assert_eq!(event.publisher(), member.node_id());
        let told: serde_json::Value = serde_json::from_slice(event.payload()).unwrap();
        assert_eq!(told["event"], "tags");
        assert_eq!(told["node"], two.node_id().to_string());
        assert_eq!(told["tags"]["site"], "attic");
    }
    // Nothing of it travels between members.
    let (one_stats, two_stats) = (one.stats().await.unwrap(), two.stats().await.unwrap());
    for stats in [one_stats, two_stats] {
        assert_eq!((stats.counts.denied, stats.counts.dropped_no_link), (0, 0));
        assert_eq!(stats.patterns, 0, "nothing is announced");
    }
    for wrong in ["$sys.**", "$sys.*", "$sys.node", "$other"] {
        let error = client.subscribe(wrong, SubscribeOptions::default()).await;
        assert_eq!(error.unwrap_err().code(), ErrorCode::DENIED, "{wrong}");
    }
    let own = one.subscribe("$sys.members", SubscribeOptions::default());
    assert_eq!(own.await.unwrap_err().code(), ErrorCode::DENIED);
    client.close().await;
    other.close().await;
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_says_which_changes_are_in_it() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let before = seen_by(&one, one.node_id()).await.as_of;
    assert!(before > 0, "the other came up");
    two.set_tags([("a", "b")]).await.unwrap();
    until(async || seen_by(&one, two.node_id()).await.as_of == before + 1).await;
    assert_eq!(seen_by(&one, two.node_id()).await.tags["a"], "b");
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_shut_down_gives_its_port_back_while_handles_live() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let address = two.local_addr();
    let handle = two.clone();
    within(two.shutdown()).await;
    let again = within(realm.builder().listen(address).start()).await;
    let again = again.unwrap();
    assert_eq!([again.local_addr(), handle.local_addr()], [address; 2]);
    within(again.connect(one.local_addr())).await.unwrap();
    again.shutdown().await;
    one.shutdown().await;
}
