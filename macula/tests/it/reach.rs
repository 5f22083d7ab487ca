//! Members that have no way to each other but over others.

mod forged;
mod gate;
mod lost;
mod moving;
mod recovery;
mod way;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use macula::wire::{ErrorCode, NodeId};
use macula::{
    CallFailure, CallOptions, ForwardingConfig, Invocation, Node, PeerInfo, RegisterOptions, Reply,
};

use crate::mesh::{Realm, event, loopback, offered, subscribe, until, within};

/// A port where somebody listens who never answers.
struct Dead(UdpSocket);

impl Dead {
    fn new() -> Self {
        Self(UdpSocket::bind(loopback()).unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}

/// Gives up on addresses sooner, and tries them again sooner.
fn eager() -> ForwardingConfig {
    let mut config = ForwardingConfig::default();
    config.head_start = Duration::from_millis(100);
    config.min_retry = Duration::from_millis(200);
    config.max_retry = Duration::from_millis(200);
    config
}

/// A node that says that it is at `address`.
async fn hidden(realm: &Realm, address: SocketAddr) -> Node {
    let builder = realm.builder().advertise(address).forwarding(eager());
    within(builder.start()).await.unwrap()
}

/// The link of `node` to a member.
fn peer(node: &Node, other: &Node) -> Option<PeerInfo> {
    let id = other.node_id().to_string();
    node.peers().into_iter().find(|peer| peer.node == id)
}

fn is_linked_by(node: &Node, other: &Node, path: &str) -> bool {
    peer(node, other).is_some_and(|peer| peer.path.starts_with(path))
}

/// Waits until two members have one link of this kind.
async fn linked_by(one: &Node, other: &Node, path: &str) {
    until(async || is_linked_by(one, other, path) && is_linked_by(other, one, path)).await;
}

async fn echo(invocation: Invocation) -> Result<Reply, CallFailure> {
    Ok(Reply::new(invocation.content, invocation.payload))
}

/// Two members that only `middle` reaches, linked by it.
async fn apart(realm: &Realm, dead: &Dead, middle: &[&Node]) -> [Node; 2] {
    let [one, other] = [
        hidden(realm, dead.address()).await,
        hidden(realm, dead.address()).await,
    ];
    for node in [&one, &other] {
        for by in middle {
            within(node.connect(by.local_addr())).await.unwrap();
        }
    }
    linked_by(&one, &other, "forwarded").await;
    [one, other]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_events_pass_between_members_that_reach_only_a_third() {
    let (realm, dead) = (Realm::new(), Dead::new());
    let middle = realm.node().await;
    let [one, other] = apart(&realm, &dead, &[&middle]).await;
    let _served = other
        .register("e.echo", RegisterOptions::default(), echo)
        .await
        .unwrap();
    offered(&other, &one).await;
    for length in [0, 1, 1_200, 100_000] {
        let options = CallOptions::default();
        let reply = within(one.call("e.echo", vec![7; length], options)).await;
        assert!(reply.unwrap().payload[..] == vec![7; length]);
    }
    let mut events = subscribe(&one, "reach.*").await;
    within(other.wait_for_subscribers("reach.out"))
        .await
        .unwrap();
    for number in 0..100_u64 {
        let payload = number.to_le_bytes().to_vec();
        other.publish("reach.out", payload).await.unwrap();
    }
    for number in 0..100_u64 {
        let event = event(&mut events).await;
        assert_eq!(event.payload()[..], number.to_le_bytes());
    }
    for (from, to) in [(&one, &other), (&other, &one)] {
        let peer = peer(from, to).unwrap();
        assert_eq!((peer.path.as_str(), peer.hops), ("forwarded", Some(2)));
        let direct = self::peer(from, &middle).unwrap();
        assert!(direct.path.starts_with("quic "), "{direct:?}");
        assert_eq!(direct.hops, Some(1));
        let counts = from.stats().await.unwrap().forwarding;
        assert!(counts.sent > 100 && counts.delivered > 100, "{counts:?}");
        assert_eq!(counts.passed, 0);
    }
    let stats = middle.stats().await.unwrap();
    let counts = stats.forwarding;
    assert!(counts.passed > 200 && counts.delivered == 0, "{counts:?}");
    assert_eq!(
        (stats.counts.misbehaved, stats.membership.suspicions),
        (0, 0)
    );
    // What they say to each other the one in the middle cannot read, so it has no part in their calls.
    assert_eq!(stats.counts.calls_relayed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_names_the_members_on_the_way() {
    let (realm, dead) = (Realm::new(), Dead::new());
    let middle = within(realm.builder().tag("name", "hub").start()).await;
    let middle = middle.unwrap();
    let [one, other] = apart(&realm, &dead, &[&middle]).await;
    let ids = |nodes: &[&Node]| -> Vec<String> {
        nodes
            .iter()
            .map(|node| node.node_id().to_string())
            .collect()
    };
    let trace = within(one.trace(other.node_id())).await.unwrap();
    let nodes: Vec<String> = trace.hops.iter().map(|hop| hop.node.clone()).collect();
    assert_eq!(nodes, ids(&[&one, &middle, &other]));
    assert_eq!(
        (trace.link, trace.reached, trace.code),
        ("forwarded", true, "OK")
    );
    let names: Vec<Option<&str>> = trace.hops.iter().map(|hop| hop.name.as_deref()).collect();
    assert_eq!(names, [None, Some("hub"), None]);
    let rtts: Vec<bool> = trace.hops.iter().map(|hop| hop.rtt_us.is_some()).collect();
    assert_eq!(rtts, [false, true, true]);
    let trace = within(one.trace(middle.node_id())).await.unwrap();
    assert_eq!(
        (trace.link, trace.reached, trace.hops.len()),
        ("direct", true, 2)
    );
    // Nobody has this id.
    let nobody = NodeId::from_bytes([7; 32]);
    let trace = within(one.trace(nobody)).await.unwrap();
    assert_eq!(
        (trace.link, trace.reached, trace.code),
        ("none", false, "UNREACHABLE")
    );
    let error = within(one.trace(one.node_id())).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::INVALID_ARGUMENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_opened_to_whom_there_is_a_way_and_else_the_error_says_what_was_tried() {
    let (realm, dead) = (Realm::new(), Dead::new());
    let middle = realm.node().await;
    let [one, other] = apart(&realm, &dead, &[&middle]).await;
    let opened = within(one.open(other.node_id())).await.unwrap();
    assert_eq!(opened.path, "forwarded");
    let opened = within(one.open(middle.node_id())).await.unwrap();
    assert!(opened.path.starts_with("quic "), "{opened:?}");
    let error = within(one.open(one.node_id())).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::INVALID_ARGUMENT);
    let nobody = NodeId::from_bytes([7; 32]);
    let error = within(one.open(nobody)).await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    assert!(error.detail().contains("forwarding"), "{error}");
    let alone = hidden(&realm, dead.address()).await;
    let error = within(alone.open(one.node_id())).await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    assert!(error.detail().contains("no link to a member"), "{error}");
    // A node that is asked for its link before membership has made one.
    within(alone.connect(middle.local_addr())).await.unwrap();
    until(async || alone.stats().await.unwrap().members.alive == 4).await;
    let opened = within(alone.open(one.node_id())).await.unwrap();
    assert_eq!(opened.path, "forwarded");
}
