//! Links over forwarding that do not come about, each beside one that does.

use std::net::SocketAddr;
use std::time::Duration;

use macula_transport::{Config, LinkError};
use macula_wire::message::Priority;
use macula_wire::{ErrorCode, RealmName};

use super::{Pair, Station, transfer_on};
use crate::support::{BOTH, Realm, numbered, until, within};

#[tokio::test]
async fn another_node_than_the_one_that_was_dialled_is_refused() {
    let mut pair = Pair::new();
    let d = Station::new(&pair.realm, Config::default());
    pair.carrier.join(d.node.node, &d.endpoint);
    let (c, d_node) = (pair.c.node.node, d.node.node);
    {
        let mut state = pair.carrier.state();
        state.routes.insert(c, d.endpoint.clone());
        state.claims.insert(d_node, c);
    }
    let error = pair.a.dial(&pair.c).await.map(drop).unwrap_err();
    assert!(
        matches!(&error, LinkError::WrongNode { expected, found } if *expected == c && *found == d_node),
        "{error:?}"
    );
    pair.a.refused_one("another node");
    {
        let mut state = pair.carrier.state();
        state.routes.insert(c, pair.c.endpoint.clone());
        state.claims.clear();
    }
    pair.link().await;
}

#[tokio::test]
async fn a_link_is_refused_to_whoever_it_is_not_said_to_come_from() {
    let mut pair = Pair::new();
    let (a, b) = (pair.a.node.node, pair.realm.node(BOTH).node);
    {
        let mut state = pair.carrier.state();
        state.claims.insert(a, b);
        state.routes.insert(b, pair.a.endpoint.clone());
    }
    let error = pair.a.dial(&pair.c).await.map(drop).unwrap_err();
    assert!(matches!(error, LinkError::Unauthenticated), "{error:?}");
    until(|| !pair.c.endpoint.stats().auth_failures.is_empty()).await;
    pair.c.refused_one("another node");
    assert_eq!(pair.c.endpoint.stats().links_total, 0);
    pair.carrier.state().claims.clear();
    pair.link().await;
}

#[tokio::test]
async fn nobody_draws_a_link_to_another_node() {
    let mut pair = Pair::new();
    let ((near, _near_events), (far, mut far_events)) = pair.link().await;
    let mut stream = None;
    transfer_on(&near, &mut far_events, &mut stream, 10).await;
    let (a, b) = (pair.a.node.node, pair.realm.node(BOTH).node);
    let received = pair.c.endpoint.stats().forwarded_received;
    pair.carrier.state().claims.insert(a, b);
    for index in 0..100 {
        let frame = numbered(index, 1_024).into();
        near.events(Priority::Normal).try_push(frame).unwrap();
    }
    until(|| pair.c.endpoint.stats().forwarded_received > received + 15).await;
    pair.carrier.state().claims.clear();
    let events = stream.as_mut().unwrap();
    for index in 0_u64..100 {
        let frame = within(events.next()).await.unwrap().unwrap();
        assert_eq!(frame.body[..8], index.to_be_bytes());
    }
    assert_eq!(pair.carrier.state().addressed.get(&b), None);
    assert_eq!(far.peer().node, a);
}

#[tokio::test]
async fn a_node_that_nobody_carries_to_is_not_reached() {
    let realm = Realm::new("be.acme.iot");
    let mut config = Config::default();
    config.handshake_timeout = Duration::from_millis(50);
    let station = Station::new(&realm, config);
    let node = realm.node(BOTH).node;
    let dial = station.endpoint.dial_forwarded(realm.name(), node);
    let error = within(dial).await.map(drop).unwrap_err();
    assert!(
        matches!(&error, LinkError::NoPath { node: n, why } if *n == node && why == "no answer"),
        "{error:?}"
    );
    assert_eq!(error.code(), ErrorCode::UNREACHABLE);
    let elsewhere = RealmName::new("be.elsewhere").unwrap();
    let dial = station.endpoint.dial_forwarded(&elsewhere, node);
    let error = within(dial).await.map(drop).unwrap_err();
    assert!(matches!(error, LinkError::UnknownRealm { .. }), "{error:?}");
    assert!(station.endpoint.forwarded().is_some());
    assert!(station.endpoint.forwarded().is_none(), "taken twice");
}

#[tokio::test]
async fn an_address_of_a_forwarded_node_is_not_dialled_over_udp() {
    let mut pair = Pair::new();
    let _link = pair.link().await;
    let realm = pair.realm.name();
    for address in ["239.0.0.0:1", "[fd6b:9c2e:51d7:7a03::]:1"] {
        let address: SocketAddr = address.parse().unwrap();
        let dial = pair.a.endpoint.dial(realm, address, None);
        let error = within(dial).await.map(drop).unwrap_err();
        assert!(
            matches!(&error, LinkError::Unreachable { why, .. } if why.contains("set aside")),
            "{error:?}"
        );
    }
    let address = pair.c.endpoint.local_addr();
    let dial = pair.a.endpoint.dial(realm, address, None);
    within(dial).await.map(drop).unwrap();
}
