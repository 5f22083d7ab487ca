//! `macula dht`: the realm's routing by hand: values, lookups, and a node's own table.

mod found;

use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use macula::wire::{ContentType, Header};
use macula::{CallOptions, Client};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::attach::{self, Attach};
use super::content;
use super::duration::{self, micros};
use super::exit::{Exit, Failed};
use super::input::Input;
use super::output::{Output, escaped};
use super::table::{Table, grouped};
pub(crate) use found::{Findings, print};
use found::{Line, Routing, lines, short, summary};

/// Put, get and look up records by hand, and see a node's own part of the realm's routing.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  macula dht put config.rate 12 --node mesh/node\n  macula dht get config.rate --node mesh/node"
)]
pub(crate) enum Command {
    /// Print the values under a name: one of each owner at most.
    #[command(
        after_help = "Examples:\n  macula dht get config.rate --node mesh/node\n  macula dht get config.rate --paths 4 --json --node mesh/node\n\nExit code 4 says that there is none."
    )]
    Get(GetArgs),
    /// Publish a value under a name. The members closest to the name keep it, whatever becomes of this node.
    #[command(
        after_help = "Examples:\n  macula dht put config.rate 12 --node mesh/node\n  macula dht put config.rate '{\"per_s\":12}' --content json --lease 2h --node mesh/node\n  macula dht put config.rate --withdraw --node mesh/node"
    )]
    Put(PutArgs),
    /// List the contacts of a node, and how much it keeps.
    #[command(after_help = "Example:\n  macula dht table --node mesh/node")]
    Table(TableArgs),
    /// Look up the members closest to a key or to a node.
    #[command(
        after_help = "Examples:\n  macula dht lookup 6f1c2a9b --trace --node mesh/node\n  macula dht lookup --key 4a5e0c3f... --cold --trace --json --node mesh/node"
    )]
    Lookup(LookupArgs),
}

/// How a lookup goes about it.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Search {
    /// Over how many paths that have no node in common; more find the truth among liars.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub(crate) paths: u8,
    /// Show each request: who was asked, after how long it answered.
    #[arg(long)]
    pub(crate) trace: bool,
}

/// Print the values under a name.
#[derive(clap::Args, Debug)]
pub(crate) struct GetArgs {
    /// The name, in segments like a topic's.
    name: String,
    #[command(flatten)]
    search: Search,
    #[command(flatten)]
    attach: Attach,
}

/// Publish a value.
#[derive(clap::Args, Debug)]
pub(crate) struct PutArgs {
    /// The name, in segments like a topic's.
    name: String,
    /// The value, at most 65,536 bytes; - reads it from standard input.
    #[arg(required_unless_present = "withdraw")]
    value: Option<String>,
    /// What the value is: bytes, text, json, cbor, bincode, etf, or a media type.
    #[arg(long, default_value = "text", value_parser = content::content)]
    content: ContentType,
    /// How long it holds without this node, at most 48h. It is renewed while the node runs.
    #[arg(long, default_value = "24h", value_parser = duration::parse)]
    lease: Duration,
    /// Take the value of this node back.
    #[arg(long, conflicts_with = "value")]
    withdraw: bool,
    #[command(flatten)]
    attach: Attach,
}

/// List the contacts of a node.
#[derive(clap::Args, Debug)]
pub(crate) struct TableArgs {
    #[command(flatten)]
    attach: Attach,
}

/// Look up the closest.
#[derive(clap::Args, Debug)]
pub(crate) struct LookupArgs {
    /// A node: its id, or enough of its beginning to tell it from other members.
    #[arg(
        value_name = "NODE",
        required_unless_present = "key",
        conflicts_with = "key"
    )]
    target: Option<String>,
    /// A key of 64 hexadecimal digits.
    #[arg(long)]
    key: Option<String>,
    /// Begin with the contacts of the table alone, as in a realm whose members are not known.
    #[arg(long)]
    cold: bool,
    #[command(flatten)]
    search: Search,
    #[command(flatten)]
    attach: Attach,
}

pub(crate) async fn run(command: Command, output: Output) -> Result<Exit, Failed> {
    match command {
        Command::Get(args) => get(args, output).await,
        Command::Put(args) => put(args, output).await,
        Command::Table(args) => table(args, output).await,
        Command::Lookup(args) => lookup(args, output).await,
    }
}

/// Asks the member about the realm's routing. A lookup may take 10 s.
pub(crate) async fn ask_about<T: DeserializeOwned>(
    client: &Client,
    procedure: &str,
    question: &Value,
) -> Result<T, Failed> {
    let options = CallOptions::default()
        .deadline(Duration::from_secs(25))
        .content(ContentType::Json);
    let reply = client
        .call(procedure, question.to_string(), options)
        .await?;
    read(procedure, &reply.payload)
}

async fn get(args: GetArgs, output: Output) -> Result<Exit, Failed> {
    let client = args.attach.client().await?;
    let question = json!({ "kind": "value", "name": args.name, "paths": args.search.paths });
    let findings: Findings = ask_about(&client, "$sys.find", &question).await?;
    client.close().await;
    print(&findings, args.search.trace, output)
}

async fn put(args: PutArgs, output: Output) -> Result<Exit, Failed> {
    let client = args.attach.client().await?;
    let mut options = CallOptions::default().content(args.content.clone());
    // Headers ascend.
    options.headers = vec![
        header("lease-ms", &args.lease.as_millis().to_string()),
        header("name", &args.name),
    ];
    let (procedure, value) = match args.value.as_deref() {
        None => ("$sys.dht.withdraw", Vec::new()),
        Some("-") => ("$sys.dht.put", Input::stdin().whole().await?),
        Some(text) => ("$sys.dht.put", text.as_bytes().to_vec()),
    };
    let reply = client.call(procedure, value, options).await?;
    client.close().await;
    let done: Done = read(procedure, &reply.payload)?;
    let line = Line {
        event: "value",
        value: &done,
    };
    output.either(&line, || match (done.withdrawn, done.expires_at_ms) {
        (Some(true), _) => format!("{} is withdrawn", escaped(&args.name)),
        (Some(false), _) => format!(
            "this node has published nothing under {}",
            escaped(&args.name)
        ),
        _ => format!(
            "{} is published; without this node it holds for {}",
            escaped(&args.name),
            duration::rounded(args.lease)
        ),
    })?;
    Ok(if done.withdrawn == Some(false) {
        Exit::NotFound
    } else {
        Exit::Ok
    })
}

/// What became of a value.
#[derive(Debug, Deserialize, Serialize)]
struct Done {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    withdrawn: Option<bool>,
}

fn header(key: &str, value: &str) -> Header {
    Header {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

async fn table(args: TableArgs, output: Output) -> Result<Exit, Failed> {
    let client = args.attach.client().await?;
    let routing: Routing = attach::ask(&client, "$sys.routing").await?;
    client.close().await;
    if output.is_json() {
        output.object(&Line {
            event: "table",
            value: &routing,
        })?;
        return Ok(Exit::Ok);
    }
    output.line(&format!(
        "node {} stands at {}, in a realm of about {} nodes",
        short(&routing.node),
        short(&routing.position),
        grouped(routing.nodes)
    ))?;
    output.line(&format!(
        "it keeps {} records ({} bytes), owns {}, watches {} keys and tells {} watchers",
        grouped(routing.records),
        grouped(routing.record_bytes),
        grouped(routing.own_records),
        grouped(routing.watches),
        grouped(routing.watched)
    ))?;
    let mut table = Table::new(&[
        "contact",
        "shared bits",
        "rtt",
        "heard",
        "failures",
        "address",
    ]);
    for entry in routing.contacts {
        table.row([
            short(&entry.node),
            entry.shared_bits.to_string(),
            entry.rtt_us.map_or_else(|| "-".to_owned(), micros),
            micros(entry.heard_ms.saturating_mul(1_000)),
            entry.failures.to_string(),
            entry.addresses.first().cloned().unwrap_or_default(),
        ]);
    }
    lines(&table, output)
}

async fn lookup(args: LookupArgs, output: Output) -> Result<Exit, Failed> {
    let client = args.attach.client().await?;
    let question = json!({
        "kind": if args.key.is_some() { "key" } else { "closest" },
        "name": args.key.or(args.target),
        "paths": args.search.paths,
        "cold": args.cold,
    });
    let findings: Findings = ask_about(&client, "$sys.find", &question).await?;
    client.close().await;
    if output.is_json() {
        output.object(&Line {
            event: "found",
            value: &findings,
        })?;
    } else {
        let mut table = Table::new(&["closest", "address"]);
        for contact in &findings.closest {
            table.row([
                short(&contact.node),
                contact.addresses.first().cloned().unwrap_or_default(),
            ]);
        }
        lines(&table, output)?;
        summary(&findings, args.search.trace, output)?;
    }
    Ok(if findings.closest.is_empty() {
        Exit::NotFound
    } else {
        Exit::Ok
    })
}

fn read<T: DeserializeOwned>(procedure: &str, payload: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(payload).map_err(|error| {
        let text = format!("the node answered {procedure} with something else: {error}");
        Failed::new(Exit::Failure, text)
    })
}
