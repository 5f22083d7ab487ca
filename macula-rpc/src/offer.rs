//! What a provider says of itself, and under what name it says so.

use std::fmt;
use std::str::FromStr;

use macula_realm::Zone;
use macula_wire::message::{Invoke, ProviderContent};
use macula_wire::{NameError, Pattern, Procedure};

/// What a member offers under one pattern, all its registrations of it taken together.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Offer {
    /// Its share of the calls; with 0 it asks for no new ones.
    pub weight: u32,
    /// How many calls it takes at a time.
    pub concurrency: u32,
    /// Who of several providers gets a call.
    pub invoke: Invoke,
    /// Where it stands.
    pub zone: Option<Zone>,
    /// Since when, in milliseconds since 1970 by its own clock.
    pub since_ms: u64,
    /// Whether it takes the place of whoever registered before.
    pub takeover: bool,
}

impl Offer {
    /// An offer with this weight and policy, of no zone, since the beginning of time.
    #[must_use]
    pub const fn new(weight: u32, invoke: Invoke) -> Self {
        Self {
            weight,
            concurrency: 1,
            invoke,
            zone: None,
            since_ms: 0,
            takeover: false,
        }
    }

    /// The record that says so of `pattern`.
    #[must_use]
    pub fn content(&self, pattern: Pattern) -> ProviderContent {
        ProviderContent {
            pattern,
            weight: self.weight,
            concurrency: self.concurrency,
            invoke: self.invoke,
            zone: self.zone.as_ref().map(ToString::to_string),
            since_ms: self.since_ms,
            takeover: self.takeover,
        }
    }
}

impl From<&ProviderContent> for Offer {
    /// What a record says.
    fn from(content: &ProviderContent) -> Self {
        let zone = content.zone.as_deref();
        Self {
            weight: content.weight,
            concurrency: content.concurrency,
            invoke: content.invoke,
            zone: zone.and_then(|zone| Zone::new(zone).ok()),
            since_ms: content.since_ms,
            takeover: content.takeover,
        }
    }
}

/// How the name of a registration is read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are three ways to read one")]
pub enum Match {
    /// A procedure.
    #[default]
    Exact,
    /// The first segments of procedures: `a.b` stands for `a.b`, `a.b.c` and so on, as the pattern `a.b.**` does.
    Prefix,
    /// A pattern: `*` is one segment, a last `**` any number.
    Wildcard,
}

impl Match {
    /// The pattern that `name` stands for.
    ///
    /// # Errors
    ///
    /// [`NameError`] for what is no name, and for a wildcard where there may be none.
    pub fn pattern(self, name: &str) -> Result<Pattern, NameError> {
        match self {
            Self::Exact => Procedure::new(name).map(|name| Pattern::from(&name)),
            Self::Prefix => {
                Procedure::new(name)?;
                Pattern::new(&format!("{name}.**"))
            }
            Self::Wildcard => Pattern::new(name),
        }
    }
}

impl FromStr for Match {
    type Err = NameError;

    /// Reads `exact`, `prefix` or `wildcard`.
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "exact" => Ok(Self::Exact),
            "prefix" => Ok(Self::Prefix),
            "wildcard" => Ok(Self::Wildcard),
            _ => Err(NameError::Character { at: 0 }),
        }
    }
}

/// The name under which the providers of a procedure are announced and looked for.
///
/// A pattern that covers a procedure has one of the three keys of that procedure, so a caller that watches these hears
/// of every provider.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OfferKey(Pattern);

impl OfferKey {
    /// The key under which `pattern` is announced.
    #[must_use]
    pub fn of_pattern(pattern: &Pattern) -> Self {
        Self(pattern.stem())
    }

    /// The keys of `procedure`: its own, that of its first segment, and the one of what begins with a wildcard. A
    /// reserved name has no third.
    pub fn of_procedure(procedure: &Procedure) -> impl Iterator<Item = Self> {
        let first = procedure.segments().next().unwrap_or_default();
        let wild = if procedure.is_reserved() {
            None
        } else {
            Some("**")
        };
        let texts = [Some(format!("{first}.**")), wild.map(str::to_owned)];
        let rest = texts.into_iter().flatten();
        // A segment so long that nothing fits behind it has no patterns.
        let rest = rest.filter_map(|text| Pattern::new(&text).ok().map(Self));
        std::iter::once(Self(Pattern::from(procedure))).chain(rest)
    }

    /// Its name: a procedure, a segment with `.**`, or `**`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it is one of the names by which services describe themselves.
    #[must_use]
    pub fn is_of_services(&self) -> bool {
        self.0.is_of_services()
    }

    /// Whether it is a name of the platform.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.is_reserved()
    }
}

impl fmt::Display for OfferKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for OfferKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_in_one_of_three_ways() {
        let read = |how: Match, name: &str| how.pattern(name).map(|found| found.to_string());
        assert_eq!(read(Match::Exact, "a.b").unwrap(), "a.b");
        assert_eq!(read(Match::Prefix, "a.b").unwrap(), "a.b.**");
        assert_eq!(read(Match::Wildcard, "a.*.c").unwrap(), "a.*.c");
        assert!(read(Match::Exact, "a.*").is_err() && read(Match::Prefix, "a.*").is_err());
        assert!(read(Match::Wildcard, "a.**.c").is_err());
    }

    #[test]
    fn a_caller_has_the_key_of_every_pattern_that_covers_what_it_calls() {
        for (pattern, procedure) in [
            ("a.b", "a.b"),
            ("a.*", "a.b"),
            ("a.**", "a"),
            ("*.b", "a.b"),
            ("**", "a.b.c"),
            ("$svc.*", "$svc.ping"),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            let procedure = Procedure::new(procedure).unwrap();
            assert!(pattern.covers(&procedure));
            let key = OfferKey::of_pattern(&pattern);
            assert!(OfferKey::of_procedure(&procedure).any(|other| other == key));
        }
        let long = Procedure::new(&"x".repeat(255)).unwrap();
        assert_eq!(OfferKey::of_procedure(&long).count(), 2);
    }
}
