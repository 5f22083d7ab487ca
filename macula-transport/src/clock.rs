//! The only reader of the operating system's clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use macula_wire::Instant;

/// Monotonic time since the clock was made, and wall time.
///
/// It follows tokio's clock, so time stands still where a test paused that. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    /// A clock that starts at [`Instant::ZERO`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            origin: tokio::time::Instant::now(),
        }
    }

    /// The time since the clock was made. Never goes back.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// Wall time in milliseconds since 1970; 0 if the wall clock stands before that. May jump.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    pub fn unix_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits until `deadline`; for ever if there is none.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing but time passes.
    pub async fn sleep_until(&self, deadline: Option<Instant>) {
        let Some(after) = deadline.map(|at| at.saturating_since(Instant::ZERO)) else {
            return std::future::pending().await;
        };
        match self.origin.checked_add(after) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_met_to_the_millisecond() {
        let clock = Clock::new();
        let deadline = clock.now() + Duration::from_secs(5);
        clock.sleep_until(Some(deadline)).await;
        assert_eq!(clock.now(), deadline);
        clock.sleep_until(Some(Instant::ZERO)).await;
        assert_eq!(
            clock.now(),
            deadline,
            "a deadline in the past is met at once"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_deadline_is_never_met() {
        let clock = Clock::new();
        let hour = Duration::from_secs(3_600);
        for never in [None, Some(Instant::FAR_FUTURE)] {
            let waited = tokio::time::timeout(hour, clock.sleep_until(never)).await;
            assert!(waited.is_err());
        }
        assert!(clock.unix_ms() > 1_600_000_000_000);
    }
}
