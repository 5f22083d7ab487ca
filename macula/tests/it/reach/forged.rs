//! Packets that are not from whom they say, and messages of those who may not send them.

use std::sync::Arc;

use bytes::Bytes;
use macula::realm::{IssueRequest, NodeIdentity};
use macula::transport::{
    Config, Endpoint, ForwardedPackets, FrameReceiver, FrameSender, Hello, Link, LinkEvent,
    LinkReceiver, OutFrame,
};
use macula::wire::message::{Body, Forward, Message, Role, Roles, StreamKind, Way};
use macula::wire::{Epoch, Frame, NodeId};
use macula::{Node, RealmCredentials};
use tokio::sync::Mutex;

use super::{Dead, apart, is_linked_by};
use crate::mesh::{Realm, loopback, until, within};

/// A bare link of somebody who forwards what the test wants.
struct Rogue {
    identity: NodeIdentity,
    endpoint: Endpoint,
    link: Link,
    receiver: LinkReceiver,
    lookups: Mutex<FrameSender>,
}

impl Rogue {
    async fn join(realm: &Realm, node: &Node, role: Role) -> Self {
        let roles = match role {
            Role::Member => IssueRequest::default(),
            Role::Client => IssueRequest::new(Roles::CLIENT),
        };
        let identity = realm.identity(&roles);
        let hello = Hello::new(role, Epoch::new(macula::unix_time() * 1_000));
        let credentials = RealmCredentials::new(&identity, realm.bundle());
        let credentials = vec![Arc::new(credentials) as _];
        let mut config = Config::default();
        config.handshake_timeout = std::time::Duration::from_secs(2);
        let (endpoint, _) = Endpoint::bind(loopback(), config, hello, credentials).unwrap();
        let dial = endpoint.dial(node.realm(), node.local_addr(), Some(node.node_id()));
        let (link, receiver) = within(dial).await.unwrap();
        let (lookups, _) = within(link.open(StreamKind::Lookup)).await.unwrap();
        Self {
            identity,
            endpoint,
            link,
            receiver,
            lookups: Mutex::new(lookups),
        }
    }

    fn own(&self) -> NodeId {
        self.identity.node()
    }

    /// A packet for `target` that says it is from `origin`, passed on by this member.
    fn forward(&self, origin: NodeId, target: NodeId, packet: Bytes) -> Forward {
        let mut trail = vec![origin.mark()];
        if origin != self.own() {
            trail.push(self.own().mark());
        }
        let way = Way {
            target,
            origin,
            hops: 8,
            via: Vec::new(),
            trail,
        };
        Forward { way, packet }
    }

    async fn say(&self, body: impl Into<Body>) {
        let bytes = Message::from(body.into()).to_bytes().unwrap();
        // One that may not send it finds the stream closed in time.
        drop(self.lookups.lock().await.send(Bytes::from(bytes)).await);
    }
}

/// What came in a frame, if it was a packet.
fn packet_of(frame: &Frame) -> Option<Forward> {
    match Message::decode(frame).unwrap().body {
        Body::Forward(forward) => Some(forward),
        _ => None,
    }
}

async fn next_of(stream: &mut Option<FrameReceiver>) -> Frame {
    match stream {
        Some(stream) => stream.next().await.unwrap().unwrap(),
        None => std::future::pending().await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_comes_up_in_ones_own_name_only() {
    let realm = Realm::new();
    let [node, other] = realm.mesh().await;
    for in_name_of_other in [true, false] {
        let mut rogue = Rogue::join(&realm, &node, Role::Member).await;
        let origin = if in_name_of_other {
            other.node_id()
        } else {
            rogue.own()
        };
        let mut packets: ForwardedPackets = rogue.endpoint.forwarded().unwrap();
        let endpoint = rogue.endpoint.clone();
        let dial = endpoint.dial_forwarded(node.realm(), node.node_id());
        tokio::pin!(dial);
        let deliver = |frame: &Frame| {
            if let Some(forward) = packet_of(frame) {
                endpoint.deliver(node.realm(), forward.way.origin, forward.packet);
            }
        };
        let mut lookups = None;
        let before = node.stats().await.unwrap().forwarding.delivered;
        let is_up = within(async {
            loop {
                tokio::select! {
                    result = &mut dial => return result.is_ok(),
                    Some(packet) = packets.next() => {
                        rogue.say(rogue.forward(origin, node.node_id(), packet.bytes)).await;
                    }
                    event = rogue.receiver.next() => match event {
                        LinkEvent::Datagram(frame) => deliver(&frame),
                        LinkEvent::Stream(StreamKind::Lookup, _, stream) => lookups = Some(stream),
                        _ => {}
                    },
                    frame = next_of(&mut lookups) => deliver(&frame),
                }
            }
        })
        .await;
        // What is answered goes to whom it is said to be for, who has no use for it.
        assert_eq!(is_up, !in_name_of_other);
        assert!(node.stats().await.unwrap().forwarding.delivered > before);
    }
    for (one, two) in [(&node, &other), (&other, &node)] {
        assert!(is_linked_by(one, two, "quic "));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_origins_and_forged_ways_get_nowhere() {
    let (realm, dead) = (Realm::new(), Dead::new());
    let middle = realm.node().await;
    let [one, other] = apart(&realm, &dead, &[&middle]).await;
    let rogue = Rogue::join(&realm, &one, Role::Member).await;
    let target = one.node_id();
    let packet = || Bytes::from(vec![0x40; 1_200]);
    let counts = async || one.stats().await.unwrap().forwarding;
    // In the name of the receiver itself, and by a way that does not end at the sender.
    rogue
        .say(rogue.forward(target, other.node_id(), packet()))
        .await;
    until(async || counts().await.dropped_forged == 1).await;
    let mut forged = rogue.forward(other.node_id(), target, packet());
    forged.way.trail.pop();
    rogue.say(forged).await;
    until(async || counts().await.dropped_malformed == 1).await;
    // From ever new nodes: no more than a few of them are let in.
    for index in 0..1_000_u16 {
        let mut origin = [9; 32];
        origin[..2].copy_from_slice(&index.to_be_bytes());
        let origin = NodeId::from_bytes(origin);
        rogue
            .say(rogue.forward(origin, target, Bytes::from_static(b"x")))
            .await;
    }
    until(async || counts().await.dropped_origins > 800).await;
    // In the name of the other: what QUIC cannot decrypt changes nothing.
    let before = counts().await.delivered;
    for _ in 0..100 {
        rogue
            .say(rogue.forward(other.node_id(), target, packet()))
            .await;
    }
    until(async || counts().await.delivered >= before + 100).await;
    assert!(is_linked_by(&one, &other, "forwarded"));
    let trace = within(one.trace(other.node_id())).await.unwrap();
    assert!(trace.reached, "{trace:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_peer_has_no_more_carried_than_its_share() {
    let realm = Realm::new();
    let mut config = macula::ForwardingConfig::default();
    (config.max_rate, config.max_burst) = (0, 100_000);
    let middle = within(realm.builder().forwarding(config).start()).await;
    let middle = middle.unwrap();
    let other = realm.node().await;
    within(other.connect(middle.local_addr())).await.unwrap();
    let counts = async || middle.stats().await.unwrap().forwarding;
    for _ in 0..2 {
        let before = counts().await;
        let rogue = Rogue::join(&realm, &middle, Role::Member).await;
        for _ in 0..200 {
            let packet = Bytes::from(vec![0x40; 1_200]);
            rogue
                .say(rogue.forward(rogue.own(), other.node_id(), packet))
                .await;
        }
        let seen = async || {
            let after = counts().await;
            (
                after.passed - before.passed,
                after.dropped_rate - before.dropped_rate,
            )
        };
        until(async || {
            let (passed, dropped) = seen().await;
            passed + dropped == 200
        })
        .await;
        // The other has a share of its own.
        assert!((60..70).contains(&seen().await.0), "{:?}", seen().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_forwards_breaks_a_rule() {
    let realm = Realm::new();
    let [node, other] = realm.mesh().await;
    for role in [Role::Client, Role::Member] {
        let rogue = Rogue::join(&realm, &node, role).await;
        let before = node.stats().await.unwrap();
        let packet = Bytes::from_static(b"x");
        rogue
            .say(rogue.forward(rogue.own(), other.node_id(), packet))
            .await;
        until(async || {
            let after = node.stats().await.unwrap();
            let misbehaved = after.counts.misbehaved - before.counts.misbehaved;
            let passed = after.forwarding.passed - before.forwarding.passed;
            let expected = match role {
                Role::Client => (1, 0),
                Role::Member => (0, 1),
            };
            (misbehaved, passed) == expected
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forwarded_on_a_control_stream_ends_the_link() {
    let realm = Realm::new();
    let [node, other] = realm.mesh().await;
    let rogue = Rogue::join(&realm, &node, Role::Member).await;
    let packet = || rogue.forward(rogue.own(), other.node_id(), Bytes::from_static(b"x"));
    // In a datagram it is in its place.
    let bytes = Message::from(packet()).to_bytes().unwrap();
    rogue.link.send_datagram(bytes.into()).unwrap();
    let passed = async || node.stats().await.unwrap().forwarding.passed;
    until(async || passed().await == 1).await;
    assert!(rogue.link.close_reason().is_none());
    let frame = OutFrame::message(&Message::from(packet())).unwrap();
    rogue.link.control().try_push(frame).unwrap();
    until(async || node.stats().await.unwrap().links_members == 1).await;
    let counts = node.stats().await.unwrap().counts;
    assert_eq!((counts.misbehaved, passed().await), (1, 1));
}
