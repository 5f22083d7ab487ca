//! A QUIC connection as the carrier of a link.

use std::net::SocketAddr;

use bytes::Bytes;
use macula_wire::ErrorCode;

use super::{congestion, forward};
use crate::config::Config;
use crate::error::{CloseReason, DatagramError, LinkError};
use crate::link::{Accepted, Path};
use crate::stats::LinkStats;
use crate::stream::{ReadHalf, WriteHalf, code, number};

/// A QUIC connection whose peer is known.
#[derive(Debug)]
pub(crate) struct QuicConnection(quinn::Connection);

impl QuicConnection {
    pub(crate) const fn new(connection: quinn::Connection) -> Self {
        Self(connection)
    }

    /// Allows a peer that has said who it is its streams and its window.
    pub(super) fn raise_limits(&self, config: &Config) {
        let window = quinn::VarInt::from_u32(config.connection_receive_window);
        self.0.set_receive_window(window);
        // The control stream is one of them.
        let streams = config.max_call_streams.saturating_add(1);
        self.0
            .set_max_concurrent_bi_streams(quinn::VarInt::from_u32(streams));
    }

    /// The peer's address, IPv4 in its own form; `None` if other nodes carry its packets.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let address = self.0.remote_address();
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Some(address).filter(|address| !forward::is_mapped(*address))
    }

    pub(crate) async fn open_uni(&self) -> Result<WriteHalf, LinkError> {
        let stream = self.0.open_uni().await.map_err(|error| lost(&error))?;
        Ok(WriteHalf::Quic(stream))
    }

    pub(crate) async fn open_bi(&self) -> Result<(WriteHalf, ReadHalf), LinkError> {
        let (write, read) = self.0.open_bi().await.map_err(|error| lost(&error))?;
        Ok((WriteHalf::Quic(write), ReadHalf::Quic(read)))
    }

    pub(crate) async fn accept(&self) -> Result<Accepted, LinkError> {
        tokio::select! {
            biased;
            stream = self.0.accept_bi() => {
                let (write, read) = stream.map_err(|error| lost(&error))?;
                Ok(Accepted::Bi(WriteHalf::Quic(write), ReadHalf::Quic(read)))
            }
            stream = self.0.accept_uni() => {
                let read = stream.map_err(|error| lost(&error))?;
                Ok(Accepted::Uni(ReadHalf::Quic(read)))
            }
        }
    }

    pub(crate) fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        self.0.send_datagram(datagram).map_err(|error| match error {
            quinn::SendDatagramError::UnsupportedByPeer | quinn::SendDatagramError::Disabled => {
                DatagramError::Unsupported
            }
            quinn::SendDatagramError::TooLarge => DatagramError::TooLarge {
                max: self.0.max_datagram_size().unwrap_or(0),
            },
            quinn::SendDatagramError::ConnectionLost(_) => DatagramError::Closed,
        })
    }

    pub(crate) async fn read_datagram(&self) -> Result<Bytes, LinkError> {
        self.0.read_datagram().await.map_err(|error| lost(&error))
    }

    pub(crate) fn close(&self, code: ErrorCode, detail: &str) {
        congestion::open_window(&self.0);
        self.0.close(number(code), detail.as_bytes());
    }

    pub(crate) async fn closed(&self) -> CloseReason {
        Self::reason(&self.0.closed().await)
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.0.close_reason().map(|error| Self::reason(&error))
    }

    pub(crate) fn path(&self) -> Path {
        self.address().map_or(Path::Forwarded, Path::Quic)
    }

    pub(crate) fn measure(&self, stats: &mut LinkStats) {
        let measured = self.0.stats();
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
