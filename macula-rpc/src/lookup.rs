//! Finding the most specific of the patterns with wildcards that cover a procedure.

use std::collections::BTreeMap;

use macula_wire::{PatternSegment, Procedure};

use crate::Candidates;
use crate::providers::Providers;

/// The patterns with wildcards, by their segments.
#[derive(Debug, Default)]
pub(crate) struct Lookup(Branch);

/// What follows some segments. Its depth is at most that of a pattern, 16.
#[derive(Debug, Default)]
struct Branch {
    literals: BTreeMap<Box<str>, Self>,
    one: Option<Box<Self>>,
    /// Of the pattern that ends here.
    end: Option<Candidates>,
    /// Of the pattern that goes on with `**`.
    tail: Option<Candidates>,
}

impl Lookup {
    /// Of all that have a wildcard.
    pub(crate) fn of(providers: &Providers) -> Self {
        let mut root = Branch::default();
        for (pattern, candidates) in providers.iter().filter(|(pattern, _)| !pattern.is_exact()) {
            let mut branch = &mut root;
            let mut has_tail = false;
            for segment in pattern.segments() {
                match segment {
                    PatternSegment::Literal(text) => {
                        branch = branch.literals.entry(text.into()).or_default();
                    }
                    PatternSegment::One => branch = branch.one.get_or_insert_default(),
                    PatternSegment::Tail => has_tail = true,
                }
            }
            let place = if has_tail {
                &mut branch.tail
            } else {
                &mut branch.end
            };
            *place = Some(candidates.clone());
        }
        Self(root)
    }

    pub(crate) fn find(&self, procedure: &Procedure) -> Option<&Candidates> {
        self.0.find(procedure.segments(), procedure.is_reserved())
    }
}

impl Branch {
    /// Goes each way once at most, so it looks at no more branches than there are.
    fn find<'a>(
        &self,
        mut rest: impl Iterator<Item = &'a str> + Clone,
        is_reserved: bool,
    ) -> Option<&Candidates> {
        let tail = self.tail.as_ref().filter(|_| !is_reserved);
        let Some(segment) = rest.next() else {
            return self.end.as_ref().or(tail);
        };
        let literal = self.literals.get(segment);
        let one = self.one.as_deref().filter(|_| !is_reserved);
        literal
            .and_then(|branch| branch.find(rest.clone(), false))
            .or_else(|| one.and_then(|branch| branch.find(rest.clone(), false)))
            .or(tail)
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::message::Invoke;
    use macula_wire::{NodeId, Pattern, Random};

    use super::*;

    fn providers(patterns: &[&str]) -> Providers {
        let each = patterns.iter().map(|text| Pattern::new(text).unwrap());
        each.map(|pattern| {
            let list = Vec::new();
            let candidates = Candidates::new(pattern.clone(), Invoke::P2c, NodeId::default(), list);
            (pattern, candidates)
        })
        .collect()
    }

    /// By comparing all that match, from the left.
    fn naive<'a>(providers: &'a Providers, procedure: &Procedure) -> Option<&'a Pattern> {
        let rank = |pattern: &Pattern| {
            let ranks = pattern.segments().map(|segment| match segment {
                PatternSegment::Literal(_) => 1,
                PatternSegment::One => 2,
                PatternSegment::Tail => 3,
            });
            ranks.collect::<Vec<u8>>()
        };
        providers
            .keys()
            .filter(|pattern| !pattern.is_exact() && pattern.covers(procedure))
            .min_by_key(|pattern| rank(pattern))
    }

    #[test]
    fn the_most_specific_pattern_from_the_left_is_found() {
        let all = providers(&["a.**", "a.*", "a.*.c", "*.b.**", "**", "$svc.*", "a.b.**"]);
        let lookup = Lookup::of(&all);
        for (name, expected) in [
            ("a", Some("a.**")),
            ("a.x", Some("a.*")),
            ("a.x.c", Some("a.*.c")),
            ("a.b", Some("a.b.**")),
            ("a.b.c", Some("a.b.**")),
            ("a.x.d", Some("a.**")),
            ("x.b.z", Some("*.b.**")),
            ("x.y", Some("**")),
            ("$svc.ping", Some("$svc.*")),
            ("$sys.ping", None),
        ] {
            let found = lookup.find(&Procedure::new(name).unwrap());
            assert_eq!(
                found.map(|found| found.pattern().as_str()),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn it_agrees_with_comparing_all() {
        let mut random = Random::new(7);
        let segments = ["a", "b", "*"];
        for _ in 0..300 {
            let mut texts = Vec::new();
            for _ in 0..random.index(12) {
                let length = 1 + random.index(4);
                let mut text: Vec<&str> = (0..length).map(|_| segments[random.index(3)]).collect();
                if random.below(3) == 0 {
                    text.push("**");
                }
                texts.push(text.join("."));
            }
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let all = providers(&texts);
            let lookup = Lookup::of(&all);
            for _ in 0..20 {
                let length = 1 + random.index(4);
                let name: Vec<&str> = (0..length).map(|_| segments[random.index(2)]).collect();
                let name = Procedure::new(&name.join(".")).unwrap();
                let found = lookup.find(&name).map(Candidates::pattern);
                assert_eq!(found, naive(&all, &name), "{name} {texts:?}");
            }
        }
    }
}
