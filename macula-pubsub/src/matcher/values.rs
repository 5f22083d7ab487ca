//! What is kept under one pattern.

use std::sync::Arc;

/// A set of values, never empty. Most patterns have one, which needs no memory of its own.
#[derive(Clone, Debug)]
pub(super) enum Values<V> {
    One(V),
    /// Two or more, ascending. Shared by the copies of a node.
    Many(Arc<Vec<V>>),
}

impl<V: Clone + Ord> Values<V> {
    pub(super) fn as_slice(&self) -> &[V] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    /// Adds `value`; `false` if it is there.
    pub(super) fn insert(&mut self, value: V) -> bool {
        let Err(at) = self.as_slice().binary_search(&value) else {
            return false;
        };
        match self {
            Self::One(only) => {
                let mut both = vec![only.clone()];
                both.insert(at, value);
                *self = Self::Many(Arc::new(both));
            }
            Self::Many(values) => Arc::make_mut(values).insert(at, value),
        }
        true
    }

    /// Removes `value`; `false` if it is not there or the last one, which stays.
    pub(super) fn remove(&mut self, value: &V) -> bool {
        let Ok(at) = self.as_slice().binary_search(value) else {
            return false;
        };
        match self {
            Self::One(_) => return false,
            Self::Many(values) => {
                let values = Arc::make_mut(values);
                values.remove(at);
                if let [last] = values.as_slice() {
                    *self = Self::One(last.clone());
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_that_keeps_its_last(
            first in 0_u8..6,
            steps in prop::collection::vec((0_u8..6, any::<bool>()), 0..60),
        ) {
            let (mut values, mut model) = (Values::One(first), BTreeSet::from([first]));
            for (value, adds) in steps {
                if adds {
                    prop_assert_eq!(values.insert(value), model.insert(value));
                } else if model.len() == 1 {
                    prop_assert!(!values.remove(&value));
                } else {
                    prop_assert_eq!(values.remove(&value), model.remove(&value));
                }
                prop_assert!(values.as_slice().iter().eq(&model));
            }
        }
    }
}
