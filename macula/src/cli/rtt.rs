//! `macula rtt`: how long round trips to members take.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use macula::wire::NodeId;
use macula::{CallOptions, Client};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::attach::{self, Attach};
use super::duration::{self, as_micros, micros};
use super::each;
use super::exit::{Exit, Failed};
use super::members::short;
use super::output::Output;
use super::signal::Signals;
use super::table::Table;

/// Measure round trips from this process to members of the realm, through the node that it is attached to.
///
/// A round trip is that of a call without arguments or result. The first one to a member finds a way to it and is not
/// counted.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula rtt --node mesh/node\n  macula rtt 5d4f --count 100 --interval 10ms --node mesh/node"
)]
pub(crate) struct Args {
    /// A member: its id, or enough of its beginning to tell it from others; all members without it.
    member: Option<String>,
    /// How many round trips to measure.
    #[arg(long, value_name = "N", default_value = "10")]
    count: NonZeroU32,
    /// The pause between two of them.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = duration::parse)]
    interval: Duration,
    /// How long an answer may take until it counts as lost.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    attach: Attach,
}

/// What was measured of a member.
#[derive(Clone, Debug, Default, Serialize)]
struct Measured {
    event: &'static str,
    node: String,
    /// `itself`, `direct`, `forwarded` or `none`.
    way: String,
    hops: Option<u8>,
    sent: u64,
    lost: u64,
    loss_percent: f64,
    min_us: Option<u64>,
    mean_us: Option<u64>,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: Option<u64>,
}

/// A link of the node, as it tells of it.
#[derive(Debug, Deserialize)]
struct Peer {
    node: String,
    role: String,
    path: String,
    hops: Option<u8>,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let mut signals = Signals::listen()?;
    let client = args.attach.client().await?;
    let members = chosen(&client, args.member.as_deref()).await?;
    let mut times: BTreeMap<NodeId, Vec<Option<u64>>> = BTreeMap::new();
    // What was measured before a signal is shown.
    tokio::select! {
        () = measure(&client, &args, &members, &mut times) => {}
        _ = signals.next() => {}
    }
    let peers: Vec<Peer> = attach::ask(&client, "$sys.peers").await?;
    let own = client.member();
    client.close().await;
    let results: Vec<Measured> = members
        .iter()
        .map(|node| {
            let times = times.remove(node).unwrap_or_default();
            summarize(*node, &times, way(*node, own, &peers))
        })
        .collect();
    print(&results, output)?;
    let heard = results.iter().filter(|one| one.sent > one.lost).count();
    Ok(if heard == results.len() {
        Exit::Ok
    } else if heard > 0 {
        Exit::Partial
    } else {
        Exit::Unreachable
    })
}

/// The members to measure.
async fn chosen(client: &Client, named: Option<&str>) -> Result<Vec<NodeId>, Failed> {
    let mut members = each::members(client).await?;
    members.sort();
    let Some(named) = named else {
        return Ok(members);
    };
    members.retain(|node| node.to_string().starts_with(named));
    match members.len() {
        0 => Err(Failed::new(
            Exit::NotFound,
            format!("no member that is there begins with {named}: see `macula members`"),
        )),
        1 => Ok(members),
        count => Err(Failed::usage(format!(
            "{count} members begin with {named}: give more of the id"
        ))),
    }
}

/// Goes round by round, all members at a time.
async fn measure(
    client: &Client,
    args: &Args,
    members: &[NodeId],
    times: &mut BTreeMap<NodeId, Vec<Option<u64>>>,
) {
    let options = CallOptions::default().deadline(args.timeout);
    each::ask_all(client, members, "$sys.ping", &options).await;
    for round in 0..args.count.get() {
        if round > 0 {
            tokio::time::sleep(args.interval).await;
        }
        // One after the other, so that none waits for the others.
        for node in members {
            let begun = Instant::now();
            let answered = each::ask(client, *node, "$sys.ping", &options).await;
            let took = answered.is_ok().then(|| as_micros(begun.elapsed()));
            times.entry(*node).or_default().push(took);
        }
    }
}

/// Which way leads to a member.
fn way(node: NodeId, own: NodeId, peers: &[Peer]) -> (&'static str, Option<u8>) {
    if node == own {
        return ("itself", Some(0));
    }
    let node = node.to_string();
    let link = peers
        .iter()
        .find(|peer| peer.node == node && peer.role == "member");
    match link {
        Some(link) if link.path.starts_with("forwarded") => ("forwarded", link.hops),
        Some(link) => ("direct", link.hops),
        None => ("none", None),
    }
}

fn summarize(node: NodeId, times: &[Option<u64>], way: (&str, Option<u8>)) -> Measured {
    let mut heard: Vec<u64> = times.iter().flatten().copied().collect();
    heard.sort_unstable();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let (sent, answered) = (count(times.len()), count(heard.len()));
    let lost = sent.saturating_sub(answered);
    let sum = heard
        .iter()
        .fold(0_u64, |sum, one| sum.saturating_add(*one));
    Measured {
        event: "rtt",
        node: node.to_string(),
        way: way.0.to_owned(),
        hops: way.1,
        sent,
        lost,
        loss_percent: percent(lost, sent),
        min_us: heard.first().copied(),
        mean_us: sum.checked_div(answered),
        p50_us: quantile(&heard, 50),
        p99_us: quantile(&heard, 99),
        max_us: heard.last().copied(),
    }
}

/// The time within which so many of a hundred came back.
fn quantile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share for people, of numbers far below 2^52"
)]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

fn print(results: &[Measured], output: Output) -> Result<(), Failed> {
    if output.is_json() {
        return results.iter().try_for_each(|one| output.object(one));
    }
    let heading = [
        "node", "way", "hops", "sent", "loss", "min", "mean", "p50", "p99", "max",
    ];
    let mut table = Table::new(&heading);
    let dash = || "-".to_owned();
    let time = |value: Option<u64>| value.map_or_else(dash, micros);
    for one in results {
        table.row([
            short(&one.node),
            one.way.clone(),
            one.hops.map_or_else(dash, |hops| hops.to_string()),
            one.sent.to_string(),
            format!("{:.1} %", one.loss_percent),
            time(one.min_us),
            time(one.mean_us),
            time(one.p50_us),
            time(one.p99_us),
            time(one.max_us),
        ]);
    }
    table.lines().iter().try_for_each(|line| output.line(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_counts_and_has_no_time() {
        let node = NodeId::from_bytes([1; 32]);
        let times: Vec<Option<u64>> = (1..=100).map(Some).chain([None; 25]).collect();
        let one = summarize(node, &times, ("direct", Some(1)));
        assert_eq!((one.sent, one.lost, one.loss_percent), (125, 25, 20.0));
        assert_eq!((one.min_us, one.max_us), (Some(1), Some(100)));
        assert_eq!(
            (one.p50_us, one.p99_us, one.mean_us),
            (Some(50), Some(99), Some(50))
        );
        let none = summarize(node, &[None, None], ("none", None));
        assert_eq!(
            (none.lost, none.min_us, none.mean_us, none.p50_us),
            (2, None, None, None)
        );
        assert_eq!(none.loss_percent, 100.0);
        assert_eq!(quantile(&[7], 99), Some(7));
    }
}
