//! The second process: takes an order from standard input, does the other side of the work, reports.

use std::io::Read;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::process::{Order, PeerReport};
use super::{System, Workload, failed, memory, mesh, plain};
use crate::cli::exit::{Exit, Failed};
use crate::cli::output::Output;

/// The other side of one measurement.
pub(super) async fn run(output: Output) -> Result<Exit, Failed> {
    let mut input = BufReader::new(tokio::io::stdin());
    let mut line = String::new();
    input
        .read_line(&mut line)
        .await
        .map_err(|error| failed("the order", error))?;
    let order: Order = serde_json::from_str(&line).map_err(|error| failed("the order", error))?;
    super::spawned(work(order, output)).await?;
    Ok(Exit::Ok)
}

async fn work(order: Order, output: Output) -> Result<(), Failed> {
    match order.task.system {
        System::Macula if order.task.workload == Workload::Memory => {
            memory::serve(&order, output, done()).await?;
        }
        System::Macula => mesh::serve(&order, output, done()).await?,
        System::Quinn => plain::serve(&order, output, done()).await?,
    }
    Ok(())
}

/// Resolves when the first process closes the pipe: the work is done, or it is gone.
fn done() -> impl Future<Output = ()> {
    let (give, take) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        drop(std::io::stdin().lock().read_to_end(&mut rest));
        drop(give);
    });
    async move {
        drop(take.await);
    }
}

/// Adds what this process used.
pub(super) fn complete(mut report: PeerReport, cpu_nanos: u64) -> PeerReport {
    report.cpu_nanos = cpu_nanos;
    report.resident_bytes = macula::process().0;
    report
}
