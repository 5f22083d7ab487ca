//! Peers that are not let in, each beside one that is.

use std::time::Duration;

use macula::realm::{IssueRequest, NodeIdentity};
use macula::wire::ErrorCode;
use macula::wire::message::Roles;
use macula::{Client, Error, Node};

use crate::mesh::{Realm, until, within};

/// Who was refused by `node`, by reason.
async fn refused(node: &Node) -> Vec<(&'static str, u64)> {
    let failures = node.stats().await.unwrap().endpoint.auth_failures;
    failures
        .iter()
        .map(|failed| (failed.reason, failed.count))
        .collect()
}

/// A node with this identity and the trust of `realm` dials `node`.
async fn dialled(realm: &Realm, node: &Node, identity: NodeIdentity) -> Result<(), Error> {
    let dialler = within(realm.builder_with(identity).start()).await.unwrap();
    within(dialler.connect(node.local_addr())).await.map(drop)
}

/// A member of the realm is let in: what was refused was refused for its own fault.
async fn lets_in_its_own(realm: &Realm, node: &Node) {
    let before = refused(node).await;
    let identity = realm.identity(&IssueRequest::default());
    dialled(realm, node, identity).await.unwrap();
    until(async || node.stats().await.unwrap().links_members == 1).await;
    assert_eq!(refused(node).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_realm_is_refused() {
    let realm = Realm::new();
    let node = realm.node().await;
    let stranger = Realm::named("nl.other.realm").node().await;
    let error = within(stranger.connect(node.local_addr()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNAUTHENTICATED);
    assert!(error.is_refused());
    // The node shows a decoy to whoever names another realm, and it is the stranger that turns away.
    assert!(!refused(&stranger).await.is_empty());
    assert_eq!(node.stats().await.unwrap().links_members, 0);
    lets_in_its_own(&realm, &node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_a_root_of_the_same_name_is_refused() {
    let realm = Realm::new();
    let node = realm.node().await;
    // Anybody can make a root that calls itself like the realm.
    let own_make = Realm::new().identity(&IssueRequest::default());
    let error = dialled(&realm, &node, own_make).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNAUTHENTICATED);
    until(async || refused(&node).await == [("not_trusted", 1)]).await;
    lets_in_its_own(&realm, &node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_refused() {
    let realm = Realm::new();
    let node = realm.node().await;
    let short = IssueRequest::default().with_validity(Duration::from_secs(1));
    let past = realm.identity_at(&short, macula::unix_time() - 60);
    let error = dialled(&realm, &node, past).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNAUTHENTICATED);
    until(async || refused(&node).await == [("expired", 1)]).await;
    lets_in_its_own(&realm, &node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_the_certificate_does_not_allow_is_refused() {
    let realm = Realm::new();
    let node = realm.node().await;
    let client_only = realm.identity(&IssueRequest::new(Roles::CLIENT));
    let error = dialled(&realm, &node, client_only).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DENIED);
    let member_only = realm.identity(&IssueRequest::new(Roles::MEMBER));
    let attach = Client::builder()
        .identity(member_only)
        .trust(realm.bundle())
        .connect(node.local_addr());
    let error = within(attach).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::DENIED);
    let client = realm.client(&node).await;
    assert_eq!(node.stats().await.unwrap().links_members, 0);
    drop(client);
    lets_in_its_own(&realm, &node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_than_the_expected_one_is_refused() {
    let realm = Realm::new();
    let [node, other] = [realm.node().await, realm.node().await];
    let attach = |expected: &Node| {
        Client::builder()
            .identity(realm.identity(&IssueRequest::default()))
            .trust(realm.bundle())
            .expect(expected.node_id())
            .connect(node.local_addr())
    };
    let error = within(attach(&other)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNAUTHENTICATED);
    let client = within(attach(&node)).await.unwrap();
    assert_eq!(client.member(), node.node_id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_is_told() {
    let realm = Realm::new();
    let node = realm.node().await;
    let again = realm.builder().listen(node.local_addr()).start();
    let error = within(again).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UNAVAILABLE);
    within(node.shutdown()).await;
    let address = node.local_addr();
    drop(node);
    until(async || realm.builder().listen(address).start().await.is_ok()).await;
}
