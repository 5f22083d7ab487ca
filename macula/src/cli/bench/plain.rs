//! The same work on bare quinn.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula::transport::baseline::{Amount, BaselineError, Client, Server};
use tokio::task::JoinSet;

use super::contestant::sides;
use super::figures::Figures;
use super::measure::{Meter, float, mtu_settled, percentile_us, wall_nanos};
use super::peer::complete;
use super::process::{Order, PeerReport, Peers, Ready};
use super::{Task, Workload, failed};
use crate::cli::exit::Failed;
use crate::cli::output::Output;

/// Calls in flight in the second half of a measurement of calls.
const IN_FLIGHT: usize = 64;

fn broken(error: BaselineError) -> Failed {
    failed("quinn", error)
}

/// The first process: publishes or calls.
pub(super) async fn measure(task: &Task) -> Result<Figures, Failed> {
    let (own, others) = sides(task.peers)?;
    let (mut peer, ready) = Peers::start(task, others, None).await?;
    let (identity, transport) = (own.tls()?, task.transport());
    let mut clients = Vec::new();
    for peer in ready {
        let address = peer.listen.ok_or_else(|| failed("quinn", "no address"))?;
        let client = Client::connect(address, &identity, &transport);
        clients.push(Arc::new(client.await.map_err(broken)?));
    }
    let first = clients.first().ok_or_else(|| failed("quinn", "no peer"))?;
    let client = Arc::clone(first);
    mtu_settled(|| client.mtu()).await;
    let figures = match task.workload {
        Workload::Calls => calls(task, &client, &mut peer).await?,
        Workload::Events
        | Workload::Fanout
        | Workload::Qos1
        | Workload::Stream
        | Workload::Memory => {
            let meter = Meter::start();
            let sent = send_to_all(&clients, task).await?;
            one_way(&meter, sent, &client, &mut peer).await?
        }
        Workload::Latency => {
            let meter = Meter::start();
            let total = u64::from(task.rate).saturating_mul(task.millis) / 1_000;
            let sent = client
                .send_at_rate(task.rate, total, task.size, wall_nanos)
                .await
                .map_err(broken)?;
            one_way(&meter, sent.messages, &client, &mut peer).await?
        }
    };
    drop(client);
    for client in clients.into_iter().filter_map(Arc::into_inner) {
        client.close().await;
    }
    peer.end().await;
    Ok(figures)
}

/// Sends the same number of messages by each connection at once; how many that were.
async fn send_to_all(clients: &[Arc<Client>], task: &Task) -> Result<u64, Failed> {
    let mut senders = JoinSet::new();
    for client in clients {
        let (client, amount, size) = (Arc::clone(client), Amount::For(task.duration()), task.size);
        senders.spawn(async move { client.send_events(amount, size).await });
    }
    let mut messages = 0_u64;
    while let Some(sent) = senders.join_next().await {
        let sent = sent
            .map_err(|error| failed("quinn", error))?
            .map_err(broken)?;
        messages = messages.saturating_add(sent.messages);
    }
    Ok(messages)
}

async fn one_way(
    meter: &Meter,
    sent: u64,
    client: &Client,
    peer: &mut Peers,
) -> Result<Figures, Failed> {
    let seconds = meter.seconds();
    let report = peer.report().await?;
    let mut figures = meter.figures(
        seconds,
        report.received,
        report.received,
        client.mtu(),
        &report,
    );
    figures.lost = sent.saturating_sub(report.received);
    figures.out_of_order = report.out_of_order;
    figures.p50_us = report.p50_us;
    figures.p99_us = report.p99_us;
    Ok(figures)
}

async fn calls(task: &Task, client: &Arc<Client>, peer: &mut Peers) -> Result<Figures, Failed> {
    let arguments = Bytes::from(vec![0; task.size]);
    client.call(arguments.clone()).await.map_err(broken)?;
    let meter = Meter::start();
    let half = task.half();
    let mut nanos = Vec::new();
    let until = end(half);
    let mut now = wall_nanos();
    while now < until {
        client.call(arguments.clone()).await.map_err(broken)?;
        let after = wall_nanos();
        nanos.push(after.saturating_sub(now));
        now = after;
    }
    nanos.sort_unstable();
    let many = Meter::start();
    let answered = in_flight(client, &arguments, half).await?;
    let seconds = many.seconds();
    let cpu = meter.cpu();
    peer.finish_work();
    let report = peer.report().await?;
    let total = answered.saturating_add(u64::try_from(nanos.len()).unwrap_or(u64::MAX));
    let mut figures = meter.figures(seconds, answered, total, client.mtu(), &report);
    figures.cpu_s_per_million =
        float(cpu.saturating_add(report.cpu_nanos)) / 1e3 / float(total.max(1));
    figures.p50_us = percentile_us(&nanos, 0.5);
    figures.p99_us = percentile_us(&nanos, 0.99);
    Ok(figures)
}

fn end(time: Duration) -> u64 {
    wall_nanos().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

async fn in_flight(client: &Arc<Client>, arguments: &Bytes, time: Duration) -> Result<u64, Failed> {
    let until = end(time);
    let mut callers = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (client, arguments) = (Arc::clone(client), arguments.clone());
        callers.spawn(async move {
            let mut answered = 0_u64;
            while wall_nanos() < until {
                client.call(arguments.clone()).await?;
                answered = answered.saturating_add(1);
            }
            Ok::<u64, BaselineError>(answered)
        });
    }
    let mut answered = 0_u64;
    while let Some(caller) = callers.join_next().await {
        let count = caller
            .map_err(|error| failed("calls", error))?
            .map_err(broken)?;
        answered = answered.saturating_add(count);
    }
    Ok(answered)
}

/// The second process: receives or echoes.
pub(super) async fn serve(
    order: &Order,
    output: Output,
    done: impl Future<Output = ()>,
) -> Result<(), Failed> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::bind(any, &order.side.tls()?, &order.task.transport()).map_err(broken)?;
    let meter = Meter::start();
    tokio::pin!(done);
    output.object(&Ready {
        listen: Some(server.local_addr()),
    })?;
    let report = match order.task.workload {
        Workload::Events
        | Workload::Fanout
        | Workload::Qos1
        | Workload::Stream
        | Workload::Memory => {
            let received = server.serve_events().await.map_err(broken)?;
            PeerReport {
                received: received.messages,
                out_of_order: received.out_of_order,
                ..PeerReport::default()
            }
        }
        Workload::Latency => {
            let mut latencies = server
                .serve_latency(1 << 20, wall_nanos)
                .await
                .map_err(broken)?;
            latencies.nanos.sort_unstable();
            PeerReport {
                received: u64::try_from(latencies.nanos.len()).unwrap_or(u64::MAX),
                out_of_order: latencies.out_of_order,
                p50_us: percentile_us(&latencies.nanos, 0.5),
                p99_us: percentile_us(&latencies.nanos, 0.99),
                ..PeerReport::default()
            }
        }
        Workload::Calls => {
            tokio::select! {
                served = server.serve_calls() => drop(served.map_err(broken)?),
                () = &mut done => return output.object(&complete(PeerReport::default(), meter.cpu())),
            }
            PeerReport::default()
        }
    };
    output.object(&complete(report, meter.cpu()))?;
    done.await;
    Ok(())
}
