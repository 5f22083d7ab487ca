//! What a scenario is, and the list of all.

use std::fmt;

use crate::{forwarder, matching, spreading, swim, wire};

/// Does a scenario once more.
pub type Round = Box<dyn FnMut()>;

/// How large the input of a scenario is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "one to measure, one to test")]
pub enum Size {
    /// As the name of the scenario says.
    Full,
    /// As small as still does the same.
    Tiny,
}

impl Size {
    /// `full`, or a few.
    #[must_use]
    pub const fn of(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Tiny if full < 4 => full,
            Self::Tiny => 4,
        }
    }
}

/// Something that is measured.
#[derive(Clone, Copy)]
pub struct Scenario {
    name: &'static str,
    operations: u64,
    prepare: fn(Size) -> Round,
}

impl Scenario {
    /// A scenario whose round does `operations` of what it is named after.
    pub(crate) const fn new(
        name: &'static str,
        operations: u64,
        prepare: fn(Size) -> Round,
    ) -> Self {
        Self {
            name,
            operations,
            prepare,
        }
    }

    /// The name, unique among all scenarios.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How many operations a round of [`Size::Full`] does.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.operations
    }

    /// Makes the input. What is returned may be called any number of times and does the same each time.
    #[must_use]
    pub fn prepare(&self, size: Size) -> Round {
        (self.prepare)(size)
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario")
            .field("name", &self.name)
            .field("operations", &self.operations)
            .finish_non_exhaustive()
    }
}

/// Every scenario, group by group.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        wire::SCENARIOS,
        matching::SCENARIOS,
        forwarder::SCENARIOS,
        spreading::SCENARIOS,
        swim::SCENARIOS,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scenario_runs_again_and_again() {
        for scenario in all() {
            let mut round = scenario.prepare(Size::Tiny);
            (0..3).for_each(|_| round());
        }
    }

    #[test]
    fn names_are_unique_and_rounds_are_not_empty() {
        let mut names = BTreeSet::new();
        for scenario in all() {
            assert!(names.insert(scenario.name()), "{scenario:?} twice");
            assert!(scenario.operations() > 0, "{scenario:?}");
        }
    }
}
