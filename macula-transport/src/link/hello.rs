//! HANDSHAKE and its answer, over the control stream of any carrier.

use std::net::SocketAddr;

use bytes::Bytes;
use macula_wire::frame::FRAME_VERSION;
use macula_wire::handshake::negotiate;
use macula_wire::message::{Body, ErrorReport, Handshake, HandshakeAck, Message, Role, Roles};
use macula_wire::{DecodeError, Epoch, ErrorCode, Kind, NodeId, RealmName};

use crate::config::Hello;
use crate::credentials::PeerIdentity;
use crate::error::{LinkError, cut};
use crate::stream::{FrameReader, WriteHalf};

/// What this side says of itself on a link.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) hello: &'a Hello,
    pub(crate) realm: &'a RealmName,
    pub(crate) node: NodeId,
    pub(crate) max_frame_len: usize,
}

impl Terms<'_> {
    fn handshake(&self) -> Handshake {
        Handshake {
            versions: vec![FRAME_VERSION],
            role: self.hello.role,
            realm: self.realm.clone(),
            node: self.node,
            epoch: self.hello.epoch,
            features: self.hello.features,
            required: self.hello.required,
            max_frame_len: frame_len(self.max_frame_len),
            agent: self.hello.agent.clone(),
        }
    }

    /// Whether HANDSHAKE can say it.
    pub(crate) fn can_be_said(&self) -> bool {
        let Terms { hello, .. } = self;
        hello.required & !hello.features == 0 && Message::from(self.handshake()).to_bytes().is_ok()
    }
}

/// What the two sides agreed on.
#[derive(Debug)]
pub(crate) struct Agreed {
    /// What the peer is.
    pub(crate) role: Role,
    /// The peer's run.
    pub(crate) epoch: Epoch,
    pub(crate) features: u64,
    /// What the peer accepts.
    pub(crate) max_frame_len: usize,
    /// What later connections name the link by; where the carrier has no streams.
    pub(crate) token: Option<Bytes>,
    /// Where the acceptor sees the dialler.
    pub(crate) observed: Option<SocketAddr>,
}

/// Sends HANDSHAKE and reads the answer of `peer`.
///
/// Not cancel safe; the carrier has to be closed after a failure.
pub(crate) async fn dial_hello(
    terms: &Terms<'_>,
    write: &mut WriteHalf,
    read: &mut FrameReader,
    peer: NodeId,
) -> Result<Agreed, LinkError> {
    send(write, terms.handshake().into()).await?;
    let answer = first(read).await?;
    let kind = answer.kind();
    if let Body::Error(ErrorReport { code, detail, .. }) = answer.body {
        return Err(LinkError::Refused { code, detail });
    }
    let Body::HandshakeAck(ack) = answer.body else {
        return Err(unexpected(kind));
    };
    let lacking = terms.hello.required & !ack.features;
    let invented = ack.features & !terms.hello.features;
    if ack.version != FRAME_VERSION || ack.node != peer || lacking | invented != 0 {
        return Err(unexpected(Kind::HandshakeAck));
    }
    Ok(Agreed {
        role: Role::Member,
        epoch: ack.epoch,
        features: ack.features,
        max_frame_len: length(ack.max_frame_len),
        token: ack.token,
        observed: ack.observed,
    })
}

/// Reads HANDSHAKE and holds it against what the certificate of `peer` allows, which is `roles`.
///
/// [`LinkError::Refused`] says what to [`refuse`] the peer with. Cancel safe.
pub(crate) async fn read_hello(
    terms: &Terms<'_>,
    read: &mut FrameReader,
    peer: &PeerIdentity,
    roles: Roles,
) -> Result<Agreed, LinkError> {
    let refused = |code: ErrorCode, detail: &str| LinkError::Refused {
        code,
        detail: detail.to_owned(),
    };
    let message = first(read).await.map_err(refusal_of)?;
    let kind = message.kind();
    let Body::Handshake(hello) = message.body else {
        return Err(refusal_of(unexpected(kind)));
    };
    if hello.realm != *terms.realm {
        let detail = "HANDSHAKE names another realm than the certificate";
        return Err(refused(ErrorCode::REALM_MISMATCH, detail));
    }
    if hello.node != peer.node {
        let detail = "HANDSHAKE names another node than the certificate";
        return Err(refused(ErrorCode::UNAUTHENTICATED, detail));
    }
    if !roles.allow(hello.role) {
        let detail = "the certificate does not allow the role";
        return Err(refused(ErrorCode::DENIED, detail));
    }
    let agreement = negotiate(terms.hello.features, terms.hello.required, &hello)
        .map_err(|code| refused(code, code.advice()))?;
    tracing::debug!(peer = %peer.node.short(), agent = ?hello.agent, role = ?hello.role, "hello");
    Ok(Agreed {
        role: hello.role,
        epoch: hello.epoch,
        features: agreement.features,
        max_frame_len: length(hello.max_frame_len),
        token: None,
        observed: None,
    })
}

/// Sends HANDSHAKE_ACK with the token and the address in `agreed`. The link is up.
pub(crate) async fn answer_hello(
    terms: &Terms<'_>,
    write: &mut WriteHalf,
    agreed: &Agreed,
) -> Result<(), LinkError> {
    let ack = HandshakeAck {
        version: FRAME_VERSION,
        node: terms.node,
        epoch: terms.hello.epoch,
        features: agreed.features,
        max_frame_len: frame_len(terms.max_frame_len),
        agent: terms.hello.agent.clone(),
        token: agreed.token.clone(),
        observed: agreed.observed,
    };
    send(write, ack.into()).await
}

/// Tells the peer in an ERROR why there is no link, and waits until it knows. The caller bounds the time.
pub(crate) async fn refuse(write: &mut WriteHalf, code: ErrorCode, detail: &str) {
    let report = ErrorReport {
        request: None,
        code,
        retry: code.retry(),
        retry_after_ms: None,
        detail: cut(detail),
    };
    if send(write, report.into()).await.is_ok() {
        write.finish();
        write.delivered().await;
    }
}

async fn send(write: &mut WriteHalf, body: Body) -> Result<(), LinkError> {
    // An endpoint whose own words cannot be said is not bound.
    let bytes = Message::from(body).to_bytes().map_err(|error| {
        tracing::error!(%error, "cannot say hello");
        LinkError::Protocol(DecodeError::NotCanonical)
    })?;
    write.write_chunks(&mut [bytes.into()]).await
}

async fn first(read: &mut FrameReader) -> Result<Message, LinkError> {
    let frame = read.next().await?;
    let frame = frame.ok_or(LinkError::Protocol(DecodeError::UnexpectedEnd))?;
    Message::decode(&frame).map_err(LinkError::Protocol)
}

fn unexpected(kind: Kind) -> LinkError {
    LinkError::Protocol(out_of_place(kind))
}

/// The error for a message that does not belong where it came.
pub(super) fn out_of_place(kind: Kind) -> DecodeError {
    DecodeError::Invalid {
        field: "message number",
        value: u64::from(kind.number()),
    }
}

/// What a peer that does not speak the protocol is refused with.
fn refusal_of(error: LinkError) -> LinkError {
    if let LinkError::Protocol(offence) = error {
        LinkError::Refused {
            code: ErrorCode::PROTOCOL_VIOLATION,
            detail: offence.to_string(),
        }
    } else {
        error
    }
}

fn frame_len(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn length(frame_len: u32) -> usize {
    usize::try_from(frame_len).unwrap_or(usize::MAX)
}
