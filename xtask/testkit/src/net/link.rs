//! The links of a simulated network.

use std::collections::BTreeSet;

use macula_wire::Instant;

use super::host::NodeIndex;
use super::parcel::ParcelId;

/// Two nodes, the lower first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Pair(pub(super) NodeIndex, pub(super) NodeIndex);

impl Pair {
    pub(super) fn new(a: NodeIndex, b: NodeIndex) -> Self {
        if a <= b { Self(a, b) } else { Self(b, a) }
    }

    pub(super) fn other(self, node: NodeIndex) -> NodeIndex {
        if self.0 == node { self.1 } else { self.0 }
    }
}

/// A link: its place, and the number that tells it from those that had the place before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct LinkRef {
    at: u32,
    number: u32,
}

/// One direction of a link. Small, because a large network looks at another one for each message.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// When the last message of the stream arrives; the next one cannot arrive earlier.
    pub(super) busy_until: Instant,
    /// What waits for a block to end; none if nothing ever had to.
    held: Option<Box<Held>>,
    /// How many datagrams were sent.
    pub(super) sent: u32,
    /// The highest number of a datagram that arrived.
    pub(super) arrived: u32,
    /// Whether it is in the middle of a burst of losses.
    pub(super) bursting: bool,
}

/// What waits for a block to end, in the order of sending.
#[derive(Debug, Default)]
struct Held(Vec<ParcelId>);

impl Way {
    /// Whether something waits for a block to end.
    pub(super) fn holds(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.0.is_empty())
    }

    pub(super) fn hold(&mut self, parcel: ParcelId) {
        self.held.get_or_insert_default().0.push(parcel);
    }

    pub(super) fn take_held(&mut self) -> Vec<ParcelId> {
        self.held.take().map_or_else(Vec::new, |held| held.0)
    }
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) pair: Pair,
    number: u32,
    pub(super) up: bool,
    /// Since when nothing gets through in at least one direction.
    pub(super) silent_since: Option<Instant>,
    /// From the lower node, and from the higher one.
    ways: [Way; 2],
}

impl Link {
    pub(super) fn way(&mut self, from: NodeIndex) -> &mut Way {
        let [low, high] = &mut self.ways;
        if self.pair.0 == from { low } else { high }
    }

    /// Everything that waits for a block to end.
    pub(super) fn take_held(&mut self) -> impl Iterator<Item = ParcelId> {
        self.ways.iter_mut().flat_map(Way::take_held)
    }
}

/// One end of a link, at the node that it is listed under.
#[derive(Clone, Copy, Debug)]
struct End {
    peer: NodeIndex,
    link: u32,
}

/// All links and all blocks.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// `None` where a link has ended.
    links: Vec<Option<Link>>,
    free: Vec<u32>,
    /// The links of each node, ascending by the peer.
    ends: Vec<Vec<End>>,
    next: u32,
    blocked: BTreeSet<(NodeIndex, NodeIndex)>,
    /// On which side of the partitions each node stands; empty without partitions.
    sides: Vec<u32>,
}

impl Links {
    pub(super) fn add_node(&mut self) {
        self.ends.push(Vec::new());
        if !self.sides.is_empty() {
            self.sides.push(0);
        }
    }

    pub(super) fn reserve(&mut self, nodes: usize) {
        self.ends.reserve(nodes);
    }

    /// The link between two nodes, being made or up.
    pub(super) fn find(&self, a: NodeIndex, b: NodeIndex) -> Option<LinkRef> {
        let ends = self.ends.get(a.get())?;
        let at = ends.binary_search_by_key(&b, |end| end.peer).ok()?;
        let at = ends.get(at)?.link;
        let link = self.links.get(index(at))?.as_ref()?;
        let number = link.number;
        Some(LinkRef { at, number })
    }

    pub(super) fn get(&self, link: LinkRef) -> Option<&Link> {
        let found = self.links.get(index(link.at))?.as_ref()?;
        (found.number == link.number).then_some(found)
    }

    pub(super) fn get_mut(&mut self, link: LinkRef) -> Option<&mut Link> {
        let found = self.links.get_mut(index(link.at))?.as_mut()?;
        (found.number == link.number).then_some(found)
    }

    /// Begins a link between two nodes that have none.
    pub(super) fn begin(&mut self, pair: Pair) -> LinkRef {
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        let link = Link {
            pair,
            number,
            up: false,
            silent_since: None,
            ways: [Way::default(), Way::default()],
        };
        let at = self.free.pop().unwrap_or_else(|| {
            self.links.push(None);
            let last = self.links.len().saturating_sub(1);
            u32::try_from(last).unwrap_or(u32::MAX)
        });
        if let Some(place) = self.links.get_mut(index(at)) {
            *place = Some(link);
        }
        for (node, peer) in [(pair.0, pair.1), (pair.1, pair.0)] {
            if let Some(ends) = self.ends.get_mut(node.get()) {
                let place = ends.partition_point(|end| end.peer < peer);
                ends.insert(place, End { peer, link: at });
            }
        }
        LinkRef { at, number }
    }

    pub(super) fn remove(&mut self, link: LinkRef) -> Option<Link> {
        let place = self.links.get_mut(index(link.at))?;
        let found = place.take_if(|found| found.number == link.number)?;
        self.free.push(link.at);
        for node in [found.pair.0, found.pair.1] {
            let peer = found.pair.other(node);
            if let Some(ends) = self.ends.get_mut(node.get())
                && let Ok(place) = ends.binary_search_by_key(&peer, |end| end.peer)
            {
                ends.remove(place);
            }
        }
        Some(found)
    }

    /// The links of a node.
    pub(super) fn of(&self, node: NodeIndex) -> Vec<LinkRef> {
        let ends = self.ends.get(node.get()).map_or(&[][..], Vec::as_slice);
        ends.iter()
            .filter_map(|end| self.reference(end.link))
            .collect()
    }

    /// The peers of a node with whom it has a link, being made or up.
    pub(super) fn peers(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        let ends = self.ends.get(node.get());
        ends.into_iter().flatten().map(|end| end.peer)
    }

    pub(super) fn all(&self) -> Vec<LinkRef> {
        let last = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        (0..last).filter_map(|at| self.reference(at)).collect()
    }

    fn reference(&self, at: u32) -> Option<LinkRef> {
        let number = self.links.get(index(at))?.as_ref()?.number;
        Some(LinkRef { at, number })
    }

    pub(super) fn set_blocked(&mut self, from: NodeIndex, to: NodeIndex) {
        self.blocked.insert((from, to));
    }

    pub(super) fn clear_blocked(&mut self, from: NodeIndex, to: NodeIndex) {
        self.blocked.remove(&(from, to));
    }

    /// Puts every node on the side that `side` says; nothing gets from one side to another.
    pub(super) fn set_sides(&mut self, side: impl FnMut(NodeIndex) -> u32) {
        let nodes = (0..self.ends.len()).map(NodeIndex::new);
        self.sides = nodes.map(side).collect();
    }

    /// The side of a node; the other side of every partition that only the others were named for is 0.
    pub(super) fn side(&self, node: NodeIndex) -> u32 {
        self.sides.get(node.get()).copied().unwrap_or(0)
    }

    pub(super) fn clear_blocks(&mut self) {
        self.blocked.clear();
        self.sides.clear();
    }

    pub(super) fn is_blocked(&self, from: NodeIndex, to: NodeIndex) -> bool {
        (!self.sides.is_empty() && self.side(from) != self.side(to))
            || (!self.blocked.is_empty() && self.blocked.contains(&(from, to)))
    }

    /// Whether at least one direction is blocked.
    pub(super) fn is_cut(&self, pair: Pair) -> bool {
        self.is_blocked(pair.0, pair.1) || self.is_blocked(pair.1, pair.0)
    }
}

fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
