//! Runs one scenario a given number of times, to be counted by callgrind.
//!
//! `instructions --list` names the scenarios, one a line; `instructions NAME ROUNDS` prepares one once and runs it that
//! often.

use std::io::{self, Write};
use std::process::ExitCode;

use macula_bench::{Size, all};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["--list"] => list(),
        [name, rounds] => run(name, rounds),
        _ => Err("usage: instructions --list | NAME ROUNDS".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            drop(writeln!(io::stderr(), "{message}"));
            ExitCode::from(2)
        }
    }
}

fn list() -> Result<(), String> {
    let mut out = io::stdout().lock();
    all()
        .try_for_each(|scenario| writeln!(out, "{}", scenario.name()))
        .map_err(|error| error.to_string())
}

fn run(name: &str, rounds: &str) -> Result<(), String> {
    let rounds: u64 = rounds
        .parse()
        .map_err(|_| format!("{rounds} is not a number of rounds"))?;
    let scenario = all()
        .find(|scenario| scenario.name() == name)
        .ok_or_else(|| format!("no scenario {name}; --list shows all"))?;
    let mut round = scenario.prepare(Size::Full);
    (0..rounds).for_each(|_| round());
    Ok(())
}
