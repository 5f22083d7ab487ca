//! The names under which interest is announced and looked for.

use std::fmt;
use std::sync::Arc;

use macula_wire::{Pattern, PatternSegment, Topic};

/// Where publishers and subscribers of a topic meet: the first segment of a pattern, or the one key of all patterns that
/// begin with a wildcard.
///
/// A pattern that matches a topic has the topic's key or [`Wildcard`](Self::Wildcard), so a publisher that watches
/// these two hears of every subscriber.
#[derive(Clone, Eq, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a pattern begins with a segment or a wildcard, nothing else"
)]
pub enum WatchKey {
    /// Patterns that begin with this segment; the text keeps its `$`.
    Segment(Arc<str>),
    /// Patterns that begin with a wildcard.
    Wildcard,
}

impl WatchKey {
    /// The key under which `pattern` is announced.
    #[must_use]
    pub fn of_pattern(pattern: &Pattern) -> Self {
        match pattern.segments().next() {
            Some(PatternSegment::Literal(segment)) => Self::Segment(segment.into()),
            Some(PatternSegment::One | PatternSegment::Tail) | None => Self::Wildcard,
        }
    }

    /// The key of `topic`; who publishes it watches this one and [`Wildcard`](Self::Wildcard).
    #[must_use]
    pub fn of_topic(topic: &Topic) -> Self {
        Self::Segment(topic.segments().next().unwrap_or_default().into())
    }

    /// Its name: the segment, or `*`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Segment(segment) => segment,
            Self::Wildcard => "*",
        }
    }
}

impl fmt::Display for WatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for WatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
