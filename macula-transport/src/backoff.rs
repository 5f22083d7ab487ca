//! Pauses between attempts.

use std::time::Duration;

use macula_wire::Random;

/// Pauses that double up to a bound, each shortened by chance by up to a half.
///
/// The chance keeps nodes that lost one peer at the same time from coming back at the same time.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
    random: Random,
}

impl Backoff {
    /// Pauses from `first` to `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration, random: Random) -> Self {
        Self {
            first,
            max,
            failures: 0,
            random,
        }
    }

    /// Pauses from 1 s to 30 s, for links that are dialled again.
    #[must_use]
    pub const fn for_links(random: Random) -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(30), random)
    }

    /// The pause before the next attempt.
    #[expect(clippy::should_implement_trait, reason = "a pause never runs out")]
    pub fn next(&mut self) -> Duration {
        let factor = 2_u32.checked_pow(self.failures).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(factor).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let half = whole.checked_div(2).unwrap_or_default();
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        let extra = self.random.below(nanos.saturating_add(1));
        half.saturating_add(Duration::from_nanos(extra))
    }

    /// How many pauses were handed out since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Starts over, after an attempt that succeeded.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_their_upper_half_and_stop_at_the_bound() {
        let mut backoff = Backoff::for_links(Random::new(1));
        for whole in [1, 2, 4, 8, 16, 30, 30, 30] {
            let whole = Duration::from_secs(whole);
            let pause = backoff.next();
            assert!(
                pause >= whole / 2 && pause <= whole,
                "{pause:?} of {whole:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::for_links(Random::new(2));
        for _ in 0..100 {
            assert!(backoff.next() <= Duration::from_secs(30));
        }
    }

    #[test]
    fn two_nodes_do_not_come_back_together() {
        let mut one = Backoff::for_links(Random::new(3));
        let mut other = Backoff::for_links(Random::new(4));
        assert!((0..8).any(|_| one.next().abs_diff(other.next()) > Duration::from_millis(100)));
    }
}
