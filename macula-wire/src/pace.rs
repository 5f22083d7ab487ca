//! How often changes take effect.

use core::time::Duration;

use crate::Instant;

/// The shortest period: time has to move between two moments of effect.
const MIN_PERIOD: Duration = Duration::from_micros(1);

/// Spaces the moments at which changes take effect: the first after a quiet time at once, what follows within a period
/// together at its end.
///
/// A machine that publishes a snapshot and announces changes does both at these moments, so that a thousand changes in
/// one turn cost two of each. The moments depend on the changes and on time alone.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    period: Duration,
    quiet_from: Option<Instant>,
    due: Option<Instant>,
}

impl Pace {
    /// Moments that lie `period` apart, at least 1 us.
    #[must_use]
    pub fn new(period: Duration) -> Self {
        Self {
            period: period.max(MIN_PERIOD),
            quiet_from: None,
            due: None,
        }
    }

    /// Notes a change; whether it is to take effect at once. If not, it does when it is [`due`](Self::due).
    pub fn changed(&mut self, now: Instant) -> bool {
        if self.due.is_some() {
            return false;
        }
        match self.quiet_from {
            Some(at) if at > now => {
                self.due = Some(at);
                false
            }
            _ => {
                self.begin(now);
                true
            }
        }
    }

    /// Whether changes that waited are to take effect by `now`; they no longer wait then.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|at| at <= now);
        if due {
            self.begin(now);
        }
        due
    }

    /// When the changes that wait are to take effect; `None` if none wait.
    #[must_use]
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    #[expect(clippy::arithmetic_side_effects, reason = "an `Instant` saturates")]
    fn begin(&mut self, now: Instant) {
        self.due = None;
        self.quiet_from = Some(now + self.period);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_change_is_at_once_and_the_next_wait_for_each_other() {
        let at = Instant::from_millis;
        let mut pace = Pace::new(Duration::from_millis(10));
        assert!(pace.changed(at(0)));
        assert_eq!((pace.changed(at(1)), pace.due()), (false, Some(at(10))));
        assert!(!pace.changed(at(2)));
        assert!(!pace.take_due(at(9)));
        assert!(pace.take_due(at(11)));
        assert_eq!((pace.take_due(at(11)), pace.due()), (false, None));
        assert!(!pace.changed(at(20)));
        assert!(pace.take_due(at(21)));
        assert!(pace.changed(at(31)));
    }
}
