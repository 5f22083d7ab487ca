//! What can go wrong with an endpoint, a link or a queue.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use macula_wire::{DecodeError, ErrorCode, NodeId, RealmName};
use thiserror::Error;

/// Why a link ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CloseReason {
    /// The code; [`ErrorCode::OK`] for an ordinary end.
    pub code: ErrorCode,
    /// For people; at most 512 bytes. Text of a peer: escape it before it is shown.
    pub detail: String,
    /// Whether the peer ended it.
    pub by_peer: bool,
}

impl CloseReason {
    /// A reason of this side. A `detail` over 512 bytes is cut.
    #[must_use]
    pub fn local(code: ErrorCode, detail: &str) -> Self {
        Self {
            code,
            detail: cut(detail),
            by_peer: false,
        }
    }

    /// A reason that the peer gave. A `detail` over 512 bytes is cut.
    #[must_use]
    pub fn peer(code: ErrorCode, detail: &str) -> Self {
        Self {
            code,
            detail: cut(detail),
            by_peer: true,
        }
    }
}

impl fmt::Display for CloseReason {
    /// The code, and the detail with its control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.by_peer {
            "the peer"
        } else {
            "this side"
        };
        write!(f, "{} by {side}", self.code)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail.escape_debug())?;
        }
        Ok(())
    }
}

/// The start of `text` that fits a detail.
pub(crate) fn cut(text: &str) -> String {
    let mut end = text.len().min(macula_wire::limit::MAX_DETAIL_LEN);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// Why an endpoint could not start. Nothing is left behind.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another socket has the address.
    #[error("address {address} is in use")]
    AddressInUse {
        /// The address.
        address: SocketAddr,
    },
    /// A limit or a time that cannot be used.
    #[error("setting {setting} cannot be used")]
    Config {
        /// The field of [`Config`](crate::Config).
        setting: &'static str,
    },
    /// The operating system refuses the socket.
    #[error("cannot listen on {address}")]
    Io {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// There is no tokio runtime with time and I/O.
    #[error("an endpoint needs a tokio runtime")]
    NoRuntime,
    /// Two realms have one SNI label.
    #[error("two realms share the label {label}")]
    SameLabel {
        /// The label.
        label: String,
    },
    /// The file of a Unix socket cannot be made.
    #[error("cannot listen at {}", .path.display())]
    Socket {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Another process listens at the file of a Unix socket.
    #[error("another process listens at {}", .path.display())]
    SocketInUse {
        /// The file.
        path: PathBuf,
    },
    /// A certificate or a key cannot be used.
    #[error("cannot use the certificate of {owner}: {why}")]
    Tls {
        /// Whose certificate: a realm, or the web face.
        owner: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Why a link did not come about, or why something on it failed.
///
/// It is cheap to clone, because several tasks learn of one failure.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The link is closed.
    #[error("the link is closed: {} {}", .0.code, .0.detail)]
    Closed(CloseReason),
    /// The operating system failed.
    #[error("{during} failed")]
    Io {
        /// What was being done.
        during: &'static str,
        /// What the operating system says.
        source: Arc<io::Error>,
    },
    /// Nothing comes back from a node that packets are forwarded to.
    #[error("node {node} cannot be reached by forwarding: {why}")]
    NoPath {
        /// The node that was dialled.
        node: NodeId,
        /// What is known of the cause.
        why: String,
    },
    /// The peer sent what is not of the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(DecodeError),
    /// The peer declined the link.
    #[error("the peer refused the link: {code} {detail}")]
    Refused {
        /// Why.
        code: ErrorCode,
        /// For people; text of the peer.
        detail: String,
    },
    /// The sender of a stream gave it up.
    #[error("the peer reset the stream: {code}")]
    Reset {
        /// Why.
        code: ErrorCode,
    },
    /// The receiver of a stream wants no more of it.
    #[error("the peer stopped the stream: {code}")]
    Stopped {
        /// Why.
        code: ErrorCode,
    },
    /// The peer did not answer in time.
    #[error("{during} took too long")]
    TimedOut {
        /// What was being done.
        during: &'static str,
    },
    /// One side did not accept the certificate of the other. The cause is in the log of the side that refused.
    #[error("the identity was not accepted")]
    Unauthenticated,
    /// The endpoint has no credentials for the realm.
    #[error("the endpoint has no credentials for realm {realm}")]
    UnknownRealm {
        /// The realm.
        realm: RealmName,
    },
    /// Nothing at the address answers.
    #[error("{address} cannot be reached: {why}")]
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// What is known of the cause.
        why: String,
    },
    /// Another node answers at the address. No link is up.
    #[error("node {found} answers where {expected} was expected")]
    WrongNode {
        /// The node that was dialled.
        expected: NodeId,
        /// The node that answered.
        found: NodeId,
    },
}

impl LinkError {
    /// The code of the protocol that says the same.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Closed(reason) => reason.code,
            Self::Io { .. }
            | Self::NoPath { .. }
            | Self::TimedOut { .. }
            | Self::Unreachable { .. } => ErrorCode::UNREACHABLE,
            Self::Protocol(DecodeError::TooLarge { .. }) => ErrorCode::PAYLOAD_TOO_LARGE,
            Self::Protocol(_) => ErrorCode::PROTOCOL_VIOLATION,
            Self::Refused { code, .. } | Self::Reset { code } | Self::Stopped { code } => *code,
            Self::Unauthenticated | Self::WrongNode { .. } => ErrorCode::UNAUTHENTICATED,
            Self::UnknownRealm { .. } => ErrorCode::NO_SUCH_REALM,
        }
    }
}

/// Why a frame was not queued. It is still the caller's.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OutboxError {
    /// The link takes nothing more.
    #[error("the link is closed")]
    Closed,
    /// The bound is reached.
    #[error("{queued} bytes wait, the bound is {max}")]
    Full {
        /// How many bytes wait.
        queued: usize,
        /// The bound in bytes.
        max: usize,
    },
}

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DatagramError {
    /// The link is closed.
    #[error("the link is closed")]
    Closed,
    /// The path carries less at present.
    #[error("a datagram on this link has at most {max} bytes")]
    TooLarge {
        /// The most bytes of a frame in a datagram.
        max: usize,
    },
    /// The link or the peer takes no datagrams.
    #[error("the link carries no datagrams")]
    Unsupported,
}
