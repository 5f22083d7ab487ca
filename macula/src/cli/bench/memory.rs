//! What subscriptions take of memory: on the node that has them, and on one that publishes what they match.

use std::time::Duration;

use macula::{Node, PublishOptions, SubscribeOptions};
use serde::Serialize;

use super::contestant::sides;
use super::measure::float;
use super::mesh::node;
use super::process::{Order, PeerReport, Peers, Ready};
use super::{Task, failed};
use crate::cli::exit::{Exit, Failed};
use crate::cli::output::Output;

/// How many subscriptions there are, each to a pattern of its own.
const SUBSCRIPTIONS: u32 = 10_000;
/// How many are asked for at a time.
const AT_ONCE: usize = 500;
/// How long it may take until the publisher knows of all.
const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(20);

#[derive(Debug, Serialize)]
struct Report {
    workload: super::Workload,
    subscriptions: u32,
    /// Of resident memory, for each, on the node that has them.
    subscription_bytes: f64,
    /// The same on the node that publishes, with the records that say so.
    remote_bytes: f64,
    /// Resident memory of the publishing node before, with one peer.
    idle_rss_mib: f64,
}

fn resident() -> u64 {
    macula::process().0
}

/// The first process: publishes what the other one subscribes.
pub(super) async fn run(task: &Task, output: Output) -> Result<Exit, Failed> {
    let (own, others) = sides(1)?;
    let own = node(&own, task).await?;
    let publisher = own
        .publisher("bench.start", PublishOptions::default())
        .await?;
    let (mut peers, _) = Peers::start(task, others, Some(own.local_addr())).await?;
    let before = resident();
    // The peer subscribes now, and says by how much it grew.
    let report = peers.report().await?;
    heard_of(&own, u64::from(SUBSCRIPTIONS)).await?;
    let each = |bytes: u64| float(bytes) / f64::from(SUBSCRIPTIONS);
    let report = Report {
        workload: task.workload,
        subscriptions: SUBSCRIPTIONS,
        subscription_bytes: each(report.grown_bytes),
        remote_bytes: each(resident().saturating_sub(before)),
        idle_rss_mib: float(before) / f64::from(1 << 20),
    };
    output.either(&report, || {
        format!(
            "a subscription: {:.0} bytes on its node, {:.0} bytes on a publisher's; an idle node: {:.1} MiB",
            report.subscription_bytes, report.remote_bytes, report.idle_rss_mib
        )
    })?;
    drop(publisher);
    peers.end().await;
    own.shutdown().await;
    Ok(Exit::Ok)
}

async fn heard_of(own: &Node, patterns: u64) -> Result<(), Failed> {
    let all = async {
        while own.stats().await?.routing.interests < patterns {
            tokio::time::sleep(GLANCE).await;
        }
        Ok::<(), macula::Error>(())
    };
    tokio::time::timeout(PATIENCE, all)
        .await
        .map_err(|_| failed("memory", "the publisher did not hear of all subscriptions"))??;
    Ok(())
}

/// The second process: subscribes.
pub(super) async fn serve(
    order: &Order,
    output: Output,
    done: impl Future<Output = ()>,
) -> Result<(), Failed> {
    let own = node(&order.side, &order.task).await?;
    let dial = order
        .dial
        .ok_or_else(|| failed("the order", "no address"))?;
    own.connect(dial).await?;
    output.object(&Ready { listen: None })?;
    let before = resident();
    let mut subscriptions = Vec::new();
    let numbers: Vec<u32> = (0..SUBSCRIPTIONS).collect();
    for some in numbers.chunks(AT_ONCE) {
        let some = some.iter().map(|number| {
            let (own, pattern) = (&own, format!("bench.subscriber.{number}.*"));
            async move { own.subscribe(&pattern, SubscribeOptions::default()).await }
        });
        subscriptions.extend(futures::future::try_join_all(some).await?);
    }
    let report = PeerReport {
        grown_bytes: resident().saturating_sub(before),
        ..PeerReport::default()
    };
    output.object(&report)?;
    done.await;
    drop(subscriptions);
    own.shutdown().await;
    Ok(())
}
