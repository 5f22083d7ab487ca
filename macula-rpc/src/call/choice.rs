//! The order in which the providers of a call are tried.

use macula_wire::Random;

use crate::{Candidate, Provider};

/// The candidates that were not tried yet.
///
/// Those on this node go first. Among equals the choice is random in proportion to the weights, so that callers who
/// know nothing of each other spread their calls. A weight of 0 is never chosen.
#[derive(Debug)]
pub(super) struct Choice {
    rest: Vec<Candidate>,
    random: Random,
}

impl Choice {
    pub(super) fn new(candidates: Vec<Candidate>, random: Random) -> Self {
        let mut rest = candidates;
        rest.retain(|candidate| candidate.weight > 0);
        Self { rest, random }
    }

    /// The next provider to try; each comes once.
    pub(super) fn next(&mut self) -> Option<Provider> {
        let here = self.rest.iter().any(|other| other.provider.is_here());
        let eligible = |candidate: &Candidate| candidate.provider.is_here() || !here;
        let weights = self.rest.iter().filter(|other| eligible(other));
        let total = weights.fold(0_u64, |sum, other| {
            sum.saturating_add(u64::from(other.weight))
        });
        let mut point = self.random.below(total);
        let at = self.rest.iter().position(|candidate| {
            if !eligible(candidate) {
                return false;
            }
            let weight = u64::from(candidate.weight);
            let hit = point < weight;
            point = point.saturating_sub(weight);
            hit
        })?;
        Some(self.rest.swap_remove(at).provider)
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::NodeId;

    use super::*;
    use crate::RegistrationKey;

    fn member(number: u8, weight: u32) -> Candidate {
        Candidate {
            provider: Provider::Member(NodeId::from_bytes([number; 32])),
            weight,
        }
    }

    fn here(number: u64, weight: u32) -> Candidate {
        Candidate {
            provider: Provider::Local(RegistrationKey::new(number)),
            weight,
        }
    }

    fn order(candidates: &[Candidate], seed: u64) -> Vec<Provider> {
        let mut choice = Choice::new(candidates.to_vec(), Random::new(seed));
        std::iter::from_fn(|| choice.next()).collect()
    }

    #[test]
    fn each_comes_once_and_this_node_first() {
        let candidates = [here(1, 1), here(2, 1), member(1, 100), member(2, 1)];
        for seed in 0..50 {
            let mut order = order(&candidates, seed);
            assert!(order[..2].iter().all(|provider| provider.is_here()));
            order.sort_unstable();
            assert!(order.iter().eq(candidates.iter().map(|one| &one.provider)));
        }
    }

    #[test]
    fn calls_are_spread_by_weight() {
        let candidates = [member(1, 1), member(2, 1), member(3, 2), member(4, 0)];
        let mut counts = [0_u32; 4];
        for seed in 0..4_000 {
            let first = order(&candidates, seed)[0];
            let at = candidates.iter().position(|one| one.provider == first);
            counts[at.unwrap()] += 1;
        }
        let [first, second, third, fourth] = counts;
        assert!((850..1_150).contains(&first), "{counts:?}");
        assert!((850..1_150).contains(&second), "{counts:?}");
        assert!((1_800..2_200).contains(&third), "{counts:?}");
        assert_eq!(fourth, 0);
    }

    #[test]
    fn who_takes_no_calls_is_not_chosen() {
        assert!(order(&[here(1, 0), member(1, 0)], 1).is_empty());
        assert_eq!(order(&[here(1, 0), member(1, 1)], 1).len(), 1);
        assert!(order(&[], 1).is_empty());
    }
}
