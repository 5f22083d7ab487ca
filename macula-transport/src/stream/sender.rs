//! The sending side of a stream.

use bytes::Bytes;
use macula_wire::ErrorCode;

use super::{WriteHalf, ended};
use crate::error::LinkError;

/// The sending side of a stream of its own, bounded by flow control.
///
/// Dropping it without [`finish`](Self::finish) resets the stream.
#[derive(Debug)]
pub struct FrameSender {
    half: WriteHalf,
    /// STREAM, until the first frame takes it along.
    opening: Option<Bytes>,
    state: SenderState,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SenderState {
    Open,
    /// A frame is being written, or its future was dropped on the way.
    Writing,
    Ended,
}

impl FrameSender {
    /// `opening` goes before the first frame.
    pub(crate) const fn new(half: WriteHalf, opening: Option<Bytes>) -> Self {
        Self {
            half,
            opening,
            state: SenderState::Open,
        }
    }

    /// Sends a frame, waiting for flow control.
    ///
    /// # Errors
    ///
    /// [`LinkError::Stopped`] if the receiver wants no more, [`LinkError::Closed`] with the link or after the end of
    /// the stream.
    ///
    /// # Cancel safety
    ///
    /// A part of the frame may have been sent: the next call resets the stream and fails.
    pub async fn send(&mut self, frame: Bytes) -> Result<(), LinkError> {
        self.send_pieces(&mut [frame]).await
    }

    /// Sends a frame that lies in pieces. The pieces are taken.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_pieces(&mut self, pieces: &mut [Bytes]) -> Result<(), LinkError> {
        if self.state != SenderState::Open {
            self.reset(ErrorCode::CANCELED);
            return Err(ended());
        }
        self.state = SenderState::Writing;
        match self.opening.take() {
            None => self.half.write_chunks(pieces).await?,
            Some(opening) if pieces.len() == 1 => {
                let frame = pieces.first_mut().map(std::mem::take).unwrap_or_default();
                self.half.write_chunks(&mut [opening, frame]).await?;
            }
            Some(opening) => {
                let rest = pieces.iter_mut().map(std::mem::take);
                let mut all: Vec<Bytes> = std::iter::once(opening).chain(rest).collect();
                self.half.write_chunks(&mut all).await?;
            }
        }
        self.state = SenderState::Open;
        Ok(())
    }

    /// Ends the stream after what was sent. Nothing can be sent afterwards.
    pub fn finish(&mut self) {
        match self.state {
            SenderState::Open => {
                self.state = SenderState::Ended;
                self.half.finish();
            }
            SenderState::Writing => self.reset(ErrorCode::CANCELED),
            SenderState::Ended => {}
        }
    }

    /// Gives the stream up. What was sent may be lost, nothing can be sent afterwards.
    pub fn reset(&mut self, code: ErrorCode) {
        if self.state != SenderState::Ended {
            self.state = SenderState::Ended;
            self.half.reset(code);
        }
    }

    /// Waits until the receiver has all of a finished stream, or wants no more of it, or is gone.
    ///
    /// Gives the code if the receiver stopped the stream.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn stopped(&mut self) -> Option<ErrorCode> {
        self.half.delivered().await
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        self.reset(ErrorCode::CANCELED);
    }
}
