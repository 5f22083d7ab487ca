//! Reading a body field by field, without copying what it holds.

use bytes::Bytes;

use crate::{DecodeError, varint};

/// A cursor over the body of one message. Byte strings are handed out as slices of the same buffer.
///
/// After an error the position is unspecified: the message is refused as a whole.
#[derive(Clone, Debug)]
pub struct Reader {
    input: Bytes,
    at: usize,
}

impl Reader {
    /// Starts at the beginning of `input`.
    #[must_use]
    pub const fn new(input: Bytes) -> Self {
        Self { input, at: 0 }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.input.len().saturating_sub(self.at)
    }

    fn rest(&self) -> &[u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }

    /// Takes one byte.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnexpectedEnd`] if none is left.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.rest().first().ok_or(DecodeError::UnexpectedEnd)?;
        self.advance(1);
        Ok(byte)
    }

    /// Takes `N` bytes as they are.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnexpectedEnd`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = *self
            .rest()
            .first_chunk::<N>()
            .ok_or(DecodeError::UnexpectedEnd)?;
        self.advance(N);
        Ok(array)
    }

    /// Takes an integer.
    ///
    /// # Errors
    ///
    /// As [`varint::split`].
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let (value, length) = varint::split(self.rest())?;
        self.advance(length);
        Ok(value)
    }

    /// Takes an integer of at most 32 bits.
    ///
    /// # Errors
    ///
    /// As [`varint`](Self::varint); [`DecodeError::Invalid`] for a larger one.
    pub fn varint_u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let value = self.varint()?;
        u32::try_from(value).map_err(|_| DecodeError::Invalid { field, value })
    }

    /// Takes a length or a count and refuses one over `max`, before anything is allocated for it.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLarge`] over `max`.
    pub fn length(&mut self, field: &'static str, max: usize) -> Result<usize, DecodeError> {
        let value = self.varint()?;
        match usize::try_from(value) {
            Ok(length) if length <= max => Ok(length),
            _ => Err(DecodeError::TooLarge { field, max }),
        }
    }

    /// Takes a length-prefixed byte string of at most `max` bytes as a slice of the input.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooLarge`] over `max`, [`DecodeError::UnexpectedEnd`] if the input is shorter.
    pub fn bytes(&mut self, field: &'static str, max: usize) -> Result<Bytes, DecodeError> {
        let length = self.length(field, max)?;
        self.slice(length)
    }

    /// Takes exactly `length` bytes as a slice of the input.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnexpectedEnd`] if fewer are left.
    pub fn slice(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.remaining() {
            return Err(DecodeError::UnexpectedEnd);
        }
        let end = self.at.saturating_add(length);
        let slice = self.input.slice(self.at..end);
        self.at = end;
        Ok(slice)
    }

    /// Skips `count` length-prefixed byte strings of any length.
    ///
    /// # Errors
    ///
    /// As [`varint::split`] for a length; [`DecodeError::UnexpectedEnd`] if the input is shorter.
    pub fn skip_strings(&mut self, count: usize) -> Result<(), DecodeError> {
        let mut rest = self.rest();
        for _string in 0..count {
            let (length, prefix) = varint::split(rest)?;
            // What no address reaches is not there either.
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let after = rest.get(prefix..).and_then(|rest| rest.get(length..));
            rest = after.ok_or(DecodeError::UnexpectedEnd)?;
        }
        self.at = self.input.len().saturating_sub(rest.len());
        Ok(())
    }

    /// The slice of the input from `start` (a value of [`position`](Self::position)) to here.
    #[must_use]
    pub fn since(&self, start: usize) -> Bytes {
        if start > self.at {
            return Bytes::new();
        }
        self.input.slice(start..self.at)
    }

    /// The offset of the cursor.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Ends the message.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TrailingBytes`] if anything is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }
}
