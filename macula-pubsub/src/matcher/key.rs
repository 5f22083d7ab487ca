//! The keyed hash by which a match finds patterns.

/// A secret that spreads patterns over the places where they are kept.
///
/// Names are chosen by peers. Whoever does not know the key cannot choose names that meet, so the cost of a match does
/// not depend on what they are called. With the default key a peer can; the match is right all the same.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct MatchKey {
    halves: [u64; 2],
    /// Bits of a hash that are left out, so that tests see names that meet.
    #[cfg(test)]
    pub(super) hidden: u64,
}

impl MatchKey {
    /// The key of these bytes, which should be random.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let (low, high) = bytes.split_at(8);
        Self {
            halves: [word(low), word(high)],
            #[cfg(test)]
            hidden: 0,
        }
    }

    /// SipHash-1-3, as hash tables of the standard library have it.
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        let hash = self.sip(bytes);
        #[cfg(test)]
        let hash = hash & !self.hidden;
        hash
    }

    fn sip(&self, bytes: &[u8]) -> u64 {
        let [low, high] = self.halves;
        let mut state = [
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ];
        let (words, rest) = bytes.as_chunks::<8>();
        for chunk in words {
            absorb(&mut state, u64::from_le_bytes(*chunk));
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        absorb(&mut state, word(rest) | length << 56);
        state[2] ^= 0xff;
        (0..3).for_each(|_| round(&mut state));
        state.into_iter().fold(0, |hash, part| hash ^ part)
    }
}

impl std::fmt::Debug for MatchKey {
    /// Keeps the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MatchKey").finish_non_exhaustive()
    }
}

/// Up to 8 bytes as a number, the first the lowest.
fn word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // Where the two overlap they say the same.
        let first = u64::from(u32::from_le_bytes(*first));
        let last = u64::from(u32::from_le_bytes(*last));
        let bytes_before = bytes.len().saturating_sub(4).min(4);
        return first | last << (bytes_before << 3);
    }
    let high_first = bytes.iter().rev();
    high_first.fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    state[0] ^= word;
}

fn round(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    *state = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;

    /// The standard library has the same function, with a key of zeros.
    #[test]
    fn it_is_the_hash_of_the_standard_library() {
        let text: String = ('a'..='z').cycle().take(255).collect();
        for length in 0..text.len() {
            let segment = &text[..length];
            let mut hasher = std::collections::hash_map::DefaultHasher::new();
            hasher.write(segment.as_bytes());
            assert_eq!(
                MatchKey::default().hash(segment.as_bytes()),
                hasher.finish()
            );
        }
    }

    #[test]
    fn the_key_matters() {
        let keys = [[0; 16], [1; 16], [2; 16]].map(MatchKey::from_bytes);
        let hashes = keys.map(|key| key.hash(b"a"));
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
    }
}
