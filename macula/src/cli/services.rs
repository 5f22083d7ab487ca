//! `macula services`: what the services of the realm say of themselves.

mod ask;

use std::time::Duration;

use serde::Serialize;

pub(super) use self::ask::{Endpoint, Found, gather};
use super::attach::Attach;
use super::duration::{self, micros};
use super::exit::{Exit, Failed};
use super::members::short;
use super::output::{Output, escaped};
use super::table::{Table, grouped};

/// See which services there are in the realm, and how they do.
#[derive(clap::Subcommand, Debug)]
#[command(
    after_help = "Examples:\n  macula services ls --node mesh/node\n  macula services stats chat --node mesh/node"
)]
pub(crate) enum Command {
    /// List every instance of every service, one a line.
    ///
    /// What was registered without a service belongs to one named after its node: by the node's tag `name`, or the
    /// beginning of its id.
    #[command(after_help = "Example:\n  macula services ls --node mesh/node")]
    Ls(Args),
    /// Show what services say of themselves: description, metadata, and which procedures they serve how.
    #[command(
        after_help = "Examples:\n  macula services info --node mesh/node\n  macula services info chat --json --node mesh/node"
    )]
    Info(Args),
    /// Show how the procedures of services do: calls, errors, and how long they take.
    #[command(
        after_help = "Examples:\n  macula services stats --node mesh/node\n  macula services stats chat 0a1b2c3d4e5f6071 --node mesh/node"
    )]
    Stats(Args),
    /// See which instances answer, and how soon.
    #[command(after_help = "Example:\n  macula services ping chat --node mesh/node")]
    Ping(Args),
}

/// Which services, asked by which node.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The name of a service; all without it.
    name: Option<String>,
    /// The id of one of its instances.
    id: Option<String>,
    /// How long to wait for answers.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    attach: Attach,
}

impl Args {
    fn procedure(&self, verb: &str) -> String {
        let named = [self.name.as_deref(), self.id.as_deref()];
        let head = ["$svc", verb].into_iter();
        let all: Vec<&str> = head.chain(named.into_iter().flatten()).collect();
        all.join(".")
    }
}

/// One line for programs.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    found: &'a Found,
}

pub(crate) async fn run(command: Command, output: Output) -> Result<Exit, Failed> {
    let (args, verb, event) = match &command {
        Command::Ls(args) | Command::Info(args) => (args, "info", "service"),
        Command::Stats(args) => (args, "stats", "service-stats"),
        Command::Ping(args) => (args, "ping", "pong"),
    };
    let client = args.attach.client().await?;
    let gathered = gather(&client, &args.procedure(verb), args.timeout).await;
    client.close().await;
    let gathered = gathered?;
    if output.is_json() {
        for found in &gathered.services {
            output.object(&Line { event, found })?;
        }
    } else {
        show(&command, &gathered.services, output)?;
    }
    let exit = gathered.exit(output);
    if gathered.services.is_empty() && exit == Exit::Ok {
        return match &args.name {
            Some(name) => Err(Failed::new(
                Exit::NotFound,
                format!(
                    "no service {name} answers: `macula services ls` lists those that there are"
                ),
            )),
            None => {
                output.note("nobody serves anything that this identity may call");
                Ok(exit)
            }
        };
    }
    Ok(exit)
}

fn show(command: &Command, services: &[Found], output: Output) -> Result<(), Failed> {
    match command {
        Command::Ls(_) => list(services, output),
        Command::Info(_) => info(services, output),
        Command::Stats(_) => stats(services, output),
        Command::Ping(_) => ping(services, output),
    }
}

fn print(table: &Table, output: Output) -> Result<(), Failed> {
    table.lines().iter().try_for_each(|line| output.line(line))
}

/// A service, an instance, and where it is.
fn head(found: &Found) -> [String; 4] {
    [
        escaped(&found.name),
        escaped(&found.version),
        escaped(&found.id),
        short(&found.node),
    ]
}

fn list(services: &[Found], output: Output) -> Result<(), Failed> {
    let heading = [
        "service",
        "version",
        "instance",
        "node",
        "provider",
        "endpoints",
    ];
    let mut table = Table::new(&heading);
    for found in services {
        let provider = if found.provider == found.node {
            "itself".to_owned()
        } else {
            short(&escaped(&found.provider))
        };
        let rest = [provider, grouped(found.count())];
        table.row(head(found).into_iter().chain(rest));
    }
    print(&table, output)
}

fn ping(services: &[Found], output: Output) -> Result<(), Failed> {
    let mut table = Table::new(&["service", "version", "instance", "node", "after"]);
    for found in services {
        table.row(head(found).into_iter().chain([micros(found.latency_us)]));
    }
    print(&table, output)
}

fn info(services: &[Found], output: Output) -> Result<(), Failed> {
    for (at, found) in services.iter().enumerate() {
        if at > 0 {
            output.line("")?;
        }
        let [name, version, id, node] = head(found);
        output.line(&format!("{name} {version}, instance {id} on {node}"))?;
        if let Some(text) = found.description.as_ref().filter(|text| !text.is_empty()) {
            output.line(&format!("  {}", escaped(text)))?;
        }
        for (key, value) in found.metadata.iter().flatten() {
            output.line(&format!("  {}", escaped(&format!("{key}={value}"))))?;
        }
        let heading = [
            "  procedure",
            "match",
            "invoke",
            "weight",
            "at a time",
            "zone",
        ];
        let mut table = Table::new(&heading);
        for endpoint in found.endpoints.iter().flatten() {
            table.row([
                format!("  {}", escaped(&endpoint.procedure)),
                escaped(&endpoint.matching),
                escaped(&endpoint.invoke),
                endpoint
                    .weight
                    .map_or_else(dash, |number| number.to_string()),
                endpoint
                    .concurrency
                    .map_or_else(dash, |number| number.to_string()),
                endpoint.zone.as_deref().map_or_else(dash, escaped),
            ]);
        }
        print(&table, output)?;
    }
    Ok(())
}

fn stats(services: &[Found], output: Output) -> Result<(), Failed> {
    let heading = [
        "service",
        "instance",
        "node",
        "procedure",
        "in flight",
        "calls",
        "errors",
        "mean",
        "p50",
        "p99",
        "last error",
    ];
    let mut table = Table::new(&heading);
    for found in services {
        for endpoint in found.endpoints.iter().flatten() {
            let [name, _, id, node] = head(found);
            let number = |value: Option<u64>| value.map_or_else(dash, grouped);
            let time = |value: Option<u64>| value.map_or_else(dash, micros);
            table.row([
                name,
                id,
                node,
                escaped(&endpoint.procedure),
                number(endpoint.in_flight),
                number(endpoint.calls),
                number(endpoint.errors),
                time(endpoint.mean_us),
                time(endpoint.p50_us),
                time(endpoint.p99_us),
                endpoint.last_error.as_deref().map_or_else(dash, escaped),
            ]);
        }
    }
    print(&table, output)
}

fn dash() -> String {
    "-".to_owned()
}
