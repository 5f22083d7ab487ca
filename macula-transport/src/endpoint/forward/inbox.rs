//! The packets that were brought in and wait for QUIC.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use quinn::udp::RecvMeta;

/// A bounded queue with one reader.
#[derive(Debug)]
pub(super) struct Inbox {
    max: usize,
    state: Mutex<State>,
    /// How many packets wait, to be read without the lock.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    packets: VecDeque<(SocketAddr, Bytes)>,
    reader: Option<Waker>,
    closed: bool,
}

impl Inbox {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Whether a packet would find room.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.max
    }

    /// Puts a packet at the end; `None` if there is no room.
    pub(super) fn push(&self, from: SocketAddr, packet: Bytes) -> Option<()> {
        let mut state = self.lock();
        if state.closed || state.packets.len() >= self.max {
            return None;
        }
        state.packets.push_back((from, packet));
        self.waiting.store(state.packets.len(), Ordering::Relaxed);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Some(())
    }

    /// Moves packets into `bufs`, and tells how many.
    pub(super) fn take(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.fill(&mut self.lock(), bufs, meta)
    }

    /// As [`take`](Self::take), but if there is none, has `cx` woken by the next one.
    pub(super) fn poll_take(
        &self,
        cx: &Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<usize> {
        let mut state = self.lock();
        let taken = self.fill(&mut state, bufs, meta);
        if taken > 0 {
            return Poll::Ready(taken);
        }
        let known = state.reader.as_ref();
        if known.is_none_or(|reader| !reader.will_wake(cx.waker())) {
            let former = state.reader.replace(cx.waker().clone());
            drop(state);
            drop(former);
        }
        Poll::Pending
    }

    /// Takes nothing more, and forgets what waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let packets = std::mem::take(&mut state.packets);
        self.waiting.store(0, Ordering::Relaxed);
        drop(state);
        drop(packets);
    }

    fn fill(&self, state: &mut State, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        let mut taken = 0_usize;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some((addr, packet)) = state.packets.pop_front() else {
                break;
            };
            // Buffers have room for what every path carries; without room the packet is lost.
            let len = buf.get_mut(..packet.len()).map_or(0, |place| {
                place.copy_from_slice(&packet);
                packet.len()
            });
            *meta = RecvMeta {
                addr,
                len,
                stride: len,
                ..RecvMeta::default()
            };
            taken = taken.saturating_add(1);
        }
        self.waiting.store(state.packets.len(), Ordering::Relaxed);
        taken
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
