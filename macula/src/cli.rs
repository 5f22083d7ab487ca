//! What the command line says, and who carries it out.

mod address;
mod allocator;
mod attach;
mod bench;
mod call;
mod cert;
mod completions;
mod content;
mod demo;
mod dht;
mod duration;
mod each;
mod errors;
mod exec;
mod exit;
mod find;
mod graph;
mod http;
mod init;
mod input;
mod log;
mod members;
mod merge;
mod node;
mod output;
mod pem;
mod procs;
mod publish;
mod realm;
mod rtt;
mod serve;
mod services;
mod signal;
mod status;
mod subscribe;
mod table;
mod top;
mod topics;
mod trace;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::exit::{Exit, Failed};
use self::output::Output;

/// How many threads drive a command that is attached to a node or starts several.
const WORKERS: usize = 2;

/// Processes join a realm over QUIC, find each other, and exchange events and calls without a server.
#[derive(Debug, Parser)]
#[command(
    name = "macula",
    version,
    disable_help_subcommand = true,
    after_help = "Example:\n  macula demo\n\n\
        Exit codes: 0 ok, 1 failure, 2 usage or configuration, 3 denied, 4 not found, 5 deadline,\n\
        6 unreachable, 7 partial, 8 address in use, 9 state damaged."
)]
pub(crate) struct Cli {
    /// Print one JSON object a line: data on standard output, notes and errors on standard error.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Args),
    /// The second process of a measurement.
    #[command(hide = true, after_help = "Example:\n  macula bench events --size 64")]
    BenchPeer,
    Call(call::Args),
    #[command(subcommand)]
    Cert(cert::Command),
    Completions(completions::Args),
    Demo(demo::Args),
    #[command(subcommand)]
    Dht(dht::Command),
    Errors(errors::Args),
    Find(find::Args),
    Graph(graph::Args),
    #[command(subcommand)]
    Http(http::Command),
    Init(init::Args),
    Members(members::MembersArgs),
    #[command(subcommand)]
    Node(node::Command),
    Peers(members::PeersArgs),
    Procs(procs::Args),
    Pub(publish::Args),
    #[command(subcommand)]
    Realm(realm::Command),
    Rtt(rtt::Args),
    Serve(serve::Args),
    #[command(subcommand)]
    Services(services::Command),
    Stats(status::StatsArgs),
    Status(status::StatusArgs),
    Sub(subscribe::Args),
    Top(top::Args),
    Topics(topics::Args),
    Trace(trace::Args),
    Version(version::Args),
}

/// Runs the command that the command line names.
pub(crate) fn main() -> ExitCode {
    allocator::keep_freed_memory();
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let exit = match run(cli.command, output) {
        Ok(exit) => exit,
        Err(failed) => {
            output.failed(&failed);
            failed.exit()
        }
    };
    ExitCode::from(exit.number())
}

fn run(command: Command, output: Output) -> Result<Exit, Failed> {
    match command {
        Command::Cert(command) => cert::run(&command, output),
        Command::Completions(args) => completions::run(&args, output),
        Command::Errors(args) => errors::run(&args, output),
        Command::Init(args) => init::run(&args, output),
        Command::Realm(command) => realm::run(&command, output),
        Command::Node(node::Command::Run(args)) => {
            args.log.start();
            drive(args.workers.get(), node::run(*args, output))
        }
        Command::Bench(args) => attached(bench::run(args, output)),
        Command::BenchPeer => attached(bench::run_peer(output)),
        Command::Call(args) => attached(call::run(args, output)),
        Command::Demo(args) => attached(demo::run(args, output)),
        Command::Dht(command) => attached(dht::run(command, output)),
        Command::Find(args) => attached(find::run(args, output)),
        Command::Graph(args) => attached(graph::run(args, output)),
        Command::Http(command) => attached(http::run(command, output)),
        Command::Members(args) => attached(members::members(args, output)),
        Command::Peers(args) => attached(members::peers(args, output)),
        Command::Procs(args) => attached(procs::run(args, output)),
        Command::Pub(args) => attached(publish::run(args, output)),
        Command::Rtt(args) => attached(rtt::run(args, output)),
        Command::Serve(args) => attached(serve::run(args, output)),
        Command::Services(command) => attached(services::run(command, output)),
        Command::Stats(args) => attached(status::stats(args, output)),
        Command::Status(args) => attached(status::status(args, output)),
        Command::Sub(args) => attached(subscribe::run(args, output)),
        Command::Top(args) => attached(top::run(args, output)),
        Command::Topics(args) => attached(topics::run(args, output)),
        Command::Trace(args) => attached(trace::run(args, output)),
        Command::Version(args) => attached(version::run(args, output)),
    }
}

/// Drives a command that says on standard error only what went wrong.
fn attached(command: impl Future<Output = Result<Exit, Failed>>) -> Result<Exit, Failed> {
    log::start_quiet();
    drive(WORKERS, command)
}

fn drive(
    workers: usize,
    command: impl Future<Output = Result<Exit, Failed>>,
) -> Result<Exit, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("macula")
        .enable_all()
        .build()
        .map_err(|error| {
            Failed::new(Exit::Failure, format!("no threads can be started: {error}"))
        })?;
    let result = runtime.block_on(command);
    // A thread that still reads standard input must not hold up the end.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    fn check(command: &clap::Command, path: &str, seen: &mut usize) {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(help.contains("Example"), "`{path} --help` has no example");
        assert!(
            help.contains(path),
            "the example of `{path}` does not use it: {help}"
        );
        assert!(
            command.get_about().is_some(),
            "`{path}` does not say what it does"
        );
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "`{path}`: {} has no help",
                argument.get_id()
            );
        }
        *seen = seen.saturating_add(1);
        for inner in command
            .get_subcommands()
            .filter(|inner| !inner.is_hide_set())
        {
            check(inner, &format!("{path} {}", inner.get_name()), seen);
        }
    }

    #[test]
    fn every_command_explains_itself_with_an_example() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        let mut seen = 0;
        check(&command, "macula", &mut seen);
        assert!(seen > 20, "only {seen} commands were found");
    }
}
