//! Membership, the overlay, routing and events with up to 10,000 nodes, simulated and measured: `cargo xtask sim`.
//!
//! A run is one scenario with one seed on virtual time. It takes the machines of `macula-swim`, `macula-kad` and `macula-pubsub` as they are, puts them
//! into the simulated network of `macula-testkit`, does something to them, and says in figures what came of it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod arguments;
mod baseline;
mod degree;
mod events;
mod goal;
mod graph;
mod kad;
mod key;
mod load;
mod machine;
mod membership;
mod overlay;
mod parallel;
mod progress;
mod report;
mod run;
mod scenario;
mod settings;
mod statistics;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use arguments::Request;
use progress::Progress;
use report::Report;
use scenario::{Fault, Scenario};
use settings::Settings;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let request = match arguments::read(&arguments) {
        Ok(request) => request,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(2);
        }
    };
    let done = match request {
        Request::Help => {
            print!("{}", arguments::help());
            Ok(())
        }
        Request::List => {
            print!("{}", scenario::list());
            Ok(())
        }
        Request::Run {
            scenario,
            settings,
            json,
        } => run(scenario, settings, json),
        Request::Check(scenarios) => baseline::check(&scenarios),
        Request::Bless(scenarios) => baseline::bless(&scenarios),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(scenario: &'static Scenario, settings: Settings, json: bool) -> Result<(), Fault> {
    let progress = Progress::new();
    let outcome = (scenario.run)(&settings, &progress);
    progress.done();
    let report = Report {
        scenario: scenario.name,
        settings,
        outcome: outcome?,
    };
    if json {
        println!("{}", report.json()?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}
