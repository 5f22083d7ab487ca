//! The hash of a view, and where two views differ.

use macula_wire::limit::DIGEST_BUCKETS;
use macula_wire::{Epoch, Incarnation, NodeId};

use crate::member::Member;

/// SplitMix64's step (Steele, Lea and Flood, 2014): \[MEM-15\] of the protocol.
const fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn hash(node: &NodeId, epoch: Epoch, incarnation: Incarnation) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *node.as_bytes();
    let id = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    mix(mix(mix(mix(id) ^ epoch.get()) ^ incarnation.get()))
}

/// The hashes of the members that are present, by the first byte of their ids: \[MEM-14\] of the protocol.
///
/// A member enters and leaves by the same operation, in constant time.
#[derive(Clone, Debug)]
pub(crate) struct Digest {
    buckets: Box<[u64]>,
    view: u64,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            buckets: vec![0; DIGEST_BUCKETS].into_boxed_slice(),
            view: 0,
        }
    }
}

impl Digest {
    /// Puts a member with its present version in, or takes it out.
    pub(crate) fn toggle(&mut self, member: &Member) {
        let (epoch, incarnation) = member.version();
        let node = member.node();
        let hash = hash(&node, epoch, incarnation);
        self.view ^= hash;
        let [first, ..] = *node.as_bytes();
        if let Some(bucket) = self.buckets.get_mut(usize::from(first)) {
            *bucket ^= hash;
        }
    }

    /// The hash of the whole view.
    pub(crate) const fn view(&self) -> u64 {
        self.view
    }

    /// The hashes of the buckets, 256 of them.
    pub(crate) fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    /// The buckets in which `others` differ from these.
    pub(crate) fn differing<'a>(&'a self, others: &'a [u64]) -> impl Iterator<Item = u8> + 'a {
        let pairs = (0_u8..=u8::MAX).zip(self.buckets.iter().zip(others));
        pairs.filter_map(|(bucket, (own, other))| (own != other).then_some(bucket))
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::Instant;

    use super::*;
    use crate::members::tests::kept;

    #[test]
    fn a_hash_is_what_the_specification_says() {
        // Computed by a program of ten lines in another language from [MEM-14] and [MEM-15] alone.
        let node = NodeId::from_bytes([1; 32]);
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(
            hash(&node, Epoch::new(1_700_000_000_000), Incarnation::new(2)),
            0xff8f_072d_58f7_5328
        );
    }

    #[test]
    fn what_went_in_comes_out_again() {
        let mut digest = Digest::default();
        let members: Vec<_> = (0..50)
            .map(|number| Member::new(kept(number), Instant::ZERO))
            .collect();
        members.iter().for_each(|member| digest.toggle(member));
        let full = digest.clone();
        assert_ne!(full.view(), 0);
        assert_eq!(full.differing(digest.buckets()).count(), 0);
        digest.toggle(&members[7]);
        let first = members[7].node().as_bytes()[0];
        let found: Vec<u8> = full.differing(digest.buckets()).collect();
        assert_eq!(found, [first]);
        members
            .iter()
            .filter(|member| member.node() != members[7].node())
            .for_each(|member| digest.toggle(member));
        assert_eq!(digest.view(), 0);
        assert_eq!(full.buckets().iter().fold(0, |a, b| a ^ b), full.view());
    }
}
