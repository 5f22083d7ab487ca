//! `fuzz`: libFuzzer on the stable compiler, one binary for all targets.

mod build;
mod corpus;
mod report;
mod seeds;
mod target;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::failure::{Failure, verdict};
use crate::options::{Accepts, Names, Options};
use crate::process::is_installed;
use report::Report;
use target::{Effort, Fuzzer};

const ACCEPTS: Accepts = Accepts {
    flags: &["--list", "--replay", "--keep"],
    numbers: &["--seconds", "--runs", "--jobs", "--max-len"],
    names: Names::Many,
};

/// How long a target is fuzzed when nothing is said, in seconds.
const SECONDS: u64 = 10;
/// How long that of a single message is. There are many, they are alike, and each runs some hundred thousand times in it.
const MESSAGE_SECONDS: u64 = 3;
const MESSAGE: &str = "message_";
/// How many targets run at the same time when nothing is said.
const JOBS: u64 = 2;

/// Builds the fuzzer and runs the targets that `arguments` name, or all.
///
/// # Errors
///
/// When a target crashes, the build fails, or a name is not known.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::read(ACCEPTS, arguments)?;
    if let Some(missing) = missing() {
        return Err(Failure::failed(missing));
    }
    let mut fuzzer = build::build()?;
    let known = fuzzer.targets()?;
    if options.has("--list") {
        for name in &known {
            println!("{name}");
        }
        return Ok(());
    }
    let chosen = choose(&known, options.names())?;
    let effort = |name: &str| {
        if options.has("--replay") {
            Effort::Replay
        } else if let Some(runs) = options.number("--runs") {
            Effort::Runs(runs)
        } else {
            let usual = usual_seconds(name);
            Effort::Seconds(options.number("--seconds").unwrap_or(usual))
        }
    };
    if let Some(length) = options.number("--max-len") {
        fuzzer.limit_inputs(length);
    }
    seeds::plant(&fuzzer, &known)?;
    let reports = all(
        &fuzzer,
        &chosen,
        effort,
        options.number("--jobs").unwrap_or(JOBS),
    );
    if options.has("--keep") {
        for name in &chosen {
            corpus::keep(&fuzzer, name)?;
        }
    }
    fuzzer.clean();
    summary(&chosen, &reports)?;
    verdict(
        "the corpus",
        &corpus::violations(&fuzzer.corpora()?, &known),
    )
}

/// Why fuzzing cannot run on this machine; nothing when it can.
pub(crate) fn missing() -> Option<String> {
    let compiler = std::env::var("CXX").ok();
    let found = compiler.is_some() || ["c++", "g++", "clang++"].into_iter().any(is_installed);
    (!found).then(|| "absent: a C++ compiler, which libFuzzer is built with".to_owned())
}

/// How long a target is fuzzed when nothing is said.
fn usual_seconds(name: &str) -> u64 {
    if name.starts_with(MESSAGE) {
        MESSAGE_SECONDS
    } else {
        SECONDS
    }
}

/// The targets that `names` name, or all that are known.
fn choose(known: &[String], names: &[String]) -> Result<Vec<String>, Failure> {
    if names.is_empty() {
        return Ok(known.to_vec());
    }
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(Failure::usage(format!(
            "no target `{name}`; --list shows all"
        )));
    }
    Ok(names.to_vec())
}

/// Runs `targets`, each as much as `effort` says, at most `jobs` at the same time.
fn all(
    fuzzer: &Fuzzer,
    targets: &[String],
    effort: impl Fn(&str) -> Effort + Sync,
    jobs: u64,
) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _job in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(name) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let report = fuzzer.run(name, effort(name));
                    println!("{report}");
                    if let Ok(mut reports) = reports.lock() {
                        reports.push(report);
                    }
                }
            });
        }
    });
    reports.into_inner().unwrap_or_default()
}

fn summary(targets: &[String], reports: &[Report]) -> Result<(), Failure> {
    let executions = reports
        .iter()
        .fold(0_u64, |sum, report| sum.saturating_add(report.executions));
    let failed: Vec<&Report> = reports
        .iter()
        .filter(|report| report.failure.is_some())
        .collect();
    for report in &failed {
        println!("\n{}", report.details());
    }
    println!(
        "fuzz: {} targets, {executions} executions, {} failed",
        reports.len(),
        failed.len()
    );
    if failed.is_empty() && reports.len() == targets.len() {
        return Ok(());
    }
    let names: Vec<&str> = failed.iter().map(|report| report.target.as_str()).collect();
    Err(Failure::failed(format!(
        "fuzzing failed: {}",
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_chosen_by_name() {
        let known = ["frame".to_owned(), "topic".to_owned()];
        assert_eq!(choose(&known, &[]).unwrap(), known);
        assert_eq!(choose(&known, &["topic".to_owned()]).unwrap(), ["topic"]);
        assert!(matches!(
            choose(&known, &["topics".to_owned()]),
            Err(Failure::Usage(_))
        ));
    }

    #[test]
    fn messages_take_half_as_long_as_the_others() {
        assert_eq!(usual_seconds("message_ping"), MESSAGE_SECONDS);
        assert_eq!(usual_seconds("replay_machine"), SECONDS);
    }

    #[test]
    fn one_failed_target_fails_all() {
        let good = Report::read("frame", 0, "stat::number_of_executed_units: 5\n");
        let bad = Report::read("topic", 0, "==1== ERROR: libFuzzer: deadly signal\n");
        let names = ["frame".to_owned(), "topic".to_owned()];
        assert!(summary(&names[..1], std::slice::from_ref(&good)).is_ok());
        assert!(summary(&names, std::slice::from_ref(&good)).is_err());
        assert!(summary(&names, &[good, bad]).is_err());
    }
}
