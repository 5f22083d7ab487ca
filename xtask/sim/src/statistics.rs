//! Means and quantiles of what was measured.

/// Measured numbers, sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample(Vec<f64>);

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

impl Sample {
    /// The mean; `None` of nothing.
    pub(crate) fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.iter().sum::<f64>() / self.0.len() as f64)
    }

    /// The smallest value that at least `share` of all values do not exceed (nearest rank); `None` of nothing.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.0.len();
        let rank = (1..=count).find(|rank| *rank as f64 >= share * count as f64)?;
        self.0.get(rank.saturating_sub(1)).copied()
    }

    /// The largest value.
    pub(crate) fn max(&self) -> Option<f64> {
        self.0.last().copied()
    }
}

/// A count as a floating-point number.
pub(crate) fn number(count: usize) -> f64 {
    count as f64
}

/// `part` of `whole`; 1 of nothing.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        1.0
    } else {
        number(part) / number(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let sample: Sample = (1..=20).rev().map(f64::from).collect();
        assert_eq!(sample.quantile(0.5), Some(10.0));
        assert_eq!(sample.quantile(0.95), Some(19.0));
        assert_eq!(sample.quantile(0.99), Some(20.0));
        assert_eq!(sample.quantile(1.0), Some(20.0));
        assert_eq!(sample.quantile(0.0), Some(1.0));
        assert_eq!(sample.mean(), Some(10.5));
        assert_eq!(sample.max(), Some(20.0));
    }

    #[test]
    fn one_value_is_every_quantile_and_nothing_has_none() {
        let one: Sample = std::iter::once(3.5).collect();
        assert_eq!([0.01, 0.5, 0.99].map(|q| one.quantile(q)), [Some(3.5); 3]);
        assert_eq!((one.mean(), one.max()), (Some(3.5), Some(3.5)));
        let none = Sample::default();
        assert_eq!(
            (none.quantile(0.5), none.mean(), none.max()),
            (None, None, None)
        );
    }

    #[test]
    fn a_share_of_nothing_is_all_of_it() {
        assert!((share(0, 0) - 1.0).abs() < f64::EPSILON);
        assert!((share(1, 4) - 0.25).abs() < f64::EPSILON);
    }
}
