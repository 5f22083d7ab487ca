//! Whose turn it is: everybody once a round, in an order by chance, without a list.

use macula_wire::Random;

/// A walk over the places `0..n` of a table, each once a round, in an order that looks random and that takes no memory:
/// a Feistel network over the next power of four, whose results beyond the table are passed over.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    keys: [u32; 4],
    /// Half the bits of the domain.
    half: u32,
    turn: u64,
}

impl Rotation {
    /// A walk that begins a round with its first step.
    pub(crate) const fn new() -> Self {
        Self {
            keys: [0; 4],
            half: 0,
            turn: 0,
        }
    }

    /// The next place in a table of `count` places that `fits`; `None` if `looks` places were passed over first. A round
    /// begins anew, in another order, when everybody had a turn or the table has outgrown the round.
    pub(crate) fn next(
        &mut self,
        count: u32,
        looks: usize,
        random: &mut Random,
        fits: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        if count == 0 {
            return None;
        }
        for _ in 0..looks {
            let domain = 1_u64
                .checked_shl(self.half.saturating_mul(2))
                .unwrap_or(u64::MAX);
            if self.turn >= domain || u64::from(count) > domain || self.half == 0 {
                self.begin(count, random);
            }
            let place = self.place(self.turn);
            self.turn = self.turn.saturating_add(1);
            if place < count && fits(place) {
                return Some(place);
            }
        }
        None
    }

    fn begin(&mut self, count: u32, random: &mut Random) {
        let bits = u32::BITS.saturating_sub(count.leading_zeros());
        self.half = bits.div_ceil(2).max(1);
        self.turn = 0;
        for key in &mut self.keys {
            *key = u32::try_from(random.below(1 << 32)).unwrap_or(0);
        }
    }

    /// The place of a turn: a permutation of the domain, whatever the keys are.
    fn place(&self, turn: u64) -> u32 {
        let mask = 1_u32
            .checked_shl(self.half)
            .map_or(u32::MAX, |bit| bit.wrapping_sub(1));
        let low = |word: u64| u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
        let mut right = low(turn) & mask;
        let mut left = low(turn >> self.half) & mask;
        for key in self.keys {
            let mut word = right.wrapping_add(key).wrapping_mul(0x9e37_79b1);
            word ^= word >> 15;
            word = word.wrapping_mul(0x85eb_ca77);
            word ^= word >> 13;
            (left, right) = (right, (left ^ word) & mask);
        }
        left.checked_shl(self.half).unwrap_or(0) | right
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn round(rotation: &mut Rotation, count: u32, random: &mut Random) -> Vec<u32> {
        let step = |_| rotation.next(count, 1_000, random, |_| true).unwrap();
        (0..count).map(step).collect()
    }

    #[test]
    fn everybody_has_one_turn_a_round() {
        let mut random = Random::new(1);
        for count in [1, 2, 3, 9, 64, 65, 1_000, 10_000] {
            let mut rotation = Rotation::new();
            let seen: BTreeSet<u32> = round(&mut rotation, count, &mut random)
                .into_iter()
                .collect();
            assert_eq!(seen.len(), usize::try_from(count).unwrap());
            assert_eq!(seen.last(), Some(&(count - 1)));
        }
    }

    #[test]
    fn each_round_has_an_order_of_its_own() {
        let mut random = Random::new(3);
        let mut rotation = Rotation::new();
        let first = round(&mut rotation, 64, &mut random);
        // The rest of the domain holds nobody, so the next step begins a round.
        let second = round(&mut rotation, 64, &mut random);
        let in_order: Vec<u32> = (0..64).collect();
        assert!(first != in_order && second != in_order && first != second);
    }

    #[test]
    fn who_does_not_fit_is_passed_over_and_the_search_has_an_end() {
        let mut random = Random::new(2);
        let mut rotation = Rotation::new();
        assert_eq!(
            rotation.next(100, 1_000, &mut random, |place| place == 42),
            Some(42)
        );
        assert_eq!(rotation.next(100, 50, &mut random, |_| false), None);
        assert_eq!(rotation.next(0, 50, &mut random, |_| true), None);
    }
}
