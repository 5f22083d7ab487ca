//! Applications of scenarios: each plays one part at a node, writes down what it does and what it is told, and goes on
//! when its node was killed and comes back. `check` compares what all of them wrote with what is promised.
//!
//! They are processes of their own and use the public API alone, as any application does. What they write is a
//! [journal](macula_testkit::history::Journal); what they say on standard output is for whoever directs the scenario.

mod call;
mod check;
mod label;
mod member;
mod part;
mod read;
mod serve;
mod write;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Plays a part in a scenario, or checks what all have written.")]
struct Args {
    #[command(subcommand)]
    part: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish events.
    Write(write::Args),
    /// Run a node, publish events at it and subscribe.
    Member(member::Args),
    /// Subscribe to a pattern.
    Read(read::Args),
    /// Serve a procedure.
    Serve(serve::Args),
    /// Call a procedure.
    Call(call::Args),
    /// Compare the journals in a directory with what is promised.
    Check(check::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let played = match args.part {
        Command::Write(args) => part::play(write::run(args)),
        Command::Member(args) => part::play(member::run(args)),
        Command::Read(args) => part::play(read::run(args)),
        Command::Serve(args) => part::play(serve::run(args)),
        Command::Call(args) => part::play(call::run(args)),
        Command::Check(args) => check::run(&args),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            part::say_why(&failed);
            ExitCode::FAILURE
        }
    }
}
