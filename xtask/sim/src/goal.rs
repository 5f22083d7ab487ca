//! What the figures of a report have to reach.

use crate::settings::{Links, Settings, Subject};

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
pub(crate) fn of(name: &str, settings: &Settings) -> Option<Goal> {
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
    fn goals_follow_the_run() {
        let mut settings = Settings {
            nodes: 1_000,
            ..Settings::default()
        };
        assert_eq!(of("first_dead_s.p99", &settings), Some(Goal::AtMost(8.0)));
        settings.nodes = 10_000;
        assert_eq!(of("first_dead_s.p99", &settings), Some(Goal::AtMost(9.0)));
        settings.kill = 0.5;
        assert_eq!(of("reached_live", &settings), Some(Goal::AtLeast(0.99)));
        assert_eq!(of("kills", &settings), None);
        assert!(Goal::AtMost(1.0).is_met(1.0) && !Goal::AtLeast(1.0).is_met(0.999));
    }
}
