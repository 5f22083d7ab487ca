//! Dialling a node.

use std::net::SocketAddr;
use std::sync::Arc;

use macula_wire::{ErrorCode, NodeId, RealmName};
use quinn::{ConnectError, ConnectionError};
use tokio::time::timeout;

use super::forward::Lease;
use super::{Inner, QuicConnection, forward};
use crate::credentials::PeerIdentity;
use crate::error::{CloseReason, LinkError};
use crate::link::{Agreed, Carrier, Link, LinkParts, LinkReceiver, Side, dial_hello};
use crate::stream::{FrameReader, ReadHalf, WriteHalf};
use crate::tls::{self, Judgement, ServerVerifier};

/// The first and the last of the transport errors that stand for TLS alerts (RFC 9001, section 4.8).
const ALERTS: std::ops::RangeInclusive<u64> = 0x100..=0x1ff;
/// CONNECTION_REFUSED (RFC 9000, section 20.1).
const REFUSED: u64 = 0x2;

/// Where a link is dialled to.
#[derive(Debug)]
enum Target {
    /// An address of the network, and whoever is expected there.
    Address(SocketAddr, Option<NodeId>),
    /// A node that other nodes carry packets to.
    Node(Lease),
}

/// Dials an address of the network.
pub(super) async fn dial(
    inner: &Arc<Inner>,
    realm: &RealmName,
    address: SocketAddr,
    expected: Option<NodeId>,
) -> Result<(Link, LinkReceiver), LinkError> {
    if forward::is_mapped(address) {
        let why = "it is set aside for nodes that are reached by forwarding";
        return Err(unreachable(address, &why));
    }
    dial_target(inner, realm, Target::Address(address, expected)).await
}

/// Dials a node by packets that other nodes carry.
pub(super) async fn dial_forwarded(
    inner: &Arc<Inner>,
    realm: &RealmName,
    node: NodeId,
) -> Result<(Link, LinkReceiver), LinkError> {
    if inner.credentials(realm).is_none() {
        return Err(unknown(realm));
    }
    let Some(lease) = inner.forwarding.lease(realm, node) else {
        let why = "there are links to as many nodes as may be known".to_owned();
        return Err(LinkError::NoPath { node, why });
    };
    dial_target(inner, realm, Target::Node(lease)).await
}

async fn dial_target(
    inner: &Arc<Inner>,
    realm: &RealmName,
    target: Target,
) -> Result<(Link, LinkReceiver), LinkError> {
    let Some(credentials) = inner.credentials(realm) else {
        return Err(unknown(realm));
    };
    let permit = inner.limits.dialled();
    let failures = Arc::clone(&inner.failures);
    let verifier = ServerVerifier::new(Arc::clone(credentials), target.expected(), failures);
    let verifier = Arc::new(verifier);
    let identity = credentials.identity();
    let tls = tls::client(&identity, Arc::clone(&verifier)).map_err(|error| {
        tracing::error!(%error, %realm, "cannot use the own certificate");
        LinkError::Unauthenticated
    })?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::clone(match target {
        Target::Address(..) => &inner.transport,
        Target::Node(_) => &inner.forwarded_transport,
    }));
    let connecting = inner
        .quinn
        .connect_with(config, target.address(), credentials.label())
        .map_err(|error| {
            if error == ConnectError::EndpointStopping {
                stopping()
            } else {
                target.unreachable(&error)
            }
        })?;
    let connection = match timeout(inner.config.handshake_timeout, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(failed(&target, &error, verifier.judgement())),
        Err(_) => return Err(target.silent()),
    };
    let Some(Judgement::Accepted(peer)) = verifier.judgement() else {
        return Err(LinkError::Unauthenticated);
    };
    let hello = hello(inner, &connection, realm, &peer);
    let (agreed, write, read) = match timeout(inner.config.hello_timeout, hello).await {
        Ok(Ok(done)) => done,
        Ok(Err(LinkError::Closed(_))) => {
            let error = connection.closed().await;
            return Err(failed(&target, &error, verifier.judgement()));
        }
        Ok(Err(error)) => {
            let carrier = QuicConnection::new(connection);
            carrier.close(error.code(), "the link was not agreed on");
            return Err(error);
        }
        Err(_) => {
            let during = "the answer to HANDSHAKE";
            return Err(LinkError::TimedOut { during });
        }
    };
    Ok(start(
        inner,
        connection,
        (write, read),
        peer,
        agreed,
        Box::new((permit, target)),
    ))
}

async fn hello(
    inner: &Inner,
    connection: &quinn::Connection,
    realm: &RealmName,
    peer: &PeerIdentity,
) -> Result<(Agreed, WriteHalf, FrameReader), LinkError> {
    let Some(credentials) = inner.credentials(realm) else {
        return Err(unknown(realm));
    };
    let lost = |error: ConnectionError| LinkError::Closed(QuicConnection::reason(&error));
    let (write, read) = connection.open_bi().await.map_err(lost)?;
    let mut write = WriteHalf::Quic(write);
    let mut read = FrameReader::new(ReadHalf::Quic(read), inner.config.max_frame_len);
    let terms = inner.terms(&**credentials);
    let agreed = dial_hello(&terms, &mut write, &mut read, peer.node).await?;
    Ok((agreed, write, read))
}

fn start(
    inner: &Inner,
    connection: quinn::Connection,
    (write, read): (WriteHalf, FrameReader),
    peer: PeerIdentity,
    mut agreed: Agreed,
    permit: Box<dyn Send>,
) -> (Link, LinkReceiver) {
    let connection = QuicConnection::new(connection);
    if connection.address().is_none() {
        // Whatever the peer says, it sees no address of this side.
        agreed.observed = None;
    }
    connection.raise_limits(&inner.config);
    inner.start(
        LinkParts {
            carrier: Carrier::Quic(connection),
            write,
            read,
            peer,
            agreed,
            side: Side::Dialler,
            local: false,
            config: Arc::clone(&inner.config),
            tasks: inner.tasks.clone(),
            permit: None,
        },
        permit,
    )
}

impl Target {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Address(address, _) => *address,
            Self::Node(lease) => lease.address(),
        }
    }

    const fn expected(&self) -> Option<NodeId> {
        match self {
            Self::Address(_, expected) => *expected,
            Self::Node(lease) => Some(lease.node()),
        }
    }

    fn silent(&self) -> LinkError {
        self.unreachable(&"no answer")
    }

    fn unreachable(&self, why: &dyn ToString) -> LinkError {
        match self {
            Self::Address(address, _) => unreachable(*address, why),
            Self::Node(lease) => LinkError::NoPath {
                node: lease.node(),
                why: why.to_string(),
            },
        }
    }
}

/// What the end of a connection means before the link is up.
fn failed(target: &Target, error: &ConnectionError, judgement: Option<Judgement>) -> LinkError {
    match (judgement, target.expected()) {
        (Some(Judgement::WrongNode(found)), Some(expected)) => {
            return LinkError::WrongNode { expected, found };
        }
        (Some(Judgement::Refused), _) => return LinkError::Unauthenticated,
        _ => {}
    }
    match error {
        ConnectionError::ApplicationClosed(_) => {
            let CloseReason { code, detail, .. } = QuicConnection::reason(error);
            if code == ErrorCode::UNAUTHENTICATED {
                LinkError::Unauthenticated
            } else {
                LinkError::Refused { code, detail }
            }
        }
        ConnectionError::ConnectionClosed(close) => match u64::from(close.error_code) {
            alert if ALERTS.contains(&alert) => LinkError::Unauthenticated,
            REFUSED => LinkError::Refused {
                code: ErrorCode::OVERLOADED,
                detail: "the endpoint takes no more connections".to_owned(),
            },
            _ => target.unreachable(error),
        },
        ConnectionError::TransportError(local) if ALERTS.contains(&u64::from(local.code)) => {
            LinkError::Unauthenticated
        }
        ConnectionError::TimedOut => target.silent(),
        ConnectionError::LocallyClosed => stopping(),
        ConnectionError::VersionMismatch
        | ConnectionError::TransportError(_)
        | ConnectionError::Reset
        | ConnectionError::CidsExhausted => target.unreachable(error),
    }
}

fn stopping() -> LinkError {
    let detail = "the endpoint is closing";
    LinkError::Closed(CloseReason::local(ErrorCode::SHUTTING_DOWN, detail))
}

fn unknown(realm: &RealmName) -> LinkError {
    LinkError::UnknownRealm {
        realm: realm.clone(),
    }
}

fn unreachable(address: SocketAddr, why: &dyn ToString) -> LinkError {
    LinkError::Unreachable {
        address,
        why: why.to_string(),
    }
}
