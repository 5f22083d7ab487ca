//! What a link runs over.

use bytes::Bytes;
use macula_wire::ErrorCode;

use super::Path;
use crate::endpoint::QuicConnection;
use crate::error::{CloseReason, DatagramError, LinkError};
use crate::memory::MemoryConnection;
use crate::stats::LinkStats;
use crate::stream::{ReadHalf, WriteHalf};
use crate::unix::UnixSession;

/// A connection that carries streams and perhaps datagrams.
///
/// A carrier gives what has arrived before it tells that it is closed.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// Within the process.
    Memory(MemoryConnection),
    /// A QUIC connection.
    Quic(QuicConnection),
    /// Connections of a Unix socket.
    Unix(UnixSession),
}

/// A stream that the peer opened.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// From the peer only.
    Uni(ReadHalf),
    /// Both ways.
    Bi(WriteHalf, ReadHalf),
}

impl Carrier {
    /// Opens a unidirectional stream, waiting until the peer allows one more. Cancel safe.
    pub(crate) async fn open_uni(&self) -> Result<WriteHalf, LinkError> {
        match self {
            Self::Memory(connection) => connection.open_uni().await,
            Self::Quic(connection) => connection.open_uni().await,
            Self::Unix(session) => session.open_uni().await,
        }
    }

    /// Opens a bidirectional stream, waiting until the peer allows one more. Cancel safe.
    pub(crate) async fn open_bi(&self) -> Result<(WriteHalf, ReadHalf), LinkError> {
        match self {
            Self::Memory(connection) => connection.open_bi().await,
            Self::Quic(connection) => connection.open_bi().await,
            Self::Unix(session) => session.open_bi().await,
        }
    }

    /// Whether the peer may hear late of what has arrived here.
    pub(crate) const fn delays_acks(&self) -> bool {
        matches!(self, Self::Quic(_))
    }

    /// The next stream that the peer opened. Cancel safe.
    pub(crate) async fn accept(&self) -> Result<Accepted, LinkError> {
        match self {
            Self::Memory(connection) => connection.accept().await,
            Self::Quic(connection) => connection.accept().await,
            Self::Unix(session) => session.accept().await,
        }
    }

    /// Sends a datagram.
    pub(crate) fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        match self {
            Self::Memory(connection) => connection.send_datagram(datagram),
            Self::Quic(connection) => connection.send_datagram(datagram),
            Self::Unix(_) => Err(DatagramError::Unsupported),
        }
    }

    /// The next datagram; waits for ever where there are none. Cancel safe.
    pub(crate) async fn read_datagram(&self) -> Result<Bytes, LinkError> {
        match self {
            Self::Memory(connection) => connection.read_datagram().await,
            Self::Quic(connection) => connection.read_datagram().await,
            Self::Unix(_) => std::future::pending().await,
        }
    }

    /// Ends the connection at once. What was not delivered yet may be lost.
    pub(crate) fn close(&self, code: ErrorCode, detail: &str) {
        match self {
            Self::Memory(connection) => connection.close(code, detail),
            Self::Quic(connection) => connection.close(code, detail),
            Self::Unix(session) => session.close(code, detail),
        }
    }

    /// Waits for the end of the connection, whoever caused it. Cancel safe.
    pub(crate) async fn closed(&self) -> CloseReason {
        match self {
            Self::Memory(connection) => connection.closed().await,
            Self::Quic(connection) => connection.closed().await,
            Self::Unix(session) => session.closed().await,
        }
    }

    /// Why the connection ended; `None` while it is up.
    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        match self {
            Self::Memory(connection) => connection.close_reason(),
            Self::Quic(connection) => connection.close_reason(),
            Self::Unix(session) => session.close_reason(),
        }
    }

    /// By what the peer is reached.
    pub(crate) fn path(&self) -> Path {
        match self {
            Self::Memory(_) => Path::Memory,
            Self::Quic(connection) => connection.path(),
            Self::Unix(_) => Path::Unix,
        }
    }

    /// Writes what the carrier knows into `stats`.
    pub(crate) fn measure(&self, stats: &mut LinkStats) {
        match self {
            Self::Memory(connection) => connection.measure(stats),
            Self::Quic(connection) => connection.measure(stats),
            Self::Unix(_) => {}
        }
    }
}
