//! 0x01 to 0x0F, 0xF0 and 0xFF: the life of a link.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::{Priority, printable};
use crate::field::{Field, UNLIMITED, record, tagged};
use crate::limit::{
    MAX_CHAIN, MAX_DETAIL_LEN, MAX_TEXT_LEN, MAX_VERSIONS, MIN_MAX_FRAME_LEN, TOKEN_LEN,
};
use crate::{
    DecodeError, EncodeError, Epoch, ErrorCode, NodeId, Reader, RealmName, RequestId, RetryHint,
    check, varint,
};

tagged! {
    /// What a peer is on a link.
    pub enum Role as "role" {
        /// Takes part in membership, routing and forwarding.
        Member = 0,
        /// Attaches to a member and publishes, subscribes, calls and serves through it.
        Client = 1,
    }
}

/// The roles that a certificate allows, as a set.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Roles(u32);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);
    /// May be a member.
    pub const MEMBER: Self = Self(1);
    /// May be a client.
    pub const CLIENT: Self = Self(1 << 1);
    /// May connect realms.
    pub const GATEWAY: Self = Self(1 << 2);
    /// May keep events for others.
    pub const STORE: Self = Self(1 << 3);
    /// May pass packets on for others.
    pub const RELAY: Self = Self(1 << 4);

    const NAMES: &'static [(&'static str, Self)] = &[
        ("member", Self::MEMBER),
        ("client", Self::CLIENT),
        ("gateway", Self::GATEWAY),
        ("store", Self::STORE),
        ("relay", Self::RELAY),
    ];

    /// The set with these bits; bits without a meaning are kept.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// This set and `other` together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every role of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set allows `role` on a link.
    #[must_use]
    pub const fn allow(self, role: Role) -> bool {
        match role {
            Role::Member => self.contains(Self::MEMBER),
            Role::Client => self.contains(Self::CLIENT),
        }
    }

    /// The role of this name: `member`, `client`, `gateway`, `store` or `relay`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, role)| *role)
    }

    /// The names of the roles in the set that have one.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .iter()
            .filter(move |(_, role)| self.contains(*role))
            .map(|(name, _)| *name)
    }
}

impl Field for Roles {
    fn put(&self, field: &'static str, max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.0.put(field, max, out)
    }

    fn take(field: &'static str, max: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        u32::take(field, max, input).map(Self)
    }
}

/// What a stream carries.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum StreamKind {
    /// ALIAS, BATCH, EVENT and PUBLISH of one priority; from its opener only.
    Events(Priority),
    /// One call: RPC_CALL, then RPC_PROGRESS, RPC_RESULT or RPC_ERROR back.
    Call,
    /// One reliable exchange of membership.
    Membership,
    /// One lookup of routing.
    Lookup,
    /// A tunnel of bytes.
    Tunnel,
    /// Nothing yet: a connection that the acceptor may use for a stream of its own, where the transport has no streams.
    Offered,
}

impl Field for StreamKind {
    fn put(&self, field: &'static str, max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let tag = match self {
            Self::Events(priority) => {
                varint::put(out, 0);
                return priority.put(field, max, out);
            }
            Self::Call => 1,
            Self::Membership => 2,
            Self::Lookup => 3,
            Self::Tunnel => 4,
            Self::Offered => 5,
        };
        varint::put(out, tag);
        Ok(())
    }

    fn take(_: &'static str, _: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        match input.varint()? {
            0 => Priority::take("priority", UNLIMITED, input).map(Self::Events),
            1 => Ok(Self::Call),
            2 => Ok(Self::Membership),
            3 => Ok(Self::Lookup),
            4 => Ok(Self::Tunnel),
            5 => Ok(Self::Offered),
            value => Err(DecodeError::Invalid {
                field: "stream kind",
                value,
            }),
        }
    }
}

record! {
    /// HANDSHAKE: the first message of the dialler on the control stream.
    pub struct Handshake {
        /// The frame versions that the sender speaks, strictly ascending, 1 to 8 of them, none 0.
        pub versions: Vec<u8> [MAX_VERSIONS],
        /// What the sender wants to be on this link; its certificate has to allow it.
        pub role: Role,
        /// The realm of the link; has to be that of both certificates.
        pub realm: RealmName,
        /// The sender; has to be the key of its certificate. A local client names the node it attaches to.
        pub node: NodeId,
        /// The sender's run.
        pub epoch: Epoch,
        /// The features that the sender has, as bits.
        pub features: u64,
        /// The features without which the sender does not go on; a subset of `features`.
        pub required: u64,
        /// The largest body that the sender accepts, in bytes; 4,096 or more.
        pub max_frame_len: u32,
        /// The program and its version, for logs; at most 64 bytes.
        pub agent: String [MAX_TEXT_LEN],
    }
    check check_handshake
}

fn check_handshake(handshake: &Handshake) -> Result<(), EncodeError> {
    check::some("versions", &handshake.versions)?;
    check::ascending(&handshake.versions)?;
    check::require(!handshake.versions.contains(&0), "versions", 0)?;
    let missing = handshake.required & !handshake.features;
    check::require(missing == 0, "required", missing)?;
    check_max_frame_len(handshake.max_frame_len)
}

fn check_max_frame_len(max: u32) -> Result<(), EncodeError> {
    let enough = usize::try_from(max).is_ok_and(|max| max >= MIN_MAX_FRAME_LEN);
    check::require(enough, "max_frame_len", u64::from(max))
}

record! {
    /// HANDSHAKE_ACK: the first message of the acceptor. The link is up once it was sent and read.
    pub struct HandshakeAck {
        /// The frame version chosen: the highest that both speak.
        pub version: u8,
        /// The sender; has to be the key of its certificate.
        pub node: NodeId,
        /// The sender's run.
        pub epoch: Epoch,
        /// The features that both have.
        pub features: u64,
        /// The largest body that the sender accepts, in bytes; 4,096 or more.
        pub max_frame_len: u32,
        /// The program and its version, for logs; at most 64 bytes.
        pub agent: String [MAX_TEXT_LEN],
        /// What later connections name the link by, 16 bytes; only where the transport has no streams.
        pub token: Option<Bytes> [TOKEN_LEN],
        /// The address that the acceptor sees the dialler at.
        pub observed: Option<SocketAddr>,
    }
    check check_handshake_ack
}

fn check_handshake_ack(ack: &HandshakeAck) -> Result<(), EncodeError> {
    check::require(ack.version != 0, "version", 0)?;
    check_max_frame_len(ack.max_frame_len)?;
    check::token(ack.token.as_ref())?;
    ack.observed
        .map_or(Ok(()), |observed| check::address("observed", &observed))
}

record! {
    /// HEARTBEAT: says that the sender is there.
    pub struct Heartbeat {}
}

record! {
    /// PING: asks for a PONG with the same number.
    pub struct Ping {
        /// Chosen by the sender.
        pub nonce: u64,
    }
}

record! {
    /// PONG: answers PING.
    pub struct Pong {
        /// That of the PING.
        pub nonce: u64,
    }
}

record! {
    /// STREAM: the first message on every stream but the control stream.
    pub struct Stream {
        /// The token of HANDSHAKE_ACK where the transport has no streams; otherwise absent.
        pub token: Option<Bytes> [TOKEN_LEN],
        /// What the stream carries.
        pub kind: StreamKind,
    }
    check check_stream
}

fn check_stream(stream: &Stream) -> Result<(), EncodeError> {
    check::token(stream.token.as_ref())
}

record! {
    /// CERT_UPDATE: the sender's new certificate chain, for the same key, node and realm.
    pub struct CertUpdate {
        /// DER, the leaf first; 1 to 4 certificates of at most 8,192 bytes.
        pub chain: Vec<Bytes> [MAX_CHAIN],
    }
    check check_cert_update
}

fn check_cert_update(update: &CertUpdate) -> Result<(), EncodeError> {
    check::some("chain", &update.chain)?;
    check::certificates(&update.chain)
}

record! {
    /// DRAIN: the sender takes nothing new and leaves when its work is done.
    pub struct Drain {
        /// When it leaves at the latest, in milliseconds from when the message was sent.
        pub within_ms: u32,
    }
}

record! {
    /// ACK: the request was carried out.
    pub struct Ack {
        /// That of the request.
        pub request: RequestId,
    }
}

record! {
    /// ERROR: why a request, or the link, failed.
    pub struct ErrorReport {
        /// That of the request; `None` if the error concerns the link.
        pub request: Option<RequestId>,
        /// What went wrong; not [`ErrorCode::OK`].
        pub code: ErrorCode,
        /// What to do about it.
        pub retry: RetryHint,
        /// When to try again at the earliest, in milliseconds; with [`RetryHint::After`] only.
        pub retry_after_ms: Option<u32>,
        /// For people; at most 512 bytes.
        pub detail: String [MAX_DETAIL_LEN],
    }
    check check_error
}

fn check_error(error: &ErrorReport) -> Result<(), EncodeError> {
    check::error(error.code, error.retry, error.retry_after_ms)
}

impl ErrorReport {
    /// A report with the table's hint. Of `detail` stays what [`printable`] leaves of it.
    #[must_use]
    pub fn new(request: Option<RequestId>, code: ErrorCode, detail: &str) -> Self {
        Self {
            request,
            code,
            retry: code.retry(),
            retry_after_ms: None,
            detail: printable(detail, MAX_DETAIL_LEN),
        }
    }
}

record! {
    /// CLOSE: the last message on the control stream.
    pub struct Close {
        /// Why; [`ErrorCode::OK`] for an ordinary end.
        pub code: ErrorCode,
        /// For people; at most 512 bytes.
        pub detail: String [MAX_DETAIL_LEN],
    }
}

impl Close {
    /// The end of a link. Of `detail` stays what [`printable`] leaves of it.
    #[must_use]
    pub fn new(code: ErrorCode, detail: &str) -> Self {
        Self {
            code,
            detail: printable(detail, MAX_DETAIL_LEN),
        }
    }
}
