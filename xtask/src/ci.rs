//! `ci`: what every change has to pass, in order.

use crate::failure::Failure;
use crate::process::{cargo, is_installed};
use crate::steps::{self, Outcome, Step};
use crate::{examples, fuzz, layers, mesh, sim, tidy, vectors};

const STEPS: &[Step] = &[
    Step {
        name: "format",
        about: "rustfmt changes nothing",
        run: format,
    },
    Step {
        name: "layers",
        about: "who depends on whom",
        run: || passed(layers::run(&[])),
    },
    Step {
        name: "tidy",
        about: "rules about files",
        run: || passed(tidy::run(&[])),
    },
    Step {
        name: "clippy",
        about: "no lint is broken",
        run: clippy,
    },
    Step {
        name: "test",
        about: "all tests, with those in the documentation",
        run: test,
    },
    Step {
        name: "examples",
        about: "the examples of the library run to their end",
        run: || passed(examples::run(&[])),
    },
    Step {
        name: "docs",
        about: "the documentation builds without a warning",
        run: docs,
    },
    Step {
        name: "features",
        about: "each crate alone, features on and off",
        run: features,
    },
    Step {
        name: "vectors",
        about: "bytes on the wire are as written",
        run: || passed(vectors::run(&[])),
    },
    Step {
        name: "fuzz",
        about: "the corpus, and 3 or 10 s a target",
        run: fuzz,
    },
    Step {
        name: "test-mesh",
        about: "real processes from nothing to readings, and promises kept under faults",
        run: test_mesh,
    },
    Step {
        name: "sim",
        about: "1,000 simulated nodes are as good as before",
        run: || passed(sim::run(&words("--check"))),
    },
    Step {
        name: "licences",
        about: "what we depend on is allowed",
        run: licences,
    },
];

/// What is compiled apart from everything else.
const FEATURES: &[&str] = &[
    "-p macula-wire",
    "-p macula-transport",
    "-p macula-transport --features http3",
    "-p macula-transport --features baseline",
    "-p macula-realm",
    "-p macula-realm --no-default-features",
    "-p macula-swim",
    "-p macula-kad",
    "-p macula-pubsub",
    "-p macula-rpc",
    "-p macula",
    "-p macula --no-default-features",
    "-p macula --no-default-features --features http3",
    "-p macula-testkit",
    "-p macula-bench",
    "-p macula-player",
    "-p macula-sim",
    "-p xtask",
];

/// Runs the steps that `arguments` name, or all.
///
/// # Errors
///
/// When a step fails.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    steps::run(STEPS, arguments)
}

/// The outcome of a step that always runs.
pub(crate) fn passed(result: Result<(), Failure>) -> Result<Outcome, Failure> {
    result.map(|()| Outcome::Passed)
}

fn format() -> Result<Outcome, Failure> {
    cargo("fmt --all --check").run()?;
    passed(cargo("fmt --check --manifest-path xtask/fuzz/Cargo.toml").run())
}

fn clippy() -> Result<Outcome, Failure> {
    passed(cargo("clippy --workspace --all-targets --all-features --locked -- -D warnings").run())
}

fn test() -> Result<Outcome, Failure> {
    passed(cargo("test --workspace --all-features --locked").run())
}

fn docs() -> Result<Outcome, Failure> {
    passed(
        cargo("doc --workspace --no-deps --document-private-items --all-features --locked")
            .env("RUSTDOCFLAGS", "-Dwarnings")
            .run(),
    )
}

fn features() -> Result<Outcome, Failure> {
    for line in FEATURES {
        // Clippy rather than check, because its warnings can be made errors without other flags
        // for rustc, which would compile every dependency once more.
        cargo("clippy --quiet --locked")
            .words(line)
            .words("-- -D warnings")
            .run()?;
    }
    Ok(Outcome::Passed)
}

fn fuzz() -> Result<Outcome, Failure> {
    if let Some(missing) = fuzz::missing() {
        return Ok(Outcome::Absent(missing));
    }
    passed(fuzz::run(&words("--jobs 2")))
}

fn test_mesh() -> Result<Outcome, Failure> {
    passed(mesh::run(&words("quickstart promises --events 20_000")))
}

fn licences() -> Result<Outcome, Failure> {
    if !is_installed("cargo-deny") {
        return Ok(Outcome::Absent("absent: cargo-deny (optional)".to_owned()));
    }
    passed(cargo("deny --all-features check bans licenses sources").run())
}

/// Arguments as a person would type them.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::members;

    #[test]
    fn every_member_is_checked_alone() {
        for member in members().unwrap() {
            let line = format!("-p {member}");
            assert!(
                FEATURES.contains(&line.as_str()),
                "add `{line}` to FEATURES in xtask/src/ci.rs"
            );
        }
    }

    #[test]
    fn every_step_is_described() {
        let text = std::fs::read_to_string(crate::process::root().join("docs/ci.md")).unwrap();
        for step in STEPS {
            assert!(
                text.contains(&format!("## {}\n", step.name)),
                "docs/ci.md lacks {}",
                step.name
            );
        }
    }
}
