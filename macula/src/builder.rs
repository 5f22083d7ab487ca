//! Describing a node before it starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use macula_realm::{NodeIdentity, TrustBundle};
use macula_wire::message::Tag;
use macula_wire::{Epoch, ErrorCode, limit};

use crate::node::start::{self, Plan};
use crate::{Error, ForwardingConfig, Node};

/// The UDP port that nodes listen at by default.
pub const DEFAULT_PORT: u16 = 4433;

/// To how many members a node sends an event itself by default; to more it goes along a tree.
pub const DEFAULT_DIRECT: usize = 16;

/// A node that is not running yet.
///
/// An identity and a trust bundle are needed; everything else has a default.
#[derive(Debug)]
pub struct NodeBuilder {
    identity: Option<NodeIdentity>,
    trust: Option<TrustBundle>,
    epoch: Option<Epoch>,
    listen: SocketAddr,
    advertise: Vec<SocketAddr>,
    join: Vec<SocketAddr>,
    tags: Vec<Tag>,
    transport: macula_transport::Config,
    swim: macula_swim::Config,
    pubsub: macula_pubsub::Config,
    replay: macula_pubsub::ReplayConfig,
    forwarding: ForwardingConfig,
    direct: usize,
    max_payload_len: usize,
    http: bool,
    socket: Option<PathBuf>,
    member_cache: Option<PathBuf>,
    event_log: Option<PathBuf>,
}

impl NodeBuilder {
    pub(crate) fn new() -> Self {
        Self {
            identity: None,
            trust: None,
            epoch: None,
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)),
            advertise: Vec::new(),
            join: Vec::new(),
            tags: Vec::new(),
            transport: macula_transport::Config::default(),
            swim: macula_swim::Config::default(),
            pubsub: macula_pubsub::Config::default(),
            replay: macula_pubsub::ReplayConfig::default(),
            forwarding: ForwardingConfig::default(),
            direct: DEFAULT_DIRECT,
            max_payload_len: limit::DEFAULT_MAX_PAYLOAD_LEN,
            http: true,
            socket: None,
            member_cache: None,
            event_log: None,
        }
    }

    /// The certificate and key of the node.
    #[must_use]
    pub fn identity(mut self, identity: NodeIdentity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Whom the node trusts: the roots of its realm.
    #[must_use]
    pub fn trust(mut self, trust: TrustBundle) -> Self {
        self.trust = Some(trust);
        self
    }

    /// The number of this run, which has to be above that of every run before. By default the wall clock in
    /// milliseconds; who keeps the last one on disk is safe against a clock that was set back.
    #[must_use]
    pub const fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// The UDP address to listen at; by default port 4433 of every IPv4 interface. Port 0 lets the system choose.
    #[must_use]
    pub const fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// An address that others are to dial, where it is not the one listened at. May be given several times, at most 8.
    #[must_use]
    pub fn advertise(mut self, address: SocketAddr) -> Self {
        self.advertise.push(address);
        self
    }

    /// A member to join by. May be given several times; all are tried until one answers.
    #[must_use]
    pub fn join(mut self, address: SocketAddr) -> Self {
        self.join.push(address);
        self
    }

    /// A mark that other members see; at most 16.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.push(Tag {
            key: key.into(),
            value: value.into(),
        });
        self
    }

    /// The largest payload of an event or a call in bytes, by default 1 MiB, at most about 16 MiB.
    #[must_use]
    pub const fn max_payload_len(mut self, bytes: usize) -> Self {
        self.max_payload_len = bytes;
        self
    }

    /// Limits and times of links.
    #[must_use]
    pub fn transport(mut self, config: macula_transport::Config) -> Self {
        self.transport = config;
        self
    }

    /// Limits and times of membership.
    #[must_use]
    pub fn membership(mut self, config: macula_swim::Config) -> Self {
        self.swim = config;
        self
    }

    /// Limits and times of interest in events.
    #[must_use]
    pub fn interest(mut self, config: macula_pubsub::Config) -> Self {
        self.pubsub = config;
        self
    }

    /// How many events the node keeps until they are acknowledged, and for how long for members that are lost.
    #[must_use]
    pub fn replay(mut self, config: macula_pubsub::ReplayConfig) -> Self {
        self.replay = config;
        self
    }

    /// To how many members the node sends an event itself, by default 16. What more members want goes along a tree over
    /// them, in which each passes it on to a few; it takes a few links more to get there, and costs the node as much
    /// whether a hundred want it or ten thousand. Nodes with different values get on.
    #[must_use]
    pub const fn direct_members(mut self, most: usize) -> Self {
        self.direct = most;
        self
    }

    /// How much the node carries for others, and how it looks for ways where addresses do not work.
    #[must_use]
    pub fn forwarding(mut self, config: ForwardingConfig) -> Self {
        self.forwarding = config;
        self
    }

    /// Whether health, metrics and the state of the node are served over HTTP/3 on the node's port; by default yes,
    /// where the crate has the feature `http3`.
    #[must_use]
    pub const fn http(mut self, on: bool) -> Self {
        self.http = on;
        self
    }

    /// A Unix socket, mode 0600, by which clients of this machine attach with the node's own identity; by default
    /// none.
    #[must_use]
    pub fn local_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.socket = Some(path.into());
        self
    }

    /// A file, mode 0600, in which the node remembers the members that it knows; by default none.
    ///
    /// It is written when members have changed, at most every ten seconds, and when the node shuts down; up to
    /// [`MemberList::MAX_RECORDS`](crate::MemberList::MAX_RECORDS) members are kept. A node that starts and finds no seed
    /// that answers dials the members in it. A damaged file is moved aside, with a warning in the log.
    #[must_use]
    pub fn member_cache(mut self, path: impl Into<PathBuf>) -> Self {
        self.member_cache = Some(path.into());
        self
    }

    /// A folder for events that outlive the node ([`Qos::Durable`](crate::Qos::Durable)); by default none. It is made if it
    /// is not there, and belongs to this node alone.
    ///
    /// A node that starts sends what members were owed by its earlier run. What of the log cannot be read is set aside
    /// under another name, with a warning.
    #[must_use]
    pub fn event_log(mut self, folder: impl Into<PathBuf>) -> Self {
        self.event_log = Some(folder.into());
        self
    }

    /// Starts the node in the present tokio runtime. It listens when this returns, and joins on its own.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_ARGUMENT`] if identity or trust is missing, they are of different realms, or a limit is
    /// beyond what the wire allows; [`ErrorCode::UNAVAILABLE`] if the address is in use. Nothing runs then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing runs.
    pub async fn start(self) -> Result<Node, Error> {
        let invalid = |detail: &str| Error::new(ErrorCode::INVALID_ARGUMENT, detail);
        let identity = self
            .identity
            .ok_or_else(|| invalid("a node needs an identity: NodeBuilder::identity"))?;
        let trust = self
            .trust
            .ok_or_else(|| invalid("a node needs a trust bundle: NodeBuilder::trust"))?;
        if identity.realm() != trust.realm() {
            return Err(invalid(
                "the certificate and the trust bundle are of different realms",
            ));
        }
        if self.replay.lease > macula_pubsub::ReplayConfig::MAX_LEASE {
            return Err(invalid(
                "events are kept for a lost member for 24 h at most",
            ));
        }
        if self.max_payload_len > limit::FORMAT_MAX_PAYLOAD_LEN {
            return Err(invalid(
                "the largest payload is beyond what a frame of the format can hold",
            ));
        }
        if self.advertise.len() > limit::MAX_ADDRESSES || self.tags.len() > limit::MAX_TAGS {
            return Err(invalid("at most 8 addresses and 16 tags"));
        }
        let mut transport = self.transport;
        let needed = self.max_payload_len.saturating_add(64 << 10);
        transport.max_frame_len = transport.max_frame_len.max(needed);
        start::start(Plan {
            identity,
            trust,
            epoch: self.epoch,
            listen: self.listen,
            advertise: self.advertise,
            join: self.join,
            tags: self.tags,
            transport,
            swim: self.swim,
            pubsub: self.pubsub,
            replay: self.replay,
            forwarding: self.forwarding,
            direct: self.direct,
            max_payload_len: self.max_payload_len,
            http: self.http,
            socket: self.socket,
            member_cache: self.member_cache,
            event_log: self.event_log,
        })
        .await
    }
}
