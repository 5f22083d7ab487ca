//! The limits and times of an endpoint, and what it says of itself.

#[cfg(feature = "http3")]
use std::sync::Arc;
use std::time::Duration;

use macula_wire::Epoch;
use macula_wire::limit::DEFAULT_MAX_FRAME_LEN;
use macula_wire::message::Role;

use crate::credentials::TlsIdentity;
#[cfg(feature = "http3")]
use crate::http3::HttpHandler;

/// The largest MTU with which packets are handed to the kernel in groups. If a group is over the limit of a datagram,
/// all of it fails, which quinn takes for a path that swallows large packets.
pub(crate) const MAX_OFFLOADED_MTU: u16 = 6_550;

/// The limits and times of an endpoint and of its links.
///
/// The defaults suit a node with up to some hundred peers. A link is given the values that held when its endpoint was
/// bound.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The largest body of a frame that this side accepts, in bytes; told to peers. 4 KiB to 16 MiB, by
    /// default a payload of 1 MiB and 64 KiB around it. A longer frame stops its stream, and on the control stream the link.
    pub max_frame_len: usize,
    /// How often a packet keeps an idle link alive; 10 s by default, because NATs forget a mapping after 30 s.
    pub keep_alive: Duration,
    /// After how much silence a link is given up; 30 s by default. Has to be more than twice `keep_alive`.
    pub idle_timeout: Duration,
    /// How long a TLS handshake may take; 10 s by default.
    pub handshake_timeout: Duration,
    /// How long HANDSHAKE or its answer may take after that; 5 s by default.
    pub hello_timeout: Duration,
    /// How long a closing link waits for what was sent to arrive; 2 s by default.
    pub drain_timeout: Duration,
    /// How many bytes of one stream a peer may send ahead of the reader; 1 MiB by default.
    pub stream_receive_window: u32,
    /// How many bytes a peer may send ahead of all readers of a link, which bounds what it pins in memory; 8 MiB by
    /// default.
    pub connection_receive_window: u32,
    /// How many bytes of a link may wait for acknowledgement; 8 MiB by default.
    pub send_window: u64,
    /// How many bidirectional streams beside the control stream a peer may have open; 128 by default. More wait at the
    /// peer. A peer that has opened fewer than eight streams so far may have 15 open, so that an idle link takes memory for
    /// no more.
    pub max_call_streams: u32,
    /// How many unidirectional streams a peer may have open; 8 by default, two for each priority.
    pub max_event_streams: u32,
    /// How many connections the endpoint accepts; 4,096 by default. More are refused.
    pub max_connections: usize,
    /// How many connections one address may have; 64 by default. IPv6 addresses count by their /64. More are refused.
    pub max_connections_per_ip: usize,
    /// How many accepted links one identity may have as a client; 8 by default. More are refused.
    pub max_client_links_per_identity: usize,
    /// How many accepted links one identity may have as a member; 4 by default: a direct and a forwarded one,
    /// or two that crossed, and those of a restarted node that take their place. More are refused.
    pub max_member_links_per_identity: usize,
    /// How many handshakes may be under way before an address has to prove that it is not forged; 64 by default, 0 asks
    /// every address. Beyond four times as many, attempts are refused.
    pub max_pending_handshakes: usize,
    /// How many handshakes of links over forwarding may be under way before a node has to prove that what is forwarded to
    /// it arrives; 16 by default, 0 asks every node. Beyond four times as many, attempts are refused. Handshakes over UDP
    /// have their own share, so neither can take up the other's.
    pub max_pending_forwarded_handshakes: usize,
    /// How many nodes are known at once by forwarding, 1 to 2^20; 4,096 by default. Beyond, a node without a connection is
    /// forgotten, the longest unused one first.
    pub max_forwarded_nodes: usize,
    /// How many packets may wait to be forwarded by the application, and how many that were delivered may wait to be
    /// read, 1 to 2^20; 1,024 by default, at most 1,200 bytes each. More are dropped and counted.
    pub max_forwarded_packets: usize,
    /// How many links may wait to be taken by [`Incoming::accept`](crate::Incoming::accept); 64 by default.
    pub max_waiting_links: usize,
    /// How many bytes may wait in the outbox of each priority; 4 MiB by default.
    pub event_outbox_bytes: usize,
    /// How many bytes may wait for the control stream; 1 MiB by default.
    pub control_outbox_bytes: usize,
    /// How many bytes of datagrams may wait to be sent on a link; 64 KiB by default. The oldest are dropped beyond.
    pub datagram_send_buffer: usize,
    /// How many bytes of datagrams may wait to be read on a link; 64 KiB by default. The oldest are dropped beyond.
    pub datagram_receive_buffer: usize,
    /// The largest UDP payload that the search for the path's MTU tries, in bytes: 1,200 to 65,527; 6,550 by default.
    ///
    /// That is the most with which the kernel still takes ten packets at once (segmentation offload), because those have
    /// to fit one IPv4 datagram of 65,507 bytes. A larger value turns that off: it pays on loopback and on jumbo frames
    /// only, and costs much on common Ethernet.
    pub mtu_upper_bound: u16,
    /// The key behind stateless resets. Kept over restarts, it lets a restarted node end links of its former run at
    /// once. `None`, the default, draws a new one.
    pub reset_key: Option<[u8; 64]>,
    /// The certificate for HTTP/3, ECDSA P-256. `None`, the default, serves no HTTP/3.
    pub web_identity: Option<TlsIdentity>,
    /// Who answers HTTP/3 requests. `None`, the default, serves no HTTP/3.
    #[cfg(feature = "http3")]
    pub http: Option<Arc<dyn HttpHandler>>,
}

impl Config {
    /// The certificate for HTTP/3, where that is served.
    #[cfg(feature = "http3")]
    pub(crate) fn web(&self) -> Option<&TlsIdentity> {
        self.web_identity.as_ref().filter(|_| self.http.is_some())
    }

    /// The certificate for HTTP/3, which is not built in.
    #[cfg(not(feature = "http3"))]
    #[expect(clippy::unused_self, reason = "the signature is that of the feature")]
    pub(crate) const fn web(&self) -> Option<&TlsIdentity> {
        None
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_frame_len: DEFAULT_MAX_FRAME_LEN,
            keep_alive: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            hello_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(2),
            stream_receive_window: 1 << 20,
            connection_receive_window: 8 << 20,
            send_window: 8 << 20,
            max_call_streams: 128,
            max_event_streams: 8,
            max_connections: 4_096,
            max_connections_per_ip: 64,
            max_client_links_per_identity: 8,
            max_member_links_per_identity: 4,
            max_pending_handshakes: 64,
            max_pending_forwarded_handshakes: 16,
            max_forwarded_nodes: 4_096,
            max_forwarded_packets: 1_024,
            max_waiting_links: 64,
            event_outbox_bytes: 4 << 20,
            control_outbox_bytes: 1 << 20,
            datagram_send_buffer: 64 << 10,
            datagram_receive_buffer: 64 << 10,
            mtu_upper_bound: MAX_OFFLOADED_MTU,
            reset_key: None,
            web_identity: None,
            #[cfg(feature = "http3")]
            http: None,
        }
    }
}

/// What HANDSHAKE says of this side.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Hello {
    /// What this side wants to be on links that it dials. The acceptor of a link is always a member.
    pub role: Role,
    /// This run.
    pub epoch: Epoch,
    /// The features that this side has; [`macula_wire::handshake::feature`].
    pub features: u64,
    /// The features without which this side does not go on; a subset of `features`.
    pub required: u64,
    /// The program and its version; at most 64 bytes.
    pub agent: String,
}

impl Hello {
    /// A side with the default features that requires none.
    #[must_use]
    pub fn new(role: Role, epoch: Epoch) -> Self {
        Self {
            role,
            epoch,
            features: macula_wire::handshake::feature::DEFAULT,
            required: 0,
            agent: concat!("macula/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
