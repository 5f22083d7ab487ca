//! Patterns: topics with wildcards, as subscribers write them.

use alloc::format;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::str::FromStr;

use super::segments::{Wildcards, check};
use super::{NameError, Procedure, RealmName, Topic};
use crate::limit::DEAD_LETTER_PREFIX;

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

    /// Whether it is of the names by which services describe themselves: its first segment is `$svc`.
    #[must_use]
    pub fn is_of_services(&self) -> bool {
        self.segments().next() == Some(PatternSegment::Literal("$svc"))
    }

    /// Whether only topics of dead letters can match it, which are for all members of a realm though they are reserved.
    #[must_use]
    pub fn is_of_dead_letters(&self) -> bool {
        self.0.starts_with(DEAD_LETTER_PREFIX)
    }

    /// Whether it has no wildcard, and so matches one name alone.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Under what name providers of the pattern are announced: the pattern itself where it has no wildcard, its first
    /// segment with `.**`, or `**`.
    #[must_use]
    pub fn stem(&self) -> Self {
        if self.is_exact() {
            return self.clone();
        }
        match self.segments().next() {
            Some(PatternSegment::Literal(first)) => Self(format!("{first}.**").into()),
            _ => Self("**".into()),
        }
    }

    /// Whether `procedure` is one of those that the pattern stands for.
    #[must_use]
    pub fn covers(&self, procedure: &Procedure) -> bool {
        self.matches_segments(procedure.segments(), procedure.is_reserved())
    }

    /// Whether `topic` is one of those that the pattern asks for.
    ///
    /// This is the definition; whoever holds many patterns uses something faster that agrees with it.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        self.matches_segments(topic.segments(), topic.is_reserved())
    }

    fn matches_segments<'a>(
        &self,
        mut given: impl Iterator<Item = &'a str>,
        is_reserved: bool,
    ) -> bool {
        let mut wanted = self.segments();
        let mut first = true;
        loop {
            let reserved = first && is_reserved;
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

/// Patterns are looked up by their text, and by a procedure that they alone cover.
impl Borrow<str> for Pattern {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&Procedure> for Pattern {
    /// The pattern that covers `procedure` alone.
    fn from(procedure: &Procedure) -> Self {
        Self(procedure.as_str().into())
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
    fn providers_meet_their_callers_under_one_of_three_names() {
        for (pattern, stem) in [
            ("a.b", "a.b"),
            ("a.**", "a.**"),
            ("a.*.c", "a.**"),
            ("*.b", "**"),
            ("**", "**"),
            ("$svc.*", "$svc.**"),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            assert_eq!(pattern.stem().as_str(), stem);
            assert_eq!(
                pattern.is_exact(),
                pattern == pattern.stem() && stem != "**" && !stem.ends_with('*')
            );
        }
        let covers = |pattern: &str, name: &str| {
            let procedure = Procedure::new(name).unwrap();
            Pattern::new(pattern).unwrap().covers(&procedure)
        };
        assert!(covers("a.*", "a.b") && !covers("a.*", "a") && !covers("**", "$svc.a"));
    }

    #[test]
    fn misplaced_wildcards_are_refused() {
        assert_eq!(Pattern::new("a.**.b"), Err(NameError::Wildcard { at: 2 }));
        assert_eq!(Pattern::new("a.b*"), Err(NameError::Wildcard { at: 3 }));
        assert_eq!(Pattern::new("a.***"), Err(NameError::Wildcard { at: 2 }));
        assert!(Pattern::new("a.*.**").is_ok());
    }
}
