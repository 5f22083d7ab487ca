//! Waiting for a condition, with a deadline.

use std::time::Duration;

use crate::clock::{Watch, human};
use crate::failure::Failure;

/// How long to wait before a condition is looked at again that nobody announces.
const PAUSE: Duration = Duration::from_millis(20);

/// A point in time by which something has to have happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    watch: Watch,
    limit: Duration,
}

impl Deadline {
    /// The deadline `limit` from here on.
    pub(super) fn within(limit: Duration) -> Self {
        Self {
            watch: Watch::start(),
            limit,
        }
    }

    /// What is left of it; nothing once it is over.
    pub(super) fn left(self) -> Option<Duration> {
        self.limit
            .checked_sub(self.watch.elapsed())
            .filter(|left| !left.is_zero())
    }

    /// The failure of something that did not happen in time.
    pub(super) fn missed(self, what: &str) -> Failure {
        Failure::failed(format!("not within {}: {what}", human(self.limit)))
    }
}

/// Asks again and again until there is an answer, and tells how long that took.
///
/// # Errors
///
/// When there is none within `limit`, with what was asked for and what was seen last, and when asking itself fails.
pub(super) fn until<T>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> Result<Seen<T>, Failure>,
) -> Result<(T, Duration), Failure> {
    let deadline = Deadline::within(limit);
    loop {
        let last = match ask()? {
            Seen::Yes(found) => return Ok((found, deadline.watch.elapsed())),
            Seen::NotYet(last) => last,
        };
        if deadline.left().is_none() {
            return Err(deadline.missed(&format!("{what}; last seen: {last}")));
        }
        pause();
    }
}

/// What asking for a condition brought.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Seen<T> {
    /// It holds.
    Yes(T),
    /// It does not hold yet; says what was seen instead.
    NotYet(String),
}

impl Seen<()> {
    /// Whether a condition holds, with what was looked at.
    pub(super) fn when(holds: bool, looked_at: impl FnOnce() -> String) -> Self {
        if holds {
            Self::Yes(())
        } else {
            Self::NotYet(looked_at())
        }
    }
}

/// Lets a fault last for `time`. What happens meanwhile is seen by others; nothing may be concluded from the time alone.
pub(super) fn lasting(time: Duration) {
    let deadline = Deadline::within(time);
    while let Some(left) = deadline.left() {
        std::thread::park_timeout(left);
    }
}

/// Lets others run before a condition is looked at again.
pub(super) fn pause() {
    std::thread::park_timeout(PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_looked_at_until_it_holds() {
        let mut asked = 0;
        let (found, _took) = until(Duration::from_secs(60), "three", || {
            asked += 1;
            Ok(if asked == 3 {
                Seen::Yes(asked)
            } else {
                Seen::NotYet(asked.to_string())
            })
        })
        .unwrap();
        assert_eq!(found, 3);
    }

    #[test]
    fn a_condition_that_never_holds_is_told_with_what_was_seen() {
        let failure = until::<()>(Duration::ZERO, "rain", || {
            Ok(Seen::NotYet("sunshine".to_owned()))
        })
        .unwrap_err();
        let text = failure.to_string();
        assert!(text.contains("rain") && text.contains("sunshine"), "{text}");
    }
}
