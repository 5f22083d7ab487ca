//! What a node counted in between two looks, as rates.

use std::collections::BTreeMap;

use macula::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::super::attach;
use super::super::exit::Failed;
use super::super::table::grouped;

/// What a node counted until a moment.
#[derive(Debug)]
pub(super) struct Sample {
    at: Instant,
    stats: Map<String, Value>,
    peers: Vec<Peer>,
}

/// A link as the node tells of it.
#[derive(Clone, Debug, Deserialize)]
struct Peer {
    link: u64,
    node: String,
    role: String,
    path: String,
    hops: Option<u8>,
    rtt_us: u64,
    sent_bytes: u64,
    received_bytes: u64,
    lost_packets: u64,
    queued_bytes: u64,
}

impl Sample {
    pub(super) async fn take(client: &Client) -> Result<Self, Failed> {
        let stats = attach::ask(client, "$sys.stats").await?;
        let peers = attach::ask(client, "$sys.peers").await?;
        Ok(Self {
            at: Instant::now(),
            stats,
            peers,
        })
    }

    /// The number behind a path of names; 0 where a node of another version has none.
    fn number(&self, path: &str) -> u64 {
        let mut names = path.split('.');
        let first = names.next().and_then(|name| self.stats.get(name));
        let found = names.try_fold(first, |value, name| value.map(|value| value.get(name)));
        found.flatten().and_then(Value::as_u64).unwrap_or(0)
    }

    fn counts(&self) -> BTreeMap<&str, u64> {
        let counts = self.stats.get("counts").and_then(Value::as_object);
        let counts = counts.into_iter().flatten();
        counts
            .map(|(name, value)| (name.as_str(), value.as_u64().unwrap_or(0)))
            .collect()
    }
}

/// What passed a node between two looks. Rates are a second, rounded; the others as they stand.
#[derive(Debug, Serialize)]
pub(super) struct Rates {
    /// How long the time between the looks was, in milliseconds.
    pub(super) period_ms: u64,
    /// How long the node has run, in milliseconds.
    pub(super) uptime_ms: u64,
    pub(super) members_alive: u64,
    pub(super) members_suspect: u64,
    pub(super) subscriptions: u64,
    pub(super) registrations: u64,
    pub(super) resident_bytes: u64,
    pub(super) queued_bytes: u64,
    pub(super) tasks: u64,
    pub(super) published: u64,
    pub(super) received: u64,
    pub(super) delivered: u64,
    pub(super) forwarded: u64,
    /// Events that were dropped, whatever the reason.
    pub(super) dropped: u64,
    pub(super) missing: u64,
    pub(super) calls_made: u64,
    pub(super) calls_received: u64,
    pub(super) calls_failed: u64,
    /// Every count that rose, and by how much a second.
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) links: Vec<LinkRates>,
}

/// What passed a link.
#[derive(Debug, Serialize)]
pub(super) struct LinkRates {
    pub(super) node: String,
    pub(super) role: String,
    pub(super) path: String,
    pub(super) hops: Option<u8>,
    pub(super) rtt_us: u64,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    pub(super) lost_packets: u64,
    /// Bytes that wait at present.
    pub(super) queued_bytes: u64,
}

impl Rates {
    pub(super) fn between(before: &Sample, now: &Sample) -> Self {
        let period = now.at.saturating_duration_since(before.at);
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX).max(1);
        let (old, new) = (before.counts(), now.counts());
        let rate = |name: &str| {
            let new = new.get(name).copied().unwrap_or(0);
            per_second(new, old.get(name).copied().unwrap_or(0), period_ms)
        };
        let counts: BTreeMap<String, u64> = new
            .keys()
            .map(|name| ((*name).to_owned(), rate(name)))
            .filter(|(_, rate)| *rate > 0)
            .collect();
        let dropped = counts
            .iter()
            .filter(|(name, _)| name.starts_with("dropped_"));
        let dropped = dropped.map(|(_, rate)| *rate).fold(0, u64::saturating_add);
        Self {
            period_ms,
            uptime_ms: now.number("uptime_ms"),
            members_alive: now.number("members.alive"),
            members_suspect: now.number("members.suspect"),
            subscriptions: now.number("subscriptions"),
            registrations: now.number("registrations"),
            resident_bytes: now.number("process_resident_bytes"),
            queued_bytes: now.number("queued_bytes"),
            tasks: now.number("tasks"),
            published: rate("events_published"),
            received: rate("events_received"),
            delivered: rate("events_delivered"),
            forwarded: rate("events_forwarded"),
            dropped,
            missing: rate("missing"),
            calls_made: rate("calls_made"),
            calls_received: rate("calls_received"),
            calls_failed: rate("calls_failed"),
            counts,
            links: links(before, now, period_ms),
        }
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        format!(
            "events/s {} published, {} received, {} delivered, {} dropped; calls/s {} made, {} received, {} failed; {} links",
            grouped(self.published),
            grouped(self.received),
            grouped(self.delivered),
            grouped(self.dropped),
            grouped(self.calls_made),
            grouped(self.calls_received),
            grouped(self.calls_failed),
            self.links.len(),
        )
    }
}

/// The links that are up, the busiest first. One that came up in between counts from its beginning.
fn links(before: &Sample, now: &Sample, period_ms: u64) -> Vec<LinkRates> {
    let old: BTreeMap<u64, &Peer> = before.peers.iter().map(|peer| (peer.link, peer)).collect();
    let rates = now.peers.iter().map(|peer| {
        let was = |count: fn(&Peer) -> u64| old.get(&peer.link).map_or(0, |peer| count(peer));
        LinkRates {
            node: peer.node.clone(),
            role: peer.role.clone(),
            path: peer.path.clone(),
            hops: peer.hops,
            rtt_us: peer.rtt_us,
            sent_bytes: per_second(peer.sent_bytes, was(|peer| peer.sent_bytes), period_ms),
            received_bytes: per_second(
                peer.received_bytes,
                was(|peer| peer.received_bytes),
                period_ms,
            ),
            lost_packets: per_second(peer.lost_packets, was(|peer| peer.lost_packets), period_ms),
            queued_bytes: peer.queued_bytes,
        }
    });
    let mut rates: Vec<LinkRates> = rates.collect();
    rates.sort_by(|a, b| {
        let busy = |link: &LinkRates| link.sent_bytes.saturating_add(link.received_bytes);
        busy(b).cmp(&busy(a)).then_with(|| a.node.cmp(&b.node))
    });
    rates
}

/// By how much a count rose a second; 0 for one that began anew.
fn per_second(new: u64, old: u64, period_ms: u64) -> u64 {
    let rise = u128::from(new.saturating_sub(old)).saturating_mul(1_000);
    let half = u128::from(period_ms / 2);
    let rate = rise
        .saturating_add(half)
        .checked_div(u128::from(period_ms))
        .unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sample(at: Instant, received: u64, sent_bytes: u64) -> Sample {
        let stats = serde_json::json!({
            "counts": {"events_received": received, "dropped_outbox": received / 10, "dropped_overflow": 3},
            "members": {"alive": 4},
            "uptime_ms": 77,
        });
        let Value::Object(stats) = stats else {
            panic!()
        };
        let peer = |link: u64, sent_bytes: u64| Peer {
            link,
            node: format!("n{link}"),
            role: "member".to_owned(),
            path: String::new(),
            hops: None,
            rtt_us: 5,
            sent_bytes,
            received_bytes: 0,
            lost_packets: 0,
            queued_bytes: 0,
        };
        let mut peers = vec![peer(1, 100), peer(2, sent_bytes)];
        if received == 0 {
            peers.truncate(1);
        }
        Sample { at, stats, peers }
    }

    #[test]
    fn a_rate_is_what_was_added_by_the_time_that_passed() {
        let start = Instant::now();
        let before = sample(start, 0, 0);
        let now = sample(start + Duration::from_millis(500), 1_000, 4_000);
        let rates = Rates::between(&before, &now);
        assert_eq!((rates.received, rates.dropped), (2_000, 200));
        assert_eq!((rates.members_alive, rates.uptime_ms), (4, 77));
        assert!(!rates.counts.contains_key("dropped_overflow"));
        // A link that is new counts from its beginning, and the busiest stands first.
        let nodes: Vec<_> = rates
            .links
            .iter()
            .map(|link| (&*link.node, link.sent_bytes))
            .collect();
        assert_eq!(nodes, [("n2", 8_000), ("n1", 0)]);
        assert!(
            rates
                .line()
                .starts_with("events/s 0 published, 2,000 received")
        );
    }

    #[test]
    fn a_count_that_began_anew_is_no_rate() {
        assert_eq!(per_second(5, 1_000, 1_000), 0);
        assert_eq!(per_second(1_005, 1_000, 2_000), 3);
        assert_eq!(per_second(u64::MAX, 0, 1), u64::MAX);
    }
}
