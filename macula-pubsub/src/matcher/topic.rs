//! A topic, prepared for matching.

use macula_wire::Topic;
use macula_wire::limit::MAX_SEGMENTS;

use super::key::MatchKey;

/// How far the hash of a segment is turned for each place, so that its place counts.
const TURN: u32 = 4;

/// A topic and the hashes of its segments at their places. It is split once, and every segment is hashed once.
pub(super) struct Hashed<'a> {
    topic: &'a Topic,
    len: usize,
    segments: [&'a [u8]; MAX_SEGMENTS],
    placed: [u64; MAX_SEGMENTS],
    /// The sum of those of the first segments, by their count less one.
    sums: [u64; MAX_SEGMENTS],
}

/// What a segment with this hash adds to the hash of a pattern at `place`.
pub(super) const fn placed(hash: u64, place: u32) -> u64 {
    hash.rotate_left(place.wrapping_mul(TURN))
}

impl<'a> Hashed<'a> {
    pub(super) fn new(key: MatchKey, topic: &'a Topic) -> Self {
        let mut hashed = Self {
            topic,
            len: 0,
            segments: [&[]; MAX_SEGMENTS],
            placed: [0; MAX_SEGMENTS],
            sums: [0; MAX_SEGMENTS],
        };
        let places = hashed.placed.iter_mut().zip(&mut hashed.sums);
        let places = places.zip(&mut hashed.segments);
        let mut rest = topic.as_str().as_bytes();
        let mut sum = 0_u64;
        for (((own, total), segment), place) in places.zip(0..) {
            // Segments are short: a search that is made for long texts would take longer to start than this takes.
            let end = rest.iter().position(|byte| *byte == b'.');
            let end = end.unwrap_or(rest.len());
            *segment = rest.get(..end).unwrap_or_default();
            *own = placed(key.hash(segment), place);
            sum = sum.wrapping_add(*own);
            *total = sum;
            hashed.len = hashed.len.saturating_add(1);
            let Some(behind) = rest.get(end.saturating_add(1)..) else {
                break;
            };
            rest = behind;
        }
        hashed
    }

    /// How many segments there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_reserved(&self) -> bool {
        self.topic.is_reserved()
    }

    pub(super) fn as_str(&self) -> &'a str {
        self.topic.as_str()
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &'a [u8]> {
        self.segments.iter().take(self.len).copied()
    }

    /// The first segment and its hash.
    pub(super) fn first(&self) -> (&'a [u8], u64) {
        let [first, ..] = self.segments;
        (first, self.placed(0))
    }

    /// What the segment at `place` adds to the hash of a pattern.
    pub(super) fn placed(&self, place: u32) -> u64 {
        let place = usize::try_from(place).ok();
        let hash = place.and_then(|place| self.placed.get(place));
        hash.copied().unwrap_or(0)
    }

    /// What the first `count` segments add.
    pub(super) fn sum(&self, count: u8) -> u64 {
        let last = usize::from(count).checked_sub(1);
        let sum = last.and_then(|last| self.sums.get(last));
        sum.copied().unwrap_or(0)
    }
}
