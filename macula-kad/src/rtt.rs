//! How long an answer may take before it is late (RFC 6298, section 2).

use std::time::Duration;

/// A smoothed round-trip time and how much it varies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    measured: Option<(Duration, Duration)>,
}

impl Rtt {
    /// Takes in a measured round trip.
    pub(crate) fn sample(&mut self, sample: Duration) {
        self.measured = Some(match self.measured {
            None => (sample, sample.div_f64(2.0)),
            Some((smoothed, variance)) => {
                let off = smoothed.abs_diff(sample);
                let variance = variance.saturating_mul(3).saturating_add(off).div_f64(4.0);
                let smoothed = smoothed
                    .saturating_mul(7)
                    .saturating_add(sample)
                    .div_f64(8.0);
                (smoothed, variance)
            }
        });
    }

    /// After how long an answer is late: the smoothed time and three times its variance. The RFC has four, because it sends
    /// again then; here others are asked meanwhile, and the answer still counts.
    pub(crate) fn late_after(self) -> Option<Duration> {
        let (smoothed, variance) = self.measured?;
        Some(smoothed.saturating_add(variance.saturating_mul(3)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_what_was_measured() {
        let millis = Duration::from_millis;
        let mut rtt = Rtt::default();
        assert_eq!(rtt.late_after(), None);
        rtt.sample(millis(40));
        assert_eq!(rtt.late_after(), Some(millis(100)));
        (0..100).for_each(|_| rtt.sample(millis(40)));
        assert!(rtt.late_after().unwrap() < millis(42));
    }
}
