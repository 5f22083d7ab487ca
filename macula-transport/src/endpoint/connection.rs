//! A QUIC connection as the carrier of a link.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use macula_wire::ErrorCode;

use super::{congestion, forward};
use crate::config::Config;
use crate::error::{CloseReason, DatagramError, LinkError};
use crate::link::{Accepted, Path};
use crate::stats::LinkStats;
use crate::stream::{ReadHalf, WriteHalf, code, number};

/// How many bidirectional streams a peer that is known may have open before it has opened half as many. For each that it
/// may open a connection keeps some ninety bytes ready, and most links of a large realm never carry a call.
const FIRST_STREAMS: u32 = 16;

/// A QUIC connection whose peer is known.
#[derive(Debug)]
pub(crate) struct QuicConnection {
    connection: quinn::Connection,
    /// How many bidirectional streams the peer may have open once it has opened some; 0 until it has said who it is.
    most_streams: AtomicU32,
    /// How many it has opened, as far as that matters.
    opened: AtomicU32,
}

impl QuicConnection {
    pub(crate) const fn new(connection: quinn::Connection) -> Self {
        Self {
            connection,
            most_streams: AtomicU32::new(0),
            opened: AtomicU32::new(0),
        }
    }

    /// Allows a peer that has said who it is its streams and its window.
    pub(super) fn raise_limits(&self, config: &Config) {
        let window = quinn::VarInt::from_u32(config.connection_receive_window);
        self.connection.set_receive_window(window);
        // The control stream is one of them.
        let streams = config.max_call_streams.saturating_add(1);
        self.most_streams.store(streams, Ordering::SeqCst);
        self.allow_streams();
    }

    /// Allows a known peer the streams that it needs: a few, or all that it may have if it uses them.
    fn allow_streams(&self) {
        let most = self.most_streams.load(Ordering::SeqCst);
        let uses_them = self.opened.load(Ordering::SeqCst) >= FIRST_STREAMS / 2;
        let allowed = if uses_them {
            most
        } else {
            most.min(FIRST_STREAMS)
        };
        if allowed > 0 {
            let allowed = quinn::VarInt::from_u32(allowed);
            self.connection.set_max_concurrent_bi_streams(allowed);
        }
    }

    /// The peer has opened a bidirectional stream.
    fn count_stream(&self) {
        // Nothing is to be done for those that come after: the count stops there.
        if self.opened.load(Ordering::SeqCst) < FIRST_STREAMS / 2 {
            self.opened.fetch_add(1, Ordering::SeqCst);
            self.allow_streams();
        }
    }

    /// The peer's address, IPv4 in its own form; `None` if other nodes carry its packets.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let address = self.connection.remote_address();
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Some(address).filter(|address| !forward::is_mapped(*address))
    }

    pub(crate) async fn open_uni(&self) -> Result<WriteHalf, LinkError> {
        let stream = self
            .connection
            .open_uni()
            .await
            .map_err(|error| lost(&error))?;
        Ok(WriteHalf::Quic(stream))
    }

    pub(crate) async fn open_bi(&self) -> Result<(WriteHalf, ReadHalf), LinkError> {
        let (write, read) = self
            .connection
            .open_bi()
            .await
            .map_err(|error| lost(&error))?;
        Ok((WriteHalf::Quic(write), ReadHalf::Quic(read)))
    }

    pub(crate) async fn accept(&self) -> Result<Accepted, LinkError> {
        tokio::select! {
            biased;
            stream = self.connection.accept_bi() => {
                let (write, read) = stream.map_err(|error| lost(&error))?;
                self.count_stream();
                Ok(Accepted::Bi(WriteHalf::Quic(write), ReadHalf::Quic(read)))
            }
            stream = self.connection.accept_uni() => {
                let read = stream.map_err(|error| lost(&error))?;
                Ok(Accepted::Uni(ReadHalf::Quic(read)))
            }
        }
    }

    pub(crate) fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.connection
            .send_datagram(datagram)
            .map_err(|error| match error {
                quinn::SendDatagramError::UnsupportedByPeer
                | quinn::SendDatagramError::Disabled => DatagramError::Unsupported,
                quinn::SendDatagramError::TooLarge => DatagramError::TooLarge {
                    max: self.connection.max_datagram_size().unwrap_or(0),
                },
                quinn::SendDatagramError::ConnectionLost(_) => DatagramError::Closed,
            })
    }

    pub(crate) async fn read_datagram(&self) -> Result<Bytes, LinkError> {
        self.connection
            .read_datagram()
            .await
            .map_err(|error| lost(&error))
    }

    pub(crate) fn close(&self, code: ErrorCode, detail: &str) {
        congestion::open_window(&self.connection);
        self.connection.close(number(code), detail.as_bytes());
    }

    pub(crate) async fn closed(&self) -> CloseReason {
        Self::reason(&self.connection.closed().await)
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.connection
            .close_reason()
            .map(|error| Self::reason(&error))
    }

    pub(crate) fn path(&self) -> Path {
        self.address().map_or(Path::Forwarded, Path::Quic)
    }

    pub(crate) fn measure(&self, stats: &mut LinkStats) {
        let measured = self.connection.stats();
        stats.rtt = measured.path.rtt;
        stats.mtu = measured.path.current_mtu;
        stats.bytes_sent = measured.udp_tx.bytes;
        stats.bytes_received = measured.udp_rx.bytes;
        stats.packets_sent = measured.path.sent_packets;
        stats.packets_received = measured.udp_rx.datagrams;
        stats.packets_lost = measured.path.lost_packets;
        stats.congestion_window = measured.path.cwnd;
    }

    /// What the end of a connection means.
    pub(crate) fn reason(error: &quinn::ConnectionError) -> CloseReason {
        match error {
            quinn::ConnectionError::ApplicationClosed(close) => CloseReason::peer(
                code(close.error_code),
                &String::from_utf8_lossy(&close.reason),
            ),
            quinn::ConnectionError::ConnectionClosed(close) => CloseReason::peer(
                ErrorCode::PROTOCOL_VIOLATION,
                &String::from_utf8_lossy(&close.reason),
            ),
            quinn::ConnectionError::LocallyClosed => CloseReason::local(ErrorCode::OK, ""),
            quinn::ConnectionError::TimedOut => {
                CloseReason::local(ErrorCode::UNREACHABLE, "the peer fell silent")
            }
            quinn::ConnectionError::Reset => {
                CloseReason::peer(ErrorCode::UNREACHABLE, "the peer no longer knows the link")
            }
            quinn::ConnectionError::TransportError(error) => {
                CloseReason::local(ErrorCode::PROTOCOL_VIOLATION, &error.to_string())
            }
            quinn::ConnectionError::VersionMismatch => {
                CloseReason::local(ErrorCode::UNSUPPORTED_VERSION, "no common version of QUIC")
            }
            quinn::ConnectionError::CidsExhausted => {
                CloseReason::local(ErrorCode::INTERNAL, "connection ids are used up")
            }
        }
    }
}

fn lost(error: &quinn::ConnectionError) -> LinkError {
    LinkError::Closed(QuicConnection::reason(error))
}
