//! The log of events that outlive their node: appended, checked by sums, and on disk before a publisher hears of it.
//!
//! What is in it is what [`Replay`](macula_pubsub::Replay) keeps for other members; what is settled is taken out lazily. A
//! start reads everything, writes what is still owed to a fresh segment, and removes the former ones.

mod record;
mod recover;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use record::{GroupRecord, KeptRecord, Record};
pub(crate) use recover::recover;
pub(crate) use writer::Writer;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use macula_wire::ErrorCode;
use tokio::sync::{mpsc, oneshot};

use crate::Error;

/// How many appends may wait for the disk; whoever publishes waits beyond that.
const MAX_WAITING: usize = 1_024;
/// How long it may take until it is on record that an event is settled.
const FORGET_AFTER: Duration = Duration::from_millis(200);

/// Records to be appended, and who waits for them.
#[derive(Debug)]
struct Append {
    records: Vec<Record>,
    done: oneshot::Sender<Result<(), String>>,
}

/// The way to the log of a node. One task writes: what comes while the disk is busy is written and synced together.
#[derive(Debug)]
pub(crate) struct EventLog {
    appends: mpsc::Sender<Append>,
    /// Ids of events that are settled, and are not on record as such.
    settled: Mutex<Vec<u64>>,
    /// Ids below this one are taken by a later run of the node for used.
    reserved: AtomicU64,
    has_failed: AtomicBool,
    is_closed: AtomicBool,
    failed_writes: AtomicU64,
    reopen: AtomicBool,
}

/// What the task that writes needs.
#[derive(Debug)]
pub(crate) struct Writing {
    writer: Writer,
    appends: mpsc::Receiver<Append>,
}

impl EventLog {
    pub(crate) fn new(writer: Writer) -> (Arc<Self>, Writing) {
        let (give, appends) = mpsc::channel(MAX_WAITING);
        let log = Self {
            appends: give,
            settled: Mutex::default(),
            reserved: AtomicU64::new(writer.reserved()),
            has_failed: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            failed_writes: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
        };
        (Arc::new(log), Writing { writer, appends })
    }

    /// Appends records, and waits until they are on disk.
    pub(crate) async fn append(&self, records: Vec<Record>) -> Result<(), Error> {
        self.check()?;
        let (done, told) = oneshot::channel();
        let append = Append { records, done };
        let ended = || Error::new(ErrorCode::SHUTTING_DOWN, "the event log is closed");
        self.appends.send(append).await.map_err(|_| ended())?;
        let written = told.await.map_err(|_| ended())?;
        written.map_err(|detail| unwritten(&detail))
    }

    /// Waits until it is on record which events are settled by now.
    pub(crate) async fn flush(&self) {
        if let Err(error) = self.append(Vec::new()).await {
            // They are sent once more by the next run, and known by their ids.
            tracing::debug!(%error, "what is settled is not on record");
        }
    }

    /// Sees to it that no later run takes ids below `next` for new.
    pub(crate) async fn reserve(&self, next: u64) -> Result<(), Error> {
        const AHEAD: u64 = 1 << 20;
        if next.saturating_add(AHEAD / 2) < self.reserved.load(Ordering::Acquire) {
            return Ok(());
        }
        let upto = next.saturating_add(AHEAD);
        self.append(vec![Record::Reserve { upto }]).await?;
        self.reserved.fetch_max(upto, Ordering::AcqRel);
        Ok(())
    }

    /// Whether it can be written.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.has_failed.load(Ordering::Acquire) {
            return Err(unwritten("it failed before, and was not reopened since"));
        }
        Ok(())
    }

    /// An event is settled: it need not outlive the node any more.
    pub(crate) fn forget(&self, id: u64) {
        if !self.is_closed.load(Ordering::Acquire) {
            let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            settled.push(id);
        }
    }

    /// What is not settled by now stays in the log.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Tries again to write, into a fresh segment.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        self.has_failed.store(false, Ordering::Release);
    }

    /// How often writing failed.
    pub(crate) fn failed_writes(&self) -> u64 {
        self.failed_writes.load(Ordering::Relaxed)
    }

    fn take_settled(&self) -> Vec<u64> {
        std::mem::take(&mut *self.settled.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes until nobody can append any more.
    pub(crate) async fn run(self: Arc<Self>, writing: Writing) {
        let Writing {
            mut writer,
            mut appends,
        } = writing;
        loop {
            let first = tokio::time::timeout(FORGET_AFTER, appends.recv()).await;
            let mut batch = Vec::new();
            match first {
                Ok(Some(append)) => batch.push(append),
                Ok(None) => return,
                Err(_) => {}
            }
            while let Ok(append) = appends.try_recv() {
                batch.push(append);
            }
            let settled = self.take_settled();
            if batch.is_empty() && settled.is_empty() {
                continue;
            }
            let reopen = self.reopen.swap(false, Ordering::AcqRel);
            let (mut records, mut waiting) = (Vec::new(), Vec::new());
            for append in batch {
                records.extend(append.records);
                waiting.push(append.done);
            }
            let written = tokio::task::spawn_blocking(move || {
                let result = writer.commit(reopen, records, &settled);
                (writer, result)
            });
            let Ok((back, result)) = written.await else {
                return;
            };
            writer = back;
            if let Err(error) = &result {
                self.has_failed.store(true, Ordering::Release);
                self.failed_writes.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "the event log cannot be written: make room, then reopen it");
            }
            let result = result.map_err(|error| error.to_string());
            for done in waiting {
                done.send(result.clone()).ok();
            }
        }
    }
}

fn unwritten(detail: &str) -> Error {
    Error::new(
        ErrorCode::UNAVAILABLE,
        format!("the event log cannot be written: {detail}"),
    )
}
