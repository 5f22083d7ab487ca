//! Peers that are not let in, each beside one that is.

use macula_transport::{Config, Endpoint, Incoming, LinkError};
use macula_wire::message::{Body, Handshake, Message, Role, Roles};
use macula_wire::{ErrorCode, NodeId, RealmName};
use quinn::ConnectionError;

use crate::attacker::{Attack, attack, handshake};
use crate::support::{BOTH, Node, Realm, endpoint, hello, loopback, until, within};

/// A realm with one node that accepts.
struct Server {
    realm: Realm,
    node: Node,
    endpoint: Endpoint,
    incoming: Incoming,
}

impl Server {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let realm = Realm::new("be.acme.iot");
        let node = realm.node(BOTH);
        let (endpoint, incoming) = endpoint(&node, Role::Member, config);
        Self {
            realm,
            node,
            endpoint,
            incoming,
        }
    }

    async fn dialled_by(&self, node: &Node, role: Role) -> Result<(), LinkError> {
        self.pinned(node, role, self.node.node).await
    }

    async fn pinned(&self, node: &Node, role: Role, expected: NodeId) -> Result<(), LinkError> {
        let (dialler, _) = endpoint(node, role, Config::default());
        let address = self.endpoint.local_addr();
        within(dialler.dial(&node.realm, address, Some(expected)))
            .await
            .map(drop)
    }

    async fn attacked_by(&self, node: &Node) -> Result<Attack, ConnectionError> {
        let identity = Some((&node.identity, node.key.as_slice()));
        attack(self.endpoint.local_addr(), &node.label, identity).await
    }

    #[track_caller]
    fn counted(&self, cause: &str) {
        let failures = self.endpoint.stats().auth_failures;
        assert_eq!(failures.get(cause), Some(&1), "{failures:?}");
    }

    /// A node of the realm is let in: what was refused was refused for its own fault.
    async fn lets_in_its_own(&mut self) {
        let node = self.realm.node(BOTH);
        self.dialled_by(&node, Role::Member).await.unwrap();
        assert!(within(self.incoming.accept()).await.is_some());
    }
}

#[tokio::test]
async fn a_self_made_certificate_is_refused() {
    let mut server = Server::new();
    let node = server.realm.self_made();
    let error = server.dialled_by(&node, Role::Member).await.unwrap_err();
    assert!(matches!(error, LinkError::Unauthenticated), "{error:?}");
    until(|| !server.endpoint.stats().auth_failures.is_empty()).await;
    server.counted("not issued here");
    server.lets_in_its_own().await;
}

#[tokio::test]
async fn a_certificate_of_another_realm_is_refused() {
    let mut server = Server::new();
    let foreign = Realm::new("be.acme.iot").node(BOTH);
    let node = server.realm.with_identity(&foreign);
    let error = server.dialled_by(&node, Role::Member).await.unwrap_err();
    assert!(matches!(error, LinkError::Unauthenticated), "{error:?}");
    server.counted("not issued here");
    server.lets_in_its_own().await;
}

#[tokio::test]
async fn a_link_without_a_certificate_is_closed_at_once() {
    let mut server = Server::new();
    let address = server.endpoint.local_addr();
    let attack = attack(address, &server.node.label, None).await.unwrap();
    let ConnectionError::ApplicationClosed(close) = attack.end().await else {
        panic!("not closed by the endpoint")
    };
    assert_eq!(
        close.error_code.into_inner(),
        ErrorCode::UNAUTHENTICATED.number().into()
    );
    assert!(close.reason.is_empty(), "the cause was told");
    server.counted("no certificate");
    server.lets_in_its_own().await;
}

#[tokio::test]
async fn another_node_than_the_one_that_was_dialled_is_refused() {
    let mut server = Server::new();
    let node = server.realm.node(BOTH);
    let expected = server.realm.node(BOTH).node;
    let error = server.pinned(&node, Role::Member, expected).await;
    let found = server.node.node;
    assert!(
        matches!(&error, Err(LinkError::WrongNode { expected: e, found: f }) if *e == expected && *f == found),
        "{error:?}"
    );
    server.lets_in_its_own().await;
}

#[tokio::test]
async fn a_role_that_the_certificate_does_not_allow_is_refused() {
    let server = Server::new();
    for (allowed, role, other) in [
        (Roles::CLIENT, Role::Client, Role::Member),
        (Roles::MEMBER, Role::Member, Role::Client),
    ] {
        let node = server.realm.node(allowed);
        let error = server.dialled_by(&node, other).await.unwrap_err();
        let LinkError::Refused { code, detail } = error else {
            panic!("{error:?}")
        };
        assert_eq!(code, ErrorCode::DENIED);
        assert_eq!(detail, "the certificate does not allow the role");
        server.dialled_by(&node, role).await.unwrap();
    }
}

#[tokio::test]
async fn an_unknown_label_is_shown_a_decoy() {
    let mut server = Server::new();
    let node = server.realm.node(BOTH);
    let lost = Node {
        label: "label-of-nobody".to_owned(),
        ..node.clone()
    };
    // An honest dialler sees that it is not the node.
    let error = server.dialled_by(&lost, Role::Member).await.unwrap_err();
    assert!(matches!(error, LinkError::Unauthenticated), "{error:?}");
    // One that goes on regardless is told nothing, whatever it can show.
    let attack = server.attacked_by(&lost).await.unwrap();
    let shown = attack.connection.peer_identity().unwrap();
    let shown = shown.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>();
    assert_ne!(shown.unwrap()[0].as_ref(), server.node.identity.chain()[0]);
    let end = attack.end().await;
    assert!(
        matches!(&end, ConnectionError::ApplicationClosed(close) if close.reason.is_empty()),
        "{end:?}"
    );
    server.counted("unknown label");
    server.lets_in_its_own().await;
}

#[tokio::test]
async fn peers_see_one_error_whatever_is_wrong_with_their_certificate() {
    let server = Server::new();
    let foreign = Realm::new("nl.other.realm").node(BOTH);
    let thief = server.realm.self_made();
    let mut seen = Vec::new();
    for node in [
        server.realm.self_made(),
        server.realm.with_identity(&foreign),
        server.realm.with_identity(&thief),
    ] {
        let end = match server.attacked_by(&node).await {
            Ok(attack) => attack.end().await,
            Err(error) => error,
        };
        let ConnectionError::ConnectionClosed(close) = end else {
            panic!("{end:?}")
        };
        let text = String::from_utf8(close.reason.to_vec()).unwrap();
        assert!(
            !text.contains("realm") && !text.contains("issued"),
            "{text}"
        );
        seen.push((u64::from(close.error_code), text));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    let node = server.realm.node(BOTH);
    let attack = server.attacked_by(&node).await.unwrap();
    let answer = attack.say(&bytes(handshake(&node))).await.unwrap();
    assert!(matches!(answer.body, Body::HandshakeAck(_)), "{answer:?}");
}

fn bytes(handshake: Handshake) -> Vec<u8> {
    Message::from(handshake).to_bytes().unwrap()
}

#[tokio::test]
async fn a_realm_of_the_endpoint_is_not_entered_by_the_label_of_another() {
    let (one, other) = (Realm::new("be.acme.one"), Realm::new("be.acme.two"));
    let realms = vec![one.node(BOTH).shared(), other.node(BOTH).shared()];
    let (server, _incoming) =
        Endpoint::bind(loopback(), Config::default(), hello(Role::Member), realms).unwrap();
    let node = one.node(BOTH);
    let crossed = other.with_identity(&node);
    let identity = Some((&crossed.identity, crossed.key.as_slice()));
    let attack = attack(server.local_addr(), &crossed.label, identity)
        .await
        .unwrap();
    let end = attack.end().await;
    assert!(
        matches!(&end, ConnectionError::ApplicationClosed(close) if close.reason.is_empty()),
        "{end:?}"
    );
    for node in [one.node(BOTH), other.node(BOTH)] {
        let (dialler, _) = endpoint(&node, Role::Member, Config::default());
        let dial = dialler.dial(&node.realm, server.local_addr(), None);
        let (link, _events) = within(dial).await.unwrap();
        assert_eq!(link.peer().realm, node.realm);
    }
}

#[tokio::test]
async fn a_handshake_is_held_against_the_certificate() {
    let server = Server::new();
    let node = server.realm.node(Roles::MEMBER);
    let other = RealmName::new("be.acme.other").unwrap();
    type Change = Box<dyn FnOnce(&mut Handshake)>;
    let cases: [(Change, ErrorCode); 6] = [
        (
            Box::new(|hello| hello.realm = other),
            ErrorCode::REALM_MISMATCH,
        ),
        (
            Box::new(|hello| hello.node = NodeId::from_bytes([9; 32])),
            ErrorCode::UNAUTHENTICATED,
        ),
        (
            Box::new(|hello| hello.role = Role::Client),
            ErrorCode::DENIED,
        ),
        (
            Box::new(|hello| hello.versions = vec![2, 3]),
            ErrorCode::UNSUPPORTED_VERSION,
        ),
        (
            Box::new(|hello| {
                hello.features |= 1 << 60;
                hello.required = 1 << 60;
            }),
            ErrorCode::UNSUPPORTED_FEATURE,
        ),
        (Box::new(|hello| hello.role = Role::Member), ErrorCode::OK),
    ];
    for (change, expected) in cases {
        let mut hello = handshake(&node);
        change(&mut hello);
        let attack = server.attacked_by(&node).await.unwrap();
        let answer = attack.say(&bytes(hello)).await.unwrap();
        match answer.body {
            Body::HandshakeAck(ack) => {
                assert_eq!(expected, ErrorCode::OK);
                assert_eq!(ack.node, server.node.node);
            }
            Body::Error(report) => {
                assert_eq!(report.code, expected, "{report:?}");
                let ConnectionError::ApplicationClosed(close) = attack.end().await else {
                    panic!("not closed")
                };
                assert_eq!(close.error_code.into_inner(), expected.number().into());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_handshake_is_refused() {
    let server = Server::new();
    let node = server.realm.node(BOTH);
    let ping = Message::from(macula_wire::message::Ping { nonce: 1 });
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), ping.to_bytes().unwrap()] {
        let attack = server.attacked_by(&node).await.unwrap();
        let answer = attack.say(&bytes).await.unwrap();
        let Body::Error(report) = answer.body else {
            panic!("{answer:?}")
        };
        assert_eq!(report.code, ErrorCode::PROTOCOL_VIOLATION);
    }
    server.dialled_by(&node, Role::Member).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_closed_in_time() {
    let mut config = Config::default();
    config.hello_timeout = std::time::Duration::from_millis(50);
    let mut server = Server::with(config);
    let node = server.realm.node(BOTH);
    let attack = server.attacked_by(&node).await.unwrap();
    let end = attack.end().await;
    assert!(
        matches!(end, ConnectionError::ApplicationClosed(_)),
        "{end:?}"
    );
    server.lets_in_its_own().await;
}

#[tokio::test]
async fn a_realm_without_credentials_is_not_dialled() {
    let server = Server::new();
    let node = server.realm.node(BOTH);
    let (dialler, _) = endpoint(&node, Role::Member, Config::default());
    let other = RealmName::new("be.acme.other").unwrap();
    let dial = dialler.dial(&other, server.endpoint.local_addr(), None);
    let error = within(dial).await.unwrap_err();
    assert!(
        matches!(&error, LinkError::UnknownRealm { realm } if *realm == other),
        "{error:?}"
    );
    assert_eq!(error.code(), ErrorCode::NO_SUCH_REALM);
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_unreachable() {
    let mut config = Config::default();
    config.handshake_timeout = std::time::Duration::from_millis(100);
    let realm = Realm::new("be.acme.iot");
    let (dialler, _) = endpoint(&realm.node(BOTH), Role::Member, config);
    let silent = std::net::UdpSocket::bind(loopback()).unwrap();
    let address = silent.local_addr().unwrap();
    let error = within(dialler.dial(realm.name(), address, None)).await;
    let error = error.unwrap_err();
    assert!(
        matches!(&error, LinkError::Unreachable { address: a, .. } if *a == address),
        "{error:?}"
    );
    assert_eq!(error.code(), ErrorCode::UNREACHABLE);
    until(|| dialler.stats().connections == 0).await;
}
