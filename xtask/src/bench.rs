//! `bench`: times by criterion, and instructions by callgrind against a committed baseline.

mod instructions;

use std::collections::BTreeMap;
use std::path::Path;

use crate::failure::Failure;
use crate::options::{Accepts, Names, Options};
use crate::process::{Tool, cargo, is_installed, read, root};
use instructions::{Counts, compare};

/// The committed counts, by scenario.
const BASELINE: &str = "xtask/bench/instructions.json";
/// Where the program lies that is counted: `instructions --list` names the scenarios, one a line,
/// and `instructions NAME ROUNDS` prepares one of them once and runs it that often.
const PROGRAM: &str = "xtask/bench/src/bin/instructions.rs";
/// How often a scenario runs in the shorter and in the longer of two counted runs. What they differ
/// by is the scenario alone, without the start of the process and without preparation.
const ROUNDS: (u64, u64) = (1, 11);

/// Runs the benches.
///
/// # Errors
///
/// When a bench fails, or a scenario takes too many instructions.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let accepts = Accepts {
        flags: &["--quick", "--bless"],
        numbers: &[],
        names: Names::Refused,
    };
    let options = Options::read(accepts, arguments)?;
    if options.has("--bless") {
        return bless();
    }
    let mut criterion = cargo("bench --locked -p macula-bench --bench *");
    if options.has("--quick") {
        criterion = criterion.words("-- --quick");
    }
    criterion.run()?;
    match missing() {
        Some(missing) => {
            println!("{missing}");
            Ok(())
        }
        None => check_instructions(),
    }
}

/// Why instructions cannot be counted here; nothing when they can.
pub(crate) fn missing() -> Option<String> {
    if !is_installed("valgrind") {
        return Some("absent: valgrind (optional), so no instructions are counted".to_owned());
    }
    if !root().join(PROGRAM).is_file() {
        return Some(format!("absent: {PROGRAM}, so no instructions are counted"));
    }
    None
}

/// Counts the instructions of every scenario and compares them with the baseline.
///
/// # Errors
///
/// When a scenario takes 5 % more than its baseline, or a scenario and the baseline do not match.
pub(crate) fn check_instructions() -> Result<(), Failure> {
    let baseline = baseline()?;
    let verdict = compare(&baseline, &count()?);
    for line in &verdict.lines {
        println!("{line}");
    }
    if verdict.failed {
        return Err(Failure::failed(format!(
            "instructions differ from {BASELINE}; mend the code, or say why in the commit that \
             takes the new counts with `cargo xtask bench --bless`"
        )));
    }
    Ok(())
}

/// Writes the counts of this machine as the baseline.
fn bless() -> Result<(), Failure> {
    if let Some(missing) = missing() {
        return Err(Failure::failed(missing));
    }
    let counts = count()?;
    let text = serde_json::to_string_pretty(&counts)
        .map_err(|error| Failure::failed(format!("cannot write the counts: {error}")))?;
    std::fs::write(root().join(BASELINE), format!("{text}\n"))
        .map_err(|error| Failure::failed(format!("cannot write {BASELINE}: {error}")))?;
    println!("{BASELINE}: {} scenarios", counts.len());
    Ok(())
}

fn baseline() -> Result<Counts, Failure> {
    serde_json::from_str(&read(&root().join(BASELINE))?)
        .map_err(|error| Failure::failed(format!("{BASELINE} is damaged: {error}")))
}

/// Counts the instructions of every scenario.
fn count() -> Result<Counts, Failure> {
    cargo("build --quiet --release --locked -p macula-bench --bin instructions").run()?;
    let folder =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let program = folder
        .join("release")
        .join(format!("instructions{}", std::env::consts::EXE_SUFFIX));
    let scenarios = Tool::new(&program).arg("--list").output()?;
    let mut counts = BTreeMap::new();
    for scenario in scenarios
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let shorter = instructions_of(&program, scenario, ROUNDS.0)?;
        let longer = instructions_of(&program, scenario, ROUNDS.1)?;
        let rounds = ROUNDS.1.saturating_sub(ROUNDS.0);
        let each = longer
            .saturating_sub(shorter)
            .checked_div(rounds)
            .unwrap_or(0);
        if each == 0 {
            return Err(Failure::failed(format!(
                "{scenario} takes no instructions; does it run?"
            )));
        }
        counts.insert(scenario.to_owned(), each);
    }
    Ok(counts)
}

/// The instructions that `program` takes for `rounds` of `scenario`, start and end included.
fn instructions_of(program: &Path, scenario: &str, rounds: u64) -> Result<u64, Failure> {
    let (succeeded, _stdout, stderr) = Tool::new("valgrind")
        .words("--tool=callgrind --callgrind-out-file=/dev/null")
        .arg(program)
        .arg(scenario)
        .arg(rounds.to_string())
        .captured()?;
    instructions::read(&stderr)
        .filter(|_count| succeeded)
        .ok_or_else(|| {
            Failure::failed(format!(
                "callgrind counted nothing for {scenario}:\n{stderr}"
            ))
        })
}
