//! The command line.

use std::path::PathBuf;

use crate::scenario::{self, SCENARIOS, Scenario};
use crate::settings::{Cells, Detection, Links, Part, Settings};

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// The text of the help.
    Help,
    /// The names of all scenarios.
    List,
    /// One run.
    Run {
        scenario: &'static Scenario,
        settings: Settings,
        json: bool,
    },
    /// All scenarios, or those named, against their baselines.
    Check(Vec<&'static Scenario>),
    /// The same, with their figures as the new baselines.
    Bless(Vec<&'static Scenario>),
}

/// What was given, before it is known for which scenario.
#[derive(Debug, Default)]
struct Given {
    names: Vec<String>,
    flags: Vec<&'static str>,
    values: Vec<(&'static str, String)>,
}

/// Options that take a value, what it is, and what it does.
const VALUES: &[(&str, &str, &str)] = &[
    (
        "--nodes",
        "N",
        "how many nodes take part (1,000; membership-slow: 128)",
    ),
    (
        "--seed",
        "S",
        "the simulation seed; equal seeds give equal runs (1)",
    ),
    (
        "--links",
        "wan|lan",
        "10 to 50 ms, or 0.2 to 1 ms, one way (wan)",
    ),
    (
        "--loss",
        "SHARE",
        "datagrams lost (membership-loss: 0.05; events-loss: 0.15; else 0)",
    ),
    (
        "--kill",
        "SHARE",
        "nodes killed at once in overlay-kill, kad-kill and events-kill (0.3)",
    ),
    (
        "--samples",
        "COUNT",
        "kills measured one by one in membership-kill (20); 0 kills nobody",
    ),
    ("--hours", "HOURS", "node-hours of membership-loss (100)"),
    (
        "--without",
        "PART",
        "lha-probe, lha-suspicion or buddy is off; may be repeated",
    ),
    (
        "--with",
        "PART",
        "plain SWIM and this part; may be repeated",
    ),
    (
        "--cells",
        "COUNT|all",
        "cells of the 432 of membership-slow, evenly spread (24)",
    ),
    (
        "--liars",
        "SHARE",
        "nodes that name only each other in kad-liars (0.3)",
    ),
    (
        "--paths",
        "COUNT",
        "paths of a lookup with no node in common, 1 to 20 (1; kad-liars: 4)",
    ),
    (
        "--lookups",
        "COUNT",
        "lookups, or records, measured by kad-* (1,000)",
    ),
    ("--trace", "FILE", "writes every event of the run"),
];

/// Options that take none.
const FLAGS: &[(&str, &str)] = &[
    (
        "--plain",
        "plain SWIM: Lifeguard and what goes beyond it is off",
    ),
    (
        "--seeded",
        "lookups of kad-* begin with the members that membership knows",
    ),
    (
        "--verdicts",
        "survivors of events-kill learn of the dead by verdicts alone, not by suspicions",
    ),
    ("--json", "one JSON object instead of a table"),
    ("--list", "the scenarios"),
    (
        "--check",
        "runs all, or those named, with 1,000 nodes against xtask/sim/baselines",
    ),
    ("--bless", "writes these baselines anew"),
    ("--help", "this text"),
];

/// The text of the help.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "cargo xtask sim SCENARIO [OPTIONS]\n\n\
         Runs membership, the overlay, routing or events of thousands of nodes on virtual time and measures it.\n\n\
         Scenarios:\n",
    );
    text.push_str(&scenario::list());
    text.push_str("\nOptions:\n");
    let values = VALUES
        .iter()
        .map(|(name, value, about)| (format!("{name} {value}"), *about));
    let flags = FLAGS
        .iter()
        .map(|(name, about)| ((*name).to_owned(), *about));
    for (option, about) in values.chain(flags) {
        text.push_str(&format!("  {option:20} {about}\n"));
    }
    text.push_str(
        "\nExamples:\n  \
         cargo xtask sim membership-kill --nodes 10_000\n  \
         cargo xtask sim membership-loss --loss 0.15 --json\n  \
         cargo xtask sim membership-slow --without buddy --cells all\n  \
         cargo xtask sim overlay-kill --nodes 10_000 --kill 0.5 --seed 7\n  \
         cargo xtask sim kad-lookup --nodes 10_000 --seeded\n  \
         cargo xtask sim events-kill --nodes 10_000 --kill 0.5\n  \
         cargo xtask sim --check\n\n\
         docs/scale.md says what each figure means and what it has to reach.\n",
    );
    text
}

/// Reads the command line.
///
/// # Errors
///
/// A text for the person who typed it.
pub(crate) fn read(arguments: &[String]) -> Result<Request, String> {
    let given = Given::read(arguments)?;
    if given.has("--help") || arguments.is_empty() {
        return Ok(Request::Help);
    }
    if given.has("--list") {
        return Ok(Request::List);
    }
    let scenarios: Vec<&Scenario> = given
        .names
        .iter()
        .map(|name| scenario::find(name))
        .collect::<Result<_, _>>()?;
    if given.has("--check") || given.has("--bless") {
        given.refuse_settings()?;
        let scenarios = if scenarios.is_empty() {
            SCENARIOS.iter().collect()
        } else {
            scenarios
        };
        return Ok(if given.has("--bless") {
            Request::Bless(scenarios)
        } else {
            Request::Check(scenarios)
        });
    }
    let [scenario] = scenarios[..] else {
        return Err("name one scenario; --list shows all".to_owned());
    };
    Ok(Request::Run {
        scenario,
        settings: given.settings(scenario)?,
        json: given.has("--json"),
    })
}

impl Given {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut given = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (option, value) = match argument.split_once('=') {
                Some((option, value)) => (option, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let option = if option == "-h" { "--help" } else { option };
            let takes = VALUES.iter().find(|(name, _, _)| *name == option);
            let flag = FLAGS.iter().find(|(name, _)| *name == option);
            match (takes, flag, value) {
                (Some((name, what, _)), _, value) => {
                    let value = value.or_else(|| rest.next().cloned());
                    let value = value.ok_or_else(|| format!("{name} takes {what}"))?;
                    given.values.push((name, value));
                }
                (None, Some((name, _)), None) => given.flags.push(name),
                (None, _, _) if argument.starts_with('-') => {
                    return Err(format!("`{argument}` is not accepted; see --help"));
                }
                (None, _, _) => given.names.push(argument.clone()),
            }
        }
        Ok(given)
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    /// Baselines are for default runs.
    fn refuse_settings(&self) -> Result<(), String> {
        match self.values.first() {
            Some((name, _)) => Err(format!("{name} does not go with --check and --bless")),
            None if self.has("--plain") => Err("--plain does not go with them either".to_owned()),
            None => Ok(()),
        }
    }

    fn settings(&self, scenario: &Scenario) -> Result<Settings, String> {
        let mut settings = scenario.settings();
        settings.plain = self.has("--plain");
        settings.seeded = self.has("--seeded");
        if self.has("--verdicts") {
            settings.detection = Detection::Verdicts;
        }
        for (name, value) in &self.values {
            let fault = |what: &str| format!("{name} takes {what}, not `{value}`");
            match *name {
                "--nodes" => settings.nodes = whole(value).ok_or_else(|| fault("a number"))?,
                "--seed" => settings.seed = whole(value).ok_or_else(|| fault("a number"))?,
                "--links" => {
                    settings.links = [Links::Wan, Links::Lan]
                        .into_iter()
                        .find(|links| links.name() == value)
                        .ok_or_else(|| fault("wan or lan"))?;
                }
                "--loss" => {
                    settings.loss = share(value, 0.9).ok_or_else(|| fault("0 to 0.9"))?;
                }
                "--kill" => settings.kill = share(value, 0.9).ok_or_else(|| fault("0 to 0.9"))?,
                "--liars" => settings.liars = share(value, 0.9).ok_or_else(|| fault("0 to 0.9"))?,
                "--paths" => {
                    let paths = whole(value).filter(|paths| (1..=20).contains(paths));
                    settings.paths = paths.ok_or_else(|| fault("1 to 20"))?;
                }
                "--lookups" => {
                    let lookups = whole(value).filter(|lookups| *lookups > 0);
                    settings.lookups = lookups.ok_or_else(|| fault("a number"))?;
                }
                "--samples" => settings.samples = whole(value).ok_or_else(|| fault("a number"))?,
                "--hours" => {
                    let hours = share(value, 1e6).filter(|hours| *hours > 0.0);
                    settings.hours = hours.ok_or_else(|| fault("a number of hours"))?;
                }
                "--without" => {
                    settings
                        .without
                        .push(part(value).ok_or_else(|| fault(PARTS))?);
                }
                "--with" => {
                    settings.plain = true;
                    settings.with.push(part(value).ok_or_else(|| fault(PARTS))?);
                }
                "--cells" if value == "all" => settings.cells = Cells::All,
                "--cells" => {
                    let count = whole(value).filter(|count| *count > 0);
                    settings.cells = Cells::Some(count.ok_or_else(|| fault("a number or all"))?);
                }
                _ => settings.trace = Some(PathBuf::from(value)),
            }
        }
        check(scenario, &settings)?;
        Ok(settings)
    }
}

/// What makes no sense together.
fn check(scenario: &Scenario, settings: &Settings) -> Result<(), String> {
    let least = 8;
    if settings.nodes < least || settings.nodes > 10_000 {
        return Err(format!("--nodes takes {least} to 10,000"));
    }
    if settings.samples.saturating_mul(2) > settings.nodes {
        return Err("--samples is at most half of --nodes".to_owned());
    }
    if settings.plain && !settings.without.is_empty() {
        return Err("plain SWIM leaves nothing for --without".to_owned());
    }
    if settings.trace.is_some() && scenario.runs_many {
        return Err(format!(
            "{} makes many runs, so it has no trace",
            scenario.name
        ));
    }
    Ok(())
}

/// The words for the parts of Lifeguard.
const PARTS: &str = "lha-probe, lha-suspicion or buddy";

fn part(word: &str) -> Option<Part> {
    Part::ALL.into_iter().find(|part| part.name() == word)
}

/// A whole number, with or without `_` and `,`.
fn whole<T: std::str::FromStr>(value: &str) -> Option<T> {
    value.replace(['_', ','], "").parse().ok()
}

/// A number from 0 to `most`.
fn share(value: &str, most: f64) -> Option<f64> {
    let number: f64 = value.parse().ok()?;
    (number >= 0.0 && number <= most).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(&words)
    }

    fn settings(line: &str) -> Settings {
        let Ok(Request::Run { settings, .. }) = parse(line) else {
            panic!("{line}");
        };
        settings
    }

    #[test]
    fn a_run_takes_what_is_given_and_defaults_for_the_rest() {
        let kill = settings("membership-kill --nodes 10_000 --seed=7 --links lan");
        assert_eq!((kill.nodes, kill.seed, kill.links), (10_000, 7, Links::Lan));
        assert_eq!((kill.samples, kill.loss), (20, 0.0));
        assert_eq!(settings("membership-loss").loss, 0.05);
        assert_eq!(settings("membership-slow").nodes, 128);
        assert_eq!(settings("overlay-kill --kill 0.5").kill, 0.5);
        let slow = settings("membership-slow --without buddy --without lha-probe --cells all");
        assert_eq!(slow.without, [Part::Buddy, Part::LhaProbe]);
        assert_eq!(slow.cells, Cells::All);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "membership-kil",
            "membership-kill overlay-kill",
            "--json",
            "membership-kill --nodes",
            "membership-kill --nodes many",
            "membership-kill --nodes 3",
            "membership-kill --nodes 20000",
            "membership-kill --samples 600",
            "membership-loss --loss 2",
            "membership-slow --without everything",
            "membership-slow --plain --without buddy",
            "membership-slow --trace file",
            "membership-kill --fast",
            "--check --nodes 5",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_help_names_everything() {
        assert!(matches!(parse(""), Ok(Request::Help)));
        assert!(matches!(parse("membership-kill -h"), Ok(Request::Help)));
        assert!(matches!(parse("--list"), Ok(Request::List)));
        let help = help();
        for scenario in SCENARIOS {
            assert!(help.contains(scenario.name));
        }
        for (name, _, _) in VALUES {
            assert!(help.contains(name));
        }
    }

    #[test]
    fn checks_take_all_scenarios_or_those_named() {
        let Ok(Request::Check(all)) = parse("--check") else {
            panic!("no check");
        };
        assert_eq!(all.len(), SCENARIOS.len());
        let Ok(Request::Bless(some)) = parse("overlay-join --bless") else {
            panic!("no bless");
        };
        assert_eq!(some[0].name, "overlay-join");
    }
}
