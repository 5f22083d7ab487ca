//! How long a round trip to a peer takes.

use std::time::Duration;

use macula_wire::Instant;

use crate::config::part;

/// A smoothed round-trip time (RFC 6298, section 2, without the variance: the time-out has bounds of its own).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    smoothed: Option<Duration>,
}

impl Rtt {
    /// Takes in a measured round trip.
    pub(crate) fn sample(&mut self, sent: Instant, now: Instant) {
        let sample = now.saturating_since(sent);
        let smoothed = match self.smoothed {
            None => sample,
            Some(before) => (before.saturating_mul(7).saturating_add(sample))
                .checked_div(8)
                .unwrap_or(before),
        };
        self.smoothed = Some(smoothed);
    }

    /// The smoothed time; `None` before the first measurement.
    pub(crate) const fn get(self) -> Option<Duration> {
        self.smoothed
    }

    /// How long an answer is waited for: three round trips within bounds; half of `max` while none was measured.
    pub(crate) fn patience(self, min: Duration, max: Duration) -> Duration {
        let three = self.smoothed.map(|rtt| rtt.saturating_mul(3));
        three.map_or_else(|| part(max, 2), |three| three.max(min).min(max))
    }

    /// Takes in what the transport has measured.
    pub(crate) const fn set(&mut self, rtt: Duration) {
        self.smoothed = Some(rtt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patience_follows_the_path_within_its_bounds() {
        let millis = Duration::from_millis;
        let at = Instant::from_millis;
        let mut rtt = Rtt::default();
        let patience = |rtt: Rtt| rtt.patience(millis(50), millis(500));
        assert_eq!(patience(rtt), millis(250));
        rtt.sample(at(100), at(160));
        assert_eq!((rtt.get(), patience(rtt)), (Some(millis(60)), millis(180)));
        (0..50).for_each(|_| rtt.sample(at(0), at(1)));
        assert_eq!(patience(rtt), millis(50));
        (0..50).for_each(|_| rtt.sample(at(0), at(900)));
        assert_eq!(patience(rtt), millis(500));
    }
}
