//! What every scenario has to keep: its keys, its seed, and that it measures its fault.

use serde_json::Value;

use crate::progress::Progress;
use crate::report::Report;
use crate::scenario::{self, SCENARIOS};
use crate::settings::{Cells, Settings};

/// A short run of a scenario, as the JSON that a program reads.
fn run(name: &str, change: impl FnOnce(&mut Settings)) -> Result<Value, String> {
    let scenario = scenario::find(name).unwrap();
    let mut settings = scenario.settings();
    settings.nodes = 40;
    settings.samples = 3;
    settings.hours = 0.3;
    settings.lookups = 30;
    settings.cells = Cells::Some(1);
    change(&mut settings);
    let report = Report {
        scenario: scenario.name,
        outcome: (scenario.run)(&settings, &Progress::hidden())?,
        settings,
    };
    Ok(serde_json::from_str(&report.json()?).unwrap())
}

/// Whether there is a number under a key; a dot is a level.
fn has(value: &Value, key: &str) -> bool {
    value[key.split('.').next().unwrap_or_default()]
        .pointer(
            &key.split('.')
                .skip(1)
                .map(|part| format!("/{part}"))
                .collect::<String>(),
        )
        .is_some_and(Value::is_number)
}

#[test]
fn each_scenario_has_the_keys_of_the_table() {
    let lookups = "hops.mean hops.p99 lookup_ms.mean lookup_ms.p99 rpcs_per_lookup";
    let membership = "bytes_per_node_s msgs_per_node_s false_dead";
    for (name, keys) in [
        (
            "membership-kill",
            format!(
                "first_suspect_s.mean first_suspect_s.p99 first_dead_s.p50 first_dead_s.p99 spread99_s {membership}"
            ),
        ),
        (
            "membership-loss",
            format!("false_dead_per_node_h {membership}"),
        ),
        (
            "membership-slow",
            "fp_events fp_events_plain cells".to_owned(),
        ),
        ("membership-split", "views_equal_s".to_owned()),
        ("membership-restart", "views_equal_s".to_owned()),
        (
            "overlay-join",
            "degree_exact lambda2 ldh settle_s".to_owned(),
        ),
        (
            "overlay-churn",
            "degree_exact lambda2 connected_min".to_owned(),
        ),
        (
            "overlay-kill",
            "degree_exact reached_live reached_live_repaired repair_s".to_owned(),
        ),
        (
            "kad-lookup",
            format!("lookup_cold_ms.mean table_size success {lookups}"),
        ),
        ("kad-churn", format!("recall success departures {lookups}")),
        ("kad-kill", format!("killed success {lookups}")),
        ("kad-liars", format!("liars success {lookups}")),
        (
            "kad-records",
            "survived survived_half found copies departures".to_owned(),
        ),
    ] {
        let value = run(name, |_| ()).unwrap();
        for key in keys.split(' ').chain(["nodes", "seed", "events", "wall_s"]) {
            assert!(has(&value, key), "{name} lacks {key}: {value}");
        }
        for key in ["scenario", "links", "trace_hash"] {
            assert!(value[key].is_string(), "{name} lacks {key}: {value}");
        }
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    for scenario in SCENARIOS {
        let hash = |seed| {
            let value = run(scenario.name, |settings| settings.seed = seed).unwrap();
            value["trace_hash"].clone()
        };
        let first = hash(1);
        assert_eq!(first, hash(1), "{}", scenario.name);
        assert_ne!(first, hash(2), "{}", scenario.name);
    }
}

#[test]
fn without_a_kill_nothing_is_found() {
    let value = run("membership-kill", |settings| settings.samples = 0).unwrap();
    assert_eq!(value["kills"], 0);
    for key in ["first_suspect_s", "first_dead_s", "spread99_s"] {
        assert!(value.get(key).is_none(), "{value}");
    }
    assert_eq!(value["false_dead"], 0);
}

#[test]
fn loss_costs_suspicions_and_what_is_not_killed_is_reached() {
    let suspicions = |loss| {
        let value = run("membership-loss", |settings| {
            (settings.loss, settings.hours) = (loss, 1.0);
        });
        value.unwrap()["suspicions_per_node_h"].as_f64().unwrap()
    };
    assert_eq!(suspicions(0.0), 0.0);
    assert!(suspicions(0.4) > 0.0);
    let reached = |kill| run("overlay-kill", |settings| settings.kill = kill).unwrap();
    assert_eq!(reached(0.0)["reached_live"], 1);
    assert!(reached(0.8)["reached_live"].as_f64().unwrap() < 1.0);
}

#[test]
fn lookups_suffer_from_the_dead_and_from_liars_and_not_from_nothing() {
    let figure = |name: &str, key: &str, change: fn(&mut Settings)| {
        let value = run(name, |settings| {
            (settings.nodes, settings.lookups) = (150, 200);
            change(settings);
        });
        value.unwrap()[key].as_f64().unwrap()
    };
    let requests = |change| figure("kad-kill", "rpcs_per_lookup", change);
    let whole = requests(|settings| settings.kill = 0.0);
    assert!(whole < 22.0, "{whole}");
    assert!(requests(|settings| settings.kill = 0.5) > whole + 5.0);
    let success = |change| figure("kad-liars", "success", change);
    assert_eq!(success(|settings| settings.liars = 0.0), 1.0);
    let most = success(|settings| (settings.liars, settings.paths) = (0.85, 1));
    assert!(most < 1.0, "{most}");
}

#[test]
fn what_membership_knows_saves_requests_in_a_row() {
    let hops = |seeded| {
        let value = run("kad-lookup", |settings| {
            (settings.nodes, settings.seeded) = (300, seeded);
        });
        value.unwrap()["hops"]["mean"].as_f64().unwrap()
    };
    assert_eq!(hops(true), 1.0);
    assert!(hops(false) > 1.2);
}

#[test]
fn a_trace_has_a_line_for_each_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let value = run("membership-kill", |settings| {
        settings.trace = Some(path.clone());
    })
    .unwrap();
    let lines = std::fs::read_to_string(path).unwrap().lines().count();
    assert_eq!(Some(lines as u64), value["events"].as_u64());
}
