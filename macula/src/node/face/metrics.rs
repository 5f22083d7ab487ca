//! The counters of a node in OpenMetrics' text form, which Prometheus reads.

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::Snapshot;

#[derive(Clone, Debug, Eq, Hash, PartialEq, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
}

/// The numbers of `snapshot`. `None` if they could not be written, which writing to memory does not do.
pub(super) fn text(snapshot: &Snapshot) -> Option<String> {
    let mut registry = Registry::with_prefix("macula");
    counters(&mut registry, snapshot);
    gauges(&mut registry, snapshot);
    families(&mut registry, snapshot);
    let mut text = String::new();
    encode(&mut text, &registry).ok()?;
    Some(text)
}

fn counters(registry: &mut Registry, snapshot: &Snapshot) {
    let endpoint = &snapshot.stats.endpoint;
    let totals = [
        ("retries_sent", endpoint.retries_sent),
        ("refused_by_limit", endpoint.refused_by_limit),
        ("panics", snapshot.stats.panics),
        ("cache_writes", snapshot.stats.cache.writes),
        ("cache_failed_writes", snapshot.stats.cache.failed_writes),
    ];
    let membership = snapshot.stats.membership.iter();
    let counts = snapshot.stats.counts.iter();
    let forwarding = snapshot.stats.forwarding.iter();
    let trees = snapshot.stats.trees.iter();
    let all = counts.chain(membership).chain(forwarding).chain(trees);
    let all = all.chain(totals);
    for (name, value) in all {
        registry.register(name, help(name), ConstCounter::new(value));
    }
    for (name, value) in snapshot.stats.routing.iter() {
        let name = format!("routing_{name}");
        registry.register(&name, help(&name), ConstCounter::new(value));
    }
}

fn gauges(registry: &mut Registry, snapshot: &Snapshot) {
    let stats = &snapshot.stats;
    for (name, value) in [
        ("uptime_ms", stats.uptime_ms),
        ("connections", stats.endpoint.connections),
        ("handshakes_pending", stats.endpoint.handshakes_pending),
        ("subscriptions", stats.subscriptions),
        ("registrations", stats.registrations),
        ("patterns", stats.patterns),
        ("queued_bytes", stats.queued_bytes),
        ("process_resident_bytes", stats.process_resident_bytes),
        ("process_open_fds", stats.process_open_fds),
        ("tasks", stats.tasks),
        ("health", stats.membership.health),
        ("neighbours", stats.membership.neighbours),
        ("forward_routes", stats.forwarding.routes),
        ("tree_topics", stats.trees.topics),
        ("tree_sources", stats.trees.sources),
        ("tree_cached_bytes", stats.trees.cached_bytes),
        ("tree_held_bytes", stats.trees.held_bytes),
        ("tree_lagging", stats.trees.lagging),
        ("tree_suspected", stats.trees.suspected),
        ("routing_contacts", stats.routing.contacts),
        ("routing_records", stats.routing.records),
        ("routing_record_bytes", stats.routing.record_bytes),
        ("routing_watches", stats.routing.watches),
        ("routing_watches_served", stats.routing.watches_served),
        ("routing_interests", stats.routing.interests),
        ("routing_offers", stats.routing.offers),
        ("cache_records", stats.cache.records),
        ("cache_read", stats.cache.read),
        ("cache_set_aside", stats.cache.set_aside),
        ("cache_unreadable", stats.cache.unreadable),
    ] {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        registry.register(name, help(name), ConstGauge::new(value));
    }
}

fn families(registry: &mut Registry, snapshot: &Snapshot) {
    let stats = &snapshot.stats;
    let members = [
        ("alive", stats.members.alive),
        ("suspect", stats.members.suspect),
        ("dead", stats.members.dead),
        ("left", stats.members.left),
    ];
    family(
        registry,
        "members",
        "Members of the realm by state",
        &members,
    );
    let links = [
        ("member", stats.links_members),
        ("client", stats.links_clients),
    ];
    family(
        registry,
        "links",
        "Links that are up by role of the peer",
        &links,
    );
    let failures: Vec<(&'static str, u64)> = stats
        .endpoint
        .auth_failures
        .iter()
        .map(|failures| (failures.reason, failures.count))
        .collect();
    family(
        registry,
        "auth_failures",
        "Peers whose identity was refused by reason",
        &failures,
    );
}

fn family(registry: &mut Registry, name: &str, help: &str, values: &[(&'static str, u64)]) {
    let family = Family::<Labels, Gauge>::default();
    for (kind, value) in values {
        let value = i64::try_from(*value).unwrap_or(i64::MAX);
        family.get_or_create(&Labels { kind }).set(value);
    }
    registry.register(name, help, family);
}

/// The name in words; what each number means stands in docs/metrics.md.
fn help(name: &str) -> String {
    name.replace('_', " ")
}
