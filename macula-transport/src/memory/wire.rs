//! An in-process link between two sides, and what ends it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use macula_wire::{ErrorCode, NodeId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::lane::{Direction, Lane, sleep_until};
use super::pipe;
use crate::error::{CloseReason, DatagramError, LinkError};
use crate::link::Accepted;
use crate::stats::LinkStats;
use crate::stream::{ReadHalf, WriteHalf};

/// The most bytes of a datagram: what QUIC's smallest packet leaves.
const MAX_DATAGRAM: usize = 1_162;
/// The size of the packets that the figures are given in.
const MTU: u16 = 1_200;

/// A link between two sides: its two lanes, and who has noticed what of its end.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) sides: [NodeId; 2],
    /// The lane at an index leads to the side of that index.
    lanes: [Arc<Lane>; 2],
    idle_timeout: Duration,
    ends: Mutex<[End; 2]>,
    changed: Notify,
}

/// What one side notices of the end of the link.
#[derive(Debug, Default)]
struct End {
    /// Since when nothing comes from the other side.
    silent_since: Option<Instant>,
    /// The last packet of the other side, on its way.
    farewell: Option<(Instant, CloseReason)>,
}

impl Wire {
    /// A link whose lanes lead to the first and the second of `sides`.
    pub(super) fn new(
        sides: [NodeId; 2],
        lanes: [Arc<Lane>; 2],
        idle_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            sides,
            lanes,
            idle_timeout,
            ends: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// The lane that leads to the side of index `to`.
    pub(super) fn lane_to(&self, to: usize) -> &Arc<Lane> {
        let [first, second] = &self.lanes;
        if to == 0 { first } else { second }
    }

    /// Lets packets pass to the side of index `to`, or holds them up.
    pub(super) fn set_open(&self, to: usize, open: bool) {
        self.lane_to(to).open.send_replace(open);
        self.changed.notify_one();
    }

    /// Ends both sides at once.
    pub(super) fn cut(&self) {
        for side in [0, 1] {
            let reason = CloseReason::local(ErrorCode::UNREACHABLE, "the path was cut");
            self.close_side(side, reason);
        }
        self.changed.notify_one();
    }

    fn is_closed(&self, side: usize) -> bool {
        self.lane_to(side).receiver_closed.borrow().is_some()
    }

    /// Ends one side, once.
    fn close_side(&self, side: usize, reason: CloseReason) {
        self.lane_to(side)
            .receiver_closed
            .send_if_modified(|closed| {
                let first = closed.is_none();
                if first {
                    *closed = Some(reason);
                }
                first
            });
    }

    fn lock(&self) -> MutexGuard<'_, [End; 2]> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the side of index `side` and tells the other one, if packets pass.
    fn hang_up(&self, side: usize, code: ErrorCode, detail: &str) {
        if self.is_closed(side) {
            return;
        }
        self.close_side(side, CloseReason::local(code, detail));
        let other = 1_usize.saturating_sub(side);
        let lane = self.lane_to(other);
        if lane.is_open()
            && let Some(end) = self.lock().get_mut(other)
        {
            let reason = CloseReason::peer(code, detail);
            end.farewell.get_or_insert_with(|| (lane.arrival(), reason));
        }
        self.changed.notify_one();
    }

    /// Ends the sides that have heard nothing for too long, as QUIC does, until both have ended.
    ///
    /// An open lane counts as heard: both sides keep it alive.
    pub(super) async fn watch(self: Arc<Self>) {
        while !(self.is_closed(0) && self.is_closed(1)) {
            let wake = [0, 1].into_iter().filter_map(|side| self.look(side)).min();
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(wake) => {}
            }
        }
        for lane in &self.lanes {
            lane.clear();
        }
    }

    /// Looks at what `side` has noticed by now, and says when to look again.
    fn look(&self, side: usize) -> Option<Instant> {
        if self.is_closed(side) {
            return None;
        }
        let now = Instant::now();
        let other = 1_usize.saturating_sub(side);
        let other_closed = self.is_closed(other);
        let heard = self.lane_to(side).is_open();
        let reached = heard && self.lane_to(other).is_open();
        let mut ends = self.lock();
        let end = ends.get_mut(side)?;
        if other_closed && reached && end.farewell.is_none() {
            // A packet reaches a side that has forgotten the link, and is answered with a reset.
            let reason =
                CloseReason::peer(ErrorCode::UNREACHABLE, "the peer no longer knows the link");
            end.farewell = Some((self.lane_to(side).arrival(), reason));
        }
        let mut wake = None;
        if heard && !other_closed {
            end.silent_since = None;
        } else {
            let since = *end.silent_since.get_or_insert(now);
            let until = since.checked_add(self.idle_timeout);
            if until.is_some_and(|until| until <= now) {
                let reason = CloseReason::local(ErrorCode::UNREACHABLE, "the peer fell silent");
                drop(ends);
                self.close_side(side, reason);
                self.changed.notify_one();
                return None;
            }
            wake = until;
        }
        if let Some((due, reason)) = &end.farewell {
            if *due <= now {
                let reason = reason.clone();
                drop(ends);
                self.close_side(side, reason);
                return None;
            }
            wake = Some(wake.map_or(*due, |wake| wake.min(*due)));
        }
        wake
    }
}

/// One side of a link, as its carrier.
#[derive(Debug)]
pub(crate) struct MemoryConnection {
    wire: Arc<Wire>,
    side: usize,
}

impl MemoryConnection {
    pub(super) const fn new(wire: Arc<Wire>, side: usize) -> Self {
        Self { wire, side }
    }

    fn incoming(&self) -> &Arc<Lane> {
        self.wire.lane_to(self.side)
    }

    fn outgoing(&self) -> &Arc<Lane> {
        self.wire.lane_to(1_usize.saturating_sub(self.side))
    }

    pub(crate) async fn open_uni(&self) -> Result<WriteHalf, LinkError> {
        let (write, _) = self.open(Direction::Uni).await?;
        Ok(WriteHalf::Memory(write))
    }

    pub(crate) async fn open_bi(&self) -> Result<(WriteHalf, ReadHalf), LinkError> {
        match self.open(Direction::Bi).await? {
            (write, Some(read)) => Ok((WriteHalf::Memory(write), ReadHalf::Memory(read))),
            (_, None) => Err(LinkError::Closed(self.closed().await)),
        }
    }

    async fn open(
        &self,
        kind: Direction,
    ) -> Result<(pipe::MemoryWriter, Option<pipe::MemoryReader>), LinkError> {
        tokio::select! {
            biased;
            reason = self.closed() => Err(LinkError::Closed(reason)),
            credit = self.outgoing().credit(kind) => {
                Ok(pipe::open(kind, self.outgoing(), self.incoming(), credit))
            }
        }
    }

    pub(crate) async fn accept(&self) -> Result<Accepted, LinkError> {
        let opened = self.incoming().accept().await?;
        let read = ReadHalf::Memory(opened.reader);
        Ok(match opened.writer {
            None => Accepted::Uni(read),
            Some(writer) => Accepted::Bi(WriteHalf::Memory(writer), read),
        })
    }

    pub(crate) fn send_datagram(&self, datagram: Bytes) -> Result<(), DatagramError> {
        if self.close_reason().is_some() {
            return Err(DatagramError::Closed);
        }
        if datagram.len() > MAX_DATAGRAM {
            return Err(DatagramError::TooLarge { max: MAX_DATAGRAM });
        }
        self.outgoing().send_datagram(datagram);
        Ok(())
    }

    pub(crate) async fn read_datagram(&self) -> Result<Bytes, LinkError> {
        tokio::select! {
            biased;
            datagram = self.incoming().read_datagram() => Ok(datagram),
            reason = self.closed() => Err(LinkError::Closed(reason)),
        }
    }

    pub(crate) fn close(&self, code: ErrorCode, detail: &str) {
        self.wire.hang_up(self.side, code, detail);
    }

    pub(crate) async fn closed(&self) -> CloseReason {
        self.incoming().closed().await
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.incoming().receiver_closed.borrow().clone()
    }

    pub(crate) fn measure(&self, stats: &mut LinkStats) {
        let (sent, received) = (&self.outgoing().counters, &self.incoming().counters);
        stats.mtu = MTU;
        stats.rtt = self.outgoing().mean_delay().saturating_mul(2);
        stats.bytes_sent = sent.stream_bytes.load(Ordering::Relaxed);
        stats.bytes_received = received.stream_bytes.load(Ordering::Relaxed);
        stats.packets_sent = sent.datagrams.load(Ordering::Relaxed);
        stats.packets_received = received.datagrams_read.load(Ordering::Relaxed);
        stats.packets_lost = sent.datagrams_lost.load(Ordering::Relaxed);
    }
}

impl Drop for MemoryConnection {
    fn drop(&mut self) {
        self.wire.hang_up(self.side, ErrorCode::OK, "");
    }
}
