//! The payloads of a batch as they stand on the wire.

use alloc::vec::Vec;

use bytes::Bytes;

use super::MAX_BATCH_EVENTS;
use crate::field::Field;
use crate::{DecodeError, EncodeError, Reader, check, varint};

/// The payloads of a [`Batch`](super::Batch): checked once, cut apart when they are handed out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entries {
    count: usize,
    /// Each payload behind its length.
    encoded: Bytes,
}

impl Entries {
    /// Checks `count` length-prefixed payloads.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Invalid`] for none, [`DecodeError::TooLarge`] for more than 4,096, [`DecodeError::TrailingBytes`]
    /// if `encoded` holds more than that, and the errors of each payload.
    pub fn new(count: usize, encoded: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(encoded.clone());
        skip(count, &mut reader)?;
        reader.finish()?;
        Ok(Self { count, encoded })
    }

    /// Payloads that were put there by this process, `count` of them.
    pub(super) const fn known(count: usize, encoded: Bytes) -> Self {
        Self { count, encoded }
    }

    /// The entries of payloads that are to be sent.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Invalid`] for none, [`EncodeError::TooLarge`] for more than 4,096.
    pub fn from_payloads<'a>(
        payloads: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, EncodeError> {
        let mut encoded = Vec::new();
        let mut count = 0_usize;
        for payload in payloads {
            varint::put(
                &mut encoded,
                u64::try_from(payload.len()).unwrap_or(u64::MAX),
            );
            encoded.extend_from_slice(payload);
            count = count.saturating_add(1);
        }
        check::require(count != 0, "entries", 0)?;
        if count > MAX_BATCH_EVENTS {
            return Err(EncodeError::TooLarge {
                field: "entries",
                max: MAX_BATCH_EVENTS,
            });
        }
        Ok(Self {
            count,
            encoded: encoded.into(),
        })
    }

    /// How many payloads there are, 1 to 4,096.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The payloads with their lengths, as they stand on the wire: what a batch signature covers.
    #[must_use]
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The first of payloads that stand in `encoded` as [`encoded`](Self::encoded) has them, and what follows it. `None` at
    /// the end.
    #[inline]
    #[must_use]
    pub fn split_first(encoded: &[u8]) -> Option<(&[u8], &[u8])> {
        let (length, prefix) = varint::split(encoded).ok()?;
        let length = usize::try_from(length).ok()?;
        encoded.get(prefix..)?.split_at_checked(length)
    }

    /// The payloads in order, each a slice of the batch.
    #[must_use]
    pub fn iter(&self) -> EntriesIter {
        EntriesIter {
            left: self.count,
            rest: self.encoded.clone(),
        }
    }
}

impl IntoIterator for &Entries {
    type Item = Bytes;
    type IntoIter = EntriesIter;

    fn into_iter(self) -> EntriesIter {
        self.iter()
    }
}

impl IntoIterator for Entries {
    type Item = Bytes;
    type IntoIter = EntriesIter;

    fn into_iter(self) -> EntriesIter {
        EntriesIter {
            left: self.count,
            rest: self.encoded,
        }
    }
}

/// Cuts the payloads of [`Entries`] apart.
#[derive(Clone, Debug)]
pub struct EntriesIter {
    left: usize,
    rest: Bytes,
}

impl Iterator for EntriesIter {
    type Item = Bytes;

    #[inline]
    fn next(&mut self) -> Option<Bytes> {
        let (first, after) = Entries::split_first(&self.rest)?;
        let length = first.len();
        let taken = self.rest.len().saturating_sub(after.len());
        self.left = self.left.saturating_sub(1);
        bytes::Buf::advance(&mut self.rest, taken.saturating_sub(length));
        Some(self.rest.split_to(length))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for EntriesIter {}

fn skip(count: usize, reader: &mut Reader) -> Result<(), DecodeError> {
    if count == 0 {
        return Err(DecodeError::Invalid {
            field: "entries",
            value: 0,
        });
    }
    if count > MAX_BATCH_EVENTS {
        return Err(DecodeError::TooLarge {
            field: "entries",
            max: MAX_BATCH_EVENTS,
        });
    }
    reader.skip_strings(count)
}

impl Field for Entries {
    fn put(&self, _: &'static str, _: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        varint::put(out, u64::try_from(self.count).unwrap_or(u64::MAX));
        out.extend_from_slice(&self.encoded);
        Ok(())
    }

    fn take(field: &'static str, _: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        let count = input.length(field, MAX_BATCH_EVENTS)?;
        let start = input.position();
        skip(count, input)?;
        Ok(Self {
            count,
            encoded: input.since(start),
        })
    }
}
