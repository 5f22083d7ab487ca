//! What a simulated network does to what travels in it.

use std::time::Duration;

use macula_wire::Random;

/// How often something happens, in parts per million.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Chance(u32);

impl Chance {
    /// It never happens.
    pub const NEVER: Self = Self(0);
    /// It always happens.
    pub const ALWAYS: Self = Self(1_000_000);

    /// `percent` times in a hundred; above 100 counts as always.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self::per_million(percent.saturating_mul(10_000))
    }

    /// `parts` times in a million; above a million counts as always.
    #[must_use]
    pub const fn per_million(parts: u32) -> Self {
        if parts > Self::ALWAYS.0 {
            Self::ALWAYS
        } else {
            Self(parts)
        }
    }

    pub(super) fn strikes(self, random: &mut Random) -> bool {
        random.below(u64::from(Self::ALWAYS.0)) < u64::from(self.0)
    }
}

/// What happens to what travels in one direction between two nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Conditions {
    /// The shortest time from one end to the other. Default: 1 ms.
    pub min_delay: Duration,
    /// The longest time, unless a message is held back as well; below `min_delay` counts as `min_delay`. Default: 5 ms.
    pub max_delay: Duration,
    /// How often a datagram is lost. On a stream, each loss costs a retransmission instead. Default: never.
    pub loss: Chance,
    /// How often a datagram arrives twice. Default: never.
    pub duplication: Chance,
    /// How often a datagram is held back for up to `reorder_delay`, so that later ones overtake it. Default: never.
    pub reorder: Chance,
    /// The longest time for which a datagram is held back. Default: 100 ms.
    pub reorder_delay: Duration,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(5),
            loss: Chance::NEVER,
            duplication: Chance::NEVER,
            reorder: Chance::NEVER,
            reorder_delay: Duration::from_millis(100),
        }
    }
}

impl Conditions {
    /// The default conditions with `loss`.
    #[must_use]
    pub fn lossy(loss: Chance) -> Self {
        Self {
            loss,
            ..Self::default()
        }
    }

    pub(super) fn delay(&self, random: &mut Random) -> Duration {
        let width = self.max_delay.saturating_sub(self.min_delay);
        self.min_delay.saturating_add(within(random, width))
    }

    pub(super) fn retransmission(&self) -> Duration {
        self.max_delay
            .saturating_mul(2)
            .saturating_add(Duration::from_millis(20))
    }
}

/// A random duration of at most `width`.
pub(super) fn within(random: &mut Random, width: Duration) -> Duration {
    let nanos = u64::try_from(width.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random.below(nanos.saturating_add(1)))
}

/// In which form messages travel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a message travels as it is or as bytes"
)]
pub enum Coding {
    /// As values: fast.
    Typed,
    /// Each message is encoded, its frame found and decoded again; a message that is not the same afterwards fails
    /// the run.
    #[default]
    Encoded,
}

/// What holds for a whole network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The conditions in every direction that has none of its own.
    pub conditions: Conditions,
    /// How long after its last sign of life a link counts as lost: both ends are told then. Default: 30 s, which is what
    /// QUIC links have as idle time-out.
    pub link_timeout: Duration,
    /// The longest frame that may be sent as a datagram in bytes; a longer one fails the run. Default: 1,200.
    pub max_datagram_len: usize,
    /// The most events of a run; one more fails it, because then something runs in circles. Default: 20,000,000.
    pub max_steps: u64,
    /// The most outputs that one event may cause at a node; one more fails the run. Default: 100,000.
    pub max_outputs: usize,
    /// In which form messages travel.
    pub coding: Coding,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            conditions: Conditions::default(),
            link_timeout: Duration::from_secs(30),
            max_datagram_len: 1_200,
            max_steps: 20_000_000,
            max_outputs: 100_000,
            coding: Coding::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chance_strikes_as_often_as_it_says() {
        let mut random = Random::new(1);
        let mut count =
            |chance: Chance| (0..10_000).filter(|_| chance.strikes(&mut random)).count();
        assert_eq!(count(Chance::NEVER), 0);
        assert_eq!(count(Chance::ALWAYS), 10_000);
        assert!((800..1_200).contains(&count(Chance::percent(10))));
        assert_eq!(Chance::percent(500), Chance::ALWAYS);
    }

    #[test]
    fn delays_stay_in_their_range() {
        let conditions = Conditions::default();
        let mut random = Random::new(2);
        for _ in 0..1_000 {
            let delay = conditions.delay(&mut random);
            assert!(delay >= conditions.min_delay && delay <= conditions.max_delay);
        }
    }
}
