//! How many neighbours each node wants.

/// The degree of an overlay of `nodes` nodes.
pub(crate) const fn degree_for(nodes: usize) -> usize {
    match nodes {
        0..=30 => 4,
        31..=300 => 6,
        _ => 8,
    }
}
