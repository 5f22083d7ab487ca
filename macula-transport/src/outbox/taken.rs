//! What leaves a queue.

use bytes::Bytes;

/// What a writer took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    pub(super) bytes: usize,
    pub(super) frames: u64,
}

impl Taken {
    /// The pieces of one frame, or none.
    pub(super) fn of(pieces: &[Bytes]) -> Self {
        Self {
            bytes: pieces.iter().map(Bytes::len).sum(),
            frames: u64::from(!pieces.is_empty()),
        }
    }
}
