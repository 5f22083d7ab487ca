//! A link: one peer, its control stream, its event streams, its calls and its datagrams.
//!
//! Written once over every carrier: QUIC, Unix sockets and memory.

mod carrier;
mod closing;
mod hello;
mod receiver;
mod shared;
mod writer;

pub(crate) use carrier::{Accepted, Carrier};
pub(crate) use hello::{Agreed, Terms, answer_hello, dial_hello, read_hello, refuse};
pub use receiver::{LinkEvent, LinkReceiver};
pub(crate) use shared::{LinkParts, Shared};

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use macula_wire::message::{Message, Priority, Role, Stream, StreamKind};
use macula_wire::{Epoch, ErrorCode};

use crate::credentials::PeerIdentity;
use crate::error::{CloseReason, DatagramError, LinkError};
use crate::outbox::Outbox;
use crate::stats::LinkStats;
use crate::stream::{FrameReader, FrameReceiver, FrameSender};

/// A link to a peer whose certificate was checked and whose HANDSHAKE was agreed to.
///
/// Clones share the link. It ends by [`close`](Self::close), by the peer, with its path, or when its
/// [`LinkReceiver`] is dropped.
#[derive(Clone, Debug)]
pub struct Link {
    shared: Arc<Shared>,
}

impl Link {
    /// Starts a link whose HANDSHAKE is done. Has to be called within a tokio runtime.
    pub(crate) fn start(parts: LinkParts) -> (Self, LinkReceiver) {
        let (shared, control) = Shared::start(parts);
        let link = Self {
            shared: Arc::clone(&shared),
        };
        (link, LinkReceiver::new(shared, control))
    }

    pub(crate) const fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn downgrade(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    /// Sends a frame in a datagram: at once, unordered, and lost without notice.
    ///
    /// # Errors
    ///
    /// [`DatagramError`]; nothing was sent. The control stream carries what a datagram cannot.
    pub fn send_datagram(&self, frame: Bytes) -> Result<(), DatagramError> {
        self.shared.send_datagram(frame)
    }

    /// Opens a bidirectional stream, waiting until the peer allows one more. STREAM goes along with the first frame.
    ///
    /// # Errors
    ///
    /// [`LinkError::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Safe: a stream that nobody was given is reset.
    pub async fn open(&self, kind: StreamKind) -> Result<(FrameSender, FrameReceiver), LinkError> {
        let (write, read) = self.shared.open_bi().await?;
        let sender = FrameSender::new(write, Some(self.shared.opening(kind)));
        let reader = FrameReader::new(read, self.shared.own_max_frame_len);
        let receiver = FrameReceiver::new(reader, Arc::clone(&self.shared));
        Ok((sender, receiver))
    }

    /// Ends the link: what was pushed is sent, then CLOSE, then the peer gets the time to read, at most
    /// [`Config::drain_timeout`](crate::Config::drain_timeout) in all. Returns at once; later calls do nothing.
    pub fn close(&self, code: ErrorCode, detail: &str) {
        closing::close(&self.shared, code, detail);
    }

    /// Waits for the end of the link and tells its cause.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is changed.
    pub async fn closed(&self) -> CloseReason {
        let last = self.shared.carrier.closed().await;
        self.shared.settle(last)
    }

    /// The cause of the end; `None` while the link is up or closing.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        let last = self.shared.carrier.close_reason()?;
        Some(self.shared.settle(last))
    }

    /// The number of the link, unique in the process.
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.shared.id
    }

    /// The peer as its certificate describes it; for a local client the node itself.
    #[must_use]
    pub fn peer(&self) -> &PeerIdentity {
        &self.shared.peer
    }

    /// What the peer is on this link.
    #[must_use]
    pub fn role(&self) -> Role {
        self.shared.role
    }

    /// Whether the peer came over the node's Unix socket, with the identity of the node itself.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.shared.local
    }

    /// The peer's run.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    /// The features that both sides have.
    #[must_use]
    pub fn features(&self) -> u64 {
        self.shared.features
    }

    /// Who dialled.
    #[must_use]
    pub fn side(&self) -> Side {
        self.shared.side
    }

    /// By what the peer is reached at present.
    #[must_use]
    pub fn path(&self) -> Path {
        self.shared.carrier.path()
    }

    /// Whether other nodes carry the packets of the link, because no address of the peer works. They cannot read them,
    /// and they bound its rate: expect less of it than of a direct link, and try those again.
    #[must_use]
    pub fn is_forwarded(&self) -> bool {
        self.path() == Path::Forwarded
    }

    /// The address that the peer sees this side at; of dialled QUIC links only, and not of forwarded ones.
    #[must_use]
    pub fn observed(&self) -> Option<SocketAddr> {
        self.shared.observed
    }

    /// The largest body of a frame that the peer accepts, in bytes.
    #[must_use]
    pub fn max_frame_len(&self) -> usize {
        self.shared.max_frame_len
    }

    /// What waits for the control stream.
    #[must_use]
    pub fn control(&self) -> &Outbox {
        &self.shared.control
    }

    /// What waits for the event stream of `priority`. The stream opens at the first push.
    ///
    /// A peer that stops the stream closes the outbox; the link stays up.
    #[must_use]
    pub fn events(&self, priority: Priority) -> &Outbox {
        self.shared.events(priority)
    }

    /// Takes no more events, and waits until the peer has those that were pushed. Everything else goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, no more events are taken either; what waits is still sent.
    pub async fn finish_events(&self) {
        for outbox in self.shared.all_events() {
            outbox.end();
        }
        for outbox in self.shared.all_events() {
            outbox.ended().await;
        }
    }

    /// Figures of this moment.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.shared.stats()
    }
}

/// The number of a link, unique in the process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LinkId(u64);

impl LinkId {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who dialled a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a link has two sides")]
pub enum Side {
    /// This side did.
    Dialler,
    /// The peer did.
    Acceptor,
}

/// By what a peer is reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Path {
    /// QUIC, by packets that other nodes carry.
    Forwarded,
    /// Within the process.
    Memory,
    /// QUIC, with the peer's address.
    Quic(SocketAddr),
    /// The Unix socket of the node.
    Unix,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forwarded => f.write_str("forwarded"),
            Self::Memory => f.write_str("memory"),
            Self::Quic(address) => write!(f, "quic {address}"),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// The frame of STREAM.
pub(crate) fn stream_frame(token: Option<Bytes>, kind: StreamKind) -> Bytes {
    // It has no field that could be too long: the token comes from HANDSHAKE_ACK or has the right length.
    let message = Message::from(Stream { token, kind });
    message.to_bytes().unwrap_or_default().into()
}
