//! `macula node run`: a node in the foreground.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use macula::realm::{NodeIdentity, TrustBundle};
use macula::transport::Clock;
use macula::wire::ErrorCode;
use macula::{ConfigError, History, Node, NodeBuilder, NodeConfig, NodeDirectory};
use serde::Serialize;

use super::address;
use super::exit::{Exit, Failed};
use super::log::LogArgs;
use super::output::Output;
use super::signal::Signals;

/// Run a node.
#[derive(clap::Subcommand, Debug)]
#[command(after_help = "Example:\n  macula node run --dir mesh/node")]
pub(crate) enum Command {
    Run(Box<RunArgs>),
}

/// Run a node in the foreground.
///
/// It prints one line of JSON when it serves. SIGTERM and SIGINT let it leave the realm in order; a second one ends it
/// at once. What is given here goes before node.toml.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula node run --dir mesh/two --listen 127.0.0.1:0 --join 127.0.0.1:4433\n  \
        macula node run --dir mesh/two --tag site=cellar --tag rack=7"
)]
pub(crate) struct RunArgs {
    /// The directory of the node, as `macula init` and `macula cert issue` make it.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The UDP address to listen at; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    listen: Option<SocketAddr>,
    /// An address that others are to dial, where it is not the one listened at; may be given several times.
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    advertise: Vec<SocketAddr>,
    /// A member to join by; may be given several times.
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    join: Vec<SocketAddr>,
    /// A mark that other members see; may be given several times. It goes before a tag of node.toml with this key.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// How many threads drive the node.
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) workers: NonZeroUsize,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    node: String,
    realm: &'a str,
    listen: SocketAddr,
}

pub(crate) async fn run(args: RunArgs, output: Output) -> Result<Exit, Failed> {
    // Before anything else: who starts the node may ask it to end at any time.
    let mut signals = Signals::listen()?;
    let directory = NodeDirectory::new(&args.dir);
    let config = configuration(&args, &directory)?;
    let builder = builder(&directory, &config)?;
    let epoch = directory.next_epoch(Clock::new().unix_ms())?;
    let node = builder.epoch(epoch).start().await.map_err(start_failed)?;
    let mut keeping = Vec::new();
    for pattern in &config.store.patterns {
        let limit = History::Last(config.store.events);
        keeping.push(node.keep(pattern, limit).await?);
    }
    output.object(&Ready {
        event: "ready",
        node: node.node_id().to_string(),
        realm: node.realm().as_str(),
        listen: node.local_addr(),
    })?;
    let signal = signals.next().await;
    tracing::info!(signal, "the node leaves the realm");
    tokio::select! {
        () = node.shutdown() => Ok(Exit::Ok),
        second = signals.next() => Err(Failed::new(
            Exit::Failure,
            format!("ended by a second {second} before the node had left the realm"),
        )),
    }
}

/// What node.toml says, with what the command line says instead.
fn configuration(args: &RunArgs, directory: &NodeDirectory) -> Result<NodeConfig, Failed> {
    let mut config = directory.config()?;
    config.listen = args.listen.unwrap_or(config.listen);
    if !args.advertise.is_empty() {
        config.advertise.clone_from(&args.advertise);
    }
    if !args.join.is_empty() {
        config.join.clone_from(&args.join);
    }
    config.tags.extend(args.tags.iter().cloned());
    // Once more, for what the command line says.
    let checked: Result<NodeConfig, ConfigError> =
        NodeConfig::parse(&directory.config_path(), &config.to_text());
    checked.map_err(|error| {
        Failed::usage(format!(
            "the command line adds what node.toml could not say: {error}"
        ))
    })
}

/// A tag as people write it.
fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is no tag: write KEY=VALUE")),
    }
}

fn builder(directory: &NodeDirectory, config: &NodeConfig) -> Result<NodeBuilder, Failed> {
    let builder = Node::builder()
        .identity(NodeIdentity::load(directory.path())?)
        .trust(TrustBundle::load(directory.path())?)
        .local_socket(directory.socket_path())
        .member_cache(directory.members_path())
        .event_log(directory.events_path());
    Ok(config.apply(builder))
}

fn start_failed(error: macula::Error) -> Failed {
    match error.code() {
        // What can be unavailable to a node that starts is its UDP address or its Unix socket.
        ErrorCode::UNAVAILABLE => Failed::new(Exit::AddressInUse, error.detail()),
        ErrorCode::INVALID_ARGUMENT => Failed::from(error).exiting(Exit::Usage),
        _ => error.into(),
    }
}
