//! The overlay as one node knows it: who is linked to whom.

use serde::Serialize;

/// Members and the ties between them, as one node knows them.
///
/// A node knows its own links, which of them are edges of the overlay, and what its neighbours told it of theirs; never
/// the whole of a large realm.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Graph {
    /// The node that tells it, 64 hexadecimal digits.
    pub own: String,
    /// The members that are in it, ascending by id; `own` is one of them.
    pub nodes: Vec<GraphNode>,
    /// The ties, each once, ascending.
    pub edges: Vec<GraphEdge>,
}

/// A member in a graph.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub struct GraphNode {
    /// The member's id, 64 hexadecimal digits.
    pub node: String,
    /// `alive`, `suspect`, `dead` or `left`; `unknown` for one that is only known from others.
    pub state: &'static str,
    /// The zone of its certificate.
    pub zone: Option<String>,
}

/// A tie between two members. It has no direction: `a` is the smaller id.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub struct GraphEdge {
    /// One end.
    pub a: String,
    /// The other end.
    pub b: String,
    /// `neighbour` for an edge of the overlay at this node, `link` for any other link of it, `told` for an edge that a
    /// neighbour told of.
    pub kind: &'static str,
    /// Round trip time in microseconds, as far as this node knows it.
    pub rtt_us: Option<u64>,
}

impl GraphEdge {
    pub(crate) fn new(one: String, other: String, kind: &'static str, rtt_us: Option<u64>) -> Self {
        let (a, b) = if one < other {
            (one, other)
        } else {
            (other, one)
        };
        Self { a, b, kind, rtt_us }
    }
}
