//! A frame on its way to several streams.

use std::sync::Arc;

use bytes::Bytes;
use macula_wire::message::Message;
use macula_wire::{EncodeError, SealedBatch};

/// A frame, or several in a row, that is encoded once and cheap to clone.
#[derive(Clone, Debug)]
pub struct OutFrame {
    pieces: Pieces,
    length: usize,
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
        }
    }

    /// Several frames that are written one after the other, with none between.
    #[must_use]
    pub fn joined(frames: impl IntoIterator<Item = Self>) -> Self {
        let mut pieces = Vec::new();
        for frame in frames {
            frame.append_to(&mut pieces);
        }
        Self::pieces(pieces)
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
        }
    }
}

impl From<SealedBatch> for OutFrame {
    fn from(batch: SealedBatch) -> Self {
        Self::pieces(batch.pieces)
    }
}
