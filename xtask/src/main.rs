//! The task runner of the workspace: what CI checks, one command each.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task runner talks to the person who started it"
)]

mod bench;
mod ci;
mod clock;
mod examples;
mod failure;
mod fuzz;
mod layers;
mod mesh;
mod options;
mod process;
mod release;
mod sim;
mod steps;
mod tidy;
mod vectors;

use std::process::ExitCode;

use failure::Failure;

/// One sub-command of `cargo xtask`.
struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<(), Failure>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "ci",
        arguments: "[--list] [--keep-going] [STEP..]",
        about: "everything that CI checks, in order",
        run: ci::run,
    },
    Command {
        name: "release-check",
        arguments: "[--list] [--keep-going] [STEP..]",
        about: "what takes too long for CI",
        run: release::run,
    },
    Command {
        name: "check-layers",
        arguments: "",
        about: "who may depend on whom, and what a core may reach",
        run: layers::run,
    },
    Command {
        name: "tidy",
        arguments: "",
        about: "rules about files that no compiler checks",
        run: tidy::run,
    },
    Command {
        name: "vectors",
        arguments: "[--bless]",
        about: "the golden bytes of the wire protocol; --bless writes them anew",
        run: vectors::run,
    },
    Command {
        name: "fuzz",
        arguments: "[--list] [--replay] [--seconds N] [--runs N] [--jobs N] [--max-len BYTES] [--keep] [TARGET..]",
        about: "fuzzes decoders and machines, starting from the committed corpus",
        run: fuzz::run,
    },
    Command {
        name: "bench",
        arguments: "[--quick] [--bless]",
        about: "criterion benches, and instruction counts against the committed baseline",
        run: bench::run,
    },
    Command {
        name: "test-mesh",
        arguments: "[--list] [--json] [--netns] [--times N] [--minutes N] [SCENARIO..]",
        about: "scenarios with real node processes",
        run: mesh::run,
    },
    Command {
        name: "examples",
        arguments: "[--list] [EXAMPLE..]",
        about: "the examples of the library, each of which checks what it shows",
        run: examples::run,
    },
    Command {
        name: "sim",
        arguments: "[--list] [--check] [--bless] [SCENARIO [OPTIONS]]",
        about: "membership and the overlay with up to 10,000 nodes; --help shows all options",
        run: sim::run,
    },
];

/// Commands that show a help of their own.
const HELP_THEMSELVES: &[&str] = &["sim"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", help());
        return ExitCode::from(2);
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("no command `{name}`; `cargo xtask --help` lists all");
        return ExitCode::from(2);
    };
    let wants_help = rest
        .iter()
        .any(|argument| argument == "--help" || argument == "-h");
    if wants_help && !HELP_THEMSELVES.contains(&command.name) {
        println!(
            "cargo xtask {} {}\n\n{}",
            command.name, command.arguments, command.about
        );
        return ExitCode::SUCCESS;
    }
    match (command.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{name}: {failure}");
            failure.exit_code()
        }
    }
}

/// The list of commands, as text.
fn help() -> String {
    let mut text = String::from("cargo xtask COMMAND [ARGUMENTS]\n\n");
    for command in COMMANDS {
        text.push_str(&format!("  {:14} {}\n", command.name, command.about));
        if !command.arguments.is_empty() {
            text.push_str(&format!("  {:14}   {}\n", "", command.arguments));
        }
    }
    text.push_str("\ndocs/ci.md says what each check holds and how to mend a failure.\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_the_help_and_named_once() {
        let help = help();
        for command in COMMANDS {
            assert!(
                help.contains(command.name),
                "{} is not in the help",
                command.name
            );
            let same = COMMANDS
                .iter()
                .filter(|other| other.name == command.name)
                .count();
            assert_eq!(
                same, 1,
                "{} stands in the table more than once",
                command.name
            );
        }
    }
}
