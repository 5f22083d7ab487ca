//! `macula members` and `macula peers`: who is there.

mod watch;

use std::collections::BTreeMap;

use macula::Client;
use serde::{Deserialize, Serialize};

use super::attach::{self, Attach};
use super::duration::micros;
use super::exit::{Exit, Failed};
use super::output::Output;
use super::table::{Table, grouped};

/// List the members of the realm, as a node knows them.
///
/// With --watch it goes on and tells each change as it happens: up, suspect, down, left, tags, changed.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula members --node mesh/node\n  macula members --watch --json --node mesh/node"
)]
pub(crate) struct MembersArgs {
    /// Go on, and print each change of a member as it happens, until ended by a signal.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    attach: Attach,
}

/// List the links of a node: which are edges of the overlay, their paths, round trips, streams and bytes.
///
/// A path is direct, with the address at the other end, or forwarded: other members carry the packets, by as many links
/// as there are hops.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  macula peers --node mesh/node")]
pub(crate) struct PeersArgs {
    #[command(flatten)]
    attach: Attach,
}

/// One line of the list, as programs read it.
#[derive(Serialize)]
struct Line<'a, T> {
    event: &'static str,
    #[serde(flatten)]
    value: &'a T,
}

/// A member, as a node tells of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Member {
    node: String,
    state: String,
    epoch: u64,
    incarnation: u64,
    addresses: Vec<String>,
    roles: Vec<String>,
    zone: Option<String>,
    agent: String,
    tags: BTreeMap<String, String>,
    rtt_us: Option<u64>,
    since_at_ms: u64,
    since_ms: u64,
    linked: bool,
    as_of: u64,
}

/// A link, as a node tells of it.
#[derive(Debug, Deserialize, Serialize)]
struct Peer {
    link: u64,
    node: String,
    role: String,
    neighbour: bool,
    path: String,
    hops: Option<u8>,
    dialled_by: String,
    since_at_ms: u64,
    since_ms: u64,
    streams: u64,
    rtt_us: u64,
    mtu: u64,
    sent_bytes: u64,
    received_bytes: u64,
    lost_packets: u64,
    queued_bytes: u64,
}

pub(crate) async fn members(args: MembersArgs, output: Output) -> Result<Exit, Failed> {
    let client = args.attach.client().await?;
    if args.watch {
        return watch::run(&client, output).await;
    }
    let members = ask(&client).await?;
    client.close().await;
    list(&members, output)?;
    Ok(Exit::Ok)
}

async fn ask(client: &Client) -> Result<Vec<Member>, Failed> {
    attach::ask(client, "$sys.members").await
}

fn list(members: &[Member], output: Output) -> Result<(), Failed> {
    if output.is_json() {
        for member in members {
            output.object(&Line {
                event: "member",
                value: member,
            })?;
        }
        return Ok(());
    }
    let heading = [
        "node",
        "state",
        "for",
        "incarnation",
        "rtt",
        "linked",
        "address",
        "zone",
        "agent",
        "tags",
    ];
    let mut table = Table::new(&heading);
    for member in members {
        table.row([
            short(&member.node),
            member.state.clone(),
            micros(member.since_ms.saturating_mul(1_000)),
            member.incarnation.to_string(),
            member.rtt_us.map_or_else(|| "-".to_owned(), micros),
            if member.linked { "yes" } else { "no" }.to_owned(),
            member.addresses.first().cloned().unwrap_or_default(),
            member.zone.clone().unwrap_or_else(|| "none".to_owned()),
            super::output::escaped(&member.agent),
            tags(&member.tags),
        ]);
    }
    print(&table, output)?;
    Ok(())
}

/// Tags for people.
fn tags(tags: &BTreeMap<String, String>) -> String {
    if tags.is_empty() {
        return "none".to_owned();
    }
    let pairs: Vec<String> = tags
        .iter()
        .map(|(key, value)| super::output::escaped(&format!("{key}={value}")))
        .collect();
    pairs.join(" ")
}

pub(crate) async fn peers(args: PeersArgs, output: Output) -> Result<Exit, Failed> {
    let client = args.attach.client().await?;
    let peers: Vec<Peer> = attach::ask(&client, "$sys.peers").await?;
    client.close().await;
    if output.is_json() {
        for peer in &peers {
            output.object(&Line {
                event: "peer",
                value: peer,
            })?;
        }
        return Ok(Exit::Ok);
    }
    let heading = [
        "node",
        "role",
        "neighbour",
        "path",
        "hops",
        "for",
        "rtt",
        "mtu",
        "streams",
        "sent",
        "received",
        "lost",
        "queued",
    ];
    let mut table = Table::new(&heading);
    for peer in peers {
        table.row([
            short(&peer.node),
            peer.role,
            if peer.neighbour { "yes" } else { "no" }.to_owned(),
            peer.path,
            peer.hops
                .map_or_else(|| "-".to_owned(), |hops| hops.to_string()),
            micros(peer.since_ms.saturating_mul(1_000)),
            micros(peer.rtt_us),
            peer.mtu.to_string(),
            peer.streams.to_string(),
            grouped(peer.sent_bytes),
            grouped(peer.received_bytes),
            grouped(peer.lost_packets),
            grouped(peer.queued_bytes),
        ]);
    }
    print(&table, output)
}

fn print(table: &Table, output: Output) -> Result<Exit, Failed> {
    for line in table.lines() {
        output.line(&line)?;
    }
    Ok(Exit::Ok)
}

/// Enough of an id to tell nodes apart at a glance.
pub(super) fn short(node: &str) -> String {
    node.get(..16).unwrap_or(node).to_owned()
}
