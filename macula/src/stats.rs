//! What a node counts, in one picture.

use std::sync::Arc;

use macula_transport::{Endpoint, EndpointStats};
use serde::Serialize;

use crate::node::cache::MemberCache;
use crate::node::control::Control;
use crate::plane::Plane;
use crate::plane::counters::Counts;
use crate::plane::forward::Forwarding;
use crate::{Error, ForwardingCounts, TreeCounts};

/// What a node counts. Names and meanings are those of `/metrics`.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct NodeStats {
    /// Milliseconds since the node started.
    pub uptime_ms: u64,
    /// Events and calls.
    pub counts: Counts,
    /// Members by state.
    pub members: MemberCounts,
    /// What membership does and finds.
    pub membership: MembershipCounts,
    /// What routing keeps, does and finds.
    pub routing: RoutingCounts,
    /// Links to members that are up.
    pub links_members: u64,
    /// Sessions of clients.
    pub links_clients: u64,
    /// Events of this node that wait until everybody who is owed them has them.
    pub kept: u64,
    /// Events of other nodes that wait for subscribers and clients of this one.
    pub kept_in_transit: u64,
    /// Events of other publishers that this node keeps in case that these are lost, and those that it sends in their place.
    pub kept_for_others: u64,
    /// How often the log of events could not be written.
    pub event_log_failed_writes: u64,
    /// The members remembered between runs.
    pub cache: CacheCounts,
    /// Connections and handshakes.
    pub endpoint: EndpointCounts,
    /// What is forwarded, for others and for this node.
    pub forwarding: ForwardingCounts,
    /// Events that go along trees over the members that want them.
    pub trees: TreeCounts,
    /// Subscriptions of applications and clients on this node.
    pub subscriptions: u64,
    /// Registrations of applications and clients on this node.
    pub registrations: u64,
    /// Distinct patterns that applications and clients of this node want.
    pub patterns: u64,
    /// Bytes that wait in the queues of links.
    pub queued_bytes: u64,
    /// Resident memory of the process in bytes; 0 where the system does not tell.
    pub process_resident_bytes: u64,
    /// Open file descriptors of the process; 0 where the system does not tell.
    pub process_open_fds: u64,
    /// Tasks of the node that run.
    pub tasks: u64,
    /// Tasks that panicked; anything above 0 is a fault of Macula or of the application.
    pub panics: u64,
}

/// Members by state.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct MemberCounts {
    /// They take part, this node included.
    pub alive: u64,
    /// They do not answer at present.
    pub suspect: u64,
    /// They are taken for dead.
    pub dead: u64,
    /// They have left.
    pub left: u64,
}

/// What membership does and finds. All but `health` and `neighbours` only rise.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct MembershipCounts {
    /// How much reason this node has to doubt itself, from 0 (none) to 3: slow or starved nodes are slower to accuse.
    pub health: u64,
    /// Neighbours of this node in the overlay.
    pub neighbours: u64,
    /// Probes of this node's own.
    pub probes: u64,
    /// Probes that nobody answered.
    pub probes_failed: u64,
    /// Probes that another member had to answer for the one that was probed.
    pub probes_indirect: u64,
    /// Times that a member became suspected.
    pub suspicions: u64,
    /// Suspicions that ended well: the member was there.
    pub suspicions_cleared: u64,
    /// Times that this node was accused and refuted.
    pub refutations: u64,
    /// Times that a peer brought more accusations than it may; the rest of them was refused.
    pub accusations_refused: u64,
    /// Times that this node found that it had stood still itself, and took its doubts back.
    pub stalls: u64,
    /// Times that another member's view was found to differ.
    pub differences: u64,
    /// Records refused because of their epoch or incarnation.
    pub records_refused: u64,
    /// Members refused because the table was full.
    pub members_refused: u64,
}

impl MembershipCounts {
    /// Those that only rise, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("probes", self.probes),
            ("probes_failed", self.probes_failed),
            ("probes_indirect", self.probes_indirect),
            ("suspicions", self.suspicions),
            ("suspicions_cleared", self.suspicions_cleared),
            ("refutations", self.refutations),
            ("accusations_refused", self.accusations_refused),
            ("stalls", self.stalls),
            ("differences", self.differences),
            ("records_refused", self.records_refused),
            ("members_refused", self.members_refused),
        ]
        .into_iter()
    }
}

/// What routing keeps, does and finds. From `lookups` on they only rise.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RoutingCounts {
    /// Nodes that have a place in the routing table.
    pub contacts: u64,
    /// Records that this node keeps for the realm, its own among them.
    pub records: u64,
    /// Bytes that they take.
    pub record_bytes: u64,
    /// Names that this node watches.
    pub watches: u64,
    /// Watches of others that this node serves.
    pub watches_served: u64,
    /// Patterns of other members that are known, each counted for each of them.
    pub interests: u64,
    /// Procedures of other members that are known, each counted for each of them.
    pub offers: u64,
    /// Lookups begun.
    pub lookups: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests whose answer was late.
    pub requests_late: u64,
    /// Requests that were not answered.
    pub requests_failed: u64,
    /// Requests of others that were answered.
    pub requests_answered: u64,
    /// Requests of others beyond what a peer may ask.
    pub requests_refused: u64,
    /// Answers that nobody had asked for.
    pub answers_unasked: u64,
    /// Contacts refused because a node cannot have them.
    pub contacts_refused: u64,
    /// Records refused because they were forged.
    pub records_forged: u64,
    /// Records refused for other reasons: time, size, quota, or place.
    pub records_rejected: u64,
    /// Records of this node that others refused to keep.
    pub stores_refused: u64,
    /// Watches of others refused because there were too many.
    pub watches_refused: u64,
    /// Patterns of other members refused because there were too many.
    pub interests_refused: u64,
    /// Offers of other members refused because there were too many.
    pub offers_refused: u64,
    /// Messages of routing dropped: no link came up, or there was no room.
    pub dropped: u64,
    /// Records of this node that were not published because there were too many.
    pub unpublished: u64,
    /// Names that were not watched because there were too many.
    pub unwatched: u64,
}

impl RoutingCounts {
    /// Those that only rise, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("lookups", self.lookups),
            ("requests", self.requests),
            ("requests_late", self.requests_late),
            ("requests_failed", self.requests_failed),
            ("requests_answered", self.requests_answered),
            ("requests_refused", self.requests_refused),
            ("answers_unasked", self.answers_unasked),
            ("contacts_refused", self.contacts_refused),
            ("records_forged", self.records_forged),
            ("records_rejected", self.records_rejected),
            ("stores_refused", self.stores_refused),
            ("watches_refused", self.watches_refused),
            ("interests_refused", self.interests_refused),
            ("offers_refused", self.offers_refused),
            ("dropped", self.dropped),
            ("unpublished", self.unpublished),
            ("unwatched", self.unwatched),
        ]
        .into_iter()
    }
}

/// The members remembered between runs; all 0 where the node has no file for them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct CacheCounts {
    /// Records in the file.
    pub records: u64,
    /// Records that were read when the node started.
    pub read: u64,
    /// 1 if the file was damaged when the node started and was set aside.
    pub set_aside: u64,
    /// 1 if the file could not be read when the node started.
    pub unreadable: u64,
    /// Times that the file was written.
    pub writes: u64,
    /// Times that it could not be written.
    pub failed_writes: u64,
}

/// What the endpoint counts.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct EndpointCounts {
    /// QUIC connections that are up.
    pub connections: u64,
    /// Handshakes under way.
    pub handshakes_pending: u64,
    /// Addresses that had to prove themselves by a retry packet.
    pub retries_sent: u64,
    /// Connections refused by a limit.
    pub refused_by_limit: u64,
    /// Peers whose identity was refused, by reason.
    pub auth_failures: Vec<AuthFailures>,
}

/// Peers refused for one reason.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct AuthFailures {
    /// The reason.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

pub(crate) async fn collect(
    plane: &Arc<Plane>,
    control: &Control,
    endpoint: &Endpoint,
    forwarding: &Forwarding,
    cache: Option<&MemberCache>,
) -> Result<NodeStats, Error> {
    let mut stats = control
        .run(|machine, _| {
            let counts = machine.swim().counts();
            NodeStats {
                members: MemberCounts {
                    alive: wide(counts.alive),
                    suspect: wide(counts.suspect),
                    dead: wide(counts.dead),
                    left: wide(counts.left),
                },
                membership: machine.membership(),
                routing: machine.routing(),
                subscriptions: wide(machine.pubsub().subscriptions()),
                patterns: wide(machine.pubsub().patterns()),
                registrations: wide(machine.rpc().registrations()),
                ..NodeStats::default()
            }
        })
        .await?;
    stats.uptime_ms = plane.clock.now().as_nanos() / 1_000_000;
    stats.counts = plane.counters.read();
    stats.counts.dropped_expired = plane.expired.load(std::sync::atomic::Ordering::Relaxed);
    let links = plane.links.all();
    stats.links_members = wide(plane.links.members().len());
    stats.links_clients = wide(plane.links.sessions().len());
    let (kept, in_transit) = plane.reliable.waiting();
    stats.kept = wide(kept);
    stats.kept_in_transit = wide(in_transit);
    stats.kept_for_others = wide(plane.reliable.kept_for_others());
    let log = plane.reliable.log.as_ref();
    stats.event_log_failed_writes = log.map_or(0, |log| log.failed_writes());
    stats.queued_bytes = links
        .iter()
        .map(|attached| wide(attached.link.stats().outbox_bytes))
        .sum();
    stats.cache = cache.map(MemberCache::counts).unwrap_or_default();
    stats.endpoint = endpoint_counts(endpoint.stats());
    stats.forwarding = forwarding.counts();
    let trees = plane.trees.get();
    stats.trees = trees.map(|trees| trees.counts()).unwrap_or_default();
    (stats.process_resident_bytes, stats.process_open_fds) = process();
    stats.tasks = wide(plane.tasks.len()).saturating_add(wide(plane.serving.len()));
    stats.panics = plane.tasks.panics().saturating_add(plane.serving.panics());
    Ok(stats)
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn endpoint_counts(stats: EndpointStats) -> EndpointCounts {
    EndpointCounts {
        connections: wide(stats.connections),
        handshakes_pending: wide(stats.handshakes_pending),
        retries_sent: stats.retries_sent,
        refused_by_limit: stats.refused_by_limit.values().sum(),
        auth_failures: stats
            .auth_failures
            .into_iter()
            .map(|(reason, count)| AuthFailures { reason, count })
            .collect(),
    }
}

/// Resident bytes and open descriptors of this process, from Linux' procfs; zeros elsewhere.
#[must_use]
pub fn process() -> (u64, u64) {
    let resident = std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
    let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    (
        resident.unwrap_or(0).saturating_mul(1_024),
        u64::try_from(descriptors).unwrap_or(u64::MAX),
    )
}
