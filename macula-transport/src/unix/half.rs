//! The two directions of one connection of a Unix socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use macula_wire::message::{Body, Message};
use macula_wire::{ErrorCode, FrameDecoder};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::ending::{Ending, MAX_CLOSE_LEN, closing_frame};
use super::socket::{Socket, Use};
use crate::error::{CloseReason, LinkError};
use crate::task::TaskSet;

/// How much is read at once at most.
const READ_LEN: usize = 64 << 10;
/// With less room than this, a new buffer is begun. A small message pins the buffer that it was read into.
const MIN_ROOM: usize = 4 << 10;
/// How many pieces one write takes.
const SLICES: usize = 64;
/// How long the end of a stream may wait for a reader that does not read.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(5);

/// The direction that writes. Dropping it without [`finish`](Self::finish) resets the stream.
#[derive(Debug)]
pub(crate) struct UnixWriter {
    socket: Arc<Socket>,
    tasks: TaskSet,
    state: Writing,
    used_as: Use,
    /// What the reader of a [`Use::Uni`] said, as far as it has come.
    answer: FrameDecoder,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Writing {
    /// All that was begun was written.
    Whole,
    /// A write was begun and not ended: what comes next would be read as something else.
    Torn,
    /// Nothing more can be written.
    Over,
}

impl UnixWriter {
    pub(super) const fn new(socket: Arc<Socket>, used_as: Use, tasks: TaskSet) -> Self {
        Self {
            socket,
            tasks,
            state: Writing::Whole,
            used_as,
            answer: FrameDecoder::new(MAX_CLOSE_LEN),
        }
    }

    /// Writes all of `pieces`, which are left empty. A future that is dropped leaves the stream torn.
    pub(crate) async fn write_chunks(&mut self, pieces: &mut [Bytes]) -> Result<(), LinkError> {
        if self.state == Writing::Over {
            return Err(self.socket.error(gone()));
        }
        self.state = Writing::Torn;
        let mut next = 0_usize;
        while let Some(rest) = pieces.get_mut(next..)
            && let Some(first) = rest.first()
        {
            if first.is_empty() {
                next = next.saturating_add(1);
                continue;
            }
            let written = write_some(&self.socket.stream, rest).await;
            let mut written = written.map_err(|error| self.failed(error))?;
            for piece in rest {
                let part = piece.len().min(written);
                piece.advance(part);
                written = written.saturating_sub(part);
                if written == 0 {
                    break;
                }
            }
        }
        self.state = Writing::Whole;
        Ok(())
    }

    /// Ends the stream after what was written.
    pub(crate) fn finish(&mut self) {
        self.end(ErrorCode::OK);
    }

    /// Gives the stream up; the reader learns `code` unless a write was torn.
    pub(crate) fn reset(&mut self, code: ErrorCode) {
        let code = if code == ErrorCode::OK {
            ErrorCode::CANCELED
        } else {
            code
        };
        self.end(code);
    }

    /// Waits until the reader has all of a finished stream, or wants no more of it, or is gone. Cancel safe.
    ///
    /// A stream of both says so only when its other direction has ended too.
    pub(crate) async fn delivered(&mut self) -> Option<ErrorCode> {
        if self.used_as != Use::Uni {
            drop(self.socket.hung_up().await);
            return None;
        }
        loop {
            if let Some(code) = self.answered() {
                return (code != ErrorCode::OK).then_some(code);
            }
            let mut bytes = [0; 64];
            let read = match self.socket.stream.readable().await {
                Ok(()) => self.socket.stream.try_read(&mut bytes),
                Err(error) => Err(error),
            };
            match read {
                Ok(0) => return None,
                Ok(count) => self.on_answer(bytes.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }

    fn on_answer(&mut self, bytes: &[u8]) {
        self.answer.push(Bytes::copy_from_slice(bytes));
    }

    fn answered(&mut self) -> Option<ErrorCode> {
        let frame = self.answer.next_frame().ok().flatten()?;
        let Body::Close(close) = Message::decode(&frame).ok()?.body else {
            return None;
        };
        Some(close.code)
    }

    /// Leaves the connection as it is.
    pub(super) fn forget(mut self) {
        self.state = Writing::Over;
    }

    fn end(&mut self, code: ErrorCode) {
        let state = std::mem::replace(&mut self.state, Writing::Over);
        if state == Writing::Over {
            return;
        }
        if state == Writing::Whole && self.used_as != Use::Control {
            let mut frame = Bytes::from(closing_frame(code));
            match self.socket.write_now(&frame) {
                Ok(written) => frame.advance(written.min(frame.len())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => frame.clear(),
            }
            if !frame.is_empty() {
                // The reader is behind. The socket stays open until it has taken the rest.
                let socket = Arc::clone(&self.socket);
                self.tasks.spawn("unix stream end", async move {
                    drop(timeout(CLOSING_TIMEOUT, write_rest(&socket, frame)).await);
                    socket.shutdown(Shutdown::Write);
                });
                return;
            }
        }
        self.socket.shutdown(Shutdown::Write);
    }

    fn failed(&mut self, error: io::Error) -> LinkError {
        self.state = Writing::Over;
        let kind = error.kind();
        if kind != io::ErrorKind::BrokenPipe && kind != io::ErrorKind::ConnectionReset {
            return LinkError::Io {
                during: "writing to a Unix socket",
                source: Arc::new(error),
            };
        }
        let mut bytes = [0; 64];
        if self.used_as == Use::Uni
            && let Ok(count) = self.socket.stream.try_read(&mut bytes)
        {
            self.on_answer(bytes.get(..count).unwrap_or_default());
        }
        let code = self.answered().unwrap_or(ErrorCode::CANCELED);
        self.socket.error(LinkError::Stopped { code })
    }
}

impl Drop for UnixWriter {
    fn drop(&mut self) {
        self.end(ErrorCode::CANCELED);
    }
}

async fn write_rest(socket: &Socket, mut frame: Bytes) -> io::Result<()> {
    while !frame.is_empty() {
        let written = write_some(&socket.stream, std::slice::from_ref(&frame)).await?;
        frame.advance(written.min(frame.len()));
    }
    Ok(())
}

async fn write_some(stream: &UnixStream, pieces: &[Bytes]) -> io::Result<usize> {
    loop {
        stream.writable().await?;
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
        }
        let count = pieces.len().min(SLICES);
        match stream.try_write_vectored(slices.get(..count).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return other,
        }
    }
}

/// The reader of a stream of both says no reason.
const fn gone() -> LinkError {
    LinkError::Stopped {
        code: ErrorCode::CANCELED,
    }
}

/// The direction that reads. Dropping it stops the peer's writer.
#[derive(Debug)]
pub(crate) struct UnixReader {
    socket: Arc<Socket>,
    buffer: BytesMut,
    /// Read already, before it was known what the connection is.
    first: VecDeque<Bytes>,
    ending: Ending,
    used_as: Use,
    /// How the stream ended, once it did.
    ended: Option<Result<(), LinkError>>,
}

impl UnixReader {
    pub(super) fn new(socket: Arc<Socket>) -> Self {
        Self {
            socket,
            buffer: BytesMut::new(),
            first: VecDeque::new(),
            ending: Ending::default(),
            used_as: Use::Bi,
            ended: None,
        }
    }

    /// The same connection, now that it is known what it is for. `first` was read already and is read again.
    pub(super) fn used_as(mut self, used_as: Use, first: VecDeque<Bytes>) -> Self {
        self.first = first;
        self.used_as = used_as;
        if used_as == Use::Control {
            self.ending = Ending::of_control();
        }
        self
    }

    /// Gives the connection up to others.
    pub(super) fn release(mut self) -> Arc<Socket> {
        self.ended = Some(Ok(()));
        Arc::clone(&self.socket)
    }

    /// The connection.
    pub(super) const fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// The next bytes, as they came; `None` after the end. Cancel safe.
    pub(crate) async fn read(&mut self) -> Result<Option<Bytes>, LinkError> {
        loop {
            if let Some(bytes) = self.ending.pop() {
                return Ok(Some(bytes));
            }
            if let Some(ended) = &self.ended {
                return ended.clone().map(|()| None);
            }
            let end = match self.read_raw().await {
                Ok(Some(bytes)) => match self.ending.push(bytes) {
                    Ok(None) => continue,
                    Ok(Some(ErrorCode::OK)) => Ok(()),
                    Ok(Some(code)) => Err(LinkError::Reset { code }),
                    Err(error) => Err(LinkError::Protocol(error)),
                },
                Ok(None) => self.at_end_of_file(),
                Err(error) => Err(error),
            };
            if self.used_as == Use::Uni && self.ended.is_none() {
                let code = end
                    .as_ref()
                    .map_or_else(LinkError::code, |()| ErrorCode::OK);
                self.hang_up(code);
            }
            self.ended = Some(end);
        }
    }

    /// What it means that the peer says nothing more, and has not said that it would.
    fn at_end_of_file(&self) -> Result<(), LinkError> {
        if !self.ending.is_control() {
            let code = ErrorCode::UNREACHABLE;
            return Err(self.socket.error(LinkError::Reset { code }));
        }
        if self.ending.close_seen() {
            return Ok(());
        }
        let reason = CloseReason::peer(ErrorCode::UNREACHABLE, "the peer is gone");
        if let Some(link) = self.socket.link.get() {
            link.set(reason.clone());
        }
        Err(self.socket.error(LinkError::Closed(reason)))
    }

    /// Tells the writer of a stream of one side how it went, and ends the connection.
    fn hang_up(&self, code: ErrorCode) {
        self.socket.say_close(code);
        self.socket.shutdown(Shutdown::Both);
    }

    /// The next bytes of the socket; `None` at its end. Cancel safe.
    pub(super) async fn read_raw(&mut self) -> Result<Option<Bytes>, LinkError> {
        if let Some(bytes) = self.first.pop_front() {
            return Ok(Some(bytes));
        }
        loop {
            let failed = match self.socket.stream.readable().await {
                Ok(()) => {
                    let room = self.buffer.capacity().saturating_sub(self.buffer.len());
                    if room < MIN_ROOM {
                        self.buffer.reserve(READ_LEN);
                    }
                    match self.socket.stream.try_read_buf(&mut self.buffer) {
                        Ok(0) => return Ok(None),
                        Ok(_) => return Ok(Some(self.buffer.split().freeze())),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if failed.kind() == io::ErrorKind::ConnectionReset {
                return Ok(None);
            }
            if failed.kind() != io::ErrorKind::WouldBlock {
                return Err(LinkError::Io {
                    during: "reading from a Unix socket",
                    source: Arc::new(failed),
                });
            }
        }
    }

    /// Wants no more. The writer learns `code` on a stream of one side, otherwise only that it is so.
    pub(crate) fn stop(&mut self, code: ErrorCode) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(Err(LinkError::Reset { code }));
        match self.used_as {
            Use::Uni => self.hang_up(code),
            Use::Bi | Use::Control => self.socket.shutdown(Shutdown::Read),
        }
    }
}

impl Drop for UnixReader {
    fn drop(&mut self) {
        self.stop(ErrorCode::CANCELED);
    }
}
