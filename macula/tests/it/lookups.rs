//! Lookup streams: what a node takes there, and from whom.

use std::sync::Arc;

use macula::realm::IssueRequest;
use macula::transport::{Config, Endpoint, FrameReceiver, FrameSender, Hello, LinkEvent, OutFrame};
use macula::wire::message::{
    Body, Forward, InterestContent, KadFind, KadStore, Message, RecordContent, Role, Roles,
    RoutingRecord, SignedRoutingRecord, StreamKind, Way,
};
use macula::wire::{Epoch, ErrorCode, Key, NodeId, Pattern, RequestId, Signature, Signer, signed};
use macula::{
    CallOptions, FindOptions, Node, PublishOptions, Query, RealmCredentials, RegisterOptions, Reply,
};

use crate::forger::Forger;
use crate::mesh::{Realm, event, loopback, subscribe, until, within};

/// A lookup stream of a peer that keeps to no rule.
struct Stream {
    sender: FrameSender,
    _receiver: FrameReceiver,
}

impl Stream {
    async fn open(forger: &Forger) -> Self {
        let open = forger.link.open(StreamKind::Lookup);
        let (sender, receiver) = within(open).await.unwrap();
        Self {
            sender,
            _receiver: receiver,
        }
    }

    async fn say(&mut self, body: impl Into<Body>) {
        let bytes = Message::from(body.into()).to_bytes().unwrap();
        // The other side may have ended the link already.
        drop(within(self.sender.send(bytes.into())).await);
    }
}

/// Asks for a record of the forger to be kept.
fn store(forger: &Forger, pattern: &str, is_genuine: bool) -> KadStore {
    let now_ms = macula::unix_time() * 1_000;
    let record = RoutingRecord {
        owner: forger.identity.node(),
        sequence: now_ms,
        expires_ms: now_ms + 3_600_000,
        withdrawn: false,
        content: RecordContent::Interest(InterestContent::each(Pattern::new(pattern).unwrap())),
    };
    let bytes = signed::record_bytes(forger.identity.realm(), &record).unwrap();
    let mut signature = *forger.identity.signer().sign(&bytes).as_bytes();
    if !is_genuine {
        signature[0] ^= 1;
    }
    let signature = Signature::from_bytes(signature);
    KadStore {
        request: RequestId::new(1),
        records: vec![SignedRoutingRecord { record, signature }.into()],
    }
}

fn find(request: u64) -> KadFind {
    KadFind {
        request: RequestId::new(request),
        key: Key::from_bytes([7; 32]),
        kind: None,
    }
}

async fn forger() -> (Realm, Node, Forger) {
    let realm = Realm::new();
    let [node, victim] = realm.mesh().await;
    let (forger, _) = Forger::join(&realm, &node, victim.node_id()).await;
    until(async || node.stats().await.unwrap().members.alive == 3).await;
    (realm, node, forger)
}

/// The answer that the node sends on its own stream.
async fn answer(forger: &mut Forger, fits: impl Fn(&Body) -> bool) {
    let mut stream = within(async {
        loop {
            match forger.receiver.next().await {
                LinkEvent::Stream(StreamKind::Lookup, sender, stream) => {
                    drop(sender);
                    return stream;
                }
                LinkEvent::Closed(reason) => panic!("{reason}"),
                _ => {}
            }
        }
    })
    .await;
    loop {
        let frame = within(stream.next()).await.unwrap().unwrap();
        if fits(&Message::decode(&frame).unwrap().body) {
            return;
        }
    }
}

async fn end_of(forger: &mut Forger) -> ErrorCode {
    within(async {
        loop {
            if let LinkEvent::Closed(reason) = forger.receiver.next().await {
                return reason.code;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_record_ends_the_link_and_a_genuine_one_is_kept() {
    let (_realm, node, mut forger) = forger().await;
    let records = async || node.stats().await.unwrap().routing.records;
    // Where the node itself and the other member can be reached.
    until(async || records().await == 2).await;
    let mut stream = Stream::open(&forger).await;
    stream.say(store(&forger, "a.b", true)).await;
    // The names of its service follow.
    until(async || records().await >= 3).await;
    answer(&mut forger, |body| matches!(body, Body::KadAnswer(_))).await;
    stream.say(store(&forger, "a.c", false)).await;
    assert_eq!(end_of(&mut forger).await, ErrorCode::PROTOCOL_VIOLATION);
    let stats = node.stats().await.unwrap();
    assert_eq!(
        (stats.counts.misbehaved, stats.routing.records_forged),
        (1, 1)
    );
    assert_eq!(stats.routing.records, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_is_answered_on_a_lookup_stream_and_nowhere_else() {
    let (_realm, node, mut forger) = forger().await;
    let mut stream = Stream::open(&forger).await;
    stream.say(find(1)).await;
    answer(&mut forger, |body| matches!(body, Body::KadFound(_))).await;
    assert_eq!(node.stats().await.unwrap().counts.misbehaved, 0);
    forger.say(find(2)).await;
    assert_eq!(end_of(&mut forger).await, ErrorCode::PROTOCOL_VIOLATION);
    assert_eq!(node.stats().await.unwrap().counts.misbehaved, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_belong_on_a_lookup_stream_ends_the_link() {
    let (_realm, node, mut forger) = forger().await;
    let mut stream = Stream::open(&forger).await;
    stream.say(macula::wire::message::Heartbeat {}).await;
    assert_eq!(end_of(&mut forger).await, ErrorCode::PROTOCOL_VIOLATION);
    assert_eq!(node.stats().await.unwrap().counts.misbehaved, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_has_one_lookup_stream_of_each_side() {
    let (_realm, node, mut forger) = forger().await;
    let mut first = Stream::open(&forger).await;
    first.say(find(1)).await;
    answer(&mut forger, |body| matches!(body, Body::KadFound(_))).await;
    let mut second = Stream::open(&forger).await;
    second.say(find(2)).await;
    until(async || node.stats().await.unwrap().counts.misbehaved == 1).await;
    let answered = node.stats().await.unwrap().routing.requests_answered;
    first.say(find(3)).await;
    until(async || node.stats().await.unwrap().routing.requests_answered > answered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forwarded_is_taken_in_there_and_dropped_if_it_is_malformed() {
    let (_realm, node, forger) = forger().await;
    let mut stream = Stream::open(&forger).await;
    stream
        .say(Forward {
            way: Way {
                target: NodeId::from_bytes([9; 32]),
                origin: forger.identity.node(),
                hops: 3,
                via: Vec::new(),
                trail: Vec::new(),
            },
            packet: vec![1].into(),
        })
        .await;
    until(async || node.stats().await.unwrap().forwarding.dropped_malformed == 1).await;
    assert_eq!(node.stats().await.unwrap().counts.misbehaved, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_looks_nothing_up() {
    let realm = Realm::new();
    let node = realm.node().await;
    let identity = realm.identity(&IssueRequest::new(Roles::CLIENT));
    let hello = Hello::new(Role::Client, Epoch::new(1));
    let credentials = RealmCredentials::new(&identity, realm.bundle());
    let credentials = vec![Arc::new(credentials) as _];
    let (endpoint, _) = Endpoint::bind(loopback(), Config::default(), hello, credentials).unwrap();
    let dial = endpoint.dial(node.realm(), node.local_addr(), Some(node.node_id()));
    let (link, _receiver) = within(dial).await.unwrap();
    let (mut sender, mut receiver) = within(link.open(StreamKind::Lookup)).await.unwrap();
    let frame = Message::from(find(1)).to_bytes().unwrap();
    within(sender.send(frame.into())).await.unwrap();
    assert!(
        within(receiver.next()).await.is_err(),
        "the stream is reset"
    );
    let stats = async || node.stats().await.unwrap();
    until(async || stats().await.counts.misbehaved == 1).await;
    let frame = OutFrame::message(&Message::from(find(2))).unwrap();
    link.control().try_push(frame).unwrap();
    until(async || stats().await.counts.misbehaved == 2).await;
    assert_eq!(stats().await.routing.requests_answered, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_event_reaches_those_that_were_there_before() {
    let realm = Realm::new();
    let [one, other] = realm.mesh().await;
    let mut subscription = subscribe(&one, "f.**").await;
    // What was handed out arrives before anything that is asked for after it.
    until(async || other.stats().await.unwrap().routing.records == 3).await;
    let publisher = other.publisher("f.x", PublishOptions::default()).await;
    publisher.unwrap().publish("first").await.unwrap();
    assert_eq!(event(&mut subscription).await.payload()[..], *b"first");
    // And so does that of a client, which tells its member by its first event.
    let client = realm.client(&other).await;
    client.publish("f.y", "second").await.unwrap();
    assert_eq!(event(&mut subscription).await.payload()[..], *b"second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_call_finds_who_serves_and_further_ones_look_for_nobody() {
    let realm = Realm::new();
    let [one, other] = realm.mesh().await;
    let records = async || other.stats().await.unwrap().routing.records;
    until(async || records().await == 2).await;
    let serve = |_| async { Ok(Reply::default()) };
    let options = RegisterOptions::default();
    let served = one.register("g.p", options.clone(), serve).await.unwrap();
    let query = Query::Procedure("g.p".parse().unwrap());
    until(async || {
        let found = other.find(&query, FindOptions::default()).await.unwrap();
        !found.records.is_empty()
    })
    .await;
    for _ in 0..3 {
        let call = other.call("g.p", "", CallOptions::default());
        within(call).await.unwrap();
    }
    // The procedure, its first segment, and what begins with a wildcard.
    let routing = other.stats().await.unwrap().routing;
    assert_eq!((routing.watches, routing.offers), (3, 1));
    one.unregister(served).await.unwrap();
    until(async || other.stats().await.unwrap().routing.offers == 0).await;
    let call = other.call("g.p", "", CallOptions::default());
    let error = within(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NO_SUCH_PROCEDURE);
    // Of what this node serves itself it watches only who else does, and by which policy.
    let _served = other.register("g.q", options.clone(), serve).await.unwrap();
    within(other.call("g.q", "", CallOptions::default()))
        .await
        .unwrap();
    assert_eq!(other.stats().await.unwrap().routing.watches, 4);
}
