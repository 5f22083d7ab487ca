//! The hash of a trace.

/// Folds words into 64 bits: the same on every machine and in every build, and fast, but no protection against anybody
/// who looks for collisions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.number(word.try_into().map_or(0, u64::from_le_bytes));
        }
        let mut rest = [0; 8];
        for (place, byte) in rest.iter_mut().zip(words.remainder()) {
            *place = *byte;
        }
        self.number(u64::from_le_bytes(rest));
        // The length ends the field, so that neighbouring fields cannot trade bytes.
        self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// One multiplication to 128 bits whose halves are folded together (as in wyhash).
    pub(crate) const fn number(&mut self, number: u64) {
        let wide = ((self.0 ^ number) as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let [a, b, c, d, e, f, g, h, high @ ..] = wide.to_le_bytes();
        let low = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        // The constant leads out of zero.
        self.0 = (low ^ u64::from_le_bytes(high)).wrapping_add(0xa076_1d64_78bd_642f);
    }

    pub(crate) const fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&[u8]]) -> u64 {
        let mut digest = Digest::new();
        for field in fields {
            digest.bytes(field);
        }
        digest.value()
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_eq!(of(&[b"ab", b"c"]), of(&[b"ab", b"c"]));
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"ab"]), of(&[b"ba"]));
        assert_ne!(of(&[b"ab"]), of(&[b"ab\0"]));
    }

    #[test]
    fn every_bit_of_a_word_counts() {
        let word = |bit: u32| of(&[&(1_u64 << bit).to_le_bytes()]);
        let mut all: Vec<u64> = (0..64).map(word).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 64);
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(
            of(&[b"the same in debug and in release"]),
            10_697_827_746_488_850_887
        );
    }
}
