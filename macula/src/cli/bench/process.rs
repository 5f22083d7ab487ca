//! The other process of a measurement.

use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::contestant::Contestant;
use super::{Task, failed};
use crate::cli::exit::Failed;

/// How long the peer may take to start, and to report after the work.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the peer is told.
#[derive(Deserialize, Serialize)]
pub(super) struct Order {
    pub(super) task: Task,
    pub(super) side: Contestant,
    /// Where this process listens, if the peer is to dial.
    pub(super) dial: Option<std::net::SocketAddr>,
}

/// What the peer says once it is ready.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Ready {
    /// Where the peer listens, if it is to be dialled.
    pub(super) listen: Option<std::net::SocketAddr>,
}

/// What the peer says at the end.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct PeerReport {
    pub(super) received: u64,
    pub(super) out_of_order: u64,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) cpu_nanos: u64,
    pub(super) resident_bytes: u64,
    /// By how much its memory grew through what it did.
    #[serde(default)]
    pub(super) grown_bytes: u64,
}

/// All running peers of a measurement.
#[derive(Debug)]
pub(super) struct Peers(Vec<Peer>);

impl Peers {
    /// Starts a peer for each side and waits until all are ready. What each said comes in the order of `sides`.
    pub(super) async fn start(
        task: &Task,
        sides: Vec<Contestant>,
        dial: Option<std::net::SocketAddr>,
    ) -> Result<(Self, Vec<Ready>), Failed> {
        let (mut peers, mut said) = (Vec::new(), Vec::new());
        for side in sides {
            let task = *task;
            let (peer, ready) = Peer::start(&Order { task, side, dial }).await?;
            peers.push(peer);
            said.push(ready);
        }
        Ok((Self(peers), said))
    }

    /// Waits for every report and adds them up; of times the longest.
    pub(super) async fn report(&mut self) -> Result<PeerReport, Failed> {
        let mut sum = PeerReport::default();
        for peer in &mut self.0 {
            sum.add(&peer.next().await?);
        }
        Ok(sum)
    }

    /// Tells all peers that the work is done.
    pub(super) fn finish_work(&mut self) {
        self.0.iter_mut().for_each(Peer::finish_work);
    }

    /// Waits until all processes have ended.
    pub(super) async fn end(mut self) {
        self.finish_work();
        for peer in self.0 {
            peer.end().await;
        }
    }
}

impl PeerReport {
    fn add(&mut self, other: &Self) {
        let longer = |ours: Option<f64>, theirs: Option<f64>| match (ours, theirs) {
            (Some(ours), Some(theirs)) => Some(ours.max(theirs)),
            _ => ours.or(theirs),
        };
        self.received = self.received.saturating_add(other.received);
        self.out_of_order = self.out_of_order.saturating_add(other.out_of_order);
        self.cpu_nanos = self.cpu_nanos.saturating_add(other.cpu_nanos);
        self.resident_bytes = self.resident_bytes.max(other.resident_bytes);
        self.grown_bytes = self.grown_bytes.max(other.grown_bytes);
        self.p50_us = longer(self.p50_us, other.p50_us);
        self.p99_us = longer(self.p99_us, other.p99_us);
    }
}

/// A running peer; it ends with this value.
#[derive(Debug)]
struct Peer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts a peer and waits until it is ready.
    async fn start(order: &Order) -> Result<(Self, Ready), Failed> {
        let program = std::env::current_exe().map_err(|error| failed("this program", error))?;
        let mut child = Command::new(program)
            .arg("bench-peer")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("the second process", error))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("the second process", "it has no pipes"));
        };
        let mut line = serde_json::to_string(order).map_err(|error| failed("the order", error))?;
        line.push('\n');
        stdin
            .write_all(line.as_bytes())
            .await
            .map_err(|error| failed("the second process", error))?;
        // Kept open: the peer ends when it closes.
        child.stdin = Some(stdin);
        let mut peer = Self {
            child,
            lines: BufReader::new(stdout).lines(),
        };
        let ready = peer.next().await?;
        Ok((peer, ready))
    }

    /// Tells the peer that the work is done.
    fn finish_work(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits until the process has ended.
    async fn end(mut self) {
        self.finish_work();
        drop(tokio::time::timeout(PATIENCE, self.child.wait()).await);
    }

    async fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, Failed> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line())
            .await
            .map_err(|_| failed("the second process", "it says nothing"))?
            .map_err(|error| failed("the second process", error))?
            .ok_or_else(|| failed("the second process", "it ended early"))?;
        serde_json::from_str(&line).map_err(|error| failed("the second process", error))
    }
}
