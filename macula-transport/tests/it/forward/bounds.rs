//! The bounds of forwarding, and what happens beyond.

use bytes::Bytes;
use macula_transport::{BindError, Config, Endpoint, LinkError};
use macula_wire::ErrorCode;
use macula_wire::message::{Priority, Role};
use tokio::task::JoinSet;

use super::{Pair, Station, events, transfer};
use crate::support::{BOTH, Realm, drain, hello, loopback, numbered, until, within};

#[tokio::test]
async fn a_full_queue_of_outgoing_packets_drops_and_recovers() {
    let mut config = Config::default();
    config.max_forwarded_packets = 8;
    let mut pair = Pair::with(config, Config::default());
    let ((near, _near_events), (_far, mut far_events)) = pair.link().await;
    pair.carrier.move_packets(false);
    for index in 0..100 {
        let frame = numbered(index, 1_024).into();
        near.events(Priority::Normal).try_push(frame).unwrap();
    }
    let dropped = || pair.a.endpoint.stats().forwarded_send_dropped;
    until(|| dropped() > 0).await;
    assert!(pair.a.endpoint.stats().forwarded_sent > 0);
    pair.carrier.move_packets(true);
    within(async {
        let mut events = events(&mut far_events).await;
        for index in 0_u64..100 {
            let frame = events.next().await.unwrap().unwrap();
            assert_eq!(frame.body[..8], index.to_be_bytes());
        }
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_of_delivered_packets_drops_and_recovers() {
    let mut config = Config::default();
    config.max_forwarded_packets = 8;
    let mut pair = Pair::with(Config::default(), config);
    let ((near, _near_events), (_far, mut far_events)) = pair.link().await;
    let before = pair.c.endpoint.stats();
    // One task: the endpoint reads nothing meanwhile.
    for _ in 0..20 {
        let from = pair.a.node.node;
        let packet = Bytes::from_static(b"no packet of QUIC");
        pair.c.endpoint.deliver(pair.realm.name(), from, packet);
    }
    let after = pair.c.endpoint.stats();
    let taken = after.forwarded_received - before.forwarded_received;
    let dropped = after.forwarded_receive_dropped - before.forwarded_receive_dropped;
    assert_eq!((taken, dropped), (8, 12));
    transfer(&near, &mut far_events, 100).await;
}

#[tokio::test]
async fn a_node_proves_itself_when_many_handshakes_are_under_way() {
    let mut config = Config::default();
    config.max_pending_forwarded_handshakes = 0;
    let mut pair = Pair::with(Config::default(), config);
    pair.link().await;
    assert_eq!(pair.c.endpoint.stats().retries_sent, 1);
    // Over UDP nobody has to.
    let address = pair.c.endpoint.local_addr();
    let dial = pair.a.endpoint.dial(pair.realm.name(), address, None);
    within(dial).await.map(drop).unwrap();
    assert_eq!(pair.c.endpoint.stats().retries_sent, 1);
}

#[tokio::test]
async fn a_flood_of_handshakes_by_forwarding_leaves_udp_its_own() {
    let mut pair = Pair::new();
    let flood = Station::new(&pair.realm, Config::default());
    let mut packets = flood.endpoint.forwarded().unwrap();
    let mut dials = JoinSet::new();
    for _ in 0..40 {
        let (endpoint, realm) = (flood.endpoint.clone(), pair.realm.name().clone());
        let node = pair.realm.node(BOTH).node;
        dials.spawn(async move { endpoint.dial_forwarded(&realm, node).await.map(drop) });
    }
    let c = pair.c.endpoint.clone();
    let all = Config::default().max_pending_forwarded_handshakes;
    within(async {
        while c.stats().handshakes_pending < all || c.stats().retries_sent == 0 {
            let packet = packets.next().await.unwrap();
            // Each is said to come from a node of its own.
            c.deliver(&packet.realm, packet.node, packet.bytes);
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(c.stats().handshakes_pending, all);
    let asked = c.stats().retries_sent;
    let dial = pair
        .a
        .endpoint
        .dial(pair.realm.name(), c.local_addr(), None);
    within(dial).await.map(drop).unwrap();
    assert_eq!(c.stats().retries_sent, asked, "asked for proof over UDP");
    // A node that proves itself is taken all the same.
    assert!(within(pair.c.incoming.accept()).await.is_some());
    pair.link().await;
    assert!(c.stats().retries_sent > asked);
}

#[tokio::test]
async fn nodes_with_a_link_are_not_forgotten_for_others() {
    let mut config = Config::default();
    config.max_forwarded_nodes = 1;
    let mut pair = Pair::with(config, Config::default());
    let mut d = Station::new(&pair.realm, Config::default());
    pair.carrier.join(d.node.node, &d.endpoint);
    let ((near, mut near_events), (_far, mut far_events)) = pair.link().await;
    let error = pair.a.dial(&d).await.map(drop).unwrap_err();
    assert!(matches!(&error, LinkError::NoPath { .. }), "{error:?}");
    transfer(&near, &mut far_events, 10).await;
    near.close(ErrorCode::OK, "");
    within(async { tokio::join!(drain(&mut near_events), drain(&mut far_events)) }).await;
    until(|| pair.a.endpoint.stats().links == 0).await;
    pair.a.dial(&d).await.map(drop).unwrap();
    assert!(within(d.incoming.accept()).await.is_some());
}

#[tokio::test]
async fn bounds_that_cannot_be_kept_are_refused() {
    let realm = Realm::new("be.acme.iot");
    let bind = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        let credentials = vec![realm.node(BOTH).shared()];
        Endpoint::bind(loopback(), config, hello(Role::Member), credentials).map(drop)
    };
    for (change, wrong) in [
        (
            (|config| config.max_forwarded_nodes = 0) as fn(&mut Config),
            "max_forwarded_nodes",
        ),
        (
            |config| config.max_forwarded_packets = 0,
            "max_forwarded_packets",
        ),
        (
            |config| config.max_forwarded_packets = usize::MAX,
            "max_forwarded_packets",
        ),
    ] {
        let error = bind(change).unwrap_err();
        assert!(
            matches!(error, BindError::Config { setting } if setting == wrong),
            "{error:?}"
        );
    }
    bind(|config| config.max_forwarded_packets = 1).unwrap();
}
