//! How many connections are taken, and from whom.

use macula_transport::{Config, Endpoint, Link, LinkError, LinkReceiver};
use macula_wire::ErrorCode;
use macula_wire::message::Role;

use crate::support::{BOTH, Realm, drain, endpoint, until, within};

/// Dials `server` from a new node of `realm`.
async fn dial(realm: &Realm, server: &Endpoint) -> Result<(Link, LinkReceiver), LinkError> {
    let (dialler, _) = endpoint(&realm.node(BOTH), Role::Client, Config::default());
    within(dialler.dial(realm.name(), server.local_addr(), None)).await
}

#[track_caller]
fn assert_overloaded(dialled: Result<(Link, LinkReceiver), LinkError>) {
    let error = dialled.map(drop).unwrap_err();
    assert_eq!(error.code(), ErrorCode::OVERLOADED, "{error:?}");
}

async fn refused_beyond(limit: &'static str, config: Config) {
    let realm = Realm::new("be.acme.iot");
    let (server, mut incoming) = endpoint(&realm.node(BOTH), Role::Member, config);
    let (one, mut one_events) = dial(&realm, &server).await.unwrap();
    let _two = dial(&realm, &server).await.unwrap();
    assert_overloaded(dial(&realm, &server).await);
    assert_eq!(server.stats().refused_by_limit.get(limit), Some(&1));
    // Whoever leaves makes room.
    let accepted = within(incoming.accept()).await.unwrap();
    let mut accepted_events = accepted.1;
    one.close(ErrorCode::OK, "");
    within(async { tokio::join!(drain(&mut one_events), drain(&mut accepted_events)) }).await;
    until(|| server.stats().connections == 1).await;
    dial(&realm, &server).await.unwrap();
}

#[tokio::test]
async fn an_address_has_its_share() {
    let mut config = Config::default();
    config.max_connections_per_ip = 2;
    refused_beyond("address", config).await;
}

#[tokio::test]
async fn an_endpoint_is_full() {
    let mut config = Config::default();
    config.max_connections = 2;
    refused_beyond("connections", config).await;
}

#[tokio::test]
async fn an_identity_has_its_share_in_each_role() {
    let mut config = Config::default();
    config.max_client_links_per_identity = 1;
    config.max_member_links_per_identity = 1;
    let realm = Realm::new("be.acme.iot");
    let (server, mut incoming) = endpoint(&realm.node(BOTH), Role::Member, config);
    let node = realm.node(BOTH);
    for role in [Role::Client, Role::Member] {
        let (dialler, _) = endpoint(&node, role, Config::default());
        let address = server.local_addr();
        let (link, mut events) = within(dialler.dial(realm.name(), address, None))
            .await
            .unwrap();
        let second = within(dialler.dial(realm.name(), address, None)).await;
        let error = second.map(drop).unwrap_err();
        assert!(
            matches!(
                &error,
                LinkError::Refused {
                    code: ErrorCode::QUOTA_EXCEEDED,
                    ..
                }
            ),
            "{error:?}"
        );
        let (_accepted, mut accepted_events) = within(incoming.accept()).await.unwrap();
        link.close(ErrorCode::OK, "");
        within(async { tokio::join!(drain(&mut events), drain(&mut accepted_events)) }).await;
        until(|| server.stats().links == 0).await;
        let third = within(dialler.dial(realm.name(), address, None)).await;
        third.map(drop).unwrap();
        assert!(within(incoming.accept()).await.is_some());
    }
    assert_eq!(server.stats().refused_by_limit.get("identity"), Some(&2));
}

#[tokio::test]
async fn an_address_proves_itself_when_many_handshakes_are_under_way() {
    let mut config = Config::default();
    config.max_pending_handshakes = 0;
    let realm = Realm::new("be.acme.iot");
    let (server, _incoming) = endpoint(&realm.node(BOTH), Role::Member, config);
    dial(&realm, &server).await.unwrap();
    assert_eq!(server.stats().retries_sent, 1);
    let (relaxed, _incoming) = endpoint(&realm.node(BOTH), Role::Member, Config::default());
    dial(&realm, &relaxed).await.unwrap();
    assert_eq!(relaxed.stats().retries_sent, 0);
}

#[tokio::test]
async fn an_endpoint_whose_links_nobody_takes_refuses() {
    let realm = Realm::new("be.acme.iot");
    let (server, incoming) = endpoint(&realm.node(BOTH), Role::Member, Config::default());
    dial(&realm, &server).await.unwrap();
    drop(incoming);
    assert_overloaded(dial(&realm, &server).await);
}
