//! FORWARD_ERROR and TRACED: what they are made of (RTE-19, RTE-21), and which of them can be true (RTE-25).

use macula_wire::message::{ForwardError, Trace, Traced, TracedHop, Way};
use macula_wire::{ErrorCode, NodeId, NodeMark};

use super::fate::{BackFate, DropCause, Onward};
use super::memory::Memory;
use super::topology::Topology;

/// Says that something that came from `from` got no further than here.
pub(super) fn error(way: Way, from: NodeId, code: ErrorCode) -> Onward<ForwardError> {
    let mut back = way.trail;
    back.pop();
    let message = ForwardError {
        target: way.target,
        origin: way.origin,
        code,
        back,
    };
    Onward { to: from, message }
}

/// Says how a TRACE that came from `from` came here.
pub(super) fn traced(
    trace: Trace,
    from: NodeId,
    here: TracedHop,
    code: ErrorCode,
) -> Onward<Traced> {
    let (mut path, mut back) = (trace.path, trace.way.trail);
    path.push(here);
    back.pop();
    let message = Traced {
        request: trace.request,
        target: trace.way.target,
        code,
        path,
        back,
    };
    Onward { to: from, message }
}

/// Whether an error can concern something that this node passed on.
pub(super) fn check_error(topology: &Topology, error: &ForwardError) -> Result<(), DropCause> {
    let own = topology.own();
    let first = error.back.first().copied();
    let begins = if error.origin == own {
        first.is_none()
    } else {
        first == Some(error.origin.mark())
    };
    let fits = begins && error.code != ErrorCode::OK;
    (fits && is_back(own, error.target, &error.back))
        .then_some(())
        .ok_or(DropCause::Malformed)
}

/// Whether a traced way can be one that led from this node to `from`; its origin.
pub(super) fn check_traced(
    topology: &Topology,
    from: NodeId,
    traced: &Traced,
) -> Result<NodeId, DropCause> {
    let own = topology.own();
    let here = traced.back.len();
    let at = |index: usize| traced.path.get(index).map(|step| step.node);
    let marks = traced.path.iter().map(|step| step.node.mark());
    let origin = at(0).ok_or(DropCause::Malformed)?;
    let stands = at(here) == Some(own) && at(here.saturating_add(1)) == Some(from);
    let last = traced.path.last().map(|step| step.node);
    let ends = (last == Some(traced.target)) == (traced.code == ErrorCode::OK);
    let fits = stands && ends && marks.take(here).eq(traced.back.iter().copied());
    (fits && is_back(own, traced.target, &traced.back))
        .then_some(origin)
        .ok_or(DropCause::Malformed)
}

/// Whether a way back can be that of something for `target` that this node passed on.
fn is_back(own: NodeId, target: NodeId, back: &[NodeMark]) -> bool {
    own != target && !back.contains(&own.mark()) && !back.contains(&target.mark())
}

/// The peer with this mark.
pub(super) fn peer(topology: &Topology, mark: NodeMark) -> Result<NodeId, DropCause> {
    let at = topology.find_mark(mark);
    let peer = at.and_then(|at| topology.peer(at));
    peer.map(|peer| peer.node).ok_or(DropCause::NoWayBack)
}

/// What is done with an answer that goes to `to`, or is for this node.
pub(super) fn fate<M>(
    memory: &mut Memory,
    to: Result<Option<NodeId>, DropCause>,
    message: M,
) -> BackFate<M> {
    match to {
        Ok(Some(to)) => BackFate::Pass(Onward { to, message }),
        Ok(None) => BackFate::Arrived(message),
        Err(cause) => {
            if cause != DropCause::Limited {
                memory.count(cause);
            }
            BackFate::Dropped(cause)
        }
    }
}
