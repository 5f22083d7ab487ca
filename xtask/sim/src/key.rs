//! The keys of a report: what each means, which way is better, and what it has to reach.

use crate::settings::{Links, Settings, Subject};

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

/// What a figure has to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

impl Goal {
    /// Whether `value` reaches it.
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

/// What the figure under `name` has to reach in a run with `settings`; nothing for most keys.
pub(crate) fn goal(name: &str, settings: &Settings) -> Option<Goal> {
    let large = settings.nodes > 1_000;
    let either = |small: f64, big: f64| Goal::AtMost(if large { big } else { small });
    if settings.subject != Subject::Members {
        return goal_of_routing(name, settings);
    }
    let goal = match name {
        "first_suspect_s.mean" => Goal::AtMost(1.2),
        "first_suspect_s.p99" => Goal::AtMost(2.5),
        "first_dead_s.p50" => either(5.0, 6.0),
        "first_dead_s.p99" => either(8.0, 9.0),
        "spread99_s" => Goal::AtMost(match settings.links {
            Links::Lan => 0.3,
            Links::Wan => 0.6,
        }),
        "false_dead" if settings.loss <= 0.05 => Goal::AtMost(0.0),
        "false_dead_per_node_h" if settings.loss > 0.05 => Goal::AtMost(0.01),
        "fp_ratio" | "fp_healthy_ratio" => Goal::AtMost(0.01),
        "bytes_per_node_s" => Goal::AtMost(1_000.0),
        "msgs_per_node_s" => Goal::AtMost(8.0),
        "views_equal_s" => Goal::AtMost(30.0),
        "degree_exact" | "reached_live_repaired" => Goal::AtLeast(1.0),
        "lambda2" => Goal::AtMost(1.05 * settings.lambda2_bound()),
        "ldh" => Goal::AtMost(7.0),
        "reached_live" => Goal::AtLeast(reached(settings.kill)),
        "wall_s" => Goal::AtMost(20.0),
        "total_s" => Goal::AtMost(45.0),
        "rss_mib" => Goal::AtMost(3_072.0),
        _ => return None,
    };
    Some(goal)
}

/// The same where the subject is routing.
fn goal_of_routing(name: &str, settings: &Settings) -> Option<Goal> {
    let half = settings.kill > 0.3;
    let by_size = |small: f64, middle: f64, large: f64| match settings.nodes {
        ..=100 => small,
        101..=1_000 => middle,
        _ => large,
    };
    if settings.subject.is_events() {
        return goal_of_events(name, settings);
    }
    let goal = match (settings.subject, name) {
        (_, "total_s") => Goal::AtMost(45.0),
        (_, "rss_mib") => Goal::AtMost(3_072.0),
        (Subject::Lookups, "hops.mean") if settings.seeded => Goal::AtMost(1.0),
        (Subject::Lookups, "hops.p99") if settings.seeded => Goal::AtMost(1.0),
        (Subject::Lookups, "hops.mean") => Goal::AtMost(by_size(1.4, 2.0, 2.6)),
        (Subject::Lookups, "hops.p99") => Goal::AtMost(by_size(2.0, 3.0, 4.0)),
        (Subject::Lookups, "lookup_ms.mean") => Goal::AtMost(140.0),
        (Subject::Lookups, "lookup_ms.p99") => Goal::AtMost(250.0),
        (Subject::Lookups, "table_size") => Goal::AtMost(200.0),
        (Subject::Lookups, "rpcs_per_lookup") => Goal::AtMost(26.0),
        (Subject::Lookups, "wall_s") => Goal::AtMost(5.0),
        (Subject::Kill, "success") => Goal::AtLeast(if half { 0.99 } else { 0.999 }),
        (Subject::Kill, "lookup_ms.p99") => Goal::AtMost(if half { 600.0 } else { 300.0 }),
        (Subject::Churn, "success") => Goal::AtLeast(0.999),
        (Subject::Churn, "recall") => Goal::AtLeast(0.99),
        (Subject::Records, "survived") => Goal::AtLeast(1.0),
        (Subject::Records, "survived_half") => Goal::AtLeast(0.9999),
        (Subject::Liars, "success") => Goal::AtLeast(among_liars(settings)),
        _ => return None,
    };
    Some(goal)
}

/// The same where the subject is events.
fn goal_of_events(name: &str, settings: &Settings) -> Option<Goal> {
    let large = settings.nodes > 1_000;
    let goal = match (settings.subject, name) {
        (_, "total_s") => Goal::AtMost(45.0),
        (_, "rss_mib") => Goal::AtMost(3_072.0),
        (_, "complete" | "reached_10s") => Goal::AtLeast(1.0),
        (_, "delivered_twice") => Goal::AtMost(0.0),
        (Subject::Events, "ldh_max") => Goal::AtMost(12.0),
        (Subject::Events, "ldh") => Goal::AtMost(if large { 10.0 } else { 8.0 }),
        (Subject::Events, "rmr") => Goal::AtMost(0.1),
        (Subject::Events, "last_delivery_s") => Goal::AtMost(if large { 0.3 } else { 0.22 }),
        (Subject::EventsKill, "reached_3s") => Goal::AtLeast(if settings.kill <= 0.1 {
            1.0
        } else if settings.kill <= 0.3 {
            0.9999
        } else {
            0.995
        }),
        _ => return None,
    };
    Some(goal)
}

/// The share of lookups that have to succeed among liars.
fn among_liars(settings: &Settings) -> f64 {
    let by_share = |few: f64, some: f64, half: f64| {
        if settings.liars <= 0.2 {
            few
        } else if settings.liars <= 0.3 {
            some
        } else {
            half
        }
    };
    match settings.paths {
        8.. => by_share(0.999, 0.999, 0.99),
        _ => by_share(0.995, 0.98, 0.88),
    }
}

/// The share of the live that a flood has to reach right after `kill` of all nodes died.
fn reached(kill: f64) -> f64 {
    if kill <= 0.1 {
        1.0
    } else if kill <= 0.3 {
        0.9999
    } else {
        0.99
    }
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

    #[test]
    fn goals_follow_the_run() {
        let mut settings = Settings {
            nodes: 1_000,
            ..Settings::default()
        };
        assert_eq!(goal("first_dead_s.p99", &settings), Some(Goal::AtMost(8.0)));
        settings.nodes = 10_000;
        assert_eq!(goal("first_dead_s.p99", &settings), Some(Goal::AtMost(9.0)));
        settings.kill = 0.5;
        assert_eq!(goal("reached_live", &settings), Some(Goal::AtLeast(0.99)));
        assert_eq!(goal("kills", &settings), None);
        assert!(Goal::AtMost(1.0).is_met(1.0) && !Goal::AtLeast(1.0).is_met(0.999));
    }
}
