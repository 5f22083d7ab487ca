//! Places in a table by node id.

use macula_wire::NodeId;

/// Stands in a slot that holds no place.
const VACANT: u32 = u32::MAX;
/// How many slots there are at least, once there is anything.
const MIN_SLOTS: usize = 16;

/// Where each node stands in a table: found in constant time, and the nodes of a bucket together.
///
/// A hash table that holds the places alone, in six to twelve bytes a node; who stands at a place is asked of the table
/// itself, by the `at` of each operation. The first bytes of an id are its hash, and its slot is the first free one from
/// there on, so that the slots are nearly in the order of the ids. Ids are public keys, whose bytes are as good as random,
/// and nobody gets many of them certified, so that none can be chosen to collide.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// A power of two of them, or none.
    slots: Vec<u32>,
    taken: usize,
}

impl Index {
    /// The place of a node; `is` tells whether it stands at a place. Every message asks this, some of them for all peers.
    pub(crate) fn get(&self, node: &NodeId, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mut slot = self.home(node);
        for _ in 0..self.slots.len() {
            let place = *self.slots.get(slot).filter(|place| **place != VACANT)?;
            if is(place) {
                return Some(place);
            }
            slot = self.next(slot);
        }
        None
    }

    /// Adds a node that is not there, at a place that is below `u32::MAX`. The table knows the places of all others.
    pub(crate) fn insert(&mut self, node: &NodeId, place: u32, at: impl Fn(u32) -> Option<NodeId>) {
        // Two thirds full, a search looks at two slots if it finds, and at five if it does not.
        if self.taken.saturating_add(1).saturating_mul(3) > self.slots.len().saturating_mul(2) {
            self.grow(at);
        }
        self.put(node, place);
        self.taken = self.taken.saturating_add(1);
    }

    /// Removes a node. The table still knows the places of all, its own included.
    pub(crate) fn remove(&mut self, node: &NodeId, at: impl Fn(u32) -> Option<NodeId>) {
        let Some(place) = self.get(node, |place| at(place).as_ref() == Some(node)) else {
            return;
        };
        let Some(mut hole) = self.slot_of(node, place) else {
            return;
        };
        self.taken = self.taken.saturating_sub(1);
        // Whoever stands behind and could stand in the hole moves there, so that no search ends early.
        let mut slot = hole;
        for _ in 0..self.slots.len() {
            slot = self.next(slot);
            let place = self.slots.get(slot).copied().unwrap_or(VACANT);
            if place == VACANT {
                break;
            }
            let home = at(place).map_or(slot, |node| self.home(&node));
            if self.distance(home, slot) >= self.distance(hole, slot) {
                self.set(hole, place);
                hole = slot;
            }
        }
        self.set(hole, VACANT);
    }

    /// Tells that a node stands at another place now.
    pub(crate) fn moved(&mut self, node: &NodeId, from: u32, to: u32) {
        if let Some(slot) = self.slot_of(node, from) {
            self.set(slot, to);
        }
    }

    /// The places of the nodes whose ids begin with `byte`, and of some that stand between them, in no order.
    pub(crate) fn near(&self, byte: u8) -> impl Iterator<Item = u32> {
        let mut id = [0; macula_wire::NODE_ID_LEN];
        id[0] = byte;
        let width = self.slots.len().div_ceil(256);
        let places = (0..).zip(self.around(self.home(&NodeId::from_bytes(id))));
        places
            .map(move |(at, (_, place))| (at >= width, place))
            .take_while(|(beyond, place)| !beyond || *place != VACANT)
            .filter_map(|(_, place)| (place != VACANT).then_some(place))
    }

    fn grow(&mut self, at: impl Fn(u32) -> Option<NodeId>) {
        let length = self.slots.len().saturating_mul(2).max(MIN_SLOTS);
        let places = std::mem::replace(&mut self.slots, vec![VACANT; length]);
        for place in places.into_iter().filter(|place| *place != VACANT) {
            if let Some(node) = at(place) {
                self.put(&node, place);
            }
        }
    }

    /// Puts a place in the first free slot.
    fn put(&mut self, node: &NodeId, place: u32) {
        if let Some(slot) = self.slot_of(node, VACANT) {
            self.set(slot, place);
        }
    }

    fn set(&mut self, slot: usize, place: u32) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = place;
        }
    }

    /// The first slot in which a place stands that is a node's, or is vacant.
    fn slot_of(&self, node: &NodeId, place: u32) -> Option<usize> {
        let slots = self.around(self.home(node));
        let found = slots.into_iter().find(|(_, other)| *other == place);
        found.map(|(slot, _)| slot)
    }

    /// All slots with what they hold, from one on and around.
    fn around(&self, slot: usize) -> impl Iterator<Item = (usize, u32)> {
        let (before, after) = self.slots.split_at_checked(slot).unwrap_or_default();
        let after = (slot..).zip(after.iter().copied());
        after.chain((0..).zip(before.iter().copied()))
    }

    /// The slot from which on a node is looked for.
    fn home(&self, node: &NodeId) -> usize {
        let [a, b, c, d, e, f, g, h, ..] = *node.as_bytes();
        let hash = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let bits = self.slots.len().checked_ilog2().unwrap_or(0);
        // Without slots all bits are shifted out.
        let home = hash
            .checked_shr(u64::BITS.saturating_sub(bits))
            .unwrap_or(0);
        usize::try_from(home).unwrap_or(0)
    }

    fn next(&self, slot: usize) -> usize {
        let next = slot.saturating_add(1);
        if next >= self.slots.len() { 0 } else { next }
    }

    /// How many slots it is from one on to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        let around = if to < from { self.slots.len() } else { 0 };
        to.saturating_add(around).saturating_sub(from)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use macula_testkit::node_id;
    use macula_wire::Random;

    use super::*;

    /// A table as its users have it: who is removed leaves the place to the last.
    #[derive(Default)]
    struct Table {
        nodes: Vec<NodeId>,
        index: Index,
    }

    impl Table {
        fn place(&self, node: &NodeId) -> Option<u32> {
            let is = |place| at(&self.nodes, place).as_ref() == Some(node);
            self.index.get(node, is)
        }

        fn insert(&mut self, node: NodeId) {
            let place = u32::try_from(self.nodes.len()).unwrap();
            self.index
                .insert(&node, place, |place| at(&self.nodes, place));
            self.nodes.push(node);
        }

        fn remove(&mut self, node: &NodeId) {
            let Some(place) = self.place(node) else {
                return;
            };
            self.index.remove(node, |place| at(&self.nodes, place));
            self.nodes.swap_remove(usize::try_from(place).unwrap());
            let last = u32::try_from(self.nodes.len()).unwrap();
            if let Some(moved) = at(&self.nodes, place) {
                self.index.moved(&moved, last, place);
            }
        }
    }

    fn at(nodes: &[NodeId], place: u32) -> Option<NodeId> {
        nodes.get(usize::try_from(place).ok()?).copied()
    }

    /// Ids of which many have their slots at the same place, at the end above all.
    fn crowded(number: u64) -> NodeId {
        let mut bytes = *node_id(usize::try_from(number).unwrap()).as_bytes();
        if !number.is_multiple_of(3) {
            bytes[0] = if number.is_multiple_of(2) { 254 } else { 255 };
        }
        NodeId::from_bytes(bytes)
    }

    #[test]
    fn every_node_is_found_where_it_stands_and_nobody_else() {
        let mut random = Random::new(5);
        let mut table = Table::default();
        let mut model = BTreeSet::new();
        for step in 0..20_000 {
            // The table grows to two hundred, and shrinks again.
            let grows = step % 4_000 < 2_000;
            let node = crowded(random.below(400));
            if (random.below(3) > 0) == grows {
                if model.insert(node) {
                    table.insert(node);
                }
            } else {
                model.remove(&node);
                table.remove(&node);
            }
            assert_eq!(table.place(&node).is_some(), model.contains(&node));
            assert_eq!(table.index.taken, model.len());
            if step % 50 == 0 {
                for number in 0..400 {
                    let node = crowded(number);
                    let found = table.place(&node).and_then(|place| at(&table.nodes, place));
                    assert_eq!(found, model.get(&node).copied());
                }
            }
        }
    }

    #[test]
    fn the_nodes_of_a_bucket_stand_together() {
        let mut table = Table::default();
        assert_eq!(table.index.near(7).count(), 0);
        for number in 0..3_000 {
            table.insert(node_id(number));
            if ![3, 30, 300, 2_999].contains(&number) {
                continue;
            }
            let mut all = 0;
            for byte in 0..=u8::MAX {
                let begins = |node: &NodeId| node.as_bytes()[0] == byte;
                let near = table.index.near(byte);
                let near: Vec<NodeId> = near.filter_map(|place| at(&table.nodes, place)).collect();
                all += near.len();
                let found: BTreeSet<_> = near.into_iter().filter(begins).collect();
                let wanted = table.nodes.iter().copied().filter(begins).collect();
                assert_eq!(found, wanted);
            }
            assert!(
                number < 300 || all < 12 * number,
                "only a part is looked at: {all}"
            );
        }
    }
}
