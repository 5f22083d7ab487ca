//! Parts of one call, as fast as the callee takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use macula::{CallOptions, Invocation, Node, RegisterOptions, Reply};

use super::figures::Figures;
use super::measure::{Meter, mtu_settled, wall_nanos};
use super::mesh::{PATIENCE, mtu, number, payload};
use super::peer::complete;
use super::process::{PeerReport, Peers, Ready};
use super::{Task, failed};
use crate::cli::exit::Failed;
use crate::cli::output::Output;

const PROCEDURE: &str = "bench.take";
/// How many parts are sent between two looks at the clock.
const TOGETHER: u64 = 16;
/// How many payloads there are; they come again and again, as in the bare program.
const SHARED: u64 = 4;

/// What came, on the side that takes it.
#[derive(Debug, Default)]
struct Taken {
    received: AtomicU64,
    out_of_order: AtomicU64,
}

/// Sends parts until the time is over, and waits until the callee has them all.
pub(super) async fn measure(task: &Task, own: &Node, peer: &mut Peers) -> Result<Figures, Failed> {
    let options = || CallOptions::default().deadline(task.duration().saturating_add(PATIENCE));
    let offered = async {
        while own.call(PROCEDURE, Bytes::new(), options()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, offered)
        .await
        .map_err(|_| failed("stream", "the procedure was not offered"))?;
    mtu_settled(|| mtu(own)).await;
    let parts: Vec<Bytes> = (0..SHARED)
        .map(|sequence| payload(task.size, sequence, 0).freeze())
        .collect();
    let meter = Meter::start();
    let until = wall_nanos().saturating_add(task.millis.saturating_mul(1_000_000));
    let mut call = own.open_call(PROCEDURE, Bytes::new(), options()).await?;
    let mut sent = 0_u64;
    while wall_nanos() < until {
        for part in parts
            .iter()
            .cycle()
            .take(usize::try_from(TOGETHER).unwrap_or(1))
        {
            call.send(Reply::bytes(part.clone())).await?;
            sent = sent.saturating_add(1);
        }
    }
    call.finish();
    call.result().await?;
    let (seconds, reached) = (meter.seconds(), mtu(own));
    let figures_of = |report: &PeerReport| {
        let mut figures = meter.figures(seconds, report.received, report.received, reached, report);
        figures.lost = sent.saturating_sub(report.received);
        figures.out_of_order = report.out_of_order;
        figures
    };
    peer.finish_work();
    let report = peer.report().await?;
    Ok(figures_of(&report))
}

/// The second process: takes parts and counts them.
pub(super) async fn serve(
    own: &Node,
    dial: std::net::SocketAddr,
    output: Output,
    done: impl Future<Output = ()>,
) -> Result<(), Failed> {
    let meter = Meter::start();
    let taken = Arc::new(Taken::default());
    let shared = Arc::clone(&taken);
    let take = move |invocation| take(Arc::clone(&shared), invocation);
    let served = own
        .register(PROCEDURE, RegisterOptions::default(), take)
        .await?;
    own.connect(dial).await?;
    output.object(&Ready { listen: None })?;
    done.await;
    let report = PeerReport {
        received: taken.received.load(Ordering::Acquire),
        out_of_order: taken.out_of_order.load(Ordering::Acquire),
        ..PeerReport::default()
    };
    output.object(&complete(report, meter.cpu()))?;
    drop(served);
    Ok(())
}

async fn take(taken: Arc<Taken>, invocation: Invocation) -> Result<Reply, macula::CallFailure> {
    let mut next = 0_u64;
    while let Some(part) = invocation.next_part().await {
        if Some(number(&part.payload, 0)) != next.checked_rem(SHARED) {
            taken.out_of_order.fetch_add(1, Ordering::AcqRel);
        }
        next = next.saturating_add(1);
    }
    taken.received.fetch_add(next, Ordering::AcqRel);
    Ok(Reply::bytes(Bytes::new()))
}
