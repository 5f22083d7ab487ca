//! Frames on one stream.

mod sender;

pub use sender::FrameSender;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use macula_wire::{DecodeError, ErrorCode, Frame, FrameDecoder};

use crate::endpoint::QuicConnection;
use crate::error::{CloseReason, LinkError};
use crate::link::Shared;
use crate::memory::{MemoryReader, MemoryWriter};
use crate::unix::{UnixReader, UnixWriter};

/// How many pieces are read from quinn at once on a stream that brings many; each is what one packet brought.
const MANY_PIECES: usize = 32;
/// The same on other streams, such as those of calls, which bring one message and end.
const FEW_PIECES: usize = 2;

/// Where pieces are put that are read at once. A stream that fills the room for few gets room for many.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    few: [Bytes; FEW_PIECES],
    many: Vec<Bytes>,
}

impl Pieces {
    fn room(&mut self) -> &mut [Bytes] {
        if self.many.is_empty() {
            &mut self.few
        } else {
            &mut self.many
        }
    }

    /// Moves the first `count` to `decoder`.
    fn drain_into(&mut self, decoder: &mut FrameDecoder, count: usize) {
        for piece in self.room().iter_mut().take(count) {
            decoder.push(std::mem::take(piece));
        }
        if count == FEW_PIECES && self.many.is_empty() {
            self.many.resize(MANY_PIECES, Bytes::new());
        }
    }
}

/// The sending half of a stream of any carrier.
#[derive(Debug)]
pub(crate) enum WriteHalf {
    /// A stream of an in-process link.
    Memory(MemoryWriter),
    /// A stream of a QUIC connection.
    Quic(quinn::SendStream),
    /// A connection of a Unix socket.
    Unix(UnixWriter),
}

impl WriteHalf {
    /// Writes all of `chunks`, waiting for flow control. Not cancel safe: a part may have been written.
    pub(crate) async fn write_chunks(&mut self, chunks: &mut [Bytes]) -> Result<(), LinkError> {
        match self {
            Self::Memory(stream) => stream.write_chunks(chunks).await,
            Self::Quic(stream) => stream.write_all_chunks(chunks).await.map_err(write_error),
            Self::Unix(stream) => stream.write_chunks(chunks).await,
        }
    }

    /// Whether [`write_at_once`](Self::write_at_once) may write something.
    pub(crate) const fn writes_at_once(&self) -> bool {
        matches!(self, Self::Quic(_))
    }

    /// Writes as much of `chunks` as needs no waiting, and leaves the rest there. What is wrong with the stream is found by
    /// whoever [writes](Self::write_chunks) the rest.
    pub(crate) fn write_at_once(&mut self, chunks: &mut Vec<Bytes>) {
        if let Self::Quic(stream) = self {
            let polled = {
                let writing = pin!(stream.write_chunks(chunks));
                writing.poll(&mut Context::from_waker(Waker::noop()))
            };
            if let Poll::Ready(Ok(written)) = polled {
                chunks.drain(..written.chunks.min(chunks.len()));
            }
        }
    }

    /// Ends the stream after what was written. Further calls do nothing.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Memory(stream) => stream.finish(),
            // It fails only if the stream has ended already.
            Self::Quic(stream) => drop(stream.finish()),
            Self::Unix(stream) => stream.finish(),
        }
    }

    /// Gives the stream up; what was written may be lost.
    pub(crate) fn reset(&mut self, code: ErrorCode) {
        match self {
            Self::Memory(stream) => stream.reset(code),
            Self::Quic(stream) => drop(stream.reset(number(code))),
            Self::Unix(stream) => stream.reset(code),
        }
    }

    /// Waits until the peer has all of a finished stream, or wants no more of it, or is gone.
    ///
    /// Gives the code with which the peer stopped the stream. Cancel safe.
    pub(crate) async fn delivered(&mut self) -> Option<ErrorCode> {
        match self {
            Self::Memory(stream) => stream.delivered().await,
            Self::Quic(stream) => stream.stopped().await.ok().flatten().map(code),
            Self::Unix(stream) => stream.delivered().await,
        }
    }

    /// Prefers this stream to those with a lower number. Streams start at 0.
    pub(crate) fn set_priority(&mut self, priority: i32) {
        match self {
            Self::Quic(stream) => drop(stream.set_priority(priority)),
            // Its streams do not share a path that one could hold up for the others.
            Self::Memory(_) | Self::Unix(_) => {}
        }
    }
}

/// The receiving half of a stream of any carrier.
#[derive(Debug)]
pub(crate) enum ReadHalf {
    /// A stream of an in-process link.
    Memory(MemoryReader),
    /// A stream of a QUIC connection.
    Quic(quinn::RecvStream),
    /// A connection of a Unix socket.
    Unix(Box<UnixReader>),
}

impl ReadHalf {
    /// Moves what has arrived to `decoder`, once there is something; `false` at the end of the stream. Cancel safe.
    pub(crate) async fn read_into(
        &mut self,
        decoder: &mut FrameDecoder,
        pieces: &mut Pieces,
    ) -> Result<bool, LinkError> {
        match self {
            Self::Quic(stream) => {
                let read = stream.read_chunks(pieces.room()).await;
                let Some(count) = read.map_err(read_error)? else {
                    return Ok(false);
                };
                pieces.drain_into(decoder, count);
                Ok(true)
            }
            Self::Memory(stream) => stream.read_into(decoder).await,
            Self::Unix(stream) => match stream.read().await? {
                Some(bytes) => {
                    decoder.push(bytes);
                    Ok(true)
                }
                None => Ok(false),
            },
        }
    }

    /// Asks the sender to send no more, and forgets what arrived.
    pub(crate) fn stop(&mut self, code: ErrorCode) {
        match self {
            Self::Memory(stream) => stream.stop(code),
            Self::Quic(stream) => drop(stream.stop(number(code))),
            Self::Unix(stream) => stream.stop(code),
        }
    }
}

/// The QUIC application error that stands for `code`.
pub(crate) fn number(code: ErrorCode) -> quinn::VarInt {
    quinn::VarInt::from_u32(u32::from(code.number()))
}

/// The code of a QUIC application error; [`ErrorCode::INTERNAL`] for one that is out of range.
pub(crate) fn code(number: quinn::VarInt) -> ErrorCode {
    u8::try_from(number.into_inner()).map_or(ErrorCode::INTERNAL, ErrorCode::from_number)
}

fn write_error(error: quinn::WriteError) -> LinkError {
    match error {
        quinn::WriteError::Stopped(number) => LinkError::Stopped { code: code(number) },
        quinn::WriteError::ConnectionLost(error) => {
            LinkError::Closed(QuicConnection::reason(&error))
        }
        quinn::WriteError::ClosedStream | quinn::WriteError::ZeroRttRejected => ended(),
    }
}

fn read_error(error: quinn::ReadError) -> LinkError {
    match error {
        quinn::ReadError::Reset(number) => LinkError::Reset { code: code(number) },
        quinn::ReadError::ConnectionLost(error) => {
            LinkError::Closed(QuicConnection::reason(&error))
        }
        quinn::ReadError::ClosedStream
        | quinn::ReadError::IllegalOrderedRead
        | quinn::ReadError::ZeroRttRejected => ended(),
    }
}

/// The error of a stream that this side has ended.
fn ended() -> LinkError {
    LinkError::Closed(CloseReason::local(
        ErrorCode::CANCELED,
        "the stream has ended",
    ))
}

/// Cuts what a half receives into frames.
#[derive(Debug)]
pub(crate) struct FrameReader {
    half: ReadHalf,
    decoder: FrameDecoder,
    pieces: Pieces,
}

impl FrameReader {
    /// A reader that refuses bodies over `max_frame_len` bytes.
    pub(crate) fn new(half: ReadHalf, max_frame_len: usize) -> Self {
        Self {
            half,
            decoder: FrameDecoder::new(max_frame_len),
            pieces: Pieces::default(),
        }
    }

    /// The next frame; `None` at a clean end. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, LinkError> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(LinkError::Protocol)? {
                return Ok(Some(frame));
            }
            let (decoder, pieces) = (&mut self.decoder, &mut self.pieces);
            if !self.half.read_into(decoder, pieces).await? {
                return if self.decoder.is_at_boundary() {
                    Ok(None)
                } else {
                    Err(LinkError::Protocol(DecodeError::UnexpectedEnd))
                };
            }
        }
    }

    /// Asks the sender to send no more.
    pub(crate) fn stop(&mut self, code: ErrorCode) {
        self.half.stop(code);
    }
}

/// The receiving side of a stream after its STREAM message.
///
/// Dropping it before the end asks the sender to stop.
#[derive(Debug)]
pub struct FrameReceiver {
    reader: FrameReader,
    link: Arc<Shared>,
    end: Option<Result<(), LinkError>>,
}

impl FrameReceiver {
    pub(crate) fn new(reader: FrameReader, link: Arc<Shared>) -> Self {
        link.reader_begins();
        Self {
            reader,
            link,
            end: None,
        }
    }

    /// The next frame; `None` when the sender has finished. What ended the stream is returned again afterwards.
    ///
    /// # Errors
    ///
    /// [`LinkError::Reset`] if the sender gave up, [`LinkError::Closed`] with the link, [`LinkError::Protocol`] for
    /// what is no frame. A frame over [`Config::max_frame_len`](crate::Config::max_frame_len) stops this stream with
    /// `PAYLOAD_TOO_LARGE` and nothing else; after any other fault the link is closed with `PROTOCOL_VIOLATION`.
    ///
    /// # Cancel safety
    ///
    /// Safe: no frame is lost.
    pub async fn next(&mut self) -> Result<Option<Frame>, LinkError> {
        if let Some(end) = &self.end {
            return end.clone().map(|()| None);
        }
        match self.reader.next().await {
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) => {
                self.ended(Ok(()));
                Ok(None)
            }
            Err(error) => {
                if let LinkError::Protocol(DecodeError::TooLarge { .. }) = &error {
                    self.reader.stop(ErrorCode::PAYLOAD_TOO_LARGE);
                } else if let LinkError::Protocol(offence) = &error {
                    self.link.fail(*offence);
                }
                self.ended(Err(error.clone()));
                Err(error)
            }
        }
    }

    /// Asks the sender to send no more. [`next`](Self::next) gives `None` afterwards.
    pub fn stop(&mut self, code: ErrorCode) {
        if self.end.is_none() {
            self.reader.stop(code);
            self.ended(Ok(()));
        }
    }

    fn ended(&mut self, how: Result<(), LinkError>) {
        self.end = Some(how);
        self.link.reader_ends();
    }
}

impl Drop for FrameReceiver {
    fn drop(&mut self) {
        self.stop(ErrorCode::CANCELED);
    }
}
