//! How many nodes there are, as far as the closest contacts let guess.

use crate::Distance;

/// The number of nodes of which some are these far away, ascending: a node and those closest to it.
///
/// Of n nodes at random, the i-th closest lies i parts of n of the key space away in the mean; the slope through all of
/// them by least squares is used.
pub(crate) fn estimate(distances: impl Iterator<Item = Distance>) -> u64 {
    let (mut squares, mut products, mut count) = (0.0, 0.0, 0_u64);
    for (index, distance) in (1_u32..).zip(distances) {
        let rank = f64::from(index);
        squares += rank * rank;
        products += rank * distance.part();
        count = u64::from(index);
    }
    if products <= 0.0 {
        return count.saturating_add(1);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from a float saturates, and this one is positive"
    )]
    let guess = (squares / products).round() as u64;
    guess.max(count.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;
    use crate::position;

    #[test]
    fn the_guess_is_near_the_truth() {
        for count in [50, 1_000, 20_000] {
            let mut guesses = 0.0;
            for own in 0..10 {
                let own = position(&node_id(1_000_000 + own));
                let all =
                    (0..count).map(|number| Distance::between(&own, &position(&node_id(number))));
                let mut all: Vec<Distance> = all.collect();
                all.sort_unstable();
                guesses += estimate(all.into_iter().take(20)) as f64;
            }
            let ratio = guesses / 10.0 / count as f64;
            assert!((0.7..1.4).contains(&ratio), "{count}: {ratio}");
        }
    }

    #[test]
    fn few_are_counted() {
        assert_eq!(estimate(std::iter::empty()), 1);
        let far = Distance::between(&position(&node_id(1)), &position(&node_id(2)));
        assert!(estimate(std::iter::once(far)) >= 2);
    }
}
