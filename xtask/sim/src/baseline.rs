//! The committed figures, and whether those of today are worse.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::goal::{self, Goal};
use crate::key::{self, Better, OF_THE_MACHINE};
use crate::parallel;
use crate::progress::Progress;
use crate::report::shown;
use crate::scenario::{Fault, Scenario};

/// By how much a figure may be worse.
const SLACK: f64 = 0.1;
/// How many kills are measured, so that one unlucky kill does not decide.
const SAMPLES: usize = 100;

/// Figures by key, as they stand in a file.
type Flat = BTreeMap<String, f64>;

/// Compares each scenario with its baseline.
///
/// # Errors
///
/// The scenarios that got worse, or did not run.
pub(crate) fn check(scenarios: &[&'static Scenario]) -> Result<(), Fault> {
    let mut worse = Vec::new();
    for (scenario, run) in run_all(scenarios) {
        let lines = run.and_then(|found| Ok(compare(&read(scenario)?, &found, scenario)));
        match lines {
            Ok(lines) if lines.is_empty() => println!("{:20} holds", scenario.name),
            Ok(lines) => {
                worse.push(scenario.name);
                println!("{:20} is WORSE", scenario.name);
                lines.iter().for_each(|line| println!("  {line}"));
            }
            Err(fault) => {
                worse.push(scenario.name);
                println!("{:20} FAILED: {fault}", scenario.name);
            }
        }
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "worse than xtask/sim/baselines: {}; mend the code, or say why in the commit that takes the new figures with \
         `cargo xtask sim --bless`",
        worse.join(", ")
    ))
}

/// Writes the figures of each scenario as its baseline.
///
/// # Errors
///
/// If a scenario does not run or its file cannot be written.
pub(crate) fn bless(scenarios: &[&'static Scenario]) -> Result<(), Fault> {
    for (scenario, run) in run_all(scenarios) {
        let mut figures = run?;
        figures.retain(|name, _| is_compared(name));
        let text = serde_json::to_string_pretty(&figures).map_err(|error| error.to_string())?;
        let path = path(scenario);
        std::fs::write(&path, format!("{text}\n"))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("{:20} {} figures", scenario.name, figures.len());
    }
    Ok(())
}

/// Whether a baseline holds the figure.
fn is_compared(name: &str) -> bool {
    let neither = key::find(name).is_none_or(|key| key.better == Better::Neither);
    !neither && !OF_THE_MACHINE.contains(&name)
}

fn path(scenario: &Scenario) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("baselines")
        .join(format!("{}.json", scenario.name))
}

fn read(scenario: &Scenario) -> Result<Flat, Fault> {
    let path = path(scenario);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{} is damaged: {error}", path.display()))
}

/// Runs each scenario in a process of its own, because the most memory is that of a process. Those that use all cores
/// run one after the other, the others side by side.
fn run_all(scenarios: &[&'static Scenario]) -> Vec<(&'static Scenario, Result<Flat, Fault>)> {
    let progress = Progress::new();
    let (many, one): (Vec<&Scenario>, Vec<&Scenario>) =
        scenarios.iter().partition(|scenario| scenario.runs_many);
    let mut done: Vec<_> = many
        .into_iter()
        .map(|scenario| (scenario, run(scenario)))
        .collect();
    done.extend(parallel::map(&one, &progress, |_, scenario| {
        (*scenario, run(scenario))
    }));
    progress.done();
    done
}

fn run(scenario: &Scenario) -> Result<Flat, Fault> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program)
        .args([
            scenario.name,
            "--json",
            "--samples",
            &SAMPLES.min(scenario.settings().nodes / 2).to_string(),
        ])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let value: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    Ok(flat(&value))
}

/// The numbers of a report, with the names of nested ones joined by a dot.
fn flat(value: &Value) -> Flat {
    let mut flat = Flat::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        flat.extend(value.as_f64().map(|value| (name.clone(), value)));
        for (last, value) in value.as_object().into_iter().flatten() {
            let name = format!("{name}.{last}");
            flat.extend(value.as_f64().map(|value| (name, value)));
        }
    }
    flat
}

/// What is worse in `found` than in `baseline`, one line each.
fn compare(baseline: &Flat, found: &Flat, scenario: &Scenario) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, was) in baseline {
        match found.get(name) {
            Some(is) if is_worse(name, *was, *is) => {
                lines.push(format!("{name}: {} instead of {}", shown(*is), shown(*was)));
            }
            Some(_) => {}
            None => lines.push(format!("{name}: not measured any more")),
        }
    }
    for name in found.keys().filter(|name| is_compared(name)) {
        if !baseline.contains_key(name) {
            lines.push(format!("{name}: new; take it in with --bless"));
        }
    }
    // Memory is the same on every machine, near enough; how long a run takes is not, and fails nothing.
    let name = "rss_mib";
    let goal = goal::of(name, &scenario.settings());
    let missed = |is: f64| goal.is_some_and(|goal: Goal| !goal.is_met(is));
    if let Some(is) = found.get(name).filter(|is| missed(**is)) {
        lines.push(format!("{name}: {} is over its goal", shown(*is)));
    }
    lines
}

/// Whether a figure that `was` is more than a tenth worse. What was zero stays zero, and a whole stays a whole.
fn is_worse(name: &str, was: f64, is: f64) -> bool {
    match key::find(name).map(|key| key.better) {
        Some(Better::Lower) => is > was + SLACK * was.abs(),
        Some(Better::Higher) => is < was - SLACK * was.abs(),
        Some(Better::Whole) => is < was.min(1.0) - SLACK * (1.0 - was),
        Some(Better::Neither) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::SCENARIOS;

    #[test]
    fn a_tenth_is_allowed_and_zero_stays_zero() {
        assert!(!is_worse("first_dead_s.p50", 4.0, 4.4));
        assert!(is_worse("first_dead_s.p50", 4.0, 4.41));
        assert!(!is_worse("first_dead_s.p50", 4.0, 1.0));
        assert!(is_worse("false_dead", 0.0, 1.0));
        assert!(!is_worse("false_dead", 0.0, 0.0));
        assert!(is_worse("reached_live", 1.0, 0.89));
        assert!(!is_worse("reached_live", 1.0, 0.99));
        assert!(is_worse("degree_exact", 1.0, 0.999));
        assert!(!is_worse("degree_exact", 0.9, 0.9));
        assert!(!is_worse("kills", 20.0, 0.0));
    }

    #[test]
    fn what_is_missing_or_new_is_told() {
        let value = serde_json::json!({"first_dead_s": {"p50": 4}, "false_dead": 0, "rss_mib": 9999, "wall_s": 99, "links": "wan"});
        let found = flat(&value);
        assert_eq!(found.get("first_dead_s.p50"), Some(&4.0));
        assert_eq!(found.len(), 4);
        let baseline = Flat::from([("first_dead_s.p50".into(), 4.0), ("spread99_s".into(), 1.0)]);
        let lines = compare(&baseline, &found, &SCENARIOS[0]);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("spread99_s: not measured"), "{lines:?}");
        assert!(lines[1].contains("false_dead: new"), "{lines:?}");
        assert!(lines[2].contains("rss_mib: 9999 is over"), "{lines:?}");
    }

    #[test]
    fn each_scenario_has_a_baseline() {
        for scenario in SCENARIOS {
            let baseline = read(scenario).unwrap();
            assert!(!baseline.is_empty(), "{}", scenario.name);
            for name in baseline.keys() {
                assert!(is_compared(name), "{}: {name}", scenario.name);
            }
        }
    }
}
