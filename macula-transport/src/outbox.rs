//! Frames that wait to be written, bounded by bytes.

mod frame;

pub use frame::OutFrame;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::error::OutboxError;

/// How many bytes a writer takes at once. What it took still counts as queued until it is written.
const WRITE_ROUND: usize = 512 << 10;

/// A queue of frames for one stream, bounded by bytes.
///
/// A frame is accepted while fewer bytes than the bound wait, whatever its own length, so at most one frame goes over
/// it. The writer of the link takes all that waits and writes it in one go. What was accepted is written in order,
/// unless the link ends first. Clones share the queue.
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

    /// Whether a frame would be accepted.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let state = self.shared.lock();
        state.phase == Phase::Open && state.queued < self.shared.max
    }

    /// Whether pushes are refused for good.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().phase != Phase::Open
    }

    /// How many bytes wait or are being written.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.lock().queued
    }

    /// The bound in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        self.shared.max
    }

    /// How many frames were handed to the stream.
    #[must_use]
    pub fn sent_frames(&self) -> u64 {
        self.shared.frames.load(Ordering::Relaxed)
    }

    /// How many bytes were handed to the stream.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// How often a push found no room.
    #[must_use]
    pub fn full_events(&self) -> u64 {
        self.shared.full.load(Ordering::Relaxed)
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
            (std::mem::take(&mut state.queue), state.start.take())
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

    /// Moves what waits to `out`, once there is something. `None` when nothing comes any more.
    ///
    /// For one writer. Cancel safe.
    pub(crate) async fn take(&self, out: &mut Vec<Bytes>) -> Option<Taken> {
        loop {
            {
                let mut state = self.shared.lock();
                let mut taken = Taken::default();
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
            }
            self.shared.ready.notified().await;
        }
    }

    /// Says that what was taken is written, which makes room.
    pub(crate) fn written(&self, taken: Taken) {
        let bytes = u64::try_from(taken.bytes).unwrap_or(u64::MAX);
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared
            .frames
            .fetch_add(taken.frames, Ordering::Relaxed);
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

    fn put(&self, mut state: MutexGuard<'_, State>, frame: OutFrame) {
        let first = state.queue.is_empty();
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

/// What a writer took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    bytes: usize,
    frames: u64,
}
