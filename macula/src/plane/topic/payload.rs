//! Payloads on their way into a batch.

use bytes::Bytes;
use macula_wire::Envelope;
use macula_wire::batch::{BY_REFERENCE, BatchBuilder};

/// A payload on its way into a batch.
pub(crate) trait Payload {
    /// Its length in bytes.
    fn len(&self) -> usize;

    /// How much it takes of a batch, with what goes with it, in bytes.
    fn encoded_len(&self) -> usize {
        self.len()
    }

    /// The envelope that says so, if it stays as the last value of its topic.
    fn retained(&self) -> Option<(&Envelope, &Bytes)> {
        None
    }

    /// Adds it to a batch.
    fn push(&self, batch: &mut BatchBuilder);

    /// What goes with it, and the payload itself.
    fn apart(&self) -> (Envelope, Bytes);
}

impl Payload for Bytes {
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn push(&self, batch: &mut BatchBuilder) {
        if self.len() < BY_REFERENCE {
            batch.push(self);
        } else {
            batch.push_bytes(self.clone());
        }
    }

    fn apart(&self) -> (Envelope, Bytes) {
        (Envelope::EMPTY, self.clone())
    }
}

/// A payload with its envelope.
pub(crate) struct Enveloped<'a> {
    /// Encoded.
    pub(crate) encoded: &'a [u8],
    pub(crate) envelope: &'a Envelope,
    pub(crate) payload: Bytes,
}

impl Payload for Enveloped<'_> {
    fn len(&self) -> usize {
        self.payload.len()
    }

    fn encoded_len(&self) -> usize {
        self.payload.len().saturating_add(self.encoded.len())
    }

    fn retained(&self) -> Option<(&Envelope, &Bytes)> {
        self.envelope
            .retain
            .then_some((self.envelope, &self.payload))
    }

    fn push(&self, batch: &mut BatchBuilder) {
        batch.push_enveloped(self.encoded, self.payload.clone());
    }

    fn apart(&self) -> (Envelope, Bytes) {
        (self.envelope.clone(), self.payload.clone())
    }
}

impl Payload for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn push(&self, batch: &mut BatchBuilder) {
        batch.push(self);
    }

    fn apart(&self) -> (Envelope, Bytes) {
        (Envelope::EMPTY, Bytes::copy_from_slice(self))
    }
}
