//! Running checks one after the other, with a table at the end.

use std::time::Duration;

use crate::clock::{Watch, human};
use crate::failure::Failure;
use crate::options::{Accepts, Names, Options};

/// A check that passed, or one that could not run here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// It holds.
    Passed,
    /// Something optional is not installed; says what.
    Absent(String),
}

/// One check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn() -> Result<Outcome, Failure>,
}

/// A check that ran.
struct Ran {
    name: &'static str,
    took: Duration,
    result: Result<Outcome, Failure>,
}

/// Runs the `steps` that `arguments` name, or all, in the order of the table.
///
/// # Errors
///
/// When a step fails. The steps behind it run only with `--keep-going`.
pub(crate) fn run(steps: &[Step], arguments: &[String]) -> Result<(), Failure> {
    let accepts = Accepts {
        flags: &["--list", "--keep-going"],
        numbers: &[],
        names: Names::Many,
    };
    let options = Options::read(accepts, arguments)?;
    let chosen = choose(steps, options.names())?;
    if options.has("--list") {
        for step in chosen {
            println!("{:14} {}", step.name, step.about);
        }
        return Ok(());
    }
    let ran = walk(&chosen, options.has("--keep-going"));
    print!("\n{}", summary(&ran, chosen.len()));
    let failed: Vec<&str> = ran
        .iter()
        .filter(|ran| ran.result.is_err())
        .map(|ran| ran.name)
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(format!("failed: {}", failed.join(", "))))
}

fn choose(steps: &[Step], names: &[String]) -> Result<Vec<Step>, Failure> {
    let unknown = |name: &&String| !steps.iter().any(|step| step.name == name.as_str());
    if let Some(name) = names.iter().find(unknown) {
        return Err(Failure::usage(format!(
            "no step `{name}`; --list shows all"
        )));
    }
    let wanted = |step: &&Step| names.is_empty() || names.iter().any(|name| name == step.name);
    Ok(steps.iter().filter(wanted).copied().collect())
}

fn walk(steps: &[Step], keep_going: bool) -> Vec<Ran> {
    let mut ran = Vec::new();
    for step in steps {
        println!("\n== {}: {}", step.name, step.about);
        let watch = Watch::start();
        let result = (step.run)();
        let took = watch.elapsed();
        match &result {
            Ok(Outcome::Passed) => println!("== {} passed after {}", step.name, human(took)),
            Ok(Outcome::Absent(what)) => println!("== {} did not run: {what}", step.name),
            Err(failure) => println!("== {} FAILED after {}: {failure}", step.name, human(took)),
        }
        let failed = result.is_err();
        ran.push(Ran {
            name: step.name,
            took,
            result,
        });
        if failed && !keep_going {
            break;
        }
    }
    ran
}

/// The table of what ran, and how much did not.
fn summary(ran: &[Ran], chosen: usize) -> String {
    let mut text = String::new();
    let mut total = Duration::ZERO;
    for ran in ran {
        let result = match &ran.result {
            Ok(Outcome::Passed) => "passed".to_owned(),
            Ok(Outcome::Absent(what)) => what.clone(),
            Err(_failure) => "FAILED".to_owned(),
        };
        text.push_str(&format!(
            "{:14} {:>12}  {result}\n",
            ran.name,
            human(ran.took)
        ));
        total = total.saturating_add(ran.took);
    }
    text.push_str(&format!("{:14} {:>12}\n", "total", human(total)));
    match chosen.saturating_sub(ran.len()) {
        0 => {}
        left => text.push_str(&format!(
            "{left} steps did not run, because one before them failed\n"
        )),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[Step] = &[
        Step {
            name: "good",
            about: "passes",
            run: || Ok(Outcome::Passed),
        },
        Step {
            name: "bad",
            about: "fails",
            run: || Err(Failure::failed("no")),
        },
        Step {
            name: "last",
            about: "absent",
            run: || Ok(Outcome::Absent("absent: x".to_owned())),
        },
    ];

    fn names(ran: &[Ran]) -> Vec<&str> {
        ran.iter().map(|ran| ran.name).collect()
    }

    #[test]
    fn the_first_failure_ends_the_walk() {
        let ran = walk(STEPS, false);
        assert_eq!(names(&ran), ["good", "bad"]);
        assert!(summary(&ran, 3).contains("1 steps did not run"));
        let ran = walk(STEPS, true);
        assert_eq!(names(&ran), ["good", "bad", "last"]);
        let text = summary(&ran, 3);
        assert!(
            text.contains("absent: x") && !text.contains("did not run"),
            "{text}"
        );
    }

    #[test]
    fn a_failed_step_fails_the_whole() {
        assert!(run(STEPS, &["--keep-going".to_owned()]).is_err());
        assert!(run(STEPS, &["good".to_owned(), "last".to_owned()]).is_ok());
    }

    #[test]
    fn steps_are_chosen_by_name_and_keep_their_order() {
        let chosen = choose(STEPS, &["last".to_owned(), "good".to_owned()]).unwrap();
        let names: Vec<&str> = chosen.iter().map(|step| step.name).collect();
        assert_eq!(names, ["good", "last"]);
        assert!(matches!(
            choose(STEPS, &["worst".to_owned()]),
            Err(Failure::Usage(_))
        ));
    }
}
