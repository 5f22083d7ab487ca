//! How long an answer may take before it is late (RFC 6298, section 2).

use std::time::Duration;

/// A smoothed round-trip time and how much it varies, in microseconds: there is one for each contact, so it is short.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rtt {
    /// 0 before the first measurement.
    smoothed: u32,
    deviation: u32,
}

impl Rtt {
    /// Takes in a measured round trip.
    pub(crate) fn sample(&mut self, sample: Duration) {
        let sample = narrow(u64::try_from(sample.as_micros()).unwrap_or(u64::MAX)).max(1);
        if self.smoothed == 0 {
            (self.smoothed, self.deviation) = (sample, sample / 2);
            return;
        }
        let off = self.smoothed.abs_diff(sample);
        self.deviation = average(self.deviation, off, 4);
        self.smoothed = average(self.smoothed, sample, 8).max(1);
    }

    /// The smoothed time; `None` before the first measurement.
    pub(crate) fn get(self) -> Option<Duration> {
        let smoothed = Duration::from_micros(self.smoothed.into());
        (self.smoothed > 0).then_some(smoothed)
    }

    /// After how long an answer is late: the smoothed time and three times its deviation. The RFC has four, because it
    /// sends again then; here others are asked meanwhile, and the answer still counts.
    pub(crate) fn late_after(self) -> Option<Duration> {
        let deviation = Duration::from_micros(self.deviation.into());
        Some(self.get()?.saturating_add(deviation.saturating_mul(3)))
    }
}

/// The average of `known` and `new`, which is one part of `parts`.
fn average(known: u32, new: u32, parts: u32) -> u32 {
    let rest = u64::from(parts.saturating_sub(1));
    let sum = u64::from(known)
        .saturating_mul(rest)
        .saturating_add(new.into());
    narrow(sum.checked_div(parts.into()).unwrap_or(0))
}

fn narrow(micros: u64) -> u32 {
    u32::try_from(micros).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_what_was_measured() {
        let millis = Duration::from_millis;
        let mut rtt = Rtt::default();
        assert_eq!((rtt.get(), rtt.late_after()), (None, None));
        rtt.sample(millis(40));
        assert_eq!(rtt.get(), Some(millis(40)));
        assert_eq!(rtt.late_after(), Some(millis(100)));
        (0..100).for_each(|_| rtt.sample(millis(40)));
        assert!(rtt.late_after().unwrap() < millis(42));
    }

    #[test]
    fn the_shortest_and_the_longest_times_count_as_times() {
        let mut rtt = Rtt::default();
        rtt.sample(Duration::ZERO);
        assert!(rtt.get().is_some());
        rtt.sample(Duration::MAX);
        (0..200).for_each(|_| rtt.sample(Duration::MAX));
        let longest = Duration::from_micros(u32::MAX.into());
        assert!(rtt.get().unwrap() > longest.div_f64(2.0));
    }
}
