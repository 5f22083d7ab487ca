//! What happens to what travels between two nodes.

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

    /// What never happens takes no number from `random`.
    pub(super) fn strikes(self, random: &mut Random) -> bool {
        self.0 > 0 && random.below(u64::from(Self::ALWAYS.0)) < u64::from(self.0)
    }
}

/// Losses that come in bursts (Gilbert and Elliott): each direction of a link is in a good or in a bad state, and may
/// change it with every datagram.
///
/// In the good state, [`Conditions::loss`] holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Bursts {
    /// How often a datagram turns the good state into the bad one.
    pub begin: Chance,
    /// How often a datagram turns the bad state into the good one: the mean length of a burst is one over it.
    pub end: Chance,
    /// How often a datagram is lost in the bad state.
    pub loss: Chance,
}

impl Bursts {
    /// Bursts with these chances.
    #[must_use]
    pub const fn new(begin: Chance, end: Chance, loss: Chance) -> Self {
        Self { begin, end, loss }
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
    /// Losses that come in bursts, beside those of `loss`. Default: none.
    pub bursts: Option<Bursts>,
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
            bursts: None,
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
        Self::default().with_loss(loss)
    }

    /// A network within a building: 0.2 to 1 ms, each delay as likely as any other, no loss.
    #[must_use]
    pub fn lan() -> Self {
        Self::between(Duration::from_micros(200), Duration::from_millis(1))
    }

    /// A network across a continent: 10 to 50 ms, each delay as likely as any other, no loss.
    #[must_use]
    pub fn wan() -> Self {
        Self::between(Duration::from_millis(10), Duration::from_millis(50))
    }

    /// Each delay from `min_delay` to `max_delay` as likely as any other, no loss.
    #[must_use]
    pub fn between(min_delay: Duration, max_delay: Duration) -> Self {
        Self {
            min_delay,
            max_delay,
            ..Self::default()
        }
    }

    /// These with independent losses.
    #[must_use]
    pub const fn with_loss(self, loss: Chance) -> Self {
        Self { loss, ..self }
    }

    /// These with losses in bursts of `length` datagrams on average, in which everything is lost, so that `loss` of all
    /// datagrams are lost in the long run.
    #[must_use]
    pub fn with_bursts(self, loss: Chance, length: u32) -> Self {
        let (lost, all) = (u64::from(loss.0), u64::from(Chance::ALWAYS.0));
        let length = u64::from(length.max(1));
        // In balance, as many bursts begin as end: (all - lost) * begin = lost / length.
        let per_good = length.saturating_mul(all.saturating_sub(lost)).max(1);
        let begin = lost.saturating_mul(all).checked_div(per_good).unwrap_or(0);
        let end = all.checked_div(length).unwrap_or(all);
        let bursts = Bursts {
            begin: Chance::per_million(u32::try_from(begin).unwrap_or(u32::MAX)),
            end: Chance::per_million(u32::try_from(end).unwrap_or(u32::MAX)),
            loss: Chance::ALWAYS,
        };
        Self {
            bursts: Some(bursts),
            ..self
        }
    }
}

/// [`Conditions`], prepared for being asked often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// In nanoseconds, like all of these.
    pub(super) min_delay: u64,
    pub(super) jitter: u64,
    retransmission: u64,
    reorder_delay: u64,
    loss: Chance,
    /// The share of packets that is lost in the long run.
    mean_loss: Chance,
    bursts: Option<Bursts>,
    duplication: Chance,
    reorder: Chance,
}

/// Why a datagram is lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Loss {
    None,
    Independent,
    Burst,
}

impl Rules {
    pub(super) fn new(conditions: &Conditions) -> Self {
        let min_delay = nanos(conditions.min_delay);
        let jitter = nanos(conditions.max_delay).saturating_sub(min_delay);
        Self {
            min_delay,
            jitter,
            retransmission: Self::retransmission_of(min_delay, jitter),
            reorder_delay: nanos(conditions.reorder_delay),
            loss: conditions.loss,
            mean_loss: mean_loss(conditions),
            bursts: conditions.bursts,
            duplication: conditions.duplication,
            reorder: conditions.reorder,
        }
    }

    /// These with another delay.
    pub(super) fn with_delay(mut self, min_delay: Duration, jitter: Duration) -> Self {
        self.min_delay = nanos(min_delay);
        self.jitter = nanos(jitter);
        self.retransmission = Self::retransmission_of(self.min_delay, self.jitter);
        self
    }

    /// A round trip, and a little.
    const fn retransmission_of(min_delay: u64, jitter: u64) -> u64 {
        let max_delay = min_delay.saturating_add(jitter);
        max_delay.saturating_mul(2).saturating_add(20_000_000)
    }

    pub(super) fn delay(&self, random: &mut Random) -> Duration {
        let jitter = random.below(self.jitter.saturating_add(1));
        Duration::from_nanos(self.min_delay.saturating_add(jitter))
    }

    /// How much later than with `delay` a datagram arrives that is held back; zero for most.
    pub(super) fn hold_back(&self, random: &mut Random) -> Duration {
        if self.reorder.strikes(random) {
            Duration::from_nanos(random.below(self.reorder_delay.saturating_add(1)))
        } else {
            Duration::ZERO
        }
    }

    pub(super) fn doubles(&self, random: &mut Random) -> bool {
        self.duplication.strikes(random)
    }

    /// Whether a packet is lost; `bursting` is the state of its direction.
    pub(super) fn loses(&self, bursting: &mut bool, random: &mut Random) -> Loss {
        if let Some(bursts) = &self.bursts {
            let turn = if *bursting { bursts.end } else { bursts.begin };
            *bursting ^= turn.strikes(random);
            if *bursting {
                return if bursts.loss.strikes(random) {
                    Loss::Burst
                } else {
                    Loss::None
                };
            }
        }
        if self.loss.strikes(random) {
            Loss::Independent
        } else {
            Loss::None
        }
    }

    /// Whether a retransmission is lost. It comes a round trip later, when a burst may be over, so it is as likely as
    /// any packet's loss in the long run, and says nothing of the state.
    pub(super) fn loses_again(&self, random: &mut Random) -> bool {
        self.mean_loss.strikes(random)
    }

    pub(super) const fn retransmission(&self) -> Duration {
        Duration::from_nanos(self.retransmission)
    }
}

/// The share of packets that is lost in the long run.
fn mean_loss(conditions: &Conditions) -> Chance {
    let Some(bursts) = &conditions.bursts else {
        return conditions.loss;
    };
    let [begin, end] = [bursts.begin, bursts.end].map(|chance| u64::from(chance.0));
    let bad = begin.saturating_mul(bursts.loss.0.into());
    let good = end.saturating_mul(conditions.loss.0.into());
    let mean = bad
        .saturating_add(good)
        .checked_div(begin.saturating_add(end));
    // Without any change of state, the good one lasts.
    mean.map_or(conditions.loss, |mean| {
        Chance::per_million(u32::try_from(mean).unwrap_or(u32::MAX))
    })
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
        let mut random = Random::new(2);
        for conditions in [Conditions::default(), Conditions::lan(), Conditions::wan()] {
            let rules = Rules::new(&conditions);
            for _ in 0..1_000 {
                let delay = rules.delay(&mut random);
                assert!(delay >= conditions.min_delay && delay <= conditions.max_delay);
            }
        }
    }

    /// The share of lost datagrams in percent, and the mean length of a run of losses.
    fn losses(conditions: Conditions) -> (f64, f64) {
        let (mut random, mut bursting) = (Random::new(3), false);
        let rules = Rules::new(&conditions);
        let lost: Vec<bool> = (0..400_000)
            .map(|_| rules.loses(&mut bursting, &mut random) != Loss::None)
            .collect();
        let count = lost.iter().filter(|lost| **lost).count() as f64;
        let begins = lost.windows(2).filter(|two| !two[0] && two[1]).count() as f64;
        (count / 4_000.0, count / begins)
    }

    #[test]
    fn bursts_and_single_losses_add_up_to_the_mean() {
        let bursty = Conditions::default().with_bursts(Chance::percent(5), 8);
        let mean = mean_loss(&bursty).0;
        assert!((49_900..=50_100).contains(&mean), "{mean}");
        let both = mean_loss(&bursty.with_loss(Chance::percent(10))).0;
        assert!((144_900..=145_100).contains(&both), "{both}");
        assert_eq!(mean_loss(&Conditions::default()), Chance::NEVER);
        let mut constant = Conditions::lossy(Chance::percent(3));
        constant.bursts = Some(Bursts::new(Chance::NEVER, Chance::NEVER, Chance::ALWAYS));
        assert_eq!(mean_loss(&constant), Chance::percent(3));
    }

    #[test]
    fn bursts_have_their_share_and_their_length() {
        let (share, length) = losses(Conditions::default().with_bursts(Chance::percent(5), 8));
        assert!((4.5..5.5).contains(&share), "{share}");
        assert!((7.5..8.5).contains(&length), "{length}");
        let (share, length) = losses(Conditions::lossy(Chance::percent(5)));
        assert!((4.5..5.5).contains(&share), "{share}");
        assert!(length < 1.2, "{length}");
    }
}
