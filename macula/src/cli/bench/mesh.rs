//! The work on Macula: two nodes of one realm, through the public library.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use macula::{
    CallOptions, EventBatch, EventOptions, Node, Overflow, PendingReceipt, PendingReceipts,
    PublishOptions, Publisher, Qos, RegisterOptions, Reply, SubscribeOptions,
};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::contestant::{Contestant, sides};
use super::figures::Figures;
use super::measure::{Meter, mtu_settled, percentile_us, wall_nanos};
use super::peer::complete;
use super::process::{Order, PeerReport, Peers, Ready};
use super::receive::receive;
use super::{System, Task, Workload, failed};
use crate::cli::exit::Failed;
use crate::cli::output::Output;

const TOPIC: &str = "bench.events";
const PROCEDURE: &str = "bench.echo";
/// The sequence that ends a stream of events.
pub(super) const LAST: u64 = u64::MAX;
/// Calls in flight in the second half of a measurement of calls.
const IN_FLIGHT: usize = 64;
/// How often it is looked whether all subscribers are there.
const GLANCE: Duration = Duration::from_millis(5);
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Payloads below this length are copied into their batch from one buffer, longer ones handed over.
const COPIED: usize = 4_096;
/// How many payloads there are of those that are handed over; they come again and again, as in the bare program.
const SHARED: u64 = 4;
/// How many receipts are waited for at a time, and of how many batches.
const MAX_PENDING: usize = 8_192;
const MAX_BATCHES: usize = 32;

pub(super) async fn node(side: &Contestant, task: &Task) -> Result<Node, Failed> {
    let builder = Node::builder()
        .identity(side.identity()?)
        .trust(side.trust()?)
        .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .transport(task.transport())
        .http(false);
    Ok(builder.start().await?)
}

/// The first process: publishes or calls.
pub(super) async fn measure(task: &Task) -> Result<Figures, Failed> {
    let (own, others) = sides(task.peers)?;
    let own = node(&own, task).await?;
    let (mut peer, _) = Peers::start(task, others, Some(own.local_addr())).await?;
    let figures = match task.workload {
        Workload::Events | Workload::Fanout | Workload::Qos1 | Workload::Memory => {
            events(task, &own, &mut peer).await
        }
        Workload::Latency => latency(task, &own, &mut peer).await,
        Workload::Calls => calls(task, &own, &mut peer).await,
        Workload::Stream => super::stream::measure(task, &own, &mut peer).await,
    };
    peer.end().await;
    own.shutdown().await;
    figures
}

async fn publisher(own: &Node, task: &Task) -> Result<Publisher, Failed> {
    let peers = u64::try_from(task.peers).unwrap_or(u64::MAX);
    let all_are_there = async {
        own.wait_for_subscribers(TOPIC).await?;
        loop {
            let stats = own.stats().await?;
            if stats.routing.interests >= peers && stats.links_members >= peers {
                return Ok::<(), macula::Error>(());
            }
            tokio::time::sleep(GLANCE).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_are_there)
        .await
        .map_err(|_| failed("events", "the subscribers did not come"))??;
    mtu_settled(|| mtu(own)).await;
    let qos = if task.kept {
        Qos::AtLeastOnce
    } else {
        Qos::AtMostOnce
    };
    let options = PublishOptions::default().qos(qos);
    Ok(own.publisher(TOPIC, options).await?)
}

pub(super) fn mtu(own: &Node) -> u16 {
    let largest = own.peers().iter().map(|peer| peer.mtu).max();
    largest.and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(0)
}

/// A payload that begins with its sequence and the time.
pub(super) fn payload(size: usize, sequence: u64, nanos: u64) -> BytesMut {
    let mut bytes = BytesMut::zeroed(size);
    stamp(&mut bytes, 0, sequence);
    stamp(&mut bytes, 8, nanos);
    bytes
}

fn stamp(bytes: &mut BytesMut, at: usize, value: u64) {
    if let Some(place) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value.to_be_bytes();
    }
}

pub(super) fn number(payload: &[u8], at: usize) -> u64 {
    let bytes = payload
        .get(at..)
        .and_then(|rest| rest.first_chunk().copied());
    bytes.map_or(0, u64::from_be_bytes)
}

async fn events(task: &Task, own: &Node, peer: &mut Peers) -> Result<Figures, Failed> {
    let publisher = publisher(own, task).await?;
    let meter = Meter::start();
    let until = wall_nanos().saturating_add(task.millis.saturating_mul(1_000_000));
    let sent = if task.kept {
        publish_kept(task, &publisher, until).await?
    } else {
        publish(task, &publisher, until).await?
    };
    publisher.publish(payload(task.size, LAST, 0)).await?;
    let report = peer.report().await?;
    let seconds = meter.seconds();
    let mut figures = meter.figures(seconds, report.received, report.received, mtu(own), &report);
    let owed = sent.saturating_mul(u64::try_from(task.peers).unwrap_or(u64::MAX));
    figures.lost = owed.saturating_sub(report.received);
    figures.out_of_order = report.out_of_order;
    Ok(figures)
}

/// Publishes at least once until the time has come, and waits for the receipt of each event. How many events that were.
async fn publish_kept(task: &Task, publisher: &Publisher, until: u64) -> Result<u64, Failed> {
    if task.size < COPIED {
        return publish_kept_gathered(task, publisher, until).await;
    }
    let options = EventOptions::default();
    let mut pending: VecDeque<PendingReceipt> = VecDeque::new();
    let mut sent = 0_u64;
    while wall_nanos() < until {
        if pending.len() >= MAX_PENDING
            && let Some(oldest) = pending.pop_front()
        {
            acknowledged(oldest.receipt().await?.is_complete())?;
        }
        let event = payload(task.size, sent.checked_rem(kinds(task)).unwrap_or(sent), 0);
        pending.push_back(publisher.publish_with_receipt(event, &options).await?);
        sent = sent.saturating_add(1);
    }
    for receipt in pending {
        acknowledged(receipt.receipt().await?.is_complete())?;
    }
    Ok(sent)
}

/// The same in batches, as with at most once.
async fn publish_kept_gathered(
    task: &Task,
    publisher: &Publisher,
    until: u64,
) -> Result<u64, Failed> {
    let mut pending: VecDeque<PendingReceipts> = VecDeque::new();
    let mut buffer = payload(task.size, 0, 0);
    let mut batch = EventBatch::new();
    let (mut sent, mut known) = (0_u64, 0_u64);
    loop {
        stamp(&mut buffer, 0, sent);
        if batch.push(&buffer) {
            sent = sent.saturating_add(1);
            continue;
        }
        pending.push_back(publisher.publish_batch_with_receipts(&mut batch).await?);
        let is_over = wall_nanos() >= until;
        let most = if is_over { 0 } else { MAX_BATCHES };
        while pending.len() > most
            && let Some(mut oldest) = pending.pop_front()
        {
            while let Some(receipts) = oldest.next().await {
                let receipts = receipts?;
                acknowledged(receipts.is_complete())?;
                known = known.saturating_add(receipts.count);
            }
        }
        if is_over {
            acknowledged(known == sent)?;
            return Ok(sent);
        }
    }
}

fn acknowledged(is_complete: bool) -> Result<(), Failed> {
    if is_complete {
        Ok(())
    } else {
        Err(failed("qos1", "an event was not acknowledged"))
    }
}

/// How many sequences payloads carry before they begin again.
pub(super) const fn kinds(task: &Task) -> u64 {
    let is_shared = task.size >= COPIED && !matches!(task.workload, Workload::Latency);
    if is_shared { SHARED } else { LAST }
}

/// Publishes until the time has come. How many events that were.
async fn publish(task: &Task, publisher: &Publisher, until: u64) -> Result<u64, Failed> {
    if task.size < COPIED && task.gathers() {
        return publish_gathered(task, publisher, until).await;
    }
    let mut sent = 0_u64;
    let mut buffer = payload(task.size, 0, 0);
    let shared = |sequence| payload(task.size, sequence, 0).freeze();
    let shared: Vec<Bytes> = (0..SHARED).map(shared).collect();
    loop {
        // The clock is read once for many events, as the bare program does.
        if task.size < COPIED {
            for _ in 0..64 {
                stamp(&mut buffer, 0, sent);
                publisher.publish_copy(&buffer).await?;
                sent = sent.saturating_add(1);
            }
        } else {
            for payload in &shared {
                publisher.publish(payload.clone()).await?;
                sent = sent.saturating_add(1);
            }
        }
        if wall_nanos() >= until {
            return Ok(sent);
        }
    }
}

/// Publishes in batches, as an application does that wants the most, and as the bare program gathers messages.
async fn publish_gathered(task: &Task, publisher: &Publisher, until: u64) -> Result<u64, Failed> {
    let mut sent = 0_u64;
    let mut buffer = payload(task.size, 0, 0);
    let mut batch = EventBatch::new();
    loop {
        stamp(&mut buffer, 0, sent);
        if batch.push(&buffer) {
            sent = sent.saturating_add(1);
            continue;
        }
        publisher.publish_batch(&mut batch).await?;
        if wall_nanos() >= until {
            return Ok(sent);
        }
    }
}

async fn latency(task: &Task, own: &Node, peer: &mut Peers) -> Result<Figures, Failed> {
    let publisher = publisher(own, task).await?;
    let meter = Meter::start();
    let total = u64::from(task.rate).saturating_mul(task.millis) / 1_000;
    let period = Duration::from_secs(1).checked_div(task.rate);
    let mut ticks = tokio::time::interval(period.unwrap_or(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for sequence in 0..total {
        ticks.tick().await;
        publisher
            .publish(payload(task.size, sequence, wall_nanos()))
            .await?;
    }
    publisher.publish(payload(task.size, LAST, 0)).await?;
    let report = peer.report().await?;
    let seconds = meter.seconds();
    let mut figures = meter.figures(seconds, report.received, report.received, mtu(own), &report);
    figures.lost = total.saturating_sub(report.received);
    figures.out_of_order = report.out_of_order;
    figures.p50_us = report.p50_us;
    figures.p99_us = report.p99_us;
    Ok(figures)
}

async fn calls(task: &Task, own: &Node, peer: &mut Peers) -> Result<Figures, Failed> {
    let arguments = payload(task.size, 0, 0).freeze();
    let served = async {
        // The offer of the other node arrives a moment after its link.
        while own
            .call(PROCEDURE, arguments.clone(), CallOptions::default())
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, served)
        .await
        .map_err(|_| failed("calls", "the procedure was not offered"))?;
    mtu_settled(|| mtu(own)).await;
    let meter = Meter::start();
    let half = task.half();
    let mut nanos = one_by_one(own, &arguments, half).await?;
    nanos.sort_unstable();
    let (answered, seconds) = in_flight(own, &arguments, half).await?;
    let (cpu, reached) = (meter.cpu(), mtu(own));
    peer.finish_work();
    let report = peer.report().await?;
    let total = answered.saturating_add(u64::try_from(nanos.len()).unwrap_or(u64::MAX));
    let mut figures = meter.figures(seconds, answered, total, reached, &report);
    figures.cpu_s_per_million = super::measure::float(cpu.saturating_add(report.cpu_nanos))
        / 1e3
        / super::measure::float(total.max(1));
    figures.p50_us = percentile_us(&nanos, 0.5);
    figures.p99_us = percentile_us(&nanos, 0.99);
    Ok(figures)
}

async fn one_by_one(own: &Node, arguments: &Bytes, time: Duration) -> Result<Vec<u64>, Failed> {
    let mut nanos = Vec::new();
    let until = wall_nanos().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let mut now = wall_nanos();
    while now < until {
        let reply = own
            .call(PROCEDURE, arguments.clone(), CallOptions::default())
            .await?;
        if reply.payload != *arguments {
            return Err(failed("calls", "another answer than was asked for"));
        }
        let after = wall_nanos();
        nanos.push(after.saturating_sub(now));
        now = after;
    }
    Ok(nanos)
}

async fn in_flight(own: &Node, arguments: &Bytes, time: Duration) -> Result<(u64, f64), Failed> {
    let meter = Meter::start();
    let until = wall_nanos().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let mut callers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (own, arguments) = (own.clone(), arguments.clone());
        callers.spawn(async move {
            let mut answered = 0_u64;
            while wall_nanos() < until {
                own.call(PROCEDURE, arguments.clone(), CallOptions::default())
                    .await?;
                answered = answered.saturating_add(1);
            }
            Ok::<u64, macula::Error>(answered)
        });
    }
    let mut answered = 0_u64;
    while let Some(caller) = callers.join_next().await {
        let count = caller.map_err(|error| failed("calls", error))??;
        answered = answered.saturating_add(count);
    }
    Ok((answered, meter.seconds()))
}

/// The second process: subscribes or serves.
pub(super) async fn serve(
    order: &Order,
    output: Output,
    done: impl Future<Output = ()>,
) -> Result<(), Failed> {
    debug_assert_eq!(order.task.system, System::Macula);
    let own = node(&order.side, &order.task).await?;
    let meter = Meter::start();
    let dial = order
        .dial
        .ok_or_else(|| failed("the order", "no address"))?;
    if order.task.workload == Workload::Stream {
        super::stream::serve(&own, dial, output, done).await?;
    } else if order.task.workload == Workload::Calls {
        let echo =
            |invocation: macula::Invocation| async move { Ok(Reply::bytes(invocation.payload)) };
        let served = own
            .register(PROCEDURE, RegisterOptions::default(), echo)
            .await?;
        own.connect(dial).await?;
        output.object(&Ready { listen: None })?;
        done.await;
        output.object(&complete(PeerReport::default(), meter.cpu()))?;
        drop(served);
    } else {
        // Nothing may be dropped here: what is lost is to be lost on the way.
        let options = SubscribeOptions::default()
            .overflow(Overflow::Block)
            .max_events(16_384)
            .max_bytes(16 << 20);
        let mut subscription = own.subscribe(TOPIC, options).await?;
        own.connect(dial).await?;
        output.object(&Ready { listen: None })?;
        let report = receive(&mut subscription, &order.task).await;
        output.object(&complete(report, meter.cpu()))?;
        done.await;
    }
    own.shutdown().await;
    Ok(())
}
