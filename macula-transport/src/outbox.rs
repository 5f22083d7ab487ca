//! Frames that wait to be written, bounded by bytes.

mod frame;
mod taken;
mod view;

pub use frame::OutFrame;
pub(crate) use taken::Taken;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::error::OutboxError;
use crate::stream::WriteHalf;

/// How many bytes a writer takes at once. What it took still counts as queued until it is written.
const WRITE_ROUND: usize = 512 << 10;

/// A queue of frames for one stream, bounded by bytes.
///
/// A frame is accepted while fewer bytes than the bound wait, whatever its own length, so at most one frame goes over
/// it. Where nothing waits and the transport takes it at once, it is written by whoever pushes it; otherwise the writer of
/// the link takes all that waits and writes it in one go. What was accepted is written in order, unless the link ends
/// first. Clones share the queue.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

/// Begins to write a queue, at the first push.
pub(crate) type Starter = Box<dyn FnOnce() + Send>;

struct Shared {
    state: Mutex<State>,
    /// There is something to write, or to end.
    ready: Notify,
    /// There is room, or an end.
    changed: Notify,
    max: usize,
    frames: AtomicU64,
    bytes: AtomicU64,
    full: AtomicU64,
}

struct State {
    queue: VecDeque<OutFrame>,
    queued: usize,
    /// The stream, lent by a writer that has nothing to write, if it can be written without waiting. To wake the writer for
    /// each frame would cost a hand-over between tasks.
    lent: Option<WriteHalf>,
    /// What is left of a frame that was written in part by whoever pushed it. Goes before the queue.
    rest: Vec<Bytes>,
    phase: Phase,
    start: Option<Starter>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Open,
    /// What waits is written, nothing more is taken.
    Ending,
    Closed,
}

impl Outbox {
    /// A queue of `max` bytes. `start` is called at the first push.
    pub(crate) fn new(max: usize, start: Option<Starter>) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    queue: VecDeque::new(),
                    queued: 0,
                    lent: None,
                    rest: Vec::new(),
                    phase: Phase::Open,
                    start,
                }),
                ready: Notify::new(),
                changed: Notify::new(),
                max,
                frames: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                full: AtomicU64::new(0),
            }),
        }
    }

    /// Queues `frame` if there is room.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Full`] or [`OutboxError::Closed`]; the frame was not queued. It is cheap to clone before.
    pub fn try_push(&self, frame: OutFrame) -> Result<(), OutboxError> {
        self.offer(frame).inspect_err(|error| {
            if matches!(error, OutboxError::Full { .. }) {
                self.shared.full.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// Queues `frame` if not twice as much waits as there is room for: for what has waited for room before, and cannot wait
    /// where it is sent.
    ///
    /// # Errors
    ///
    /// As [`try_push`](Self::try_push).
    pub fn try_push_beyond(&self, frame: OutFrame) -> Result<(), OutboxError> {
        self.offer_within(frame, self.shared.max.saturating_mul(2))
            .inspect_err(|error| {
                if matches!(error, OutboxError::Full { .. }) {
                    self.shared.full.fetch_add(1, Ordering::Relaxed);
                }
            })
    }

    /// Queues `frame`, waiting for room.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Closed`]; the frame was not queued.
    ///
    /// # Cancel safety
    ///
    /// Safe: a future dropped before it was done has queued nothing.
    pub async fn push(&self, frame: OutFrame) -> Result<(), OutboxError> {
        loop {
            match self.offer(frame.clone()) {
                Err(OutboxError::Full { .. }) => {
                    self.shared.full.fetch_add(1, Ordering::Relaxed);
                    self.room().await?;
                }
                done => return done,
            }
        }
    }

    /// Waits until a frame would be accepted. Others may take the room first.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn room(&self) -> Result<(), OutboxError> {
        self.less_than(self.shared.max).await
    }

    /// Waits until less than so many bytes wait, or than would be too many.
    ///
    /// # Errors
    ///
    /// [`OutboxError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn less_than(&self, bytes: usize) -> Result<(), OutboxError> {
        let most = bytes.min(self.shared.max);
        loop {
            let changed = self.shared.changed.notified();
            {
                let state = self.shared.lock();
                if state.phase != Phase::Open {
                    return Err(OutboxError::Closed);
                }
                if state.queued < most {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    /// Resolves when nothing waits: everything pushed so far was taken over by the transport, or the link has closed.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn idle(&self) {
        loop {
            let changed = self.shared.changed.notified();
            {
                let state = self.shared.lock();
                if state.phase != Phase::Open || state.queued == 0 {
                    return;
                }
            }
            changed.await;
        }
    }

    fn offer(&self, frame: OutFrame) -> Result<(), OutboxError> {
        self.offer_within(frame, self.shared.max)
    }

    fn offer_within(&self, frame: OutFrame, max: usize) -> Result<(), OutboxError> {
        let state = self.shared.lock();
        if state.phase != Phase::Open {
            return Err(OutboxError::Closed);
        }
        if state.queued >= max {
            return Err(OutboxError::Full {
                queued: state.queued,
                max,
            });
        }
        self.shared.put(state, frame);
        Ok(())
    }

    /// Queues `frame` whatever waits, and takes nothing more.
    pub(crate) fn push_last(&self, frame: OutFrame) {
        let mut state = self.shared.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Ending;
            self.shared.put(state, frame);
            self.shared.ready.notify_one();
            self.shared.changed.notify_waiters();
        }
    }

    /// Takes nothing more; what waits is still written.
    pub(crate) fn end(&self) {
        let unstarted = {
            let mut state = self.shared.lock();
            if state.phase != Phase::Open {
                return;
            }
            let unstarted = state.start.take();
            state.phase = match unstarted {
                Some(_) => Phase::Closed,
                None => Phase::Ending,
            };
            unstarted
        };
        drop(unstarted);
        self.shared.ready.notify_one();
        self.shared.changed.notify_waiters();
    }

    /// Takes nothing more and forgets what waits.
    pub(crate) fn abort(&self) {
        let forgotten = {
            let mut state = self.shared.lock();
            state.phase = Phase::Closed;
            state.queued = 0;
            let waiting = (
                std::mem::take(&mut state.queue),
                std::mem::take(&mut state.rest),
            );
            (waiting, state.lent.take(), state.start.take())
        };
        drop(forgotten);
        self.shared.ready.notify_one();
        self.shared.changed.notify_waiters();
    }

    /// Waits until the writer has ended.
    pub(crate) async fn ended(&self) {
        loop {
            let changed = self.shared.changed.notified();
            if self.shared.lock().phase == Phase::Closed {
                return;
            }
            changed.await;
        }
    }

    /// Moves what waits to `out`, once there is something. `None` when nothing comes any more. Until then `half` is lent to
    /// whoever pushes; without it, the link has ended.
    ///
    /// For one writer. Cancel safe: what was lent is given up when the queue is [aborted](Self::abort).
    pub(crate) async fn take(
        &self,
        out: &mut Vec<Bytes>,
        half: &mut Option<WriteHalf>,
    ) -> Option<Taken> {
        loop {
            {
                let mut state = self.shared.lock();
                if let Some(lent) = state.lent.take() {
                    *half = Some(lent);
                }
                let mut taken = Taken::of(&state.rest);
                out.append(&mut state.rest);
                while taken.bytes < WRITE_ROUND
                    && let Some(frame) = state.queue.pop_front()
                {
                    taken.bytes = taken.bytes.saturating_add(frame.len());
                    taken.frames = taken.frames.saturating_add(1);
                    frame.append_to(out);
                }
                if taken.frames > 0 {
                    return Some(taken);
                }
                if state.phase != Phase::Open {
                    return None;
                }
                // What `out` has already goes first.
                if out.is_empty() && half.as_ref().is_some_and(WriteHalf::writes_at_once) {
                    state.lent = half.take();
                }
            }
            self.shared.ready.notified().await;
        }
    }

    /// Says that what was taken is written, which makes room.
    pub(crate) fn written(&self, taken: Taken) {
        self.shared.count(taken);
        {
            let mut state = self.shared.lock();
            state.queued = state.queued.saturating_sub(taken.bytes);
        }
        self.shared.changed.notify_waiters();
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Outbox")
            .field("phase", &state.phase)
            .field("queued", &state.queued)
            .field("max", &self.shared.max)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, written: Taken) {
        let bytes = u64::try_from(written.bytes).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.frames.fetch_add(written.frames, Ordering::Relaxed);
    }

    fn put(&self, mut state: MutexGuard<'_, State>, frame: OutFrame) {
        let first = state.queue.is_empty() && state.rest.is_empty();
        if first && state.lent.is_some() {
            self.count(state.write(frame));
            let is_written = state.rest.is_empty();
            drop(state);
            if !is_written {
                self.ready.notify_one();
            }
            return;
        }
        state.queued = state.queued.saturating_add(frame.len());
        state.queue.push_back(frame);
        let start = state.start.take();
        drop(state);
        if let Some(start) = start {
            start();
        }
        if first {
            self.ready.notify_one();
        }
    }
}

impl State {
    /// Writes what the lent stream takes at once; the rest is for the writer. What was written: a frame of which something
    /// is left counts with its rest.
    fn write(&mut self, frame: OutFrame) -> Taken {
        frame.append_to(&mut self.rest);
        let whole = Taken::of(&self.rest);
        if let Some(half) = &mut self.lent {
            half.write_at_once(&mut self.rest);
        }
        let left = Taken::of(&self.rest);
        self.queued = self.queued.saturating_add(left.bytes);
        Taken {
            bytes: whole.bytes.saturating_sub(left.bytes),
            frames: whole.frames.saturating_sub(left.frames),
        }
    }
}
