//! What patterns have in common when their segments are taken out.

use std::sync::Arc;

use macula_wire::{Pattern, PatternSegment};

use super::key::MatchKey;
use super::topic::{Hashed, placed};

/// Where a pattern is open, and where it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    /// What the shape itself adds to the hash of a pattern.
    salt: u64,
    /// A bit for each place where there is a `*`.
    open: u16,
    /// How many segments there are before `**`.
    len: u8,
    /// Whether `**` is the end.
    tail: bool,
}

impl Shape {
    /// The shape of `pattern`, and the hash under which it is kept.
    pub(super) fn of(key: MatchKey, pattern: &Pattern) -> (Self, u64) {
        let (mut open, mut len, mut tail, mut sum) = (0_u16, 0_u8, false, 0_u64);
        for (place, segment) in (0_u32..).zip(pattern.segments()) {
            match segment {
                PatternSegment::Tail => {
                    tail = true;
                    break;
                }
                PatternSegment::One => open |= 1_u16.checked_shl(place).unwrap_or(0),
                PatternSegment::Literal(text) => {
                    sum = sum.wrapping_add(placed(key.hash(text.as_bytes()), place));
                }
            }
            len = len.saturating_add(1);
        }
        let [low, high] = open.to_le_bytes();
        let salt = key.hash(&[low, high, len, u8::from(tail)]);
        let shape = Self {
            salt,
            open,
            len,
            tail,
        };
        (shape, sum.wrapping_add(salt))
    }

    /// Whether a topic of `segments` segments can be matched.
    pub(super) fn fits(&self, segments: usize) -> bool {
        let len = usize::from(self.len);
        len == segments || self.tail && len < segments
    }

    /// The hash of the pattern of this shape that matches `topic`, which it [fits](Self::fits).
    pub(super) fn hash(&self, topic: &Hashed<'_>) -> u64 {
        let mut hash = topic.sum(self.len).wrapping_add(self.salt);
        let mut open = self.open;
        while open != 0 {
            hash = hash.wrapping_sub(topic.placed(open.trailing_zeros()));
            open &= open.wrapping_sub(1);
        }
        hash
    }

    /// Whether `pattern` is the one of this shape that matches `topic`, which it [fits](Self::fits).
    pub(super) fn makes(&self, topic: &Hashed<'_>, pattern: &Pattern) -> bool {
        if self.open == 0 && !self.tail {
            return pattern.as_str() == topic.as_str();
        }
        let mut rest = Some(pattern.as_str().as_bytes());
        let mut open = self.open;
        for segment in topic.segments().take(usize::from(self.len)) {
            let segment = if open & 1 == 1 { b"*" } else { segment };
            let Some(behind) = rest.and_then(|rest| rest.strip_prefix(segment)) else {
                return false;
            };
            rest = match behind {
                [] => None,
                [b'.', behind @ ..] => Some(behind),
                _ => return false,
            };
            open >>= 1;
        }
        rest == self.tail.then_some(b"**")
    }
}

/// A set of shapes, and how many patterns have each. Clones share it until one changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Shapes {
    shapes: Arc<[(Shape, u64)]>,
}

impl Shapes {
    pub(super) fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Shape> {
        self.shapes.iter().map(|(shape, _)| shape)
    }

    /// One pattern more has `shape`.
    pub(super) fn add(&mut self, shape: Shape) {
        if let Some(count) = self.count(shape) {
            *count = count.saturating_add(1);
            return;
        }
        let known = self.shapes.iter().copied();
        self.shapes = known.chain([(shape, 1)]).collect();
    }

    /// One pattern less has `shape`.
    pub(super) fn remove(&mut self, shape: Shape) {
        let Some(count) = self.count(shape) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            let left = self.shapes.iter().copied();
            self.shapes = left.filter(|(known, _)| *known != shape).collect();
        }
    }

    fn count(&mut self, shape: Shape) -> Option<&mut u64> {
        let at = self.shapes.iter().position(|(known, _)| *known == shape)?;
        let shapes = Arc::make_mut(&mut self.shapes);
        shapes.get_mut(at).map(|(_, count)| count)
    }
}
