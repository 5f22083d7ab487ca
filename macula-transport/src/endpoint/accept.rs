//! Accepting connections: limits first, then TLS, then HANDSHAKE.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use macula_wire::ErrorCode;
use quinn::crypto::rustls::HandshakeData;
use rustls_pki_types::CertificateDer;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::forward::Lease;
use super::limit::{Admission, IdentityPermit, Permit};
use super::{Inner, QuicConnection, forward};
use crate::credentials::{Credentials, PeerIdentity};
use crate::error::LinkError;
use crate::link::{
    Accepted, Agreed, Carrier, Link, LinkParts, LinkReceiver, Side, answer_hello, read_hello,
    refuse,
};
use crate::stream::{FrameReader, WriteHalf, number};
use crate::tls::ALPN_LINK;

type Links = mpsc::Sender<(Link, LinkReceiver)>;

/// Admits connections until the endpoint stops.
pub(super) async fn run(inner: Arc<Inner>, links: Links) {
    loop {
        tokio::select! {
            biased;
            () = inner.stop.notified() => return,
            incoming = inner.quinn.accept() => match incoming {
                Some(incoming) => admit(&inner, incoming, &links),
                None => return,
            }
        }
    }
}

fn admit(inner: &Arc<Inner>, incoming: quinn::Incoming, links: &Links) {
    if links.is_closed() {
        return incoming.refuse();
    }
    let address = incoming.remote_address();
    let proven = incoming.remote_address_validated();
    let via = match forward::number(address) {
        None => Via::Udp,
        Some(number) => match inner.forwarding.lease_of(number) {
            Some(lease) => Via::Nodes(lease),
            // Nothing that is sent to it would get anywhere.
            None => return incoming.ignore(),
        },
    };
    match inner.limits.admit(address, proven) {
        Admission::Admitted(permit) => {
            let connecting = match &via {
                Via::Udp => incoming.accept(),
                Via::Nodes(_) => incoming.accept_with(Arc::clone(&inner.forwarded_server)),
            };
            match connecting {
                Ok(connecting) => {
                    let task = serve(Arc::clone(inner), connecting, permit, via, links.clone());
                    inner.tasks.spawn("connection", task);
                }
                Err(error) => tracing::debug!(%address, %error, "attempt not accepted"),
            }
        }
        Admission::Prove => {
            inner.retries.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
        }
        Admission::Refused(limit) => {
            tracing::debug!(%address, limit, "connection refused");
            incoming.refuse();
        }
    }
}

/// By what the packets of a connection come.
#[derive(Debug)]
enum Via {
    /// From an address of the network.
    Udp,
    /// Carried by other nodes, from a node that is not proven to be the one.
    Nodes(Lease),
}

async fn serve(
    inner: Arc<Inner>,
    connecting: quinn::Connecting,
    mut permit: Permit,
    via: Via,
    links: Links,
) {
    let address = connecting.remote_address();
    let connection = match timeout(inner.config.handshake_timeout, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%address, %error, "handshake failed"),
        Err(_) => return tracing::debug!(%address, "handshake took too long"),
    };
    if !permit.proven() {
        return connection.close(number(ErrorCode::OVERLOADED), b"too many connections");
    }
    let Some(data) = handshake_data(&connection) else {
        return;
    };
    match data.protocol.as_deref() {
        Some(ALPN_LINK) => {
            if let Some(link) = link(&inner, connection, data, permit, via).await {
                // The link closes where nobody takes it.
                drop(links.send(link).await);
            }
        }
        #[cfg(feature = "http3")]
        Some(crate::tls::ALPN_HTTP) if matches!(via, Via::Udp) => {
            http(&inner, connection, permit).await;
        }
        // TLS agrees on nothing else, and nodes carry packets of links only.
        _ => {}
    }
}

fn handshake_data(connection: &quinn::Connection) -> Option<HandshakeData> {
    let data = connection.handshake_data()?.downcast::<HandshakeData>();
    data.ok().map(|data| *data)
}

/// Makes a link of a connection, or closes it with the one error that tells nothing.
async fn link(
    inner: &Inner,
    connection: quinn::Connection,
    data: HandshakeData,
    permit: Permit,
    via: Via,
) -> Option<(Link, LinkReceiver)> {
    let label = data.server_name.as_deref();
    let (credentials, peer) = match identify(inner, &connection, label, &via) {
        Ok(identified) => identified,
        Err(cause) => {
            inner.failures.count(cause);
            connection.close(number(ErrorCode::UNAUTHENTICATED), b"");
            return None;
        }
    };
    let connection = QuicConnection::new(connection);
    let hello = hello(inner, &connection, &*credentials, &peer);
    let done = timeout(inner.config.hello_timeout, hello).await;
    let agreed = done.unwrap_or(Err(LinkError::TimedOut {
        during: "HANDSHAKE",
    }));
    match agreed {
        Ok(Welcome {
            agreed,
            write,
            read,
            identity,
        }) => {
            connection.raise_limits(&inner.config);
            let parts = LinkParts {
                carrier: Carrier::Quic(connection),
                write,
                read,
                peer,
                agreed,
                side: Side::Acceptor,
                local: false,
                config: Arc::clone(&inner.config),
                tasks: inner.tasks.clone(),
                permit: None,
            };
            Some(inner.start(parts, Box::new((permit, identity, via))))
        }
        Err(error) => {
            tracing::info!(peer = %peer.node.short(), %error, "link refused");
            let code = error.code();
            if let LinkError::Refused { detail, .. } = error {
                connection.close(code, &detail);
            } else {
                connection.close(code, "");
            }
            None
        }
    }
}

/// Who the peer is in the realm of the label, or the cause why it is nobody.
fn identify(
    inner: &Inner,
    connection: &quinn::Connection,
    label: Option<&str>,
    via: &Via,
) -> Result<(Arc<dyn Credentials>, PeerIdentity), &'static str> {
    let chain = connection
        .peer_identity()
        .ok_or("no certificate")?
        .downcast::<Vec<CertificateDer<'static>>>()
        .map_err(|_| "no certificate")?;
    let credentials = label
        .and_then(|label| inner.labelled(label))
        .ok_or("unknown label")?;
    let chain: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
    let now = inner.clock.unix_ms().checked_div(1_000).unwrap_or(0);
    // The verifier has not seen the label: it accepts a peer that any of the realms accepts.
    let peer = credentials
        .check(&chain, now)
        .map_err(|refused| refused.0)?;
    if peer.realm != *credentials.realm() {
        return Err("another realm");
    }
    if let Via::Nodes(lease) = via {
        lease.check(&peer)?;
    }
    Ok((Arc::clone(credentials), peer))
}

/// A peer that may come in.
struct Welcome {
    agreed: Agreed,
    write: WriteHalf,
    read: FrameReader,
    identity: IdentityPermit,
}

async fn hello(
    inner: &Inner,
    connection: &QuicConnection,
    credentials: &dyn Credentials,
    peer: &PeerIdentity,
) -> Result<Welcome, LinkError> {
    let (mut write, read) = match connection.accept().await? {
        Accepted::Bi(write, read) => (write, read),
        Accepted::Uni(_) => {
            return Err(LinkError::Refused {
                code: ErrorCode::PROTOCOL_VIOLATION,
                detail: "the control stream has to come first".to_owned(),
            });
        }
    };
    let mut read = FrameReader::new(read, inner.config.max_frame_len);
    let terms = inner.terms(credentials);
    let mut welcome = read_hello(&terms, &mut read, peer, peer.roles).await;
    let mut identity = None;
    if let Ok(agreed) = &mut welcome {
        agreed.observed = connection.address();
        identity = inner.limits.identify(&peer.realm, peer.node, agreed.role);
    }
    match (welcome, identity) {
        (Ok(agreed), Some(identity)) => {
            answer_hello(&terms, &mut write, &agreed).await?;
            Ok(Welcome {
                agreed,
                write,
                read,
                identity,
            })
        }
        (Ok(_), None) => {
            let code = ErrorCode::QUOTA_EXCEEDED;
            let detail = "this identity has enough links";
            refuse(&mut write, code, detail).await;
            Err(LinkError::Refused {
                code,
                detail: detail.to_owned(),
            })
        }
        (Err(LinkError::Refused { code, detail }), _) => {
            refuse(&mut write, code, &detail).await;
            Err(LinkError::Refused { code, detail })
        }
        (Err(error), _) => Err(error),
    }
}

#[cfg(feature = "http3")]
async fn http(inner: &Inner, connection: quinn::Connection, permit: Permit) {
    let Some(handler) = inner.config.http.clone() else {
        return;
    };
    inner.http.fetch_add(1, Ordering::Relaxed);
    let now = inner.clock.unix_ms().checked_div(1_000).unwrap_or(0);
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    let peer = chain.and_then(|chain| {
        let chain: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
        let mut realms = inner.realms.iter();
        realms.find_map(|realm| realm.check(&chain, now).ok())
    });
    crate::http3::serve(connection, peer, handler).await;
    drop(permit);
}
