//! Patterns: topics with wildcards, as subscribers write them.

use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use super::segments::{Wildcards, check};
use super::{NameError, RealmName, Topic};

/// What a subscription asks for: a topic in which `*` stands for one segment and a last `**` for any number.
///
/// `a.**` also matches `a`. A pattern that starts with a wildcard never matches a reserved topic. The limits are those
/// of a [`Topic`]. Cloning shares the text.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pattern(Arc<str>);

/// A segment of a [`Pattern`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the grammar of version 1 is closed"
)]
pub enum PatternSegment<'a> {
    /// Exactly this segment; the first keeps its `$`.
    Literal(&'a str),
    /// Exactly one segment, whatever it is.
    One,
    /// Any number of segments, none included; always the last.
    Tail,
}

impl Pattern {
    /// Reads the canonical form.
    ///
    /// # Errors
    ///
    /// Any other spelling is refused, a `**` before the end and a wildcard within a segment included.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check(text, Wildcards::Allowed)?;
        Ok(Self(text.into()))
    }

    /// Reads the canonical form, perhaps qualified by the caller's own realm as `realm:pattern`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); another realm's prefix is refused as a character at the colon.
    pub fn in_realm(realm: &RealmName, text: &str) -> Result<Self, NameError> {
        Self::new(realm.strip_from(text))
    }

    /// The canonical form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments in order.
    pub fn segments(&self) -> impl Iterator<Item = PatternSegment<'_>> + Clone {
        self.0.split('.').map(|segment| match segment {
            "*" => PatternSegment::One,
            "**" => PatternSegment::Tail,
            literal => PatternSegment::Literal(literal),
        })
    }

    /// Whether only names reserved for the platform can match: the pattern starts with `$`.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }

    /// Whether `topic` is one of those that the pattern asks for.
    ///
    /// This is the definition; whoever holds many patterns uses something faster that agrees with it.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        let mut wanted = self.segments();
        let mut given = topic.segments();
        let mut first = true;
        loop {
            let reserved = first && topic.is_reserved();
            first = false;
            match (wanted.next(), given.next()) {
                (Some(PatternSegment::Tail), _) => return !reserved,
                (Some(PatternSegment::One), Some(_)) if !reserved => {}
                (Some(PatternSegment::Literal(wanted)), Some(given)) if wanted == given => {}
                (None, None) => return true,
                _ => return false,
            }
        }
    }
}

impl From<&Topic> for Pattern {
    /// The pattern that matches `topic` alone.
    fn from(topic: &Topic) -> Self {
        Self(topic.as_str().into())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Pattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, topic: &str, expected: bool) {
        let pattern = Pattern::new(pattern).unwrap();
        let topic = Topic::new(topic).unwrap();
        assert_eq!(pattern.matches(&topic), expected, "{pattern} {topic}");
    }

    #[test]
    fn one_star_is_one_segment() {
        check("a.*.c", "a.b.c", true);
        check("a.*", "a", false);
        check("a.*", "a.b.c", false);
        check("*", "a", true);
    }

    #[test]
    fn two_stars_are_the_rest_or_nothing() {
        check("a.**", "a", true);
        check("a.**", "a.b.c", true);
        check("**", "a.b", true);
        check("a.**", "ab", false);
    }

    #[test]
    fn wildcards_never_reach_reserved_topics() {
        check("**", "$sys.x", false);
        check("*.x", "$sys.x", false);
        check("$sys.*", "$sys.x", true);
        check("$sys.**", "$sys", true);
    }

    #[test]
    fn misplaced_wildcards_are_refused() {
        assert_eq!(Pattern::new("a.**.b"), Err(NameError::Wildcard { at: 2 }));
        assert_eq!(Pattern::new("a.b*"), Err(NameError::Wildcard { at: 3 }));
        assert_eq!(Pattern::new("a.***"), Err(NameError::Wildcard { at: 2 }));
        assert!(Pattern::new("a.*.**").is_ok());
    }
}
