//! What the handles, the tasks and the streams of a link share.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use macula_wire::handshake::feature;
use macula_wire::message::{Message, Ping, Priority, Role, StreamKind};
use macula_wire::{DecodeError, Epoch, ErrorCode};
use tokio::sync::Notify;

use super::{Agreed, Carrier, LinkId, Side, stream_frame, writer};
use crate::config::Config;
use crate::credentials::PeerIdentity;
use crate::error::{CloseReason, DatagramError, LinkError};
use crate::outbox::{OutFrame, Outbox, Starter};
use crate::stats::LinkStats;
use crate::stream::{FrameReader, ReadHalf, WriteHalf};
use crate::task::TaskSet;

/// The priorities in the order of [`Shared::events`].
pub(super) const PRIORITIES: [Priority; 4] = [
    Priority::Realtime,
    Priority::High,
    Priority::Normal,
    Priority::Bulk,
];

static NEXT_LINK: AtomicU64 = AtomicU64::new(1);

/// What a link is made of once HANDSHAKE is done.
pub(crate) struct LinkParts {
    pub(crate) carrier: Carrier,
    /// The control stream.
    pub(crate) write: WriteHalf,
    /// The control stream, with what has been read of it.
    pub(crate) read: FrameReader,
    pub(crate) peer: PeerIdentity,
    pub(crate) agreed: Agreed,
    pub(crate) side: Side,
    /// Whether the peer has the identity of this node, by its Unix socket.
    pub(crate) local: bool,
    pub(crate) config: Arc<Config>,
    /// Where the tasks of the link run.
    pub(crate) tasks: TaskSet,
    /// Dropped when the connection has ended: what counts it against a limit.
    pub(crate) permit: Option<Box<dyn Send>>,
}

/// The state of a link.
pub(crate) struct Shared {
    pub(crate) id: LinkId,
    pub(crate) carrier: Carrier,
    pub(crate) peer: PeerIdentity,
    pub(crate) role: Role,
    pub(crate) local: bool,
    pub(crate) epoch: Epoch,
    pub(crate) features: u64,
    pub(crate) side: Side,
    pub(crate) observed: Option<SocketAddr>,
    /// What the peer accepts.
    pub(crate) max_frame_len: usize,
    /// What this side accepts.
    pub(crate) own_max_frame_len: usize,
    pub(crate) drain_timeout: Duration,
    pub(crate) control: Outbox,
    pub(crate) tasks: TaskSet,
    events: [Outbox; PRIORITIES.len()],
    token: Option<Bytes>,
    /// STREAM of a call.
    call: Bytes,
    end: Mutex<End>,
    readers: AtomicUsize,
    datagrams_dropped: AtomicU64,
    /// Whether the peer was asked for streams since one was opened last.
    is_hastened: AtomicBool,
    /// An offence was found, or a reader ended.
    pub(super) changed: Notify,
}

/// How the link ends.
#[derive(Default)]
struct End {
    reason: Option<CloseReason>,
    offence: Option<DecodeError>,
}

impl Shared {
    pub(super) fn start(parts: LinkParts) -> (Arc<Self>, FrameReader) {
        let config = parts.config;
        let shared = Arc::new_cyclic(|link: &Weak<Self>| {
            let events = PRIORITIES.map(|priority| {
                let link = Weak::clone(link);
                let start: Starter = Box::new(move || writer::start_events(&link, priority));
                Outbox::new(config.event_outbox_bytes, Some(start))
            });
            Self {
                id: LinkId(NEXT_LINK.fetch_add(1, Ordering::Relaxed)),
                carrier: parts.carrier,
                peer: parts.peer,
                role: parts.agreed.role,
                local: parts.local,
                epoch: parts.agreed.epoch,
                features: parts.agreed.features,
                side: parts.side,
                observed: parts.agreed.observed,
                max_frame_len: parts.agreed.max_frame_len,
                own_max_frame_len: config.max_frame_len,
                drain_timeout: config.drain_timeout,
                control: Outbox::new(config.control_outbox_bytes, None),
                tasks: parts.tasks,
                events,
                call: stream_frame(parts.agreed.token.clone(), StreamKind::Call),
                token: parts.agreed.token,
                end: Mutex::default(),
                readers: AtomicUsize::new(0),
                datagrams_dropped: AtomicU64::new(0),
                is_hastened: AtomicBool::new(false),
                changed: Notify::new(),
            }
        });
        let task = writer::control(Arc::clone(&shared), parts.write, parts.permit);
        shared.tasks.spawn("link control", task);
        (shared, parts.read)
    }

    pub(super) fn events(&self, priority: Priority) -> &Outbox {
        let [realtime, high, normal, bulk] = &self.events;
        match priority {
            Priority::Realtime => realtime,
            Priority::High => high,
            Priority::Normal => normal,
            Priority::Bulk => bulk,
        }
    }

    pub(super) fn all_events(&self) -> &[Outbox] {
        &self.events
    }

    pub(super) fn opening(&self, kind: StreamKind) -> Bytes {
        if kind == StreamKind::Call {
            return self.call.clone();
        }
        stream_frame(self.token.clone(), kind)
    }

    /// Opens a bidirectional stream, waiting until the peer allows one more. Cancel safe.
    pub(super) async fn open_bi(&self) -> Result<(WriteHalf, ReadHalf), LinkError> {
        let mut opening = pin!(self.carrier.open_bi());
        let opened = poll_fn(|context| {
            let polled = opening.as_mut().poll(context);
            if polled.is_pending() {
                self.hasten();
            }
            polled
        });
        let opened = opened.await;
        self.is_hastened.store(false, Ordering::Relaxed);
        opened
    }

    /// Has an acknowledgement leave for what has come. The peer has a stream back when it knows that all of it has arrived,
    /// and a side that waits for streams has nothing else to send, so that QUIC would put that off for 25 ms.
    fn hasten(&self) {
        if self.carrier.delays_acks() && !self.is_hastened.swap(true, Ordering::Relaxed) {
            let ping = Message::from(Ping { nonce: 0 });
            if let Ok(frame) = OutFrame::message(&ping) {
                // Where it is full, other words are on their way.
                let _: Result<_, _> = self.control.try_push(frame);
            }
        }
    }

    pub(super) fn send_datagram(&self, frame: Bytes) -> Result<(), DatagramError> {
        if self.features & feature::DATAGRAMS == 0 {
            return Err(DatagramError::Unsupported);
        }
        self.carrier.send_datagram(frame)
    }

    pub(super) fn datagram_dropped(&self) {
        self.datagrams_dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reader_begins(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reader_ends(&self) {
        self.readers.fetch_sub(1, Ordering::Relaxed);
        // Who waits for the last reader has begun to end the link before it counts: it sees this end, or is seen here. At
        // any other time it would wake the link's task for each call.
        if self.is_ending() {
            self.changed.notify_waiters();
        }
    }

    pub(super) fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed)
    }

    /// Closes the link because the peer broke the protocol.
    pub(crate) fn fail(&self, offence: DecodeError) {
        let detail = offence.to_string();
        {
            let mut end = self.lock();
            end.offence.get_or_insert(offence);
            end.reason
                .get_or_insert_with(|| CloseReason::local(ErrorCode::PROTOCOL_VIOLATION, &detail));
        }
        tracing::warn!(peer = %self.peer.node.short(), link = %self.id, %detail, "protocol violation");
        self.carrier.close(ErrorCode::PROTOCOL_VIOLATION, &detail);
        self.changed.notify_waiters();
    }

    /// The offence that closed the link, once.
    pub(super) fn take_offence(&self) -> Option<DecodeError> {
        self.lock().offence.take()
    }

    /// Notes why the link ends; `false` if that was settled before.
    pub(super) fn begin_end(&self, reason: CloseReason) -> bool {
        let mut end = self.lock();
        let first = end.reason.is_none();
        if first {
            end.reason = Some(reason);
        }
        first
    }

    /// Whether one of the sides has begun to end the link.
    pub(super) fn is_ending(&self) -> bool {
        self.lock().reason.is_some()
    }

    /// Why the link ended, where the carrier says `last`.
    pub(super) fn settle(&self, last: CloseReason) -> CloseReason {
        self.lock().reason.get_or_insert(last).clone()
    }

    pub(super) fn stats(&self) -> LinkStats {
        let mut stats = LinkStats {
            datagrams_dropped: self.datagrams_dropped.load(Ordering::Relaxed),
            streams_reading: self.readers(),
            ..LinkStats::default()
        };
        for outbox in self.events.iter().chain([&self.control]) {
            stats.outbox_bytes = stats.outbox_bytes.saturating_add(outbox.queued_bytes());
            stats.outbox_full = stats.outbox_full.saturating_add(outbox.full_events());
            stats.frames_sent = stats.frames_sent.saturating_add(outbox.sent_frames());
        }
        self.carrier.measure(&mut stats);
        stats
    }

    fn lock(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("id", &self.id)
            .field("peer", &self.peer.node)
            .field("role", &self.role)
            .field("side", &self.side)
            .field("path", &self.carrier.path())
            .finish_non_exhaustive()
    }
}
