//! The data plane of forwarding: to which peer something is passed on its way to a target, and back.

mod allowance;
mod attempt;
mod back;
mod choice;
mod fate;
mod memory;
mod recent;
mod route;
mod topology;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use macula_wire::limit::{MAX_TRAIL, MAX_VIA};
use macula_wire::message::{Forward, ForwardError, Trace, Traced, TracedHop, Way};
use macula_wire::{ErrorCode, Instant, NodeId, NodeMark, RequestId};

pub use fate::{BackFate, DropCause, Fate, Onward, SendError, WayfinderStats};
use memory::{Answer, Memory};
pub use topology::Topology;

/// Decides which way FORWARD, TRACE and their answers take, without asking a machine and without waiting.
///
/// Each packet is decided by the [`Topology`] that the control plane put out last, and by what this value remembers of
/// packets before: by which peer an origin was heard in the last 10 s, and which peers answered in the last 10 s that
/// they got no further to a target. Both may be lost without harm, and both are bounded; the longest unused go first.
///
/// In this order (RTE-17) something is passed to a peer that is
///
/// 1. the target;
/// 2. in `via` and says that it is a neighbour of the target; in `via`; or only says so;
/// 3. a neighbour of somebody in `via`, as it says;
/// 4. the one by which the target was heard last;
/// 5. nearest to the target by distance, itself or by a neighbour that it told of.
///
/// It is never passed to one in its trail. A peer that answered that it got no further comes after those that did not;
/// one that is suspected comes last. A target that is linked but suspected gets it when no sound peer of 2 is left.
///
/// What is known directly comes before what was learned: it takes three passes at most; it is over as soon as the control
/// plane knows, while a learned route leads astray for 10 s; and an origin is what anybody claims, so that a lie can
/// draw away no packet for which something better is known.
///
/// The state is behind one lock, held for a few lookups and never while a peer is chosen. It is not cut into shards:
/// links run over forwarding only where they have no way of their own, so packets come by thousands, not by millions,
/// and limits for all peers together would not hold in parts. Share the value among all tasks.
#[derive(Debug)]
pub struct Wayfinder {
    memory: Mutex<Memory>,
}

impl Wayfinder {
    /// Has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            memory: Mutex::new(Memory::new()),
        }
    }

    /// Sends a packet of this node on its way. Of `via` only the first 8 are used.
    ///
    /// # Errors
    ///
    /// When this node is the target, or has no peer.
    pub fn send(
        &self,
        now: Instant,
        topology: &Topology,
        target: NodeId,
        via: &[NodeMark],
        packet: Bytes,
    ) -> Result<Onward<Forward>, SendError> {
        let onward = self.depart(now, topology, target, via)?;
        Ok(onward.map(|way| Forward { way, packet }))
    }

    /// Sends a TRACE of this node on its way. Of `via` only the first 8 are used.
    ///
    /// # Errors
    ///
    /// When this node is the target, or has no peer.
    pub fn send_trace(
        &self,
        now: Instant,
        topology: &Topology,
        target: NodeId,
        via: &[NodeMark],
        request: RequestId,
    ) -> Result<Onward<Trace>, SendError> {
        let onward = self.depart(now, topology, target, via)?;
        let path = vec![step(topology, None)];
        Ok(onward.map(|way| Trace { request, way, path }))
    }

    /// Decides what becomes of a FORWARD that came from the peer `from`.
    ///
    /// What arrives is from whom it says only if a handshake proves it.
    #[must_use]
    pub fn forward(
        &self,
        now: Instant,
        topology: &Topology,
        from: NodeId,
        forward: Forward,
    ) -> Fate<Forward, ForwardError> {
        let next = self.follow(now, topology, from, &forward.way);
        let Forward { way, packet } = forward;
        match next {
            Next::Here => Fate::Arrived {
                message: Forward { way, packet },
                answer: None,
            },
            Next::Peer(to) => {
                let way = passed(way, topology);
                let message = Forward { way, packet };
                Fate::Pass(Onward { to, message })
            }
            Next::Nowhere(cause) => Fate::Dropped {
                cause,
                answer: self
                    .may_answer(now, Answer::Error, &way, from, cause.code())
                    .map(|code| back::error(way, from, code)),
            },
        }
    }

    /// Decides what becomes of a TRACE that came from the peer `from` over a link with the round-trip time `rtt`, if that
    /// is known; it is written down in whole microseconds, 0 if it is not known.
    #[must_use]
    pub fn trace(
        &self,
        now: Instant,
        topology: &Topology,
        from: NodeId,
        rtt: Option<Duration>,
        mut trace: Trace,
    ) -> Fate<Trace, Traced> {
        let next = if is_path_of(&trace, from) {
            self.follow(now, topology, from, &trace.way)
        } else {
            self.lock().count(DropCause::Malformed);
            Next::Nowhere(DropCause::Malformed)
        };
        let here = step(topology, rtt);
        match next {
            Next::Here => Fate::Arrived {
                answer: self
                    .may_answer(now, Answer::Trace, &trace.way, from, Some(ErrorCode::OK))
                    .map(|code| back::traced(trace.clone(), from, here, code)),
                message: trace,
            },
            Next::Peer(to) => {
                trace.way = passed(trace.way, topology);
                trace.path.push(here);
                Fate::Pass(Onward { to, message: trace })
            }
            Next::Nowhere(cause) => Fate::Dropped {
                cause,
                answer: self
                    .may_answer(now, Answer::Trace, &trace.way, from, cause.code())
                    .map(|code| back::traced(trace, from, here, code)),
            },
        }
    }

    /// Decides what becomes of a FORWARD_ERROR that came from the peer `from`.
    ///
    /// It counts only as an answer to a packet for that target that was passed to this peer in the last 5 s, each having
    /// one answer. Then `from` is avoided for this target for 10 s, or until the target is heard by it. Sent on are 4 a
    /// second to an origin, 32 because of one peer, 256 in all.
    #[must_use]
    pub fn forward_error(
        &self,
        now: Instant,
        topology: &Topology,
        from: NodeId,
        mut error: ForwardError,
    ) -> BackFate<ForwardError> {
        let mut memory = self.lock();
        let to = back::check_error(topology, &error).and_then(|()| {
            memory.answer(now, error.target, from, error.code)?;
            let Some(last) = error.back.pop() else {
                return Ok(None);
            };
            let to = back::peer(topology, last)?;
            let may = memory.may_answer(now, Answer::Error, error.origin, from);
            may.then_some(Some(to)).ok_or(DropCause::Limited)
        });
        back::fate(&mut memory, to, error)
    }

    /// Decides what becomes of a TRACED that came from the peer `from`.
    ///
    /// It counts only where [`forward_error`](Self::forward_error) would, within limits of its own, and if its path names
    /// this node and `from` where they stand in the trail. What its path names beyond `from` is what that peer says.
    #[must_use]
    pub fn traced(
        &self,
        now: Instant,
        topology: &Topology,
        from: NodeId,
        mut traced: Traced,
    ) -> BackFate<Traced> {
        let mut memory = self.lock();
        let to = back::check_traced(topology, from, &traced).and_then(|origin| {
            memory.answer(now, traced.target, from, traced.code)?;
            let Some(last) = traced.back.pop() else {
                return Ok(None);
            };
            let to = back::peer(topology, last)?;
            let may = memory.may_answer(now, Answer::Trace, origin, from);
            may.then_some(Some(to)).ok_or(DropCause::Limited)
        });
        back::fate(&mut memory, to, traced)
    }

    /// How much is remembered, and what was dropped.
    #[must_use]
    pub fn stats(&self) -> WayfinderStats {
        self.lock().stats()
    }

    fn depart(
        &self,
        now: Instant,
        topology: &Topology,
        target: NodeId,
        via: &[NodeMark],
    ) -> Result<Onward<Way>, SendError> {
        if target == topology.own() {
            return Err(SendError::Own);
        }
        let way = Way {
            target,
            origin: topology.own(),
            hops: HOPS,
            via: via.iter().copied().take(MAX_VIA).collect(),
            trail: Vec::new(),
        };
        let to = self.pass(now, topology, &way);
        let to = to.ok_or(SendError::Unreachable)?;
        let message = passed(way, topology);
        Ok(Onward { to, message })
    }

    /// Where something that came from `from` goes next. Counts it if it goes nowhere.
    fn follow(&self, now: Instant, topology: &Topology, from: NodeId, way: &Way) -> Next {
        let next = match check_way(topology, from, way) {
            Err(cause) => Next::Nowhere(cause),
            Ok(()) => {
                if !topology.is_sound(&way.origin) {
                    self.lock().hear(now, way.origin, from);
                }
                if way.target == topology.own() {
                    Next::Here
                } else if way.hops == 0 || way.trail.len() >= MAX_TRAIL {
                    Next::Nowhere(DropCause::HopLimit)
                } else {
                    let to = self.pass(now, topology, way);
                    to.map_or(Next::Nowhere(DropCause::Unreachable), Next::Peer)
                }
            }
        };
        if let Next::Nowhere(cause) = next {
            self.lock().count(cause);
        }
        next
    }

    /// Chooses a peer for something that may be passed on, and remembers that.
    fn pass(&self, now: Instant, topology: &Topology, way: &Way) -> Option<NodeId> {
        let learned = self.lock().learned(now, way.target);
        let to = choice::choose(topology, way, &learned)?;
        let free = MAX_TRAIL.saturating_sub(way.trail.len());
        let room = free.min(usize::from(way.hops)).saturating_sub(1);
        self.lock().attempts.pass(now, way.target, to, room);
        Some(to)
    }

    /// The code to answer with, if there is to be an answer.
    fn may_answer(
        &self,
        now: Instant,
        answer: Answer,
        way: &Way,
        from: NodeId,
        code: Option<ErrorCode>,
    ) -> Option<ErrorCode> {
        code.filter(|_| self.lock().may_answer(now, answer, way.origin, from))
    }

    /// A panic elsewhere while the lock was held leaves what may be lost without harm.
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Wayfinder {
    fn default() -> Self {
        Self::new()
    }
}

/// How many times something may be passed on by its origin and those after it (RTE-18).
const HOPS: u8 = 16;

/// Where something goes.
enum Next {
    Here,
    Peer(NodeId),
    Nowhere(DropCause),
}

/// Whether something can have come from `from` by the way that it shows (RTE-24), and not by this node before (RTE-19).
fn check_way(topology: &Topology, from: NodeId, way: &Way) -> Result<(), DropCause> {
    let own = topology.own();
    let first = way.trail.first() == Some(&way.origin.mark());
    let last = way.trail.last() == Some(&from.mark());
    if !first || !last || way.trail.contains(&way.target.mark()) {
        return Err(DropCause::Malformed);
    }
    if way.origin == own {
        return Err(DropCause::ForgedOrigin);
    }
    if way.trail.contains(&own.mark()) {
        return Err(DropCause::Loop);
    }
    Ok(())
}

/// Whether the path of a trace names those of its trail, and `from` as the last (RTE-24).
fn is_path_of(trace: &Trace, from: NodeId) -> bool {
    let marks = trace.path.iter().map(|step| step.node.mark());
    let ends = [
        trace.path.first().map(|step| step.node) == Some(trace.way.origin),
        trace.path.last().map(|step| step.node) == Some(from),
    ];
    ends == [true; 2] && marks.eq(trace.way.trail.iter().copied())
}

/// The way of something that this node passes on (RTE-18).
fn passed(mut way: Way, topology: &Topology) -> Way {
    way.hops = way.hops.saturating_sub(1);
    way.trail.push(topology.own().mark());
    way
}

/// The step of this node.
fn step(topology: &Topology, rtt: Option<Duration>) -> TracedHop {
    let micros = rtt.map_or(0, |rtt| rtt.as_micros());
    TracedHop {
        node: topology.own(),
        rtt_us: u32::try_from(micros).unwrap_or(u32::MAX),
    }
}
