//! Messages behind a length: writing many at once, and finding them in what was read.

use bytes::{Buf, Bytes};

use super::BaselineError;

/// The shortest message of [`Client::send_events`](super::Client::send_events) in bytes: its sequence.
pub const MIN_MESSAGE_LEN: usize = 8;
/// The shortest message of [`Client::send_at_rate`](super::Client::send_at_rate) in bytes: its sequence and its time.
pub const MIN_STAMPED_LEN: usize = 16;
/// The longest message that a receiver accepts in bytes.
pub(super) const MAX_MESSAGE_LEN: usize = 16 << 20;

const LENGTH_LEN: usize = 4;

/// The length and the sequence before the rest of a message of `size` bytes.
pub(super) fn head(size: usize, sequence: u64) -> [u8; LENGTH_LEN + MIN_MESSAGE_LEN] {
    let mut out = [0; LENGTH_LEN + MIN_MESSAGE_LEN];
    let (length, rest) = out.split_at_mut(LENGTH_LEN);
    length.copy_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
    rest.copy_from_slice(&sequence.to_be_bytes());
    out
}

/// Refuses a `size` that cannot hold `min` bytes, or that no receiver accepts.
pub(super) const fn check_size(size: usize, min: usize) -> Result<(), BaselineError> {
    if size < min {
        return Err(BaselineError::TooShort { min });
    }
    if size > MAX_MESSAGE_LEN {
        return Err(BaselineError::Protocol(
            "a message is longer than a receiver accepts",
        ));
    }
    Ok(())
}

/// Finds messages in a stream that is read in pieces.
///
/// A message within one piece is passed on as a slice of it; one that spans pieces is joined once.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The begun message with its length, as far as it has come.
    begun: Vec<u8>,
}

impl Splitter {
    /// Passes each message that `piece` completes to `each`.
    pub(super) fn push(
        &mut self,
        mut piece: Bytes,
        mut each: impl FnMut(&[u8]) -> Result<(), BaselineError>,
    ) -> Result<(), BaselineError> {
        while !piece.is_empty() {
            if self.begun.is_empty()
                && let Some(whole) = whole_in(&piece)?
            {
                each(piece.get(LENGTH_LEN..whole).unwrap_or_default())?;
                piece.advance(whole);
                continue;
            }
            self.gather(&mut piece)?;
            if self.missing()? == 0 {
                each(self.begun.get(LENGTH_LEN..).unwrap_or_default())?;
                self.begun.clear();
            }
        }
        Ok(())
    }

    /// Whether the stream may end here.
    pub(super) const fn is_at_boundary(&self) -> bool {
        self.begun.is_empty()
    }

    /// Moves what belongs to the begun message from `piece`.
    fn gather(&mut self, piece: &mut Bytes) -> Result<(), BaselineError> {
        // Once for the length, once for the rest.
        for _ in 0..2 {
            let part = self.missing()?.min(piece.len());
            self.begun.extend_from_slice(&piece.split_to(part));
        }
        Ok(())
    }

    /// How many bytes the begun message, or its length, lacks.
    fn missing(&self) -> Result<usize, BaselineError> {
        let whole = whole_len(&self.begun)?.unwrap_or(LENGTH_LEN);
        Ok(whole.saturating_sub(self.begun.len()))
    }
}

/// The length of the first message of `bytes` with its length, if all of it is there.
fn whole_in(bytes: &[u8]) -> Result<Option<usize>, BaselineError> {
    Ok(whole_len(bytes)?.filter(|whole| *whole <= bytes.len()))
}

/// The length of the first message of `bytes` with its length, if that is there.
fn whole_len(bytes: &[u8]) -> Result<Option<usize>, BaselineError> {
    let Some(length) = bytes.first_chunk::<LENGTH_LEN>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE_LEN {
        return Err(BaselineError::Protocol("a message is too long"));
    }
    Ok(Some(length.saturating_add(LENGTH_LEN)))
}

/// The number in the 8 bytes of `message` from `at`.
pub(super) fn number_at(message: &[u8], at: usize) -> Result<u64, BaselineError> {
    message
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or(BaselineError::Protocol("a message is too short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(sizes: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        for (sequence, size) in (0_u64..).zip(sizes) {
            out.extend_from_slice(&head(*size, sequence));
            out.extend(std::iter::repeat_n(7, size.saturating_sub(MIN_MESSAGE_LEN)));
        }
        out
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let sizes = [8, 9, 200, 8, 1_000];
        let bytes = Bytes::from(stream(&sizes));
        for step in 1..bytes.len() {
            let mut splitter = Splitter::default();
            let mut found = Vec::new();
            let mut rest = bytes.clone();
            while !rest.is_empty() {
                let piece = rest.split_to(step.min(rest.len()));
                splitter
                    .push(piece, |message| {
                        found.push((number_at(message, 0)?, message.len()));
                        Ok(())
                    })
                    .unwrap();
            }
            assert!(splitter.is_at_boundary());
            let expected: Vec<_> = (0_u64..).zip(sizes).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_anything_is_kept() {
        let mut splitter = Splitter::default();
        let refused = splitter.push(Bytes::from_static(&[0xff; 4]), |_| Ok(()));
        assert_eq!(
            refused,
            Err(BaselineError::Protocol("a message is too long"))
        );
        assert_eq!(
            check_size(7, MIN_MESSAGE_LEN),
            Err(BaselineError::TooShort { min: 8 })
        );
        assert_eq!(check_size(8, MIN_MESSAGE_LEN), Ok(()));
    }
}
