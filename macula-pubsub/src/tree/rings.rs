//! Who is whose neighbour among those interested in a topic: rings that everybody who knows them draws alike.

use macula_wire::NodeId;

/// How many rings are drawn at most.
const MAX_RINGS: usize = 4;

/// The nodes interested in a topic on two to four rings, on each in another order.
///
/// A node's neighbours are those before and behind it on each ring. The orders follow from the ids alone, so nodes
/// that know of the same interest agree on all neighbours without a word, and topics with the same subscribers share
/// them. The graph is that of random Hamiltonian cycles: nearly regular of degree 4, 6 or 8, of logarithmic depth, and
/// whole after many of its nodes died.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rings {
    /// Ascending.
    members: Vec<NodeId>,
    /// For each ring the places of all members in `members`, in the order of the ring.
    orders: Vec<Vec<u32>>,
}

/// How many rings `members` nodes are put on: half of the degree.
const fn rings_for(members: usize) -> usize {
    match members {
        0..=30 => 2,
        31..=300 => 3,
        _ => MAX_RINGS,
    }
}

/// What orders a ring: eight bytes of the id, other ones on each ring; then the id, so that the order is total.
fn place(ring: usize, node: &NodeId) -> (u64, NodeId) {
    let bytes = node.as_bytes().chunks_exact(8).nth(ring);
    let word = bytes.and_then(|bytes| bytes.try_into().ok());
    (word.map_or(0, u64::from_be_bytes), *node)
}

impl Rings {
    /// The rings of these nodes; each counts once. Costs O(n log n).
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = NodeId>) -> Self {
        let mut members: Vec<NodeId> = members.into_iter().collect();
        members.sort_unstable();
        members.dedup();
        let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let orders = (0..rings_for(members.len()))
            .map(|ring| {
                let mut order: Vec<u32> = (0..count).collect();
                order.sort_unstable_by_key(|at| {
                    let node = member(&members, *at).copied().unwrap_or_default();
                    place(ring, &node)
                });
                order
            })
            .collect();
        Self { members, orders }
    }

    /// How many nodes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether `node` is among them.
    #[must_use]
    pub fn contains(&self, node: &NodeId) -> bool {
        self.members.binary_search(node).is_ok()
    }

    /// The most neighbours that a node has.
    #[must_use]
    pub const fn degree(&self) -> usize {
        self.orders.len().saturating_mul(2)
    }

    /// The neighbours of `node`, ascending. One that is not among the nodes has those between whom it would stand.
    ///
    /// Whoever is `absent` is passed over, as if it were not there. Where there are no more nodes than neighbours, all
    /// are neighbours.
    #[must_use]
    pub fn neighbours(&self, node: &NodeId, absent: impl Fn(&NodeId) -> bool) -> Vec<NodeId> {
        let fits = |other: &NodeId| other != node && !absent(other);
        if self.members.len() <= self.degree().saturating_add(1) {
            return self
                .members
                .iter()
                .filter(|other| fits(other))
                .copied()
                .collect();
        }
        let mut found: Vec<NodeId> = self
            .orders
            .iter()
            .enumerate()
            .flat_map(|(ring, order)| self.beside(ring, order, node, fits))
            .flatten()
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Who fits first behind and before `node` on a ring.
    fn beside(
        &self,
        ring: usize,
        order: &[u32],
        node: &NodeId,
        fits: impl Fn(&NodeId) -> bool,
    ) -> [Option<NodeId>; 2] {
        let own = place(ring, node);
        let at = order.partition_point(|other| {
            member(&self.members, *other).is_some_and(|other| place(ring, other) < own)
        });
        let (before, behind) = order.split_at(at);
        let ahead = self.first_of(behind.iter().chain(before), &fits);
        let back = self.first_of(before.iter().rev().chain(behind.iter().rev()), &fits);
        [ahead, back]
    }

    fn first_of<'a>(
        &self,
        places: impl Iterator<Item = &'a u32>,
        fits: impl Fn(&NodeId) -> bool,
    ) -> Option<NodeId> {
        places
            .filter_map(|at| member(&self.members, *at))
            .find(|other| fits(other))
            .copied()
    }
}

fn member(members: &[NodeId], at: u32) -> Option<&NodeId> {
    members.get(usize::try_from(at).unwrap_or(usize::MAX))
}
