//! Realms, nodes and waiting, for the other modules.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use macula_transport::{
    Config, Credentials, Endpoint, Hello, Incoming, Link, LinkEvent, LinkReceiver, OutFrame,
    PeerIdentity, PeerRefused, TlsIdentity,
};
use macula_wire::frame::put_frame;
use macula_wire::message::{Kind, Role, Roles};
use macula_wire::{Epoch, NodeId, RealmName};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ED25519, SanType};

/// The roles of a node that may be everything on a link.
pub(crate) const BOTH: Roles = Roles::MEMBER.with(Roles::CLIENT);

/// What a realm issued: the identity by the leaf.
pub(crate) type Issued = Arc<Mutex<BTreeMap<Vec<u8>, PeerIdentity>>>;

/// A realm with a root of its own.
pub(crate) struct Realm {
    name: RealmName,
    label: String,
    root: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
    issued: Issued,
}

impl Realm {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            name: RealmName::new(name).unwrap(),
            label: format!("label-of-{}", name.replace('.', "-")),
            root,
            issuer: Issuer::new(params, key),
            issued: Issued::default(),
        }
    }

    pub(crate) fn name(&self) -> &RealmName {
        &self.name
    }

    /// A node that the realm knows.
    pub(crate) fn node(&self, roles: Roles) -> Node {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let node = node_of(&key);
        let leaf = params(&self.name, node)
            .signed_by(&key, &self.issuer)
            .unwrap();
        let peer = PeerIdentity::new(node, self.name.clone(), roles);
        let leaf = leaf.der().to_vec();
        self.issued.lock().unwrap().insert(leaf.clone(), peer);
        let chain = vec![leaf, self.root.clone()];
        self.made(node, chain, &key)
    }

    /// A node that says of itself what a node of the realm would, with a certificate that it made itself.
    pub(crate) fn self_made(&self) -> Node {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let node = node_of(&key);
        let leaf = params(&self.name, node).self_signed(&key).unwrap();
        let chain = vec![leaf.der().to_vec()];
        self.made(node, chain, &key)
    }

    /// A node that trusts the realm and knows its label, with the identity of `from`.
    pub(crate) fn with_identity(&self, from: &Node) -> Node {
        Node {
            realm: self.name.clone(),
            label: self.label.clone(),
            issued: Arc::clone(&self.issued),
            ..from.clone()
        }
    }

    fn made(&self, node: NodeId, chain: Vec<Vec<u8>>, key: &KeyPair) -> Node {
        let key = key.serialize_der();
        Node {
            realm: self.name.clone(),
            label: self.label.clone(),
            node,
            identity: TlsIdentity::new(chain, key.clone()),
            key,
            issued: Arc::clone(&self.issued),
        }
    }
}

fn params(realm: &RealmName, node: NodeId) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let uri = format!("macula://{realm}/{node}");
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params
}

fn node_of(key: &KeyPair) -> NodeId {
    NodeId::from_bytes(key.public_key_raw().try_into().unwrap())
}

/// The credentials of one node. They accept what the realm issued, and nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) realm: RealmName,
    pub(crate) label: String,
    pub(crate) node: NodeId,
    pub(crate) identity: TlsIdentity,
    /// The key of the certificate, as PKCS#8.
    pub(crate) key: Vec<u8>,
    pub(crate) issued: Issued,
}

impl Node {
    pub(crate) fn shared(&self) -> Arc<dyn Credentials> {
        Arc::new(self.clone())
    }
}

impl Credentials for Node {
    fn realm(&self) -> &RealmName {
        &self.realm
    }

    fn node(&self) -> NodeId {
        self.node
    }

    fn label(&self) -> &str {
        &self.label
    }

    fn identity(&self) -> TlsIdentity {
        self.identity.clone()
    }

    fn check(&self, chain: &[&[u8]], now_unix_s: u64) -> Result<PeerIdentity, PeerRefused> {
        assert!(now_unix_s > 1_600_000_000);
        let leaf = chain.first().ok_or(PeerRefused("empty chain"))?;
        let issued = self.issued.lock().unwrap();
        let peer = issued.get(*leaf).ok_or(PeerRefused("not issued here"))?;
        Ok(peer.clone())
    }
}

pub(crate) fn hello(role: Role) -> Hello {
    Hello::new(role, Epoch::new(7))
}

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// An endpoint of `node` on a port of its own.
pub(crate) fn endpoint(node: &Node, role: Role, config: Config) -> (Endpoint, Incoming) {
    Endpoint::bind(loopback(), config, hello(role), vec![node.shared()]).unwrap()
}

/// Two members with a link between them.
pub(crate) struct Pair {
    pub(crate) realm: Realm,
    pub(crate) dialler: Endpoint,
    pub(crate) acceptor: Endpoint,
    /// The dialler's side.
    pub(crate) near: Link,
    pub(crate) near_events: LinkReceiver,
    /// The acceptor's side.
    pub(crate) far: Link,
    pub(crate) far_events: LinkReceiver,
}

impl Pair {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default(), Config::default()).await
    }

    pub(crate) async fn with(dialler: Config, acceptor: Config) -> Self {
        let realm = Realm::new("be.acme.iot");
        let (dialler, _) = endpoint(&realm.node(BOTH), Role::Member, dialler);
        let node = realm.node(BOTH);
        let (acceptor, mut incoming) = endpoint(&node, Role::Member, acceptor);
        let dial = dialler.dial(realm.name(), acceptor.local_addr(), Some(node.node));
        // One after the other: an accepted link waits to be taken.
        let (near, near_events) = within(dial).await.unwrap();
        let (far, far_events) = within(incoming.accept()).await.unwrap();
        Self {
            realm,
            dialler,
            acceptor,
            near,
            near_events,
            far,
            far_events,
        }
    }
}

/// A frame of `length` bytes that starts with `index`.
pub(crate) fn numbered(index: u64, length: usize) -> Bytes {
    let mut out = Vec::new();
    put_frame(&mut out, Kind::Event.number(), |out| {
        out.extend_from_slice(&index.to_be_bytes());
        out.resize(out.len() + length.saturating_sub(8), 0xa5);
        Ok(())
    })
    .unwrap();
    out.into()
}

/// A frame with any number and body.
pub(crate) fn raw(number: u8, body: &[u8]) -> OutFrame {
    let mut out = Vec::new();
    put_frame(&mut out, number, |out| {
        out.extend_from_slice(body);
        Ok(())
    })
    .unwrap();
    OutFrame::from(Bytes::from(out))
}

/// What `future` gives. It has ten seconds.
#[track_caller]
pub(crate) fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    let future = Box::pin(future);
    async move {
        match tokio::time::timeout(Duration::from_secs(10), future).await {
            Ok(value) => value,
            Err(_) => panic!("nothing happened for 10 s at {caller}"),
        }
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Reads `receiver` until the link is closed, and drops what comes.
pub(crate) async fn drain(receiver: &mut LinkReceiver) {
    while !matches!(receiver.next().await, LinkEvent::Closed(_)) {}
}
