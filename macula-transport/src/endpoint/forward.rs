//! Links whose packets other nodes carry: the queues on both sides of QUIC, and the addresses between.

mod address;
mod inbox;
mod lease;
mod table;

pub(crate) use address::is_mapped;
pub(super) use address::number;
pub(super) use lease::Lease;

use std::fmt;
use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use macula_wire::{NodeId, RealmName};
use quinn::udp::RecvMeta;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::stats::EndpointStats;
use address::Family;
use inbox::Inbox;
use table::{Peer, Table};

/// The most bytes of a packet that is forwarded: what QUIC asks of every path (RFC 9000, section 14).
///
/// Links over forwarding send no longer ones, and longer ones are not taken.
pub const MAX_FORWARDED_PACKET: usize = 1_200;

/// A QUIC packet that the application has to carry to a node. Only that node can read it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ForwardedPacket {
    /// The realm of the link.
    pub realm: RealmName,
    /// To whom it has to be carried.
    pub node: NodeId,
    /// The packet, 1 to [`MAX_FORWARDED_PACKET`] bytes. At `node`,
    /// [`Endpoint::deliver`](crate::Endpoint::deliver) takes it.
    pub bytes: Bytes,
}

/// The packets that an endpoint gives away to be carried, for one reader.
///
/// At most [`Config::max_forwarded_packets`] wait. Further ones are dropped and counted, which QUIC takes for loss: it
/// slows down and sends them again. When the reader is dropped, every further packet is lost.
#[derive(Debug)]
pub struct ForwardedPackets {
    packets: mpsc::Receiver<ForwardedPacket>,
}

impl ForwardedPackets {
    /// The next packet, in the order in which QUIC sent them. `None` when [`Endpoint::close`](crate::Endpoint::close) is
    /// done, or no handle and no connection of the endpoint is left.
    ///
    /// # Cancel safety
    ///
    /// Safe: no packet is lost.
    pub async fn next(&mut self) -> Option<ForwardedPacket> {
        self.packets.recv().await
    }

    /// The next packet if there is one at present.
    pub fn try_next(&mut self) -> Option<ForwardedPacket> {
        self.packets.try_recv().ok()
    }
}

/// What the handles of an endpoint and its socket share of forwarding.
pub(super) struct Forwarding {
    realms: Vec<RealmName>,
    family: Family,
    state: Mutex<State>,
    inbox: Inbox,
    reader: Mutex<Option<ForwardedPackets>>,
    sent: AtomicU64,
    received: AtomicU64,
    send_dropped: AtomicU64,
    receive_dropped: AtomicU64,
    forged: AtomicU64,
}

/// What every packet that goes out needs.
struct State {
    table: Table,
    /// `None` when the endpoint is closed.
    out: Option<mpsc::Sender<ForwardedPacket>>,
}

impl Forwarding {
    /// For a socket on `local` in `realms`.
    pub(super) fn new(local: SocketAddr, realms: Vec<RealmName>, config: &Config) -> Arc<Self> {
        let max_packets = config.max_forwarded_packets;
        let (out, packets) = mpsc::channel(max_packets);
        Arc::new(Self {
            realms,
            family: Family::of(local),
            state: Mutex::new(State {
                table: Table::new(config.max_forwarded_nodes),
                out: Some(out),
            }),
            inbox: Inbox::new(max_packets),
            reader: Mutex::new(Some(ForwardedPackets { packets })),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            send_dropped: AtomicU64::new(0),
            receive_dropped: AtomicU64::new(0),
            forged: AtomicU64::new(0),
        })
    }

    /// The reader of what goes out, once.
    pub(super) fn take_reader(&self) -> Option<ForwardedPackets> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.take()
    }

    /// Hands out what QUIC sends to the address with `number`: one packet, or several of `segment_size`.
    pub(super) fn send(&self, number: u64, contents: &[u8], segment_size: Option<usize>) {
        let mut state = self.lock();
        let peer = state.table.peer(number);
        for packet in contents.chunks(segment_size.unwrap_or(contents.len()).max(1)) {
            let sent = peer.and_then(|peer| {
                let packet = ForwardedPacket {
                    realm: self.realms.get(peer.realm)?.clone(),
                    node: peer.node,
                    bytes: fits(packet).then(|| Bytes::copy_from_slice(packet))?,
                };
                state.out.as_ref()?.try_send(packet).ok()
            });
            count(if sent.is_some() {
                &self.sent
            } else {
                &self.send_dropped
            });
        }
    }

    /// Takes in a packet that was carried from `node`.
    pub(super) fn deliver(&self, realm: &RealmName, node: NodeId, packet: Bytes) {
        let taken = self.enqueue(realm, node, packet);
        count(if taken.is_some() {
            &self.received
        } else {
            &self.receive_dropped
        });
    }

    fn enqueue(&self, realm: &RealmName, node: NodeId, packet: Bytes) -> Option<()> {
        // Nobody is forgotten for a packet that has no room anyway.
        if !fits(&packet) || !self.inbox.has_room() {
            return None;
        }
        let realm = self.realm(realm)?;
        let number = self.lock().table.number(Peer { realm, node })?;
        self.inbox.push(self.family.address(number), packet)
    }

    /// An address for `node`, kept while the lease is; `None` if too many are kept, or the realm is not known.
    pub(super) fn lease(self: &Arc<Self>, realm: &RealmName, node: NodeId) -> Option<Lease> {
        let realm = self.realm(realm)?;
        let mut state = self.lock();
        let number = state.table.number(Peer { realm, node })?;
        self.hold(&mut state, number)
    }

    /// The address with `number`, kept while the lease is; `None` if it stands for nobody any more.
    pub(super) fn lease_of(self: &Arc<Self>, number: u64) -> Option<Lease> {
        self.hold(&mut self.lock(), number)
    }

    fn hold(self: &Arc<Self>, state: &mut State, number: u64) -> Option<Lease> {
        let Peer { realm, node } = state.table.peer(number)?;
        let realm = self.realms.get(realm)?.clone();
        state.table.hold(number)?;
        Some(Lease::new(Arc::clone(self), number, realm, node))
    }

    fn release(&self, number: u64) {
        self.lock().table.release(number);
    }

    fn realm(&self, name: &RealmName) -> Option<usize> {
        self.realms.iter().position(|realm| realm == name)
    }

    /// Moves packets that were delivered into `bufs`, and tells how many.
    pub(super) fn take(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        self.inbox.take(bufs, meta)
    }

    /// As [`take`](Self::take), but if there is none, has `cx` woken by the next one.
    pub(super) fn poll_take(
        &self,
        cx: &Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<usize> {
        self.inbox.poll_take(cx, bufs, meta)
    }

    /// Counts a UDP packet whose source can only be forged.
    pub(super) fn count_forged(&self) {
        count(&self.forged);
    }

    /// Writes the figures into `stats`.
    pub(super) fn measure(&self, stats: &mut EndpointStats) {
        stats.forwarded_sent = self.sent.load(Ordering::Relaxed);
        stats.forwarded_received = self.received.load(Ordering::Relaxed);
        stats.forwarded_send_dropped = self.send_dropped.load(Ordering::Relaxed);
        stats.forwarded_receive_dropped = self.receive_dropped.load(Ordering::Relaxed);
        stats.forged_dropped = self.forged.load(Ordering::Relaxed);
    }

    /// Takes nothing more and gives nothing more, which ends the reader.
    pub(super) fn end(&self) {
        self.lock().out = None;
        self.inbox.close();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarding")
            .field("family", &self.family)
            .finish_non_exhaustive()
    }
}

/// Whether a packet can be forwarded.
const fn fits(packet: &[u8]) -> bool {
    !packet.is_empty() && packet.len() <= MAX_FORWARDED_PACKET
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
