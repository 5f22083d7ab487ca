//! A batch that is ready to leave.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{Batch, BatchHead, Entries};
use crate::Sequence;

/// A batch as a frame in pieces.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SealedBatch {
    /// The frame; written in order they are one BATCH.
    pub pieces: Vec<Bytes>,
    /// How many events it holds.
    pub events: usize,
    /// The sequence of the first.
    pub base: Sequence,
    /// What stands before the events, header of the frame included: what it says, and how many bytes it takes.
    pub(super) head: (BatchHead, usize),
    /// How many bytes the events take with their lengths.
    pub(super) entries: usize,
}

impl SealedBatch {
    /// The length of the frame in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// The batch, as whoever receives the frame reads it. Its payloads are slices of the pieces, unless some of them are
    /// pieces of their own: then all are copied into one.
    #[must_use]
    pub fn open(&self) -> Batch {
        let (head, _) = &self.head;
        let entries = Entries::known(self.events, self.encoded());
        debug_assert_eq!(
            Entries::new(self.events, entries.encoded().clone()).as_ref(),
            Ok(&entries),
            "entries that are not what they were said to be"
        );
        Batch {
            hops: head.hops,
            publisher: head.publisher,
            epoch: head.epoch,
            alias: head.alias,
            base: head.base,
            ttl_ms: head.ttl_ms,
            content: head.content.clone(),
            enveloped: head.enveloped,
            signature: head.signature,
            entries,
        }
    }

    /// The payloads with their lengths.
    fn encoded(&self) -> Bytes {
        let mut before = self.head.1;
        for piece in &self.pieces {
            if before >= piece.len() {
                before = before.saturating_sub(piece.len());
                continue;
            }
            let end = before.saturating_add(self.entries);
            if end <= piece.len() {
                return piece.slice(before..end);
            }
            break;
        }
        let mut joined = Vec::with_capacity(self.encoded_len());
        for piece in &self.pieces {
            joined.extend_from_slice(piece);
        }
        joined.truncate(self.head.1.saturating_add(self.entries));
        let joined = Bytes::from(joined);
        joined.slice(self.head.1.min(joined.len())..)
    }
}
