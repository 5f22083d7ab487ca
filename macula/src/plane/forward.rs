//! The data plane of forwarding: what others send on its way, and the packets of this node's own forwarded links.
//!
//! Nothing here asks a machine. Where something goes is decided by a [`Wayfinder`] and the present [`Topology`], which is
//! made anew when links, neighbours or suspicions change. It names direct links only, so no packet of a forwarded link
//! ever travels by another one.

mod allowance;
mod config;
mod counts;
mod hints;
mod silence;
mod tasks;
mod traces;
mod ways;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use macula_kad::forward::{BackFate, Fate, Onward, SendError};
use macula_kad::{Topology, Wayfinder};
use macula_transport::{Endpoint, ForwardedPacket, OutFrame};
use macula_wire::limit::MAX_VIA;
use macula_wire::message::{Body, Forward, ForwardError, Message, Ping, Trace, Traced};
use macula_wire::{NodeId, NodeMark};
use tokio::sync::Notify;

use self::allowance::Known;
pub(crate) use self::allowance::Passage;
pub use self::config::ForwardingConfig;
use self::counts::Counters;
pub use self::counts::ForwardingCounts;
use self::hints::Hints;
use self::silence::Silence;
use self::traces::Traces;
use super::Plane;
use super::counters::add;
use super::links::Attached;
use crate::Neighbourhood;

/// What a message costs beside the packet in it, at most about.
const OVERHEAD: usize = 256;

/// How many bytes that wait for a lookup stream are the most with which more is forwarded there.
const LOOKUP_SHARE: usize = 512 << 10;
/// Which part of the outbox of a control stream may be taken up when a peer is asked whether it is there: a full one ends
/// its link.
const CONTROL_SHARE: usize = 4;

/// Carries packets for others and for this node.
#[derive(Debug)]
pub(crate) struct Forwarding {
    plane: Arc<Plane>,
    endpoint: Endpoint,
    pub(crate) config: ForwardingConfig,
    wayfinder: Wayfinder,
    topology: ArcSwap<Topology>,
    neighbourhood: ArcSwap<Neighbourhood>,
    /// The peers that packets can be passed to without doubt.
    sound: Mutex<BTreeSet<NodeId>>,
    silence: Mutex<Silence>,
    /// Whether something was carried lately.
    is_carrying: AtomicBool,
    carrying: Notify,
    changed: Notify,
    traces: Traces,
    hints: Hints,
    counters: Counters,
}

impl Forwarding {
    pub(crate) fn new(plane: Arc<Plane>, endpoint: Endpoint, config: ForwardingConfig) -> Self {
        let topology = Topology::new(plane.node(), [], []);
        Self {
            plane,
            endpoint,
            config,
            wayfinder: Wayfinder::new(),
            topology: ArcSwap::from_pointee(topology),
            neighbourhood: ArcSwap::default(),
            sound: Mutex::default(),
            silence: Mutex::default(),
            is_carrying: AtomicBool::new(false),
            carrying: Notify::new(),
            changed: Notify::new(),
            traces: Traces::default(),
            hints: Hints::default(),
            counters: Counters::default(),
        }
    }

    /// Whether there is nobody who could carry anything.
    pub(crate) fn is_alone(&self) -> bool {
        self.topology.load().linked().next().is_none()
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> ForwardingCounts {
        self.counters.read(&self.wayfinder.stats())
    }

    /// Takes in what the peer of `attached` sent, if it is a message of forwarding.
    pub(crate) fn take(&self, attached: &Attached, body: Body) {
        match body {
            Body::Forward(forward) if self.admits(attached, forward.packet.len()) => {
                self.on_forward(attached, forward);
            }
            Body::Trace(trace) if self.admits(attached, 0) => self.on_trace(attached, trace),
            Body::ForwardError(error) if self.admits(attached, 0) => {
                self.on_error(attached, error);
            }
            Body::Traced(traced) if self.admits(attached, 0) => self.on_traced(attached, traced),
            _ => {}
        }
    }

    /// Whether one more message of the peer, with so many bytes for others in it, is looked at.
    fn admits(&self, attached: &Attached, len: usize) -> bool {
        if attached.link.is_forwarded() {
            // An honest peer passes nothing on by a link that is forwarded itself.
            add(&self.plane.counters.misbehaved, 1);
            return false;
        }
        let now = self.plane.clock.now();
        let bytes = len.saturating_add(OVERHEAD);
        let may = attached.passage.may_pass(now, bytes, &self.config);
        if !may {
            add(&self.counters.dropped_rate, 1);
        }
        may
    }

    fn on_forward(&self, attached: &Attached, forward: Forward) {
        let from = attached.link.peer().node;
        let now = self.plane.clock.now();
        let topology = self.topology.load();
        match self.wayfinder.forward(now, &topology, from, forward) {
            Fate::Arrived { message, .. } => self.deliver(attached, message),
            Fate::Pass(onward) => {
                if self.carry(onward.to, onward.message.into()) {
                    add(&self.counters.passed, 1);
                }
            }
            Fate::Dropped { answer, .. } => self.answer(answer),
        }
    }

    /// Hands a packet to QUIC. Whoever brings packets of ever new origins is stopped, because each takes up an address
    /// that another may be about to use.
    fn deliver(&self, attached: &Attached, forward: Forward) {
        let origin = forward.way.origin;
        let linked = self.plane.links.member(&origin);
        let known = match linked.filter(|linked| linked.link.is_forwarded()) {
            Some(linked) => {
                linked.passage.came_by(forward.way.trail.len());
                Known::Linked
            }
            None => Known::Claimed,
        };
        let now = self.plane.clock.now();
        if !attached.passage.may_claim(now, origin, known, &self.config) {
            add(&self.counters.dropped_origins, 1);
            return;
        }
        add(&self.counters.delivered, 1);
        let realm = &self.plane.realm;
        self.endpoint.deliver(realm, origin, forward.packet);
    }

    fn on_trace(&self, attached: &Attached, trace: Trace) {
        let from = attached.link.peer().node;
        let rtt = Some(attached.link.stats().rtt);
        let now = self.plane.clock.now();
        let topology = self.topology.load();
        match self.wayfinder.trace(now, &topology, from, rtt, trace) {
            Fate::Pass(onward) => {
                self.carry(onward.to, onward.message.into());
            }
            Fate::Arrived { answer, .. } | Fate::Dropped { answer, .. } => self.answer(answer),
        }
    }

    fn on_error(&self, attached: &Attached, error: ForwardError) {
        let from = attached.link.peer().node;
        let now = self.plane.clock.now();
        let topology = self.topology.load();
        let fate = self.wayfinder.forward_error(now, &topology, from, error);
        match fate {
            BackFate::Arrived(error) => self.hints.doubt(error.target),
            BackFate::Pass(onward) => {
                self.carry(onward.to, onward.message.into());
            }
            BackFate::Dropped(_) => {}
        }
    }

    fn on_traced(&self, attached: &Attached, traced: Traced) {
        let from = attached.link.peer().node;
        let now = self.plane.clock.now();
        let topology = self.topology.load();
        match self.wayfinder.traced(now, &topology, from, traced) {
            BackFate::Arrived(traced) => self.traces.answer(traced),
            BackFate::Pass(onward) => {
                self.carry(onward.to, onward.message.into());
            }
            BackFate::Dropped(_) => {}
        }
    }

    fn answer<A: Into<Body>>(&self, answer: Option<Onward<A>>) {
        if let Some(onward) = answer {
            self.carry(onward.to, onward.message.into());
        }
    }

    /// Sends a packet of one of this node's own links on its way.
    fn send(&self, packet: ForwardedPacket) {
        let now = self.plane.clock.now();
        let topology = self.topology.load();
        let via = self.via(&topology, &packet.node);
        let sent = self
            .wayfinder
            .send(now, &topology, packet.node, &via, packet.bytes);
        match sent {
            Ok(onward) => {
                if let Some(carrier) = self.carry_by(onward.to, onward.message.into()) {
                    carrier.passage.served(now);
                    add(&self.counters.sent, 1);
                }
            }
            Err(SendError::Own | SendError::Unreachable | _) => {
                add(&self.counters.dropped_unsent, 1);
            }
        }
    }

    /// The neighbours of `target`, as it told of them or as its record says; those that this node has a link to first.
    fn via(&self, topology: &Topology, target: &NodeId) -> Vec<NodeMark> {
        let known = self.neighbours(target).into_iter();
        let (mut near, far): (Vec<NodeId>, Vec<NodeId>) =
            known.partition(|node| topology.is_linked(node));
        near.extend(far);
        near.iter().take(MAX_VIA).map(NodeId::mark).collect()
    }

    /// Sends a message of forwarding by the direct link to a peer: in a datagram if it fits, else on the lookup stream.
    /// Whether it was sent; what finds no room is dropped and counted.
    fn carry(&self, to: NodeId, body: Body) -> bool {
        self.carry_by(to, body).is_some()
    }

    /// As [`carry`](Self::carry); the link by which it was sent.
    fn carry_by(&self, to: NodeId, body: Body) -> Option<Arc<Attached>> {
        let linked = self.plane.links.member(&to);
        let Some(attached) = linked.filter(|linked| !linked.link.is_forwarded()) else {
            add(&self.counters.dropped_no_link, 1);
            return None;
        };
        let bytes = match Message::from(body).to_bytes() {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                debug_assert!(false, "a message of forwarding is over its limits: {error}");
                return None;
            }
        };
        self.used(&attached);
        if attached.link.send_datagram(bytes.clone()).is_ok() {
            return Some(attached);
        }
        // Most of the stream is left to routing.
        let waiting = attached.lookup.waiting().saturating_add(bytes.len());
        if waiting <= LOOKUP_SHARE && attached.lookup.push(&self.plane, &attached.link, bytes) {
            return Some(attached);
        }
        add(&self.counters.dropped_full, 1);
        None
    }
}

/// Has a peer say that it is there. What it acknowledges tells QUIC what was lost before.
fn ping(attached: &Attached) {
    let outbox = attached.link.control();
    if outbox.queued_bytes() <= outbox.max_bytes() / CONTROL_SHARE
        && let Ok(frame) = OutFrame::message(&Message::from(Ping { nonce: 0 }))
        && outbox.try_push(frame).is_err()
    {
        tracing::trace!(link = %attached.link.id(), "closed before it was asked");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
