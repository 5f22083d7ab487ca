//! The keys of a report: what each means, and which way is better.

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Better {
    /// The less, the better.
    Lower,
    /// The more, the better.
    Higher,
    /// A share that is to be the whole.
    Whole,
    /// It says what was done, or explains another figure.
    Neither,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) better: Better,
    pub(crate) about: &'static str,
}

const fn key(name: &'static str, better: Better, about: &'static str) -> Key {
    Key {
        name,
        better,
        about,
    }
}

use Better::{Higher, Lower, Neither, Whole};

/// All keys, in the order in which they are shown. A dot is a level in JSON.
pub(crate) const KEYS: &[Key] = &[
    key("kills", Neither, "nodes killed"),
    key(
        "first_suspect_s.mean",
        Lower,
        "from a kill to its first suspicion",
    ),
    key("first_suspect_s.p99", Lower, "the same, 99th percentile"),
    key(
        "first_dead_s.p50",
        Lower,
        "from a kill to the first verdict, median",
    ),
    key("first_dead_s.p99", Lower, "the same, 99th percentile"),
    key(
        "spread99_s",
        Lower,
        "from the first verdict until 99 % know, mean",
    ),
    key("spread99_max_s", Neither, "the same, slowest"),
    key(
        "detect_s.mean",
        Lower,
        "from a kill to a verdict, of every member, mean",
    ),
    key("detect_s.p50", Lower, "the same, median"),
    key("detect_s.p95", Lower, "the same, of 95 in 100"),
    key("detect_s.p99", Lower, "the same, of 99 in 100"),
    key("detect_s.max", Neither, "the same, slowest"),
    key("node_hours", Neither, "hours of all nodes together"),
    key("false_dead", Lower, "verdicts on live members, by whomever"),
    key(
        "false_dead_subjects",
        Lower,
        "live members declared dead by anybody",
    ),
    key(
        "false_dead_per_node_h",
        Lower,
        "verdicts on live members for each node and hour",
    ),
    key(
        "suspicions_per_node_h",
        Lower,
        "suspicions of live members, each counted once",
    ),
    key("cells", Neither, "cells of the matrix of slow members"),
    key(
        "fp_ratio",
        Lower,
        "false verdicts, as a share of plain SWIM's",
    ),
    key(
        "fp_healthy_ratio",
        Lower,
        "the same, with a healthy accuser",
    ),
    key("fp_events", Lower, "false verdicts on healthy members"),
    key(
        "fp_healthy_events",
        Lower,
        "the same, with a healthy accuser",
    ),
    key("fp_events_plain", Neither, "false verdicts of plain SWIM"),
    key(
        "fp_healthy_events_plain",
        Neither,
        "the same, with a healthy accuser",
    ),
    key(
        "msgs_ratio",
        Neither,
        "messages, as a share of plain SWIM's",
    ),
    key("bytes_ratio", Neither, "bytes, as a share of plain SWIM's"),
    key(
        "bytes_per_node_s",
        Lower,
        "bytes sent, QUIC, UDP and dials included",
    ),
    key("msgs_per_node_s", Lower, "messages sent"),
    key("dials_per_node_h", Neither, "links dialled"),
    key(
        "split_dead",
        Neither,
        "verdicts while the network was split",
    ),
    key("views_equal_s", Lower, "until all views are equal again"),
    key(
        "degree",
        Neither,
        "links that the overlay wants of each node",
    ),
    key(
        "degree_exact",
        Whole,
        "share of nodes with exactly that many",
    ),
    key(
        "degree_exact_mean",
        Higher,
        "the same, mean over the time of churn",
    ),
    key("connected", Whole, "share of nodes in the largest part"),
    key("connected_min", Higher, "the same, at its lowest"),
    key("lambda2", Lower, "second eigenvalue of the overlay"),
    key(
        "lambda2_bound",
        Neither,
        "2*sqrt(k-1), the least for large graphs",
    ),
    key(
        "ldh",
        Lower,
        "last hop: of a flood, deepest of 100 sources; of events, mean over messages",
    ),
    key(
        "ldh_mean",
        Lower,
        "last hop of a flood, mean of 100 sources",
    ),
    key("senders", Neither, "nodes that send events"),
    key("messages", Neither, "events sent while it was measured"),
    key("ldh_max", Lower, "last hop of events, of the worst message"),
    key(
        "rmr",
        Lower,
        "batches that arrived for each that was needed, less one",
    ),
    key(
        "last_delivery_s",
        Lower,
        "until the last node has an event, mean over messages",
    ),
    key("last_delivery_max_s", Neither, "the same, worst message"),
    key(
        "first.ldh",
        Neither,
        "last hop of the first event of a sender",
    ),
    key("first.rmr", Neither, "its redundancy"),
    key(
        "first.last_delivery_s",
        Neither,
        "until the last node has it",
    ),
    key(
        "complete",
        Whole,
        "share of the events that everybody who lives was handed",
    ),
    key(
        "delivered_twice",
        Lower,
        "events that a node was handed again",
    ),
    key(
        "msgs_per_delivery",
        Lower,
        "messages sent for each event that a node was handed",
    ),
    key("bytes_per_delivery", Lower, "bytes of them"),
    key(
        "reached_unaided",
        Neither,
        "live nodes that have the first events after a kill before anybody learns of it",
    ),
    key(
        "reached_3s",
        Higher,
        "the same after 3 s, mean over messages",
    ),
    key("reached_3s_min", Neither, "the same, worst message"),
    key("reached_10s", Whole, "the same after 10 s, worst message"),
    key(
        "settle_s",
        Lower,
        "from the last join until all degrees are right",
    ),
    key(
        "join_bytes",
        Lower,
        "bytes sent by all, for each node that joined",
    ),
    key(
        "offences",
        Lower,
        "nodes blamed by others, though all are honest",
    ),
    key("departures", Neither, "nodes that left or crashed"),
    key("arrivals", Neither, "nodes that joined during the churn"),
    key("killed", Neither, "share of the nodes killed at once"),
    key(
        "reached_live",
        Higher,
        "live nodes that a flood reaches right after",
    ),
    key(
        "reached_live_min",
        Neither,
        "the same, worst draw of whom to kill",
    ),
    key("reached_live_repaired", Whole, "the same, after repair"),
    key("repair_s", Lower, "until all degrees are right again"),
    key("liars", Neither, "share of the nodes that lie"),
    key("lookups", Neither, "lookups measured"),
    key("hops.mean", Lower, "requests in a row to the closest node"),
    key("hops.p99", Lower, "the same, 99th percentile"),
    key(
        "lookup_ms.mean",
        Lower,
        "until the closest has answered, links open",
    ),
    key("lookup_ms.p99", Lower, "the same, 99th percentile"),
    key(
        "lookup_end_ms.mean",
        Neither,
        "until all of the k closest have answered",
    ),
    key("lookup_end_ms.p99", Neither, "the same, 99th percentile"),
    key(
        "lookup_cold_ms.mean",
        Neither,
        "until the closest has answered, each link dialled first",
    ),
    key("lookup_cold_ms.p99", Neither, "the same, 99th percentile"),
    key(
        "success",
        Higher,
        "lookups that found the closest live node",
    ),
    key(
        "recall",
        Higher,
        "share of the k closest live nodes that were found",
    ),
    key("records", Neither, "records published"),
    key(
        "copies",
        Neither,
        "nodes that keep a record at the start, mean",
    ),
    key("copies_after", Neither, "the same after 20 hours"),
    key(
        "survived",
        Whole,
        "records that somebody keeps after 20 hours",
    ),
    key("found", Whole, "the same, found by a lookup"),
    key(
        "survived_half",
        Whole,
        "records that somebody keeps right after half of the nodes died",
    ),
    key("found_half", Higher, "the same, found by a lookup"),
    key(
        "rpcs_per_node_h",
        Lower,
        "requests of a node in an hour, replication and renewal above all",
    ),
    key("rpcs_per_lookup", Lower, "requests of a lookup"),
    key("table_size", Lower, "contacts of a node, mean"),
    key(
        "join_rpcs",
        Lower,
        "requests of a node by the end of the start",
    ),
    key("simulated_s", Neither, "simulated time after the start"),
    key(
        "events_per_s",
        Neither,
        "events in a second of real time after the start",
    ),
    key(
        "total_s",
        Lower,
        "real time of the whole run, set-up included",
    ),
    key(
        "wall_s",
        Lower,
        "real time for 60 simulated seconds after the start",
    ),
    key("rss_mib", Lower, "most memory held"),
];

/// Keys that depend on the machine, which no baseline holds.
pub(crate) const OF_THE_MACHINE: &[&str] = &["events_per_s", "total_s", "wall_s", "rss_mib"];

/// The key of a name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_once() {
        for key in KEYS {
            let same = KEYS.iter().filter(|other| other.name == key.name).count();
            assert_eq!(same, 1, "{}", key.name);
        }
        assert!(OF_THE_MACHINE.iter().all(|name| find(name).is_some()));
    }
}
