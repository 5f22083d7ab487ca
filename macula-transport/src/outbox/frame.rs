//! A frame on its way to several streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use macula_wire::message::Message;
use macula_wire::{EncodeError, SealedBatch};
use tokio::time::Instant;

/// A frame, or several in a row, that is encoded once and cheap to clone.
#[derive(Clone, Debug)]
pub struct OutFrame {
    pieces: Pieces,
    length: usize,
    end: Option<Arc<End>>,
}

/// When a frame is not worth writing any more.
#[derive(Debug)]
struct End {
    at: Instant,
    instead: OutFrame,
    dropped: Arc<AtomicU64>,
    count: u64,
}

#[derive(Clone, Debug)]
enum Pieces {
    One(Bytes),
    Many(Arc<[Bytes]>),
}

impl OutFrame {
    /// The frame of `message`.
    ///
    /// # Errors
    ///
    /// Those of [`Message::encode`].
    pub fn message(message: &Message) -> Result<Self, EncodeError> {
        message.to_bytes().map(|bytes| Bytes::from(bytes).into())
    }

    /// A frame that lies in several pieces, to be written in order.
    #[must_use]
    pub fn pieces(mut pieces: Vec<Bytes>) -> Self {
        if pieces.len() == 1
            && let Some(only) = pieces.pop()
        {
            return only.into();
        }
        Self {
            length: pieces.iter().map(Bytes::len).sum(),
            pieces: Pieces::Many(pieces.into()),
            end: None,
        }
    }

    /// Several frames that are written one after the other, with none between. What ends some of them does not count any
    /// more.
    #[must_use]
    pub fn joined(frames: impl IntoIterator<Item = Self>) -> Self {
        let mut pieces = Vec::new();
        for frame in frames {
            frame.append_to(&mut pieces);
        }
        Self::pieces(pieces)
    }

    /// The same, but what still waits at `at` is not written: `instead` is, and `count` is added to `dropped`.
    #[must_use]
    pub fn until(
        mut self,
        at: Instant,
        instead: Self,
        dropped: Arc<AtomicU64>,
        count: u64,
    ) -> Self {
        self.end = Some(Arc::new(End {
            at,
            instead,
            dropped,
            count,
        }));
        self
    }

    /// The length in bytes, headers included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn append_to(self, out: &mut Vec<Bytes>) {
        if let Some(end) = self.end
            && end.at <= Instant::now()
        {
            end.dropped.fetch_add(end.count, Ordering::Relaxed);
            return end.instead.clone().append_to(out);
        }
        match self.pieces {
            Pieces::One(bytes) => out.push(bytes),
            Pieces::Many(pieces) => out.extend_from_slice(&pieces),
        }
    }
}

impl From<Bytes> for OutFrame {
    fn from(bytes: Bytes) -> Self {
        Self {
            length: bytes.len(),
            pieces: Pieces::One(bytes),
            end: None,
        }
    }
}

impl From<SealedBatch> for OutFrame {
    fn from(batch: SealedBatch) -> Self {
        Self::pieces(batch.pieces)
    }
}
