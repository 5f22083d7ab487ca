//! Names: realms, topics, patterns and procedures, each with one legal spelling.

mod pattern;
mod realm;
mod segments;
mod topic;

pub use pattern::{Pattern, PatternSegment};
pub use realm::RealmName;
pub use topic::{Procedure, Topic};

use thiserror::Error;

/// The longest topic, pattern, procedure or realm name in bytes.
pub const MAX_NAME_LEN: usize = 255;

/// The most segments of a topic, pattern or procedure, and the most labels of a realm name.
pub const MAX_SEGMENTS: usize = 16;

/// Why a text is not a name.
///
/// Nothing is repaired: a text is the canonical form of a name or it is refused.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum NameError {
    /// A byte that this kind of name does not allow; segments take `A-Z a-z 0-9 _ -`, realms `a-z 0-9 -`.
    #[error("character not allowed at byte {at}")]
    Character {
        /// The offset of the byte.
        at: usize,
    },
    /// Nothing at all, or nothing between two dots.
    #[error("empty segment at byte {at}")]
    EmptySegment {
        /// The offset at which a segment was expected.
        at: usize,
    },
    /// Too long; the limit is in bytes. For a node id: not exactly that long.
    #[error("wrong length, the limit is {max} bytes")]
    Length {
        /// The limit.
        max: usize,
    },
    /// A `$` elsewhere than at the start of the first segment.
    #[error("`$` is only allowed at the start of the name, at byte {at}")]
    Reserved {
        /// The offset of the `$`.
        at: usize,
    },
    /// More segments than [`MAX_SEGMENTS`].
    #[error("more than {max} segments")]
    TooManySegments {
        /// The limit.
        max: usize,
    },
    /// A wildcard where a concrete name is wanted, or `**` before the last segment.
    #[error("wildcard not allowed at byte {at}")]
    Wildcard {
        /// The offset of the wildcard.
        at: usize,
    },
}
