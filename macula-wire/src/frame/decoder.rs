//! Finding frames in a stream that arrives in pieces.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use super::{FrameHeader, HEADER_LEN};
use crate::DecodeError;

/// A frame whose header was checked and whose body was not yet looked into.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Frame {
    /// The message number.
    pub number: u8,
    /// The body: a slice of what was read, or one joined copy if it arrived in several pieces.
    pub body: Bytes,
}

impl Frame {
    /// A frame that did not come out of a [`FrameDecoder`].
    #[must_use]
    pub const fn new(number: u8, body: Bytes) -> Self {
        Self { number, body }
    }

    /// The frame that `bytes` are, neither less nor more: the content of a datagram.
    ///
    /// # Errors
    ///
    /// Those of [`FrameHeader::from_bytes`], [`DecodeError::UnexpectedEnd`] if the frame is not complete, and
    /// [`DecodeError::TrailingBytes`] if anything follows it.
    pub fn from_datagram(mut bytes: Bytes, max_frame_len: usize) -> Result<Self, DecodeError> {
        let header = *bytes
            .first_chunk::<HEADER_LEN>()
            .ok_or(DecodeError::UnexpectedEnd)?;
        let header = FrameHeader::from_bytes(header, max_frame_len)?;
        bytes.advance(HEADER_LEN);
        match bytes.len().checked_sub(header.body_len()) {
            None => Err(DecodeError::UnexpectedEnd),
            Some(0) => Ok(Self {
                number: header.number(),
                body: bytes,
            }),
            Some(count) => Err(DecodeError::TrailingBytes { count }),
        }
    }
}

/// From this number of pieces on, small ones are joined.
const MANY_PIECES: usize = 64;
/// What counts as small, in bytes and on average.
const SMALL_PIECE: usize = 512;

/// Cuts a stream of bytes into frames.
///
/// A frame that lies within one piece is a slice of it. One that spans pieces is joined once, after the last of it has
/// arrived, so memory is used for bytes that came and never for a length that was claimed. What waits is at most one
/// incomplete frame and the pieces pushed since the last call of [`next_frame`](Self::next_frame). Pieces that are
/// many and small are joined as they come, so that a peer that sends byte by byte cannot make what stands around the
/// bytes cost many times more than the bytes.
///
/// An error is final: the place of the next frame is unknown, so the same error is returned again.
#[derive(Debug)]
pub struct FrameDecoder {
    pieces: VecDeque<Bytes>,
    buffered: usize,
    header: Option<FrameHeader>,
    max_frame_len: usize,
    failed: Option<DecodeError>,
}

impl FrameDecoder {
    /// A decoder that refuses bodies over `max_frame_len` bytes.
    #[must_use]
    pub const fn new(max_frame_len: usize) -> Self {
        Self {
            pieces: VecDeque::new(),
            buffered: 0,
            header: None,
            max_frame_len,
            failed: None,
        }
    }

    /// Adds what was read next.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() && self.failed.is_none() {
            self.buffered = self.buffered.saturating_add(piece.len());
            self.pieces.push_back(piece);
            let count = self.pieces.len();
            if count > MANY_PIECES && self.buffered < count.saturating_mul(SMALL_PIECE) {
                self.join();
            }
        }
    }

    /// Makes one piece of all. Costs [`SMALL_PIECE`] bytes of copying a piece at most, whatever comes.
    fn join(&mut self) {
        let all = self.buffered;
        let joined = self.take(all);
        self.buffered = all;
        self.pieces.push_back(joined);
    }

    /// How many bytes wait for the rest of their frame.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.buffered
    }

    /// Whether the stream may end here: no frame has begun.
    #[must_use]
    pub const fn is_at_boundary(&self) -> bool {
        self.buffered == 0 && self.header.is_none()
    }

    /// The next whole frame, or `None` until more is pushed.
    ///
    /// # Errors
    ///
    /// Those of [`FrameHeader::from_bytes`], as soon as the header is there.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let header = match self.header {
            Some(header) => header,
            None if self.buffered < HEADER_LEN => return Ok(None),
            None => {
                let mut bytes = [0; HEADER_LEN];
                self.copy(&mut bytes);
                let header = FrameHeader::from_bytes(bytes, self.max_frame_len)
                    .inspect_err(|error| self.fail(*error))?;
                self.header = Some(header);
                header
            }
        };
        if self.buffered < header.body_len() {
            return Ok(None);
        }
        self.header = None;
        Ok(Some(Frame {
            number: header.number(),
            body: self.take(header.body_len()),
        }))
    }

    fn fail(&mut self, error: DecodeError) {
        self.failed = Some(error);
        self.pieces.clear();
        self.buffered = 0;
    }

    /// Takes `length` bytes, which are there.
    fn take(&mut self, length: usize) -> Bytes {
        if let Some(front) = self.pieces.front_mut()
            && front.len() >= length
        {
            let taken = front.split_to(length);
            self.consumed(length);
            return taken;
        }
        let mut joined = Vec::with_capacity(length);
        while joined.len() < length {
            let Some(front) = self.pieces.front_mut() else {
                break;
            };
            let part = front.len().min(length.saturating_sub(joined.len()));
            joined.extend_from_slice(&front.split_to(part));
            self.consumed(part);
        }
        joined.into()
    }

    /// Fills `out` with bytes that are there.
    fn copy(&mut self, mut out: &mut [u8]) {
        while !out.is_empty() {
            let Some(front) = self.pieces.front_mut() else {
                return;
            };
            let part = front.len().min(out.len());
            let (now, later) = out.split_at_mut(part);
            front.copy_to_slice(now);
            out = later;
            self.consumed(part);
        }
    }

    fn consumed(&mut self, length: usize) {
        self.buffered = self.buffered.saturating_sub(length);
        if self.pieces.front().is_some_and(Bytes::is_empty) {
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::frame::put_frame;

    fn stream(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, body) in (1..).zip(bodies) {
            put_frame(&mut out, number, |out| {
                out.extend_from_slice(body);
                Ok(())
            })
            .unwrap();
        }
        out
    }

    #[test]
    fn a_frame_within_one_piece_is_not_copied() {
        let bytes = Bytes::from(stream(&[vec![7; 100]]));
        let mut decoder = FrameDecoder::new(1_000);
        decoder.push(bytes.clone());
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(frame.body.as_ptr(), bytes.slice(8..).as_ptr());
        assert!(decoder.is_at_boundary());
    }

    #[test]
    fn a_long_frame_is_refused_at_its_header() {
        let mut decoder = FrameDecoder::new(99);
        decoder.push(Bytes::from(stream(&[vec![7; 100]])).slice(..8));
        let error = DecodeError::TooLarge {
            field: "frame",
            max: 99,
        };
        assert_eq!(decoder.next_frame(), Err(error));
        assert_eq!(decoder.next_frame(), Err(error));
        let mut accepting = FrameDecoder::new(100);
        accepting.push(Bytes::from(stream(&[vec![7; 100]])));
        assert!(accepting.next_frame().unwrap().is_some());
    }

    #[test]
    fn a_stream_of_single_bytes_is_kept_in_few_pieces() {
        let bytes = Bytes::from(stream(&[vec![7; 50_000], vec![8; 3]]));
        let mut decoder = FrameDecoder::new(50_000);
        let mut found = Vec::new();
        for at in 0..bytes.len() {
            decoder.push(bytes.slice(at..at + 1));
            assert!(decoder.pieces.len() <= MANY_PIECES.max(at / SMALL_PIECE + 1));
            found.extend(decoder.next_frame().unwrap().map(|frame| frame.body));
        }
        assert_eq!(found, [vec![7; 50_000], vec![8; 3]]);
    }

    #[test]
    fn a_datagram_is_one_frame_and_nothing_else() {
        let bytes = Bytes::from(stream(&[vec![7; 10]]));
        let frame = Frame::from_datagram(bytes.clone(), 10).unwrap();
        assert_eq!((frame.number, frame.body), (1, bytes.slice(8..)));
        for short in 0..bytes.len() {
            let found = Frame::from_datagram(bytes.slice(..short), 10);
            assert_eq!(found, Err(DecodeError::UnexpectedEnd), "{short}");
        }
        let long = Bytes::from([&bytes[..], &[0, 0]].concat());
        let error = DecodeError::TrailingBytes { count: 2 };
        assert_eq!(Frame::from_datagram(long, 10), Err(error));
        assert!(Frame::from_datagram(bytes, 9).is_err());
    }

    #[test]
    fn other_versions_and_flags_are_refused() {
        for (bytes, error) in [
            (
                [2, 3, 0, 0, 0, 0, 0, 0],
                DecodeError::Version { version: 2 },
            ),
            ([1, 3, 0, 1, 0, 0, 0, 0], DecodeError::Flags { flags: 1 }),
        ] {
            assert_eq!(FrameHeader::from_bytes(bytes, 100), Err(error));
        }
        assert!(FrameHeader::from_bytes([1, 3, 0, 0, 0, 0, 0, 0], 100).is_ok());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..8),
            cuts in prop::collection::vec(1_usize..20, 1..40),
        ) {
            let mut rest = Bytes::from(stream(&bodies));
            let mut decoder = FrameDecoder::new(1_000);
            let mut found = Vec::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                decoder.push(rest.split_to((*cut).min(rest.len())));
                while let Some(frame) = decoder.next_frame().unwrap() {
                    found.push(frame.body.to_vec());
                }
            }
            prop_assert_eq!(found, bodies);
            prop_assert!(decoder.is_at_boundary());
        }
    }
}
