//! The clock of one node, which may be fast or slow.

use std::time::Duration;

use macula_wire::Instant;

const MILLION: u64 = 1_000_000;

/// Tells the time of the network as one node sees it. It never goes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// A moment of the network's time, and the node's time at that moment.
    network: Instant,
    local: Instant,
    /// How far the node's time goes while the network's goes a million.
    rate: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            network: Instant::ZERO,
            local: Instant::ZERO,
            rate: MILLION,
        }
    }
}

impl Clock {
    /// The slowest clock runs at half the speed, the fastest at twice.
    const RATES: std::ops::RangeInclusive<u64> = MILLION / 2..=MILLION * 2;

    /// Goes on from the present time of the node, faster by `parts_per_million`.
    pub(super) fn set_drift(&mut self, now: Instant, parts_per_million: i32) {
        self.local = self.local(now);
        self.network = now;
        let rate = MILLION.saturating_add_signed(parts_per_million.into());
        self.rate = rate.clamp(*Self::RATES.start(), *Self::RATES.end());
    }

    /// The node's time at a moment of the network's.
    pub(super) fn local(&self, network: Instant) -> Instant {
        let passed = network.saturating_since(self.network);
        if self.rate == MILLION {
            return self.local + passed;
        }
        self.local + scaled(passed, self.rate, MILLION, 0)
    }

    /// The first moment of the network's time at which the node's is `local` or later.
    pub(super) fn network(&self, local: Instant) -> Instant {
        let ahead = local.saturating_since(self.local);
        if self.rate == MILLION {
            return self.network + ahead;
        }
        self.network + scaled(ahead, MILLION, self.rate, self.rate.saturating_sub(1))
    }
}

/// `duration * by / per`, with `more` added before the division.
fn scaled(duration: Duration, by: u64, per: u64, more: u64) -> Duration {
    let wide = duration
        .as_nanos()
        .saturating_mul(u128::from(by))
        .saturating_add(u128::from(more));
    let nanos = wide.checked_div(u128::from(per)).unwrap_or(0);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use macula_wire::Random;

    use super::*;

    #[test]
    fn a_fast_clock_is_ahead_and_a_slow_one_behind() {
        let start = Instant::from_millis(5_000);
        for (drift, expected) in [(100, 1_000_100), (0, 1_000_000), (-100, 999_900)] {
            let mut clock = Clock::default();
            clock.set_drift(start, drift);
            let local = clock.local(start + Duration::from_secs(1));
            assert_eq!(
                local.saturating_since(start),
                Duration::from_micros(expected)
            );
        }
    }

    #[test]
    fn a_time_of_the_node_is_reached_at_the_moment_that_it_is_converted_to() {
        let mut random = Random::new(1);
        let (mut clock, mut now) = (Clock::default(), Instant::ZERO);
        for _ in 0..1_000 {
            let before = clock.local(now);
            let drift = i32::try_from(random.below(2_000_000)).unwrap() - 1_000_000;
            clock.set_drift(now, drift);
            assert_eq!(clock.local(now), before, "setting a drift moves no clock");
            let wanted = before + Duration::from_nanos(random.below(10_000_000_000));
            let at = clock.network(wanted);
            assert!(clock.local(at) >= wanted);
            let earlier = at - Duration::from_nanos(1);
            assert!(at == now || clock.local(earlier) < wanted);
            now = at;
        }
    }
}
