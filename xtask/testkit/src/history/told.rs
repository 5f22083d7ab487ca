//! What one subscription was told missing.

use std::collections::BTreeMap;

use super::Name;

/// Ranges of sequences by publisher and topic.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<(Name, Name), Ranges>);

#[derive(Debug, Default)]
struct Ranges {
    /// Where each ends, by run and beginning.
    known: BTreeMap<(u64, u64), u64>,
    /// Those without an end, by run and beginning.
    unknown: Vec<(u64, u64)>,
}

impl Told {
    pub(super) fn gap(&mut self, key: (Name, Name), epoch: u64, from: u64, to: Option<u64>) {
        let ranges = self.0.entry(key).or_default();
        match to {
            Some(to) => drop(ranges.known.insert((epoch, from), to)),
            None => ranges.unknown.push((epoch, from)),
        }
    }

    /// Whether any of the sequences `from..=to` of a run was told missing, or may have been one of an unknown number.
    pub(super) fn covers(&self, key: (Name, Name), epoch: u64, from: u64, to: u64) -> bool {
        let Some(ranges) = self.0.get(&key) else {
            return false;
        };
        let mut before = ranges.known.range((epoch, 0)..=(epoch, to));
        let last = before.next_back();
        // A publisher that was lost is told of with its old run, or with its new one.
        let mut unknown = ranges.unknown.iter();
        last.is_some_and(|(_begin, end)| from < *end)
            || unknown.any(|(run, begin)| *run > epoch || (*run == epoch && *begin <= to))
    }

    /// Whether anything of a topic was told missing.
    pub(super) fn any(&self, topic: Name) -> bool {
        self.0.keys().any(|(_publisher, told)| *told == topic)
    }
}
