//! The lookup stream of a link: messages of routing, sent by this side and read from the peer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use macula_kad::RecordLimit;
use macula_transport::Link;
use macula_wire::message::StreamKind;
use macula_wire::{Body, Instant};
use tokio::sync::mpsc;

use super::Plane;

/// How many messages wait for the lookup stream of a link.
const MAX_FRAMES: usize = 1_024;
/// How many bytes of them.
const MAX_BYTES: usize = 4 << 20;

/// The sending side of a link's lookup stream, which opens at the first message, and whether the peer has opened its own.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    queue: OnceLock<mpsc::Sender<Bytes>>,
    waiting: Arc<AtomicUsize>,
    is_read: AtomicBool,
    /// How many records the peer may still bring to be checked.
    limit: Mutex<RecordLimit>,
}

impl Lookup {
    /// Lets a message wait for the stream. Whether there was room.
    pub(crate) fn push(&self, plane: &Plane, link: &Link, frame: Bytes) -> bool {
        let queue = self.queue.get_or_init(|| {
            let (queue, taken) = mpsc::channel(MAX_FRAMES);
            let writer = write(link.clone(), taken, Arc::clone(&self.waiting));
            plane.tasks.spawn("lookups out", writer);
            queue
        });
        let length = frame.len();
        let before = self.waiting.fetch_add(length, Ordering::AcqRel);
        let fits = before.saturating_add(length) <= MAX_BYTES && queue.try_send(frame).is_ok();
        if !fits {
            self.waiting.fetch_sub(length, Ordering::AcqRel);
        }
        fits
    }

    /// How many bytes wait for the stream.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Begins to read the peer's stream. `false` if one is read already.
    pub(crate) fn begin_reading(&self) -> bool {
        !self.is_read.swap(true, Ordering::AcqRel)
    }

    /// Whether the records of a message may be checked; otherwise it is dropped, as if it had been lost.
    pub(crate) fn admits(&self, now: Instant, body: &Body) -> bool {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        limit.admits(now, body)
    }

    /// The peer's stream has ended; it may open another.
    pub(crate) fn end_reading(&self) {
        self.is_read.store(false, Ordering::Release);
    }
}

/// Writes until the link ends, or the peer wants no more; what comes after that finds the queue closed.
async fn write(link: Link, mut queue: mpsc::Receiver<Bytes>, waiting: Arc<AtomicUsize>) {
    let writing = async {
        let Ok((mut sender, _receiver)) = link.open(StreamKind::Lookup).await else {
            return;
        };
        while let Some(frame) = queue.recv().await {
            waiting.fetch_sub(frame.len(), Ordering::AcqRel);
            if sender.send(frame).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = writing => {}
        _ = link.closed() => {}
    }
}
