//! Places in a table by node id.

#[expect(
    clippy::disallowed_types,
    reason = "every message looks its sender up; the hasher is fixed and nothing iterates"
)]
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use macula_wire::NodeId;

/// Where each node stands, found in constant time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    #[expect(
        clippy::disallowed_types,
        reason = "every message looks its sender up; the hasher is fixed and nothing iterates"
    )]
    places: HashMap<NodeId, u32, BuildHasherDefault<KeyHasher>>,
}

impl Index {
    pub(crate) fn get(&self, node: &NodeId) -> Option<u32> {
        self.places.get(node).copied()
    }

    pub(crate) fn insert(&mut self, node: NodeId, place: u32) {
        self.places.insert(node, place);
    }

    pub(crate) fn remove(&mut self, node: &NodeId) {
        self.places.remove(node);
    }
}

/// Takes the last bytes of an id as its hash. Ids are public keys, whose bytes are as good as random, and nobody gets many
/// of them certified, so that none can be chosen to collide.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.rchunks(8).take(1) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    // The length that precedes the bytes of an id is always the same.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use macula_testkit::node_id;

    use super::*;

    #[test]
    fn places_are_found_and_forgotten() {
        let mut index = Index::default();
        for number in 0..1_000 {
            index.insert(node_id(number), u32::try_from(number).unwrap());
        }
        index.remove(&node_id(7));
        assert_eq!(index.get(&node_id(8)), Some(8));
        assert_eq!(index.get(&node_id(7)), None);
    }

    #[test]
    fn different_ids_have_different_hashes() {
        let hash = |number| BuildHasherDefault::<KeyHasher>::default().hash_one(node_id(number));
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }
}
