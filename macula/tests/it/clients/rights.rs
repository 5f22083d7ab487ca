//! What the member lets its clients do, asked past the checks of the client itself.

use std::sync::Arc;

use macula::realm::{IssueRequest, Tenant};
use macula::transport::{Config, Endpoint, Hello, Link, LinkEvent, LinkReceiver, OutFrame};
use macula::wire::message::{
    Alias, Body, Invoke, Message, Priority, Register, Role, Roles, Subscribe,
};
use macula::wire::{
    Batch, ContentType, Entries, Envelope, Epoch, ErrorCode, Header, NodeId, RegistrationId,
    RequestId, Sequence, SubscriptionId, TopicAlias,
};
use macula::{CallOptions, Node, RealmCredentials, RegisterOptions, SubscribeOptions};

use super::who;
use crate::mesh::{Realm, event, loopback, subscribe, until, within};

fn of_tenant() -> IssueRequest {
    IssueRequest::new(Roles::CLIENT).with_tenant(Tenant::new("acme").unwrap())
}

/// The bare link of a client, which checks nothing of its own.
struct Bare {
    own: NodeId,
    _endpoint: Endpoint,
    link: Link,
    receiver: LinkReceiver,
}

impl Bare {
    async fn attach(realm: &Realm, node: &Node) -> Self {
        let identity = realm.identity(&of_tenant());
        let credentials = RealmCredentials::new(&identity, realm.bundle());
        let hello = Hello::new(Role::Client, Epoch::new(1));
        let credentials = vec![Arc::new(credentials) as _];
        let (endpoint, _) =
            Endpoint::bind(loopback(), Config::default(), hello, credentials).unwrap();
        let dial = endpoint.dial(node.realm(), node.local_addr(), Some(node.node_id()));
        let (link, receiver) = within(dial).await.unwrap();
        Self {
            own: identity.node(),
            _endpoint: endpoint,
            link,
            receiver,
        }
    }

    /// The answer to a request.
    async fn ask(&mut self, body: impl Into<Body>) -> ErrorCode {
        let frame = OutFrame::message(&Message::from(body.into())).unwrap();
        self.link.control().try_push(frame).unwrap();
        loop {
            match within(self.receiver.next()).await {
                LinkEvent::Control(message) => match message.body {
                    Body::Ack(_) => return ErrorCode::OK,
                    Body::Error(report) => return report.code,
                    other => panic!("{other:?}"),
                },
                LinkEvent::Closed(reason) => panic!("{reason}"),
                _ => {}
            }
        }
    }

    /// Sends one event as if it were of `publisher`.
    fn send(&self, publisher: NodeId, alias: u64, topic: &str) {
        self.send_entry(publisher, alias, topic, topic.as_bytes(), false);
    }

    /// Sends one event of its own with a header.
    fn send_with_header(&self, alias: u64, topic: &str, key: &str) {
        let envelope = Envelope {
            headers: vec![Header {
                key: key.into(),
                value: "".into(),
            }],
            ..Envelope::EMPTY
        };
        let mut entry = Vec::new();
        envelope.encode(&mut entry).unwrap();
        entry.extend_from_slice(key.as_bytes());
        self.send_entry(self.own, alias, topic, &entry, true);
    }

    fn send_entry(
        &self,
        publisher: NodeId,
        alias: u64,
        topic: &str,
        entry: &[u8],
        enveloped: bool,
    ) {
        let (epoch, alias) = (Epoch::new(1), TopicAlias::new(alias));
        let batch = Batch {
            hops: 4,
            publisher,
            epoch,
            alias,
            base: Sequence::new(0),
            ttl_ms: None,
            content: ContentType::Bytes,
            enveloped,
            signature: None,
            entries: Entries::from_payloads([entry]).unwrap(),
        };
        let announced = Alias {
            publisher,
            epoch,
            alias,
            topic: topic.parse().unwrap(),
            next: Sequence::new(0),
            chain: Vec::new(),
        };
        let bodies = [Body::from(announced), Body::from(batch)];
        for body in bodies {
            let frame = OutFrame::message(&Message::from(body)).unwrap();
            self.link.events(Priority::Normal).try_push(frame).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_confined_to_its_own_names_by_the_member() {
    let realm = Realm::new();
    let node = realm.node().await;
    let mut bare = Bare::attach(&realm, &node).await;
    let mut number = 0;
    for (name, expected) in [
        ("other.x", ErrorCode::DENIED),
        ("acme.x", ErrorCode::OK),
        ("$sys.node", ErrorCode::DENIED),
        ("acme.y", ErrorCode::OK),
    ] {
        number += 1;
        let request = RequestId::new(number);
        let subscribing = Subscribe {
            request,
            subscription: SubscriptionId::new(number),
            pattern: name.parse().unwrap(),
            group: None,
            early: false,
        };
        assert_eq!(bare.ask(subscribing).await, expected, "{name}");
        let registering = Register {
            request,
            registration: RegistrationId::new(number),
            pattern: name.parse().unwrap(),
            concurrency: 0,
            weight: 1,
            invoke: Invoke::P2c,
            zone: None,
            takeover: false,
        };
        assert_eq!(bare.ask(registering).await, expected, "{name}");
    }
    let stats = node.stats().await.unwrap();
    assert_eq!((stats.subscriptions, stats.registrations), (2, 2));
    assert_eq!(stats.counts.denied, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_beyond_its_rights_or_in_the_name_of_others_are_dropped() {
    let realm = Realm::new();
    let node = realm.node().await;
    let mut own = subscribe(&node, "acme.*").await;
    let mut foreign = subscribe(&node, "other.*").await;
    let bare = Bare::attach(&realm, &node).await;
    bare.send(bare.own, 1, "other.x");
    bare.send(node.node_id(), 2, "acme.forged");
    bare.send(bare.own, 3, "acme.x");
    let arrived = event(&mut own).await;
    assert_eq!(arrived.topic().as_str(), "acme.x");
    assert_eq!(arrived.publisher(), bare.own);
    until(async || {
        let counts = node.stats().await.unwrap().counts;
        counts.denied == 1 && counts.dropped_unproven > 0
    })
    .await;
    node.publish("other.x", "").await.unwrap();
    assert_eq!(event(&mut foreign).await.publisher(), node.node_id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_a_tenant_is_refused_by_a_typed_error() {
    let realm = Realm::new();
    let node = realm.node().await;
    let client = realm.client_with(&node, &of_tenant()).await;
    let registering = RegisterOptions::default();
    let _theirs = node
        .register("other.x", registering.clone(), who)
        .await
        .unwrap();
    let _ours = node
        .register("acme.x", registering.clone(), who)
        .await
        .unwrap();
    let mut subscription = subscribe(&node, "acme.*").await;
    let denied = [
        client.publish("other.x", "").await.unwrap_err(),
        client
            .subscribe("*.x", SubscribeOptions::default())
            .await
            .unwrap_err(),
        client
            .register("other.y", registering.clone(), who)
            .await
            .unwrap_err(),
        within(client.call("other.x", "", CallOptions::default()))
            .await
            .unwrap_err(),
    ];
    for error in denied {
        assert_eq!(error.code(), ErrorCode::DENIED, "{error:?}");
        assert!(error.is_refused());
    }
    let _wanted = client
        .subscribe("acme.**", SubscribeOptions::default())
        .await
        .unwrap();
    let _served = client
        .register("acme.y", registering.clone(), who)
        .await
        .unwrap();
    within(client.call("acme.x", "", CallOptions::default()))
        .await
        .unwrap();
    within(client.publish("acme.x", "")).await.unwrap();
    assert_eq!(event(&mut subscription).await.publisher(), client.node_id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_nodes_alone_may_set_are_denied_to_a_client() {
    let realm = Realm::new();
    let node = realm.node().await;
    let mut subscription = subscribe(&node, "acme.*").await;
    let bare = Bare::attach(&realm, &node).await;
    bare.send_with_header(1, "acme.x", "$via");
    bare.send_with_header(2, "acme.y", "via");
    let event = event(&mut subscription).await;
    assert_eq!(event.topic().as_str(), "acme.y");
    assert!(event.header("via").unwrap().is_empty());
    assert_eq!(event.payload()[..], *b"via");
    assert_eq!(node.stats().await.unwrap().counts.denied, 1);
}
