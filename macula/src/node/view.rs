//! What a node can be asked about itself, its members and its links.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use macula_swim::{Member, RecordError, State};
use macula_transport::{LinkStats, Side};
use macula_wire::message::{MemberRecord, Tag};
use macula_wire::{ErrorCode, Instant, NodeId};
use tokio::sync::broadcast;

use super::{Node, start};
use crate::machine::{MemberEvent, NodeMachine};
use crate::plane::Plane;
use crate::plane::links::Attached;
use crate::plane::outgoing::milliseconds;
use crate::system::NodeInfo;
use crate::{Error, Graph, GraphEdge, GraphNode, NodeStats};

/// What a node knows of a member.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct MemberInfo {
    /// The member's id, 64 hexadecimal digits.
    pub node: String,
    /// `alive`, `suspect`, `dead` or `left`.
    pub state: &'static str,
    /// The member's run.
    pub epoch: u64,
    /// The version of its record within the run.
    pub incarnation: u64,
    /// Where it can be dialled.
    pub addresses: Vec<SocketAddr>,
    /// The roles of its certificate.
    pub roles: Vec<&'static str>,
    /// The zone of its certificate.
    pub zone: Option<String>,
    /// Its program and version.
    pub agent: String,
    /// The marks that its application gave it.
    pub tags: BTreeMap<String, String>,
    /// Round trip time to it in microseconds, as far as it was measured.
    pub rtt_us: Option<u64>,
    /// Since when it has been in this state, in milliseconds since 1970.
    pub since_at_ms: u64,
    /// How long it has been in this state, in milliseconds.
    pub since_ms: u64,
    /// Whether a link to it is up; `true` for the node itself.
    pub linked: bool,
    /// The number of the last change of any member that this picture shows, as `$sys.members` counts them.
    pub as_of: u64,
}

/// A link of a node.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The number of the link, unique in the process.
    pub link: u64,
    /// The peer's id, 64 hexadecimal digits.
    pub node: String,
    /// `member`, `client` or `local`.
    pub role: &'static str,
    /// Whether it is a neighbour in the overlay: the two watch each other, and news goes along.
    pub neighbour: bool,
    /// The way to it.
    pub path: String,
    /// How many links packets from there took, 1 without forwarding; `None` before the first one came.
    pub hops: Option<u8>,
    /// Which side dialled: `this` or `peer`.
    pub dialled_by: &'static str,
    /// Since when the link is up, in milliseconds since 1970.
    pub since_at_ms: u64,
    /// How long the link has been up, in milliseconds.
    pub since_ms: u64,
    /// Streams of the peer, and answers to streams of this node, that have not ended.
    pub streams: u64,
    /// Round trip time in microseconds.
    pub rtt_us: u64,
    /// The largest packet that the path carries, in bytes.
    pub mtu: u64,
    /// Bytes sent and received.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets lost on the way.
    pub lost_packets: u64,
    /// Bytes that wait to be sent.
    pub queued_bytes: u64,
}

impl Node {
    /// The members of the realm that this node knows, itself included.
    ///
    /// # Errors
    ///
    /// [`SHUTTING_DOWN`](ErrorCode::SHUTTING_DOWN) if the node has stopped.
    pub async fn members(&self) -> Result<Vec<MemberInfo>, Error> {
        let plane = Arc::clone(&self.0.plane);
        self.0
            .control
            .run(move |machine, now| {
                let info = |member| member_info(&plane, now, machine, member);
                machine.swim().members().map(info).collect()
            })
            .await
    }

    /// Replaces the marks that other members see on this node; those of [`NodeBuilder::tag`](crate::NodeBuilder::tag)
    /// as well. At most 16, keys and values of at most 64 bytes, a key of visible ASCII characters.
    ///
    /// The others know within about a second.
    ///
    /// # Errors
    ///
    /// [`INVALID_ARGUMENT`](ErrorCode::INVALID_ARGUMENT) if a mark or all of them are over a limit or a key occurs twice;
    /// nothing is changed then. [`SHUTTING_DOWN`](ErrorCode::SHUTTING_DOWN) if the node has left or stopped.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the marks may or may not be replaced; never some of them.
    pub async fn set_tags<K: Into<String>, V: Into<String>>(
        &self,
        tags: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), Error> {
        let pairs = tags.into_iter();
        let tags: Vec<Tag> = pairs
            .map(|(key, value)| Tag {
                key: key.into(),
                value: value.into(),
            })
            .collect();
        self.0
            .control
            .run(move |machine, now| machine.set_tags(now, tags))
            .await?
            .map_err(|error| {
                let code = match error {
                    RecordError::Left => ErrorCode::SHUTTING_DOWN,
                    _ => ErrorCode::INVALID_ARGUMENT,
                };
                Error::caused(code, error.to_string(), error)
            })
    }

    /// What happens to members from here on. A receiver that lags 1,024 events behind loses the oldest.
    #[must_use]
    pub fn member_events(&self) -> broadcast::Receiver<MemberEvent> {
        self.0.members.subscribe()
    }

    /// The links of this node.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        peers(&self.0.plane)
    }

    /// Who is linked to whom, as far as this node knows: its own links, and what its neighbours in the overlay told it.
    ///
    /// # Errors
    ///
    /// [`SHUTTING_DOWN`](ErrorCode::SHUTTING_DOWN) if the node has stopped.
    pub async fn graph(&self) -> Result<Graph, Error> {
        let plane = Arc::clone(&self.0.plane);
        self.0
            .control
            .run(move |machine, _| graph(&plane, machine))
            .await
    }

    /// What this node counts.
    ///
    /// # Errors
    ///
    /// [`SHUTTING_DOWN`](ErrorCode::SHUTTING_DOWN) if the node has stopped.
    pub async fn stats(&self) -> Result<NodeStats, Error> {
        let cache = self.0.cache.as_deref();
        let running = &self.0;
        crate::stats::collect(
            &running.plane,
            &running.control,
            &running.endpoint,
            &running.dialler.forwarding,
            cache,
        )
        .await
    }

    /// This node in a few words.
    #[must_use]
    pub fn info(&self) -> NodeInfo {
        NodeInfo {
            node: self.node_id().to_string(),
            realm: self.realm().to_string(),
            listen: self.local_addr().to_string(),
            epoch: self.0.plane.epoch.get(),
            agent: start::AGENT,
        }
    }
}

fn member_info(plane: &Plane, now: Instant, machine: &NodeMachine, member: &Member) -> MemberInfo {
    let record = member.record();
    let link = plane.links.member(&member.node());
    let since_ms = milliseconds(now.saturating_since(member.since()));
    MemberInfo {
        node: member.node().to_string(),
        state: state_name(member.state()),
        epoch: record.epoch.get(),
        incarnation: record.incarnation.get(),
        roles: record.roles.names().collect(),
        tags: tags(&record),
        addresses: record.addresses,
        zone: record.zone,
        agent: record.agent,
        rtt_us: link
            .as_ref()
            .map(|attached| rtt_us(attached))
            .or_else(|| machine.swim().rtt(&member.node()).map(as_micros)),
        since_at_ms: plane.clock.unix_ms().saturating_sub(u64::from(since_ms)),
        since_ms: u64::from(since_ms),
        linked: member.node() == plane.node() || link.is_some(),
        as_of: plane.member_changes.load(Ordering::Relaxed),
    }
}

fn graph(plane: &Plane, machine: &NodeMachine) -> Graph {
    let own = plane.node();
    let mut edges = Vec::new();
    let mut nodes = BTreeSet::from([own]);
    for attached in plane.links.members() {
        let peer = attached.link.peer().node;
        let kind = if machine.overlay().is_neighbour(&peer) {
            "neighbour"
        } else {
            "link"
        };
        let rtt = Some(rtt_us(&attached));
        nodes.insert(peer);
        edges.push(GraphEdge::new(own.to_string(), peer.to_string(), kind, rtt));
    }
    for neighbour in machine.overlay().neighbours() {
        for other in machine.overlay().neighbours_of(&neighbour) {
            if other == own {
                continue;
            }
            nodes.insert(other);
            edges.push(GraphEdge::new(
                neighbour.to_string(),
                other.to_string(),
                "told",
                None,
            ));
        }
    }
    edges.sort();
    edges.dedup();
    let describe = |node: NodeId| {
        let member = machine.swim().member(&node);
        GraphNode {
            node: node.to_string(),
            state: member.map_or("unknown", |member| state_name(member.state())),
            zone: member.and_then(|member| member.record().zone),
        }
    };
    Graph {
        own: own.to_string(),
        nodes: nodes.into_iter().map(describe).collect(),
        edges,
    }
}

/// The marks that a member's application gave it.
pub(crate) fn tags(record: &MemberRecord) -> BTreeMap<String, String> {
    let pairs = record.tags.iter();
    pairs
        .map(|tag| (tag.key.clone(), tag.value.clone()))
        .collect()
}

fn rtt_us(attached: &Attached) -> u64 {
    as_micros(attached.link.stats().rtt)
}

pub(super) fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

const fn state_name(state: State) -> &'static str {
    match state {
        State::Alive => "alive",
        State::Suspect => "suspect",
        State::Dead => "dead",
        State::Left => "left",
    }
}

fn peers(plane: &Plane) -> Vec<PeerInfo> {
    plane
        .links
        .all()
        .iter()
        .map(|attached| peer_info(plane, attached))
        .collect()
}

pub(crate) fn peer_info(plane: &Plane, attached: &Attached) -> PeerInfo {
    let link = &attached.link;
    let since = plane.clock.now().saturating_since(attached.since);
    let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let node = link.peer().node;
    let stats: LinkStats = link.stats();
    PeerInfo {
        link: link.id().get(),
        node: node.to_string(),
        neighbour: attached.session().is_none() && plane.neighbours.load().contains(&node),
        dialled_by: match link.side() {
            Side::Dialler => "this",
            Side::Acceptor => "peer",
        },
        since_at_ms: plane.clock.unix_ms().saturating_sub(since_ms),
        since_ms,
        streams: u64::try_from(stats.streams_reading).unwrap_or(u64::MAX),
        role: match (link.is_local(), attached.session()) {
            (true, _) => "local",
            (false, Some(_)) => "client",
            (false, None) => "member",
        },
        path: link.path().to_string(),
        hops: if link.is_forwarded() {
            attached.passage.hops()
        } else {
            Some(1)
        },
        rtt_us: as_micros(stats.rtt),
        mtu: u64::from(stats.mtu),
        sent_bytes: stats.bytes_sent,
        received_bytes: stats.bytes_received,
        lost_packets: stats.packets_lost,
        queued_bytes: u64::try_from(stats.outbox_bytes).unwrap_or(u64::MAX),
    }
}
