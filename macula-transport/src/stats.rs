//! Figures of links and endpoints.

use std::collections::BTreeMap;
use std::time::Duration;

/// Figures of a link. What its carrier does not have is zero.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct LinkStats {
    /// The round-trip time as estimated at present.
    pub rtt: Duration,
    /// The largest UDP payload that is sent at present, in bytes.
    pub mtu: u16,
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// UDP datagrams received.
    pub packets_received: u64,
    /// Packets that were lost and sent again.
    pub packets_lost: u64,
    /// How many bytes may be under way, by the congestion controller.
    pub congestion_window: u64,
    /// Streams of the peer, and answers to streams of this side, that have not ended.
    pub streams_reading: usize,
    /// Datagrams that were no frames, or found no room.
    pub datagrams_dropped: u64,
    /// Bytes that wait in the outboxes.
    pub outbox_bytes: usize,
    /// How often a push found an outbox full.
    pub outbox_full: u64,
    /// Frames that the outboxes handed to their streams.
    pub frames_sent: u64,
}

/// Figures of an endpoint since it was bound.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Connections that are counted against the limits at present, accepted ones and dialled ones.
    pub connections: usize,
    /// Accepted connections whose handshake is under way.
    pub handshakes_pending: usize,
    /// Links whose connections have not ended.
    pub links: usize,
    /// Links that came up, both sides counted.
    pub links_total: u64,
    /// HTTP/3 connections accepted.
    pub http_total: u64,
    /// Peers that were asked to prove their address.
    pub retries_sent: u64,
    /// Packets given to the application to be forwarded.
    pub forwarded_sent: u64,
    /// Packets that the application brought and that were taken.
    pub forwarded_received: u64,
    /// Packets to be forwarded that were dropped: the queue was full or had no reader, the packet was too long, or the
    /// node was forgotten.
    pub forwarded_send_dropped: u64,
    /// Packets that the application brought and that were dropped: the queue was full, the realm is not known, the packet
    /// was empty or too long, or there are connections to as many nodes as may be known.
    pub forwarded_receive_dropped: u64,
    /// UDP packets that came from an address that stands for a forwarded node, which none can; dropped.
    pub forged_dropped: u64,
    /// Connections refused because a limit was reached, by limit.
    pub refused_by_limit: BTreeMap<&'static str, u64>,
    /// Peers whose identity was not accepted, by cause.
    pub auth_failures: BTreeMap<&'static str, u64>,
    /// Panics in tasks of the endpoint.
    pub panics: u64,
    /// Tasks that run.
    pub tasks: usize,
}
