//! `release-check`: what a release has to pass and a change need not wait for.

mod figures;

use crate::bench;
use crate::ci::{passed, words};
use crate::failure::Failure;
use crate::process::cargo;
use crate::steps::{self, Outcome, Step};
use crate::{fuzz, mesh};

const STEPS: &[Step] = &[
    Step {
        name: "alone",
        about: "each crate is tested by itself",
        run: alone,
    },
    Step {
        name: "seeds",
        about: "1,000 seeds in the simulated network",
        run: seeds,
    },
    Step {
        name: "fuzz",
        about: "10,000,000 executions a target",
        run: fuzz,
    },
    Step {
        name: "test-mesh",
        about: "all scenarios ten times in a row, and ten minutes of loss",
        run: mesh,
    },
    Step {
        name: "instructions",
        about: "instruction counts against the baseline",
        run: instructions,
    },
    Step {
        name: "figures",
        about: "events and calls against bare quinn",
        run: figures,
    },
];

/// What `cargo test` runs for each crate alone.
const ALONE: &[&str] = &[
    "-p macula-wire",
    "-p macula-transport",
    "-p macula-transport --all-features",
    "-p macula-realm",
    "-p macula-realm --no-default-features",
    "-p macula-swim",
    "-p macula-kad",
    "-p macula-pubsub",
    "-p macula-rpc",
    "-p macula",
    "-p macula-testkit",
    "-p macula-bench",
    "-p macula-player",
    "-p macula-sim",
    "-p xtask",
];

/// Crates whose tests read `MACULA_SEEDS`.
const SEEDED: &[&str] = &[
    "macula-swim",
    "macula-kad",
    "macula-pubsub",
    "macula-rpc",
    "macula",
];
/// Seeds of each simulation.
const SEEDS: &str = "1000";
/// How often all scenarios run.
const ROUNDS: u32 = 10;

/// Runs the steps that `arguments` name, or all.
///
/// # Errors
///
/// When a step fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    steps::run(STEPS, arguments)
}

fn alone() -> Result<Outcome, Failure> {
    for line in ALONE {
        cargo("test --locked").words(line).run()?;
    }
    Ok(Outcome::Passed)
}

fn seeds() -> Result<Outcome, Failure> {
    for name in SEEDED {
        cargo("test --locked --test it -p")
            .arg(name)
            .env("MACULA_SEEDS", SEEDS)
            .run()?;
    }
    Ok(Outcome::Passed)
}

fn fuzz() -> Result<Outcome, Failure> {
    passed(fuzz::run(&words("--runs 10_000_000 --jobs 2")))
}

fn mesh() -> Result<Outcome, Failure> {
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}");
        mesh::run(&[])?;
    }
    mesh::run(&words("loss --minutes 10"))?;
    if mesh::has_namespaces() {
        mesh::run(&words("--netns"))?;
    }
    Ok(Outcome::Passed)
}

fn instructions() -> Result<Outcome, Failure> {
    match bench::missing() {
        Some(missing) => Ok(Outcome::Absent(missing)),
        None => passed(bench::check_instructions()),
    }
}

fn figures() -> Result<Outcome, Failure> {
    passed(figures::check())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::members;

    #[test]
    fn every_member_is_tested_alone() {
        for member in members().unwrap() {
            let line = format!("-p {member}");
            assert!(
                ALONE.contains(&line.as_str()),
                "add `{line}` to ALONE in xtask/src/release.rs"
            );
        }
    }

    #[test]
    fn every_step_is_described() {
        let text = std::fs::read_to_string(crate::process::root().join("docs/ci.md")).unwrap();
        for step in STEPS {
            assert!(
                text.contains(&format!("- `{}`:", step.name)),
                "docs/ci.md lacks {}",
                step.name
            );
        }
    }
}
