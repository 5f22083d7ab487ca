//! Links whose packets other nodes carry.

mod bounds;
mod carrier;
mod refusal;

use std::net::{Ipv6Addr, SocketAddr};

use bytes::Bytes;
use macula_transport::{
    Config, Endpoint, FrameReceiver, Incoming, Link, LinkError, LinkEvent, LinkReceiver, Path,
};
use macula_wire::ErrorCode;
use macula_wire::message::{Message, Ping, Priority, Role, StreamKind};

use crate::support::{BOTH, Node, Realm, drain, endpoint, hello, numbered, until, within};
use carrier::Carrier;

/// A node with an endpoint.
struct Station {
    node: Node,
    endpoint: Endpoint,
    incoming: Incoming,
}

impl Station {
    fn new(realm: &Realm, config: Config) -> Self {
        let node = realm.node(BOTH);
        let (endpoint, incoming) = endpoint(&node, Role::Member, config);
        Self {
            node,
            endpoint,
            incoming,
        }
    }

    async fn dial(&self, other: &Self) -> Result<(Link, LinkReceiver), LinkError> {
        let dial = self
            .endpoint
            .dial_forwarded(&self.node.realm, other.node.node);
        within(dial).await
    }

    #[track_caller]
    fn refused_one(&self, cause: &str) {
        let failures = self.endpoint.stats().auth_failures;
        assert_eq!(failures.get(cause), Some(&1), "{failures:?}");
    }
}

/// Two nodes that only a carrier joins.
struct Pair {
    realm: Realm,
    carrier: Carrier,
    a: Station,
    c: Station,
}

impl Pair {
    fn new() -> Self {
        Self::with(Config::default(), Config::default())
    }

    fn with(a: Config, c: Config) -> Self {
        let realm = Realm::new("be.acme.iot");
        let mut carrier = Carrier::new();
        let a = Station::new(&realm, a);
        let c = Station::new(&realm, c);
        for station in [&a, &c] {
            carrier.join(station.node.node, &station.endpoint);
        }
        Self {
            realm,
            carrier,
            a,
            c,
        }
    }

    /// A link from A to C: the side of A, then that of C.
    async fn link(&mut self) -> ((Link, LinkReceiver), (Link, LinkReceiver)) {
        let near = self.a.dial(&self.c).await.unwrap();
        let far = within(self.c.incoming.accept()).await.unwrap();
        (near, far)
    }
}

/// The event stream that the peer opened.
async fn events(receiver: &mut LinkReceiver) -> FrameReceiver {
    match receiver.next().await {
        LinkEvent::Events(Priority::Normal, events) => events,
        other => panic!("{other:?}"),
    }
}

/// Sends `count` frames of 1 KiB, all of which have to arrive in order.
async fn transfer(from: &Link, to: &mut LinkReceiver, count: u64) {
    let mut events = None;
    transfer_on(from, to, &mut events, count).await;
}

async fn transfer_on(
    from: &Link,
    to: &mut LinkReceiver,
    stream: &mut Option<FrameReceiver>,
    count: u64,
) {
    let push = async {
        for index in 0..count {
            let frame = numbered(index, 1_024).into();
            from.events(Priority::Normal).push(frame).await.unwrap();
        }
    };
    let read = async {
        if stream.is_none() {
            *stream = Some(events(to).await);
        }
        let events = stream.as_mut().unwrap();
        for index in 0..count {
            let frame = events.next().await.unwrap().unwrap();
            assert_eq!(frame.body[..8], index.to_be_bytes());
        }
    };
    within(async { tokio::join!(push, read) }).await;
}

#[tokio::test]
async fn a_link_comes_up_by_forwarding_alone() {
    let mut pair = Pair::new();
    let ((near, _near_events), (far, mut far_events)) = pair.link().await;
    assert_eq!(near.peer().node, pair.c.node.node);
    assert_eq!(far.peer().node, pair.a.node.node);
    for link in [&near, &far] {
        assert!(link.is_forwarded());
        assert_eq!(link.path(), Path::Forwarded);
        assert_eq!(link.path().to_string(), "forwarded");
        assert_eq!(link.observed(), None);
    }
    transfer(&near, &mut far_events, 10).await;
    for stats in [pair.a.endpoint.stats(), pair.c.endpoint.stats()] {
        assert!(stats.forwarded_sent > 0 && stats.forwarded_received > 0);
        // Nor is a longer packet tried, to see whether it arrives.
        let dropped = stats.forwarded_send_dropped + stats.forwarded_receive_dropped;
        assert_eq!((dropped, stats.retries_sent, stats.links), (0, 0, 1));
    }
}

#[tokio::test]
async fn streams_go_both_ways() {
    let mut pair = Pair::new();
    let ((near, mut near_events), (far, mut far_events)) = pair.link().await;
    transfer(&near, &mut far_events, 500).await;
    transfer(&far, &mut near_events, 500).await;
    let (mut sender, mut receiver) = within(near.open(StreamKind::Call)).await.unwrap();
    sender.send(numbered(1, 200_000)).await.unwrap();
    let event = within(far_events.next()).await;
    let LinkEvent::Stream(StreamKind::Call, mut answer, mut call) = event else {
        panic!("{event:?}")
    };
    let question = within(call.next()).await.unwrap().unwrap();
    assert_eq!(question.body.len(), 200_000);
    answer.send(numbered(2, 200_000)).await.unwrap();
    let answered = within(receiver.next()).await.unwrap().unwrap();
    assert_eq!(answered.body[..8], 2_u64.to_be_bytes());
    // The carrier has looked at the length of each packet.
    for link in [&near, &far] {
        assert_eq!(link.stats().mtu, 1_200);
    }
}

#[tokio::test]
async fn datagrams_go_both_ways() {
    let mut pair = Pair::new();
    let ((near, mut near_events), (far, mut far_events)) = pair.link().await;
    let frame = Bytes::from(Message::from(Ping { nonce: 1 }).to_bytes().unwrap());
    near.send_datagram(frame.clone()).unwrap();
    far.send_datagram(frame).unwrap();
    for events in [&mut near_events, &mut far_events] {
        let event = within(events.next()).await;
        assert!(matches!(event, LinkEvent::Datagram(_)), "{event:?}");
    }
    assert!(near.send_datagram(Bytes::from(vec![0; 1_200])).is_err());
}

#[tokio::test]
async fn nothing_on_a_stream_is_lost_where_packets_are() {
    let mut pair = Pair::new();
    pair.carrier.state().lose_each = Some(10);
    let ((near, mut near_events), (far, mut far_events)) = pair.link().await;
    transfer(&near, &mut far_events, 500).await;
    transfer(&far, &mut near_events, 500).await;
    let state = pair.carrier.state();
    assert!(state.lost >= 50, "lost {} of {}", state.lost, state.carried);
    drop(state);
    assert!(near.close_reason().is_none() && far.close_reason().is_none());
}

#[tokio::test]
async fn a_link_outlives_a_time_without_forwarding() {
    let mut pair = Pair::new();
    let ((near, _near_events), (_far, mut far_events)) = pair.link().await;
    let mut stream = None;
    transfer_on(&near, &mut far_events, &mut stream, 10).await;
    pair.carrier.state().lose_each = Some(1);
    let lost = pair.carrier.state().lost;
    for index in 0..100 {
        let frame = numbered(index, 1_024).into();
        near.events(Priority::Normal).try_push(frame).unwrap();
    }
    // The burst, and some attempts after it.
    until(|| pair.carrier.state().lost > lost + 15).await;
    pair.carrier.state().lose_each = None;
    let events = stream.as_mut().unwrap();
    for index in 0_u64..100 {
        let frame = within(events.next()).await.unwrap().unwrap();
        assert_eq!(frame.body[..8], index.to_be_bytes());
    }
    transfer_on(&near, &mut far_events, &mut stream, 10).await;
}

#[tokio::test]
async fn endpoints_on_ipv6_and_ipv4_reach_each_other() {
    let realm = Realm::new("be.acme.iot");
    let mut carrier = Carrier::new();
    let a = Station::new(&realm, Config::default());
    let node = realm.node(BOTH);
    let listen = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let credentials = vec![node.shared()];
    let bound = Endpoint::bind(listen, Config::default(), hello(Role::Member), credentials);
    let Ok((endpoint, incoming)) = bound else {
        // The machine has no IPv6.
        return;
    };
    let mut c = Station {
        node,
        endpoint,
        incoming,
    };
    for station in [&a, &c] {
        carrier.join(station.node.node, &station.endpoint);
    }
    let (near, _near_events) = a.dial(&c).await.unwrap();
    let (far, mut far_events) = within(c.incoming.accept()).await.unwrap();
    assert!(near.is_forwarded() && far.is_forwarded());
    transfer(&near, &mut far_events, 10).await;
    let (back, mut back_events) = c.dial(&a).await.unwrap();
    assert!(back.is_forwarded());
    back.close(ErrorCode::OK, "");
    within(drain(&mut back_events)).await;
}

#[tokio::test]
async fn a_link_over_udp_works_beside_one_over_forwarding() {
    let mut pair = Pair::new();
    let ((near, _near_events), (_far, mut far_events)) = pair.link().await;
    let address = pair.c.endpoint.local_addr();
    let expected = Some(pair.c.node.node);
    let dial = pair.a.endpoint.dial(pair.realm.name(), address, expected);
    let (direct, _direct_events) = within(dial).await.unwrap();
    let (far_direct, mut far_direct_events) = within(pair.c.incoming.accept()).await.unwrap();
    assert_eq!(direct.path(), Path::Quic(address));
    assert!(!direct.is_forwarded() && !far_direct.is_forwarded());
    assert_eq!(direct.observed(), Some(pair.a.endpoint.local_addr()));
    tokio::join!(
        transfer(&near, &mut far_events, 1_000),
        transfer(&direct, &mut far_direct_events, 1_000),
    );
    // UDP is not held to what is forwarded.
    until(|| direct.stats().mtu > 1_200).await;
    assert_eq!(near.stats().mtu, 1_200);
    assert!(near.is_forwarded() && !direct.is_forwarded());
}

#[tokio::test]
async fn closing_an_endpoint_ends_its_links_over_forwarding() {
    let mut pair = Pair::new();
    let ((near, _near_events), (far, mut far_events)) = pair.link().await;
    let close = pair.a.endpoint.close(ErrorCode::SHUTTING_DOWN, "enough");
    within(async { tokio::join!(close, drain(&mut far_events)) }).await;
    let reason = within(far.closed()).await;
    assert_eq!(reason.code, ErrorCode::SHUTTING_DOWN);
    assert!(reason.by_peer, "{reason:?}");
    assert!(near.close_reason().is_some());
    let stats = pair.a.endpoint.stats();
    assert_eq!((stats.links, stats.tasks), (0, 0));
    // What comes later is not taken, and nobody waits for more to carry.
    let packet = Bytes::from_static(b"late");
    let from = pair.c.node.node;
    pair.a.endpoint.deliver(pair.realm.name(), from, packet);
    let dropped = pair.a.endpoint.stats().forwarded_receive_dropped;
    assert_eq!(dropped, stats.forwarded_receive_dropped + 1);
    assert!(pair.a.dial(&pair.c).await.is_err());
}

#[tokio::test]
async fn the_packets_to_forward_end_with_the_endpoint() {
    let realm = Realm::new("be.acme.iot");
    let station = Station::new(&realm, Config::default());
    let mut packets = station.endpoint.forwarded().unwrap();
    within(station.endpoint.close(ErrorCode::OK, "")).await;
    assert!(within(packets.next()).await.is_none());
    let station = Station::new(&realm, Config::default());
    let mut packets = station.endpoint.forwarded().unwrap();
    drop(station);
    assert!(within(packets.next()).await.is_none());
}
