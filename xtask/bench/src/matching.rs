//! Who is owed a topic, among many patterns with wildcards.

use std::hint::black_box;

use macula_pubsub::{Destination, SessionId, Table};
use macula_wire::{Pattern, Random, Topic};

use crate::{Round, Scenario, Size};

/// How many topics a round looks up.
const TOPICS: usize = 256;

/// The scenarios of this group.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("match_10000", 256, |size| matching(size, 10_000)),
    Scenario::new("match_100000", 256, |size| matching(size, 100_000)),
];

fn matching(size: Size, patterns: usize) -> Round {
    let patterns = size.of(patterns);
    let table = table(patterns);
    let topics = topics(patterns, size.of(TOPICS));
    let mut owed = Vec::new();
    Box::new(move || {
        for topic in &topics {
            table.matches_into(black_box(topic), &mut owed);
            assert!(!black_box(&owed).is_empty(), "nobody is owed {topic}");
        }
    })
}

/// A table of `patterns` subscriptions by half as many clients.
///
/// Names are `plant.P.line.L.KIND`, with 500 plants, 100 lines and 20 kinds. Of 20 patterns, 16 name one topic, two
/// leave the line open, one leaves the plant open, and one wants all of a line.
#[must_use]
pub fn table(patterns: usize) -> Table {
    let mut random = Random::new(1);
    let entries = (0..patterns).filter_map(|number| {
        let [plant, line, kind] = place(&mut random);
        let text = match number % 20 {
            0 | 10 => format!("plant.{plant}.line.*.{kind}"),
            5 => format!("plant.*.line.{line}.{kind}"),
            15 => format!("plant.{plant}.line.{line}.**"),
            _ => format!("plant.{plant}.line.{line}.{kind}"),
        };
        let owner = u64::try_from(number / 2).ok()?;
        let owner = Destination::Session(SessionId::new(owner));
        Some((Pattern::new(&text).ok()?, owner))
    });
    Table::new(1, entries)
}

/// `count` topics, in random order, for each of which a [`table`] of `patterns` has at least one subscription.
#[must_use]
pub fn topics(patterns: usize, count: usize) -> Vec<Topic> {
    let mut random = Random::new(1);
    let places: Vec<_> = (0..patterns).map(|_| place(&mut random)).collect();
    let mut random = Random::new(2);
    let bound = u64::try_from(places.len()).unwrap_or(u64::MAX);
    let chosen = (0..count).filter_map(|_| {
        let at = usize::try_from(random.below(bound)).ok()?;
        let [plant, line, kind] = places.get(at)?;
        Topic::new(&format!("plant.{plant}.line.{line}.{kind}")).ok()
    });
    chosen.collect()
}

fn place(random: &mut Random) -> [String; 3] {
    [500, 100, 20].map(|bound| random.below(bound).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_owed_to_some_and_not_to_all() {
        let table = table(2_000);
        assert_eq!(table.len(), 2_000);
        for topic in topics(2_000, 50) {
            let owed = table.matches(&topic).len();
            assert!((1..100).contains(&owed), "{topic}: {owed}");
        }
    }
}
