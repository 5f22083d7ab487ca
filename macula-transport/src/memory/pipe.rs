//! One direction of a stream of an in-process link.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use macula_wire::{ErrorCode, FrameDecoder};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::lane::{Direction, Lane, Opened, sleep_until};
use crate::error::{CloseReason, LinkError};

/// What was written and not yet read.
#[derive(Debug)]
struct Pipe {
    state: Mutex<State>,
    readable: Notify,
    writable: Notify,
    /// The lane that the bytes take.
    lane: Arc<Lane>,
    /// The lane back, whose receiver is the writer.
    back: Arc<Lane>,
}

#[derive(Debug)]
struct State {
    pieces: VecDeque<(Instant, Bytes)>,
    buffered: usize,
    /// When the latest of it arrives: what comes after cannot arrive before.
    last: Instant,
    end: Option<(Instant, End)>,
    stopped: Option<ErrorCode>,
    /// The reader knows how the stream ended.
    read_out: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Finished,
    Reset(ErrorCode),
}

/// Makes a stream from the sender of `lane` to its receiver.
///
/// A stream with `back` goes both ways; `credit` is given back when the receiver has dropped its part.
pub(super) fn open(
    kind: Direction,
    lane: &Arc<Lane>,
    back: &Arc<Lane>,
    credit: OwnedSemaphorePermit,
) -> (MemoryWriter, Option<MemoryReader>) {
    let credit = Arc::new(credit);
    let (mut to, mut reader) = pipe(lane, back);
    reader._credit = Some(Arc::clone(&credit));
    let (writer, from) = match kind {
        Direction::Uni => (None, None),
        Direction::Bi => {
            let (mut writer, from) = pipe(back, lane);
            writer._credit = Some(credit);
            (Some(writer), Some(from))
        }
    };
    to.unannounced = Some(Box::new(Opened { reader, writer }));
    (to, from)
}

fn pipe(lane: &Arc<Lane>, back: &Arc<Lane>) -> (MemoryWriter, MemoryReader) {
    let pipe = Arc::new(Pipe {
        state: Mutex::new(State {
            pieces: VecDeque::new(),
            buffered: 0,
            last: Instant::now(),
            end: None,
            stopped: None,
            read_out: false,
        }),
        readable: Notify::new(),
        writable: Notify::new(),
        lane: Arc::clone(lane),
        back: Arc::clone(back),
    });
    let writer = MemoryWriter {
        pipe: Arc::clone(&pipe),
        unannounced: None,
        _credit: None,
    };
    let reader = MemoryReader {
        pipe,
        _credit: None,
    };
    (writer, reader)
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The direction that writes. Dropping it without [`finish`](Self::finish) resets the stream.
#[derive(Debug)]
pub(crate) struct MemoryWriter {
    pipe: Arc<Pipe>,
    /// The peer's part, until the first bytes show it to the peer.
    unannounced: Option<Box<Opened>>,
    _credit: Option<Arc<OwnedSemaphorePermit>>,
}

impl MemoryWriter {
    /// Writes all of `pieces`, waiting for flow control. A part may have been written when the future is dropped.
    pub(crate) async fn write_chunks(&mut self, pieces: &mut [Bytes]) -> Result<(), LinkError> {
        let due = self.arrival();
        for piece in pieces {
            while !piece.is_empty() {
                self.write_some(piece, due).await?;
            }
        }
        Ok(())
    }

    async fn write_some(&mut self, piece: &mut Bytes, due: Instant) -> Result<(), LinkError> {
        loop {
            {
                let mut state = self.pipe.lock();
                if let Some(error) = self.pipe.back.error() {
                    return Err(error);
                }
                if let Some(code) = state.stopped {
                    return Err(LinkError::Stopped { code });
                }
                if state.end.is_some() {
                    let reason = CloseReason::local(ErrorCode::CANCELED, "the stream has ended");
                    return Err(LinkError::Closed(reason));
                }
                let room = self.pipe.lane.window.saturating_sub(state.buffered);
                if room > 0 {
                    let part = piece.split_to(room.min(piece.len()));
                    let due = due.max(state.last).max(Instant::now());
                    state.last = due;
                    state.buffered = state.buffered.saturating_add(part.len());
                    let bytes = u64::try_from(part.len()).unwrap_or(u64::MAX);
                    let counters = &self.pipe.lane.counters;
                    counters.stream_bytes.fetch_add(bytes, Ordering::Relaxed);
                    state.pieces.push_back((due, part));
                    drop(state);
                    self.announce(due);
                    self.pipe.readable.notify_one();
                    return Ok(());
                }
            }
            tokio::select! {
                () = self.pipe.writable.notified() => {}
                _ = self.pipe.back.closed() => {}
            }
        }
    }

    /// Ends the stream after what was written.
    pub(crate) fn finish(&mut self) {
        self.end(End::Finished);
    }

    /// Gives the stream up; what was written and not read is lost.
    pub(crate) fn reset(&mut self, code: ErrorCode) {
        self.end(End::Reset(code));
    }

    /// Waits until the reader has all of a finished stream, or wants no more of it, or is gone. Cancel safe.
    pub(crate) async fn delivered(&self) -> Option<ErrorCode> {
        loop {
            {
                let state = self.pipe.lock();
                if state.stopped.is_some() {
                    return state.stopped;
                }
                let over = state.read_out || matches!(state.end, Some((_, End::Reset(_))));
                if over || self.pipe.back.error().is_some() {
                    return None;
                }
            }
            tokio::select! {
                () = self.pipe.writable.notified() => {}
                _ = self.pipe.back.closed() => {}
            }
        }
    }

    fn end(&mut self, end: End) {
        if self.pipe.back.error().is_some() {
            // A side that is closed sends nothing.
            return;
        }
        let due = self.arrival();
        {
            let mut state = self.pipe.lock();
            if state.end.is_some() {
                return;
            }
            let due = due.max(state.last);
            state.end = Some((due, end));
        }
        self.announce(due);
        self.pipe.readable.notify_one();
    }

    fn arrival(&self) -> Instant {
        self.pipe.lane.arrival()
    }

    fn announce(&mut self, due: Instant) {
        if let Some(opened) = self.unannounced.take() {
            self.pipe.lane.announce(due, *opened);
        }
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        if self.unannounced.is_none() {
            self.end(End::Reset(ErrorCode::CANCELED));
        }
    }
}

/// The direction that reads. Dropping it stops the writer.
#[derive(Debug)]
pub(crate) struct MemoryReader {
    pipe: Arc<Pipe>,
    _credit: Option<Arc<OwnedSemaphorePermit>>,
}

impl MemoryReader {
    /// Moves what has arrived to `decoder`, once there is something; `false` at the end. Cancel safe.
    pub(crate) async fn read_into(&self, decoder: &mut FrameDecoder) -> Result<bool, LinkError> {
        loop {
            let due = match self.take(decoder)? {
                Taken::Some => return Ok(true),
                Taken::End => return Ok(false),
                Taken::NotBefore(due) => due,
            };
            let held_up = !self.pipe.lane.is_open();
            tokio::select! {
                _ = self.pipe.lane.closed() => {}
                () = self.pipe.lane.opened(), if held_up => {}
                () = sleep_until(due), if !held_up => {}
                () = self.pipe.readable.notified() => {}
            }
        }
    }

    fn take(&self, decoder: &mut FrameDecoder) -> Result<Taken, LinkError> {
        let closed = self.pipe.lane.error();
        let mut state = self.pipe.lock();
        if let Some(code) = state.stopped {
            return Err(LinkError::Reset { code });
        }
        if !self.pipe.lane.is_open() {
            return closed.map_or(Ok(Taken::NotBefore(None)), Err);
        }
        let now = Instant::now();
        if let Some((due, End::Reset(code))) = state.end
            && due <= now
        {
            return Err(LinkError::Reset { code });
        }
        let mut taken = false;
        while let Some((due, _)) = state.pieces.front()
            && *due <= now
            && let Some((_, piece)) = state.pieces.pop_front()
        {
            state.buffered = state.buffered.saturating_sub(piece.len());
            decoder.push(piece);
            taken = true;
        }
        if taken {
            self.pipe.writable.notify_one();
            return Ok(Taken::Some);
        }
        let next = state.pieces.front().map(|(due, _)| *due);
        match (next, state.end) {
            (None, Some((due, End::Finished))) if due <= now => {
                state.read_out = true;
                self.pipe.writable.notify_one();
                Ok(Taken::End)
            }
            // What had arrived was taken before.
            _ if closed.is_some() => closed.map_or(Ok(Taken::End), Err),
            // A reset overtakes what was written before it.
            (Some(next), Some((due, End::Reset(_)))) => Ok(Taken::NotBefore(Some(next.min(due)))),
            (Some(next), _) => Ok(Taken::NotBefore(Some(next))),
            (None, end) => Ok(Taken::NotBefore(end.map(|(due, _)| due))),
        }
    }

    /// Wants no more. The writer learns it at once, which a real network could not do.
    pub(crate) fn stop(&self, code: ErrorCode) {
        {
            let mut state = self.pipe.lock();
            if state.read_out || state.stopped.is_some() {
                return;
            }
            state.stopped = Some(code);
            state.pieces.clear();
            state.buffered = 0;
        }
        self.pipe.writable.notify_one();
    }
}

impl Drop for MemoryReader {
    fn drop(&mut self) {
        self.stop(ErrorCode::CANCELED);
    }
}

enum Taken {
    Some,
    End,
    /// Nothing now; something at that time, if it is known.
    NotBefore(Option<Instant>),
}
