//! 0x68 to 0x6B: reaching a node by others.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::field::record;
use crate::limit::{MAX_FORWARDED_LEN, MAX_TRAIL, MAX_VIA};
use crate::{EncodeError, ErrorCode, NodeId, NodeMark, RequestId, check};

record! {
    /// The way that something forwarded is to take and has taken.
    pub struct Way {
        /// Who it is for.
        pub target: NodeId,
        /// Who it is from, as the origin says.
        pub origin: NodeId,
        /// How many times it may yet be passed on.
        pub hops: u8,
        /// Neighbours of the target that the origin knows of; at most 8.
        pub via: Vec<NodeMark> [MAX_VIA],
        /// Those it has passed, the origin first; none of them is passed again. At most 16.
        pub trail: Vec<NodeMark> [MAX_TRAIL],
    }
}

record! {
    /// FORWARD: a QUIC packet of a link that runs over other links.
    pub struct Forward {
        /// Where to.
        pub way: Way,
        /// The packet; 1 to 1,452 bytes.
        pub packet: Bytes [MAX_FORWARDED_LEN],
    }
    check check_forward
}

fn check_forward(forward: &Forward) -> Result<(), EncodeError> {
    check::some("packet", &forward.packet)
}

record! {
    /// FORWARD_ERROR: something forwarded got no further. Takes the trail back to the origin.
    pub struct ForwardError {
        /// Who was to be reached.
        pub target: NodeId,
        /// Who wanted to.
        pub origin: NodeId,
        /// Why not.
        pub code: ErrorCode,
        /// Those that it still has to pass, the origin first; at most 16.
        pub back: Vec<NodeMark> [MAX_TRAIL],
    }
}

record! {
    /// A step of a traced way.
    pub struct TracedHop {
        /// Who passed it on, or is the target.
        pub node: NodeId,
        /// The round trip on the link to the node before, in microseconds, as this node measures it; 0 for the origin.
        pub rtt_us: u32,
    }
}

record! {
    /// TRACE: takes the way that FORWARD would take, and remembers it.
    pub struct Trace {
        /// Names the answer; chosen by the origin.
        pub request: RequestId,
        /// Where to.
        pub way: Way,
        /// The steps so far, the origin first; as many as in the trail.
        pub path: Vec<TracedHop> [MAX_TRAIL],
    }
    check check_trace
}

fn check_trace(trace: &Trace) -> Result<(), EncodeError> {
    let steps = u64::try_from(trace.path.len()).unwrap_or(u64::MAX);
    check::require(trace.path.len() == trace.way.trail.len(), "path", steps)
}

record! {
    /// TRACED: how far a TRACE came. Takes the trail back to the origin.
    pub struct Traced {
        /// That of the TRACE.
        pub request: RequestId,
        /// Who was to be reached.
        pub target: NodeId,
        /// `OK` if it was, or why not.
        pub code: ErrorCode,
        /// The steps, the origin first and the node that answers last; 1 to 17.
        pub path: Vec<TracedHop> [MAX_TRACED],
        /// Those that it still has to pass, the origin first; at most 16.
        pub back: Vec<NodeMark> [MAX_TRAIL],
    }
    check check_traced
}

/// The trail and the node that answers.
const MAX_TRACED: usize = MAX_TRAIL + 1;

fn check_traced(traced: &Traced) -> Result<(), EncodeError> {
    check::some("path", &traced.path)
}
