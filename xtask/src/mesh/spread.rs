//! How times are distributed.

use std::fmt;
use std::time::Duration;

use super::world::ensure;
use crate::failure::Failure;

/// Times, from the shortest to the longest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Spread(Vec<Duration>);

impl Spread {
    pub(super) fn of(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The average; zero of none.
    pub(super) fn mean(&self) -> Duration {
        let sum: Duration = self.0.iter().sum();
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        sum.checked_div(count).unwrap_or_default()
    }

    /// The shortest one.
    pub(super) fn min(&self) -> Duration {
        self.0.first().copied().unwrap_or_default()
    }

    /// The shortest time that at least `percent` of a hundred do not exceed: 100 gives the longest.
    pub(super) fn part(&self, percent: usize) -> Duration {
        let rank = self.0.len().saturating_mul(percent).div_ceil(100);
        let index = rank.saturating_sub(1);
        self.0.get(index).copied().unwrap_or_default()
    }

    /// Fails if more than the other part of a hundred exceed `limit`.
    ///
    /// # Errors
    ///
    /// See above.
    pub(super) fn part_is_within(&self, percent: usize, limit: Duration) -> Result<(), Failure> {
        ensure(self.part(percent) <= limit, || {
            let limit = limit.as_secs_f64();
            format!("{percent} of 100 were to take {limit:.1} s at most: {self}")
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} times, min {:.2}, mean {:.2}, p50 {:.2}, p95 {:.2}, p99 {:.2}, max {:.2} s",
            self.len(),
            self.min().as_secs_f64(),
            self.mean().as_secs_f64(),
            self.part(50).as_secs_f64(),
            self.part(95).as_secs_f64(),
            self.part(99).as_secs_f64(),
            self.part(100).as_secs_f64(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_occurred() {
        let spread = Spread::of((1..=200).rev().map(Duration::from_secs));
        let seconds = |percent| spread.part(percent).as_secs();
        assert_eq!([50, 95, 99, 100].map(seconds), [100, 190, 198, 200]);
        assert!(spread.part_is_within(95, Duration::from_secs(190)).is_ok());
        assert!(spread.part_is_within(95, Duration::from_secs(189)).is_err());
        assert_eq!(spread.min().as_secs(), 1);
        assert_eq!(spread.mean(), Duration::from_millis(100_500));
        assert_eq!(Spread::default().part(99), Duration::ZERO);
        assert_eq!(Spread::default().mean(), Duration::ZERO);
    }
}
