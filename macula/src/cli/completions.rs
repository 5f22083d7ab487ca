//! `macula completions`: what shells need to complete the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::exit::{Exit, Failed};
use super::output::Output;

/// Print a script that lets a shell complete the command line.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  macula completions bash > ~/.local/share/bash-completion/completions/macula"
)]
pub(crate) struct Args {
    /// For which shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Exit, Failed> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "macula", &mut script);
    output.bytes(&script)?;
    Ok(Exit::Ok)
}
