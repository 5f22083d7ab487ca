//! Sets of ids that mostly lie in a row.

/// Ranges of numbers, both ends among them, ascending and with at least one number between two.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Ids(Vec<(u64, u64)>);

impl Ids {
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    /// The numbers `first..=last`.
    pub(crate) fn row(first: u64, last: u64) -> Self {
        Self(vec![(first, last)])
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.0.first().map(|(first, _)| *first)
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// How many numbers there are, saturating.
    pub(crate) fn count(&self) -> u64 {
        let each = self.ranges().map(|(first, last)| length(first, last));
        each.fold(0, u64::saturating_add)
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        let at = self.0.get(self.at(id));
        at.is_some_and(|(first, _)| *first <= id)
    }

    /// Where the first range lies that does not end before `id`.
    fn at(&self, id: u64) -> usize {
        self.0.partition_point(|(_, last)| *last < id)
    }

    /// Adds `first..=last`.
    pub(crate) fn add(&mut self, first: u64, last: u64) {
        // Ranges that touch become one.
        let from = self.at(first.saturating_sub(1));
        let mut to = from;
        let (mut low, mut high) = (first, last);
        while let Some((start, end)) = self.0.get(to) {
            if *start > last.saturating_add(1) {
                break;
            }
            low = low.min(*start);
            high = high.max(*end);
            to = to.saturating_add(1);
        }
        self.0.splice(from..to, [(low, high)]);
    }

    /// Takes out what there is of `first..=last`, and returns it.
    pub(crate) fn remove(&mut self, first: u64, last: u64) -> Self {
        let from = self.at(first);
        let mut to = from;
        let mut left = Vec::new();
        let mut taken = Vec::new();
        while let Some((start, end)) = self.0.get(to).copied() {
            if start > last {
                break;
            }
            taken.push((start.max(first), end.min(last)));
            if start < first {
                left.push((start, first.saturating_sub(1)));
            }
            if end > last {
                left.push((last.saturating_add(1), end));
            }
            to = to.saturating_add(1);
        }
        self.0.splice(from..to, left);
        Self(taken)
    }
}

/// How many numbers `first..=last` are.
pub(crate) const fn length(first: u64, last: u64) -> u64 {
    last.saturating_sub(first).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_a_set(steps in prop::collection::vec((any::<bool>(), 1..40_u64, 0..8_u64), 1..40)) {
            let mut ids = Ids::default();
            let mut naive = BTreeSet::new();
            for (adds, first, more) in steps {
                let last = u64::saturating_add(first, more);
                if adds {
                    ids.add(first, last);
                    naive.extend(first..=last);
                } else {
                    let taken = ids.remove(first, last);
                    for id in first..=last {
                        prop_assert_eq!(taken.contains(id), naive.remove(&id));
                    }
                }
                prop_assert!(ids.0.windows(2).all(|pair| pair[1].0.saturating_sub(pair[0].1) > 1), "{:?}", ids);
                let all: BTreeSet<u64> = ids.ranges().flat_map(|(first, last)| first..=last).collect();
                prop_assert_eq!(&all, &naive);
                prop_assert_eq!(ids.count(), u64::try_from(naive.len()).unwrap());
                prop_assert_eq!(ids.first(), naive.first().copied());
            }
        }
    }
}
