//! One direction of an in-process link: what delays, loses and holds up what goes that way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use macula_wire::Random;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::pipe::{MemoryReader, MemoryWriter};
use crate::config::Config;
use crate::error::{CloseReason, LinkError};

/// A stream that its acceptor has not taken yet, and what it takes among the streams of the link.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) reader: MemoryReader,
    pub(super) writer: Option<MemoryWriter>,
}

/// One direction of a link.
#[derive(Debug)]
pub(super) struct Lane {
    /// Whether packets pass. Kept by the network.
    pub(super) open: watch::Sender<bool>,
    /// Why the receiving side is closed, once it is.
    pub(super) receiver_closed: watch::Sender<Option<CloseReason>>,
    /// What makes delays and losses.
    weather: Arc<Mutex<Weather>>,
    state: Mutex<State>,
    arrived: Notify,
    /// How many streams the sending side may have open.
    event_streams: Arc<Semaphore>,
    call_streams: Arc<Semaphore>,
    pub(super) window: usize,
    max_datagram_bytes: usize,
    pub(super) counters: Counters,
}

/// What passed on a lane.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) stream_bytes: AtomicU64,
    pub(super) datagrams: AtomicU64,
    pub(super) datagrams_lost: AtomicU64,
    pub(super) datagrams_read: AtomicU64,
}

/// What makes delays and losses, for all lanes of a network.
#[derive(Debug)]
pub(super) struct Weather {
    pub(super) random: Random,
    pub(super) min_delay: Duration,
    pub(super) max_delay: Duration,
    pub(super) loss_per_mille: u64,
}

impl Weather {
    fn delay(&mut self) -> Duration {
        let spread = self.max_delay.saturating_sub(self.min_delay).as_nanos();
        let spread = u64::try_from(spread).unwrap_or(u64::MAX);
        let extra = self.random.below(spread.saturating_add(1));
        self.min_delay.saturating_add(Duration::from_nanos(extra))
    }

    fn loses(&mut self) -> bool {
        self.random.below(1_000) < self.loss_per_mille
    }
}

#[derive(Debug, Default)]
struct State {
    datagrams: BTreeMap<(Instant, u64), Bytes>,
    datagram_bytes: usize,
    sequence: u64,
    streams: BTreeMap<(Instant, u64), Opened>,
}

impl State {
    /// Orders what arrives at the same time.
    const fn next_sequence(&mut self) -> u64 {
        let sequence = self.sequence;
        self.sequence = sequence.saturating_add(1);
        sequence
    }
}

impl Lane {
    /// A lane to a side that accepts what `receiver` says.
    pub(super) fn new(receiver: &Config, weather: Arc<Mutex<Weather>>, open: bool) -> Self {
        let credit = |streams: u32| {
            let streams = usize::try_from(streams).unwrap_or(Semaphore::MAX_PERMITS);
            Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS)))
        };
        Self {
            open: watch::Sender::new(open),
            receiver_closed: watch::Sender::new(None),
            weather,
            state: Mutex::default(),
            arrived: Notify::new(),
            event_streams: credit(receiver.max_event_streams),
            // The control stream is one of them, as over QUIC.
            call_streams: credit(receiver.max_call_streams.saturating_add(1)),
            window: usize::try_from(receiver.stream_receive_window).unwrap_or(usize::MAX),
            max_datagram_bytes: receiver.datagram_receive_buffer,
            counters: Counters::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a packet sent at this moment arrives.
    pub(super) fn arrival(&self) -> Instant {
        let mut weather = self.weather.lock().unwrap_or_else(PoisonError::into_inner);
        Instant::now() + weather.delay()
    }

    /// The delay of a packet in the middle.
    pub(super) fn mean_delay(&self) -> Duration {
        let weather = self.weather.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = weather.min_delay.saturating_add(weather.max_delay);
        sum.checked_div(2).unwrap_or(sum)
    }

    pub(super) fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until packets pass.
    pub(super) async fn opened(&self) {
        let mut open = self.open.subscribe();
        // The sender lives as long as the lane.
        drop(open.wait_for(|open| *open).await);
    }

    /// Why the receiving side is closed, once it is.
    pub(super) async fn closed(&self) -> CloseReason {
        let mut closed = self.receiver_closed.subscribe();
        loop {
            if let Some(reason) = closed.borrow_and_update().clone() {
                return reason;
            }
            if closed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// A place for a stream of the sending side; waits for one.
    pub(super) async fn credit(&self, kind: Direction) -> OwnedSemaphorePermit {
        let streams = match kind {
            Direction::Uni => &self.event_streams,
            Direction::Bi => &self.call_streams,
        };
        match Arc::clone(streams).acquire_owned().await {
            Ok(permit) => permit,
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Shows a stream to the receiving side, from `due` on.
    pub(super) fn announce(&self, due: Instant, opened: Opened) {
        let mut state = self.lock();
        let sequence = state.next_sequence();
        state.streams.insert((due, sequence), opened);
        drop(state);
        self.arrived.notify_waiters();
    }

    /// The next stream that arrives. What had arrived before the receiving side was closed comes first. Cancel safe.
    pub(super) async fn accept(&self) -> Result<Opened, LinkError> {
        loop {
            let arrived = self.arrived.notified();
            let closed = self.error();
            let open = self.is_open();
            let mut due = None;
            if open {
                let mut state = self.lock();
                let first = state.streams.first_key_value();
                due = first.map(|((due, _), _)| *due);
                if due.is_some_and(|due| due <= Instant::now())
                    && let Some((_, opened)) = state.streams.pop_first()
                {
                    return Ok(opened);
                }
            }
            if let Some(error) = closed {
                return Err(error);
            }
            tokio::select! {
                () = arrived => {}
                () = self.opened(), if !open => {}
                () = sleep_until(due) => {}
                _ = self.closed() => {}
            }
        }
    }

    /// Forgets what nobody will take.
    pub(super) fn clear(&self) {
        let forgotten = std::mem::take(&mut *self.lock());
        drop(forgotten);
    }

    /// Sends a datagram, or loses it.
    pub(super) fn send_datagram(&self, datagram: Bytes) {
        self.counters.datagrams.fetch_add(1, Ordering::Relaxed);
        let due = {
            let mut weather = self.weather.lock().unwrap_or_else(PoisonError::into_inner);
            // Both are drawn whatever happens, so that one loss does not change all later delays.
            let (lost, delay) = (weather.loses(), weather.delay());
            (!lost && self.is_open()).then(|| Instant::now() + delay)
        };
        let Some(due) = due else {
            self.counters.datagrams_lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let mut state = self.lock();
        let sequence = state.next_sequence();
        state.datagram_bytes = state.datagram_bytes.saturating_add(datagram.len());
        state.datagrams.insert((due, sequence), datagram);
        while state.datagram_bytes > self.max_datagram_bytes
            && let Some((_, oldest)) = state.datagrams.pop_first()
        {
            state.datagram_bytes = state.datagram_bytes.saturating_sub(oldest.len());
            self.counters.datagrams_lost.fetch_add(1, Ordering::Relaxed);
        }
        drop(state);
        self.arrived.notify_waiters();
    }

    /// The next datagram that arrives; what was on its way when a partition began still does. Cancel safe.
    pub(super) async fn read_datagram(&self) -> Bytes {
        loop {
            let arrived = self.arrived.notified();
            let due = {
                let mut state = self.lock();
                match state.datagrams.first_key_value() {
                    Some(((due, _), _)) if *due <= Instant::now() => {
                        if let Some((_, datagram)) = state.datagrams.pop_first() {
                            state.datagram_bytes =
                                state.datagram_bytes.saturating_sub(datagram.len());
                            self.counters.datagrams_read.fetch_add(1, Ordering::Relaxed);
                            return datagram;
                        }
                        None
                    }
                    Some(((due, _), _)) => Some(*due),
                    None => None,
                }
            };
            tokio::select! {
                () = arrived => {}
                () = sleep_until(due) => {}
            }
        }
    }

    /// The error of whatever is done on the receiving side after it was closed.
    pub(super) fn error(&self) -> Option<LinkError> {
        self.receiver_closed.borrow().clone().map(LinkError::Closed)
    }
}

/// Whether a stream goes one way or both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    Uni,
    Bi,
}

/// Waits until `due`; for ever if there is nothing due.
pub(super) async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
