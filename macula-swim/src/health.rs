//! How much a node doubts itself.

use std::time::Duration;

/// Lifeguard's local health: rises when this node seems to be slow, falls when its probes succeed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    score: u32,
}

impl Health {
    pub(crate) const fn score(self) -> u32 {
        self.score
    }

    /// A probe succeeded.
    pub(crate) const fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// Something that is more likely this node's fault than another's happened `times` times; `max` is the most that a
    /// node doubts itself.
    pub(crate) fn worse(&mut self, times: usize, max: u32) {
        let times = u32::try_from(times).unwrap_or(max);
        self.score = self.score.saturating_add(times).min(max);
    }

    /// A duration that is longer the more this node doubts itself.
    pub(crate) const fn scale(self, duration: Duration) -> Duration {
        duration.saturating_mul(self.score.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_grows_and_shrinks_within_bounds() {
        let second = Duration::from_secs(1);
        let mut health = Health::default();
        health.better();
        assert_eq!((health.score(), health.scale(second)), (0, second));
        health.worse(3, 8);
        health.better();
        assert_eq!((health.score(), health.scale(second)), (2, second * 3));
        health.worse(usize::MAX, 8);
        assert_eq!((health.score(), health.scale(second)), (8, second * 9));
    }
}
