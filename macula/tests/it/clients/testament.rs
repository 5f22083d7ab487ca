//! Events that clients leave behind.

use std::time::Duration;

use macula::realm::{IssueRequest, Tenant};
use macula::wire::ErrorCode;
use macula::wire::message::Roles;
use macula::{Client, EventOptions, Node, NodeConfig, NodeDirectory, TestamentOn};
use tokio::runtime::Runtime;

use crate::mesh::{Realm, event, loopback, subscribe, told, within};

async fn leave(client: &Client, topic: &str, on: TestamentOn) -> Result<(), ErrorCode> {
    let options = EventOptions::default().header("why", "gone");
    let left = client.leave_behind(topic, topic.to_owned(), &options, on, Duration::ZERO);
    within(left).await.map_err(|error| error.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_leaves_behind_is_published_when_it_has_closed_if_it_wants_that() {
    let realm = Realm::new();
    let [one, two] = realm.mesh().await;
    let mut far = subscribe(&two, "will.*").await;
    told(&two, &one).await;
    let client = realm.client(&one).await;
    let id = client.node_id();
    leave(&client, "will.taken.back", TestamentOn::Ended)
        .await
        .unwrap();
    within(client.revoke_testaments()).await.unwrap();
    leave(&client, "will.lost", TestamentOn::Lost)
        .await
        .unwrap();
    leave(&client, "will.ended", TestamentOn::Ended)
        .await
        .unwrap();
    client.close().await;
    let event = event(&mut far).await;
    assert_eq!(event.topic().as_str(), "will.ended");
    assert_eq!(
        (event.publisher(), event.testator()),
        (one.node_id(), Some(id))
    );
    assert_eq!(event.header("why").unwrap(), "gone");
    assert_eq!(event.payload()[..], *b"will.ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_leaves_behind_is_published_when_its_process_dies() {
    let place = tempfile::tempdir().unwrap();
    let realm = Realm::new();
    let identity = realm.identity(&IssueRequest::default());
    identity.save(place.path()).unwrap();
    realm.bundle().save(place.path()).unwrap();
    let directory = NodeDirectory::new(place.path());
    let mut config = NodeConfig::default();
    config.listen = loopback();
    config.http = false;
    directory.create_config(&config).unwrap();
    let node: Node = within(directory.builder().unwrap().start()).await.unwrap();
    let mut near = subscribe(&node, "will.*").await;
    let runtime = Runtime::new().unwrap();
    let attaching = {
        let directory = directory.clone();
        runtime.spawn(async move { Client::local(&directory).await })
    };
    let client = within(attaching).await.unwrap().unwrap();
    leave(&client, "will.lost", TestamentOn::Lost)
        .await
        .unwrap();
    runtime.shutdown_background();
    let event = event(&mut near).await;
    assert_eq!(event.topic().as_str(), "will.lost");
    assert_eq!(event.testator(), Some(node.node_id()));
    drop(client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn testaments_beyond_rights_and_limits_are_refused_beside_those_within() {
    let realm = Realm::new();
    let node = realm.node().await;
    let of_tenant = IssueRequest::new(Roles::CLIENT).with_tenant(Tenant::new("acme").unwrap());
    let client = realm.client_with(&node, &of_tenant).await;
    let on = TestamentOn::Lost;
    assert_eq!(leave(&client, "other.x", on).await, Err(ErrorCode::DENIED));
    for _ in 0..16 {
        assert_eq!(leave(&client, "acme.x", on).await, Ok(()));
    }
    assert_eq!(
        leave(&client, "acme.x", on).await,
        Err(ErrorCode::QUOTA_EXCEEDED)
    );
    within(client.revoke_testaments()).await.unwrap();
    assert_eq!(leave(&client, "acme.x", on).await, Ok(()));
    let options = EventOptions::default();
    let large = client.leave_behind("acme.x", vec![0; 64 << 10], &options, on, Duration::ZERO);
    assert_eq!(
        within(large).await.unwrap_err().code(),
        ErrorCode::QUOTA_EXCEEDED
    );
    let late = client.leave_behind("acme.x", "", &options, on, Duration::from_secs(90_000));
    assert_eq!(
        within(late).await.unwrap_err().code(),
        ErrorCode::INVALID_ARGUMENT
    );
}
