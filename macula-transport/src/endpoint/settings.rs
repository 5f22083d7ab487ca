//! The settings of quinn, each on purpose.

use std::sync::Arc;

use macula_wire::limit::{FORMAT_MAX_FRAME_LEN, MIN_MAX_FRAME_LEN};
use quinn::{EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use super::congestion::Congestion;
use crate::config::{Config, MAX_OFFLOADED_MTU};
use crate::error::BindError;

/// How many bidirectional streams a peer may open before it has said who it is.
const STREAMS_BEFORE_HELLO: u32 = 8;
/// How many connection attempts may wait for the accepting task, and how many bytes each may bring with it.
const MAX_INCOMING: usize = 256;
const INCOMING_BYTES: u64 = 16 << 10;
const INCOMING_BYTES_TOTAL: u64 = 1 << 20;
/// A smaller gain of the path's MTU is not searched for, in bytes.
const MTU_STEP: u16 = 32;
/// How many bytes a peer may send ahead of all readers before it has said who it is.
const WINDOW_BEFORE_HELLO: u32 = 256 << 10;
/// What the bounds of forwarding can be.
const FORWARDED: std::ops::RangeInclusive<usize> = 1..=1 << 20;
/// What every path has to carry (RFC 9000, section 14).
const MIN_MTU: u16 = 1_200;

/// The settings of connections whose peer is known from the start.
pub(crate) fn transport_config(config: &Config) -> Arc<TransportConfig> {
    Arc::new(transport(config, config.connection_receive_window))
}

/// The same where other nodes carry the packets: none is longer than every path has to carry, and none is padded to be
/// sent in a group.
pub(super) fn forwarded_transport_config(config: &Config) -> Arc<TransportConfig> {
    Arc::new(forwarded(transport(
        config,
        config.connection_receive_window,
    )))
}

fn forwarded(mut transport: TransportConfig) -> TransportConfig {
    transport
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false);
    transport
}

fn transport(config: &Config, receive_window: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_BEFORE_HELLO))
        .max_concurrent_uni_streams(VarInt::from_u32(config.max_event_streams))
        .stream_receive_window(VarInt::from_u32(config.stream_receive_window))
        .receive_window(VarInt::from_u32(receive_window))
        .send_window(config.send_window)
        .keep_alive_interval(Some(config.keep_alive))
        .max_idle_timeout(IdleTimeout::try_from(config.idle_timeout).ok())
        .datagram_receive_buffer_size(Some(config.datagram_receive_buffer))
        .datagram_send_buffer_size(config.datagram_send_buffer)
        .mtu_discovery_config(Some(mtu_discovery(config)))
        .enable_segmentation_offload(config.mtu_upper_bound <= MAX_OFFLOADED_MTU)
        .congestion_controller_factory(Arc::new(Congestion::default()));
    transport
}

/// The settings of the socket's side of an endpoint.
pub(crate) fn endpoint_config(config: &Config) -> EndpointConfig {
    let mut endpoint = config
        .reset_key
        .as_ref()
        .map_or_else(EndpointConfig::default, |key| {
            let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
            EndpointConfig::new(Arc::new(key))
        });
    // The first byte of other protocols on the port stays tellable from QUIC (RFC 9443).
    endpoint.grease_quic_bit(false);
    // It fails only below 1,200, which `check` refuses.
    let set = endpoint.max_udp_payload_size(config.mtu_upper_bound.max(MIN_MTU));
    debug_assert!(set.is_ok());
    endpoint
}

/// The settings of the accepting side.
pub(crate) fn server_config(
    config: &Config,
    tls: quinn::crypto::rustls::QuicServerConfig,
) -> quinn::ServerConfig {
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls));
    let window = config.connection_receive_window.min(WINDOW_BEFORE_HELLO);
    server
        .transport_config(Arc::new(transport(config, window)))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    server
}

/// The settings of the accepting side where other nodes carry the packets. `server` are the other ones: tokens of either
/// are good for both.
///
/// Such a connection stays where it is. A packet that is said to come from somewhere else was sent there by one of those
/// who carry it, who could draw the connection to themselves.
pub(super) fn forwarded_server_config(
    config: &Config,
    server: &quinn::ServerConfig,
) -> Arc<quinn::ServerConfig> {
    let mut server = server.clone();
    let window = config.connection_receive_window.min(WINDOW_BEFORE_HELLO);
    server
        .transport_config(Arc::new(forwarded(transport(config, window))))
        .migration(false);
    Arc::new(server)
}

fn mtu_discovery(config: &Config) -> MtuDiscoveryConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery
        .upper_bound(config.mtu_upper_bound)
        .minimum_change(MTU_STEP);
    discovery
}

/// Refuses what quinn would not take.
pub(crate) fn check(config: &Config) -> Result<(), BindError> {
    let wrong = |setting| Err(BindError::Config { setting });
    if config.mtu_upper_bound < MIN_MTU {
        return wrong("mtu_upper_bound");
    }
    if !(MIN_MAX_FRAME_LEN..=FORMAT_MAX_FRAME_LEN).contains(&config.max_frame_len) {
        return wrong("max_frame_len");
    }
    let keeps_alive = config.keep_alive.checked_mul(2);
    if keeps_alive.is_none_or(|twice| twice >= config.idle_timeout)
        || IdleTimeout::try_from(config.idle_timeout).is_err()
    {
        return wrong("idle_timeout");
    }
    if !FORWARDED.contains(&config.max_forwarded_nodes) {
        return wrong("max_forwarded_nodes");
    }
    if !FORWARDED.contains(&config.max_forwarded_packets) {
        return wrong("max_forwarded_packets");
    }
    if config.max_event_streams < 4 {
        return wrong("max_event_streams");
    }
    Ok(())
}
