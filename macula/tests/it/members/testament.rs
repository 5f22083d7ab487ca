//! Events that members leave behind.

use std::time::Duration;

use macula::wire::ErrorCode;
use macula::{Delivery, EventOptions, Node, Subscription, TestamentOn};

use crate::mesh::{Mortal, Realm, event, hasty, link, subscribe, until, within};

const AT_ONCE: Duration = Duration::ZERO;

/// Two nodes that stay, and one that does not.
async fn three(realm: &Realm) -> (Node, Node, Mortal) {
    let one = within(hasty(realm.builder()).start()).await.unwrap();
    let two = within(hasty(realm.builder()).start()).await.unwrap();
    let doomed = Mortal::start(hasty(realm.builder())).await;
    link(&[one.clone(), two.clone(), doomed.node.clone()]).await;
    (one, two, doomed)
}

async fn leave(
    node: &Node,
    topic: &str,
    on: TestamentOn,
    delay: Duration,
) -> Result<(), ErrorCode> {
    let options = EventOptions::default().header("why", "gone");
    let left = node.leave_behind(topic, topic.to_owned(), &options, on, delay);
    within(left).await.map_err(|error| error.code())
}

/// Leaves these behind, and waits until all of `others` keep them.
async fn leave_all(node: &Node, others: &[&Node], all: &[(&str, TestamentOn)]) {
    for (topic, on) in all {
        leave(node, topic, *on, AT_ONCE).await.unwrap();
    }
    kept_by_all(node, others).await;
}

/// Waits until every node keeps what the first one does: in so small a realm each keeps every record.
async fn kept_by_all(node: &Node, others: &[&Node]) {
    until(async || {
        let own = node.routing().await.unwrap();
        for other in others {
            let kept = other.routing().await.unwrap();
            if (kept.records, kept.record_bytes) != (own.records, own.record_bytes) {
                return false;
            }
        }
        own.own_records > 0
    })
    .await;
}

/// What comes until `last` does, which is among it.
async fn until_last(subscription: &mut Subscription, last: &str) -> Vec<String> {
    let mut topics = Vec::new();
    while topics.last().is_none_or(|topic| topic != last) {
        topics.push(event(subscription).await.topic().to_string());
    }
    topics
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_member_leaves_behind_is_published_once_when_it_dies() {
    let realm = Realm::new();
    let (one, two, doomed) = three(&realm).await;
    let id = doomed.node.node_id();
    let mut heard = subscribe(&two, "will.*").await;
    let all = [
        ("will.lost", TestamentOn::Lost),
        ("will.ended", TestamentOn::Ended),
    ];
    leave_all(&doomed.node, &[&one, &two], &all).await;
    within(one.wait_for_subscribers("will.end")).await.unwrap();
    doomed.kill();
    let mut topics = Vec::new();
    for _ in 0..2 {
        let event = event(&mut heard).await;
        assert_eq!(event.testator(), Some(id));
        assert!([one.node_id(), two.node_id()].contains(&event.publisher()));
        assert_eq!(event.header("why").unwrap(), "gone");
        assert_eq!(event.payload()[..], *event.topic().as_str().as_bytes());
        topics.push(event.topic().to_string());
    }
    topics.sort();
    assert_eq!(topics, ["will.ended", "will.lost"]);
    within(one.publish("will.end", "")).await.unwrap();
    assert_eq!(until_last(&mut heard, "will.end").await, ["will.end"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_member_that_leaves_only_what_is_for_that_is_published() {
    let realm = Realm::new();
    let (one, two, leaving) = three(&realm).await;
    let mut heard = subscribe(&two, "will.*").await;
    let all = [
        ("will.lost", TestamentOn::Lost),
        ("will.ended", TestamentOn::Ended),
    ];
    leave_all(&leaving.node, &[&one, &two], &all).await;
    within(one.wait_for_subscribers("will.end")).await.unwrap();
    within(leaving.node.shutdown()).await;
    assert_eq!(until_last(&mut heard, "will.ended").await, ["will.ended"]);
    within(one.publish("will.end", "")).await.unwrap();
    assert_eq!(until_last(&mut heard, "will.end").await, ["will.end"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_or_is_too_much_is_not_left_behind() {
    let realm = Realm::new();
    let (one, two, doomed) = three(&realm).await;
    let mut heard = subscribe(&two, "will.*").await;
    let node = &doomed.node;
    leave_all(node, &[&one, &two], &[("will.wrong", TestamentOn::Lost)]).await;
    within(node.revoke_testaments()).await.unwrap();
    for _ in 0..16 {
        leave(node, "will.right", TestamentOn::Lost, AT_ONCE)
            .await
            .unwrap();
    }
    let one_more = leave(node, "will.more", TestamentOn::Lost, AT_ONCE).await;
    assert_eq!(one_more, Err(ErrorCode::QUOTA_EXCEEDED));
    let late = leave(
        node,
        "will.late",
        TestamentOn::Lost,
        Duration::from_secs(86_401),
    )
    .await;
    assert_eq!(late, Err(ErrorCode::INVALID_ARGUMENT));
    let reserved = leave(node, "$sys.x", TestamentOn::Lost, AT_ONCE).await;
    assert_eq!(reserved, Err(ErrorCode::DENIED));
    kept_by_all(node, &[&one, &two]).await;
    within(one.wait_for_subscribers("will.right"))
        .await
        .unwrap();
    doomed.kill();
    for _ in 0..16 {
        match within(heard.next()).await {
            Some(Delivery::Event(event)) => assert_eq!(event.topic().as_str(), "will.right"),
            other => panic!("no event: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_published_of_a_member_that_is_back_in_time() {
    let realm = Realm::new();
    let (one, two, doomed) = three(&realm).await;
    let mut heard = subscribe(&two, "will.*").await;
    let identity = realm.identity(&macula::realm::IssueRequest::default());
    let builder = || hasty(realm.builder().identity(identity.clone()));
    let returning = Mortal::start(builder()).await;
    within(returning.node.connect(one.local_addr()))
        .await
        .unwrap();
    until(async || two.stats().await.unwrap().members.alive == 4).await;
    let options = EventOptions::default();
    let (on, delay) = (TestamentOn::Lost, Duration::from_secs(2));
    let left = returning
        .node
        .leave_behind("will.early", "", &options, on, delay);
    within(left).await.unwrap();
    let left = doomed
        .node
        .leave_behind("will.late", "", &options, on, delay * 2);
    within(left).await.unwrap();
    kept_by_all(&doomed.node, &[&returning.node, &one, &two]).await;
    within(one.wait_for_subscribers("will.late")).await.unwrap();
    returning.kill();
    until(async || two.stats().await.unwrap().members.alive == 3).await;
    let back = within(builder().start()).await.unwrap();
    within(back.connect(one.local_addr())).await.unwrap();
    until(async || one.stats().await.unwrap().members.alive == 4).await;
    doomed.kill();
    assert_eq!(until_last(&mut heard, "will.late").await, ["will.late"]);
}
