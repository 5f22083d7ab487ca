//! A bounded map that forgets what was used least recently.

use std::collections::BTreeMap;

/// Entries by key, in the order of their last use. At most `max`; one more takes the place of the oldest.
///
/// A lookup costs O(log n) and allocates nothing; the order is a list through the slots.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    max: usize,
    places: BTreeMap<K, usize>,
    slots: Vec<Slot<K, V>>,
    newest: Option<usize>,
    oldest: Option<usize>,
}

#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    newer: Option<usize>,
    older: Option<usize>,
}

impl<K: Clone + Ord, V> Recent<K, V> {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            max,
            places: BTreeMap::new(),
            slots: Vec::new(),
            newest: None,
            oldest: None,
        }
    }

    /// The value of `key`, which counts as used.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        let at = *self.places.get(key)?;
        if self.newest != Some(at) {
            self.unlink(at);
            self.link(at);
        }
        self.slots.get_mut(at).map(|slot| &mut slot.value)
    }

    /// The value of `key`, which does not count as used.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        let slot = self.slots.get(*self.places.get(key)?)?;
        Some(&slot.value)
    }

    /// Adds an entry for a key that has none, and returns the value that had to go for it.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let evicted = match self.oldest.and_then(|at| self.slots.get(at)) {
            Some(slot) if self.slots.len() >= self.max => {
                let key = slot.key.clone();
                self.remove(&key)
            }
            _ => None,
        };
        let at = self.slots.len();
        self.slots.push(Slot {
            key: key.clone(),
            value,
            newer: None,
            older: None,
        });
        self.places.insert(key, at);
        self.link(at);
        evicted
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.places.remove(key)?;
        self.unlink(at);
        // The last slot moves into the hole, so whatever points at it has to follow.
        let last = self.slots.len().saturating_sub(1);
        if at != last {
            self.move_links(last, at);
        }
        if at >= self.slots.len() {
            return None;
        }
        Some(self.slots.swap_remove(at).value)
    }

    /// Keeps the entries that fulfil `wanted`, in their order.
    pub(super) fn retain(&mut self, mut wanted: impl FnMut(&K) -> bool) {
        let unwanted: Vec<K> = self
            .places
            .keys()
            .filter(|key| !wanted(key))
            .cloned()
            .collect();
        for key in &unwanted {
            self.remove(key);
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots.iter().map(|slot| (&slot.key, &slot.value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.slots.iter().map(|slot| &slot.value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.slots.iter_mut().map(|slot| &mut slot.value)
    }

    /// Puts the slot at the new end of the list.
    fn link(&mut self, at: usize) {
        let before = self.newest.replace(at);
        if let Some(slot) = self.slots.get_mut(at) {
            slot.older = before;
            slot.newer = None;
        }
        self.point(before, None, Some(at));
    }

    /// Takes the slot out of the list.
    fn unlink(&mut self, at: usize) {
        let Some(slot) = self.slots.get(at) else {
            return;
        };
        let (newer, older) = (slot.newer, slot.older);
        match newer {
            Some(next) => self.set_older(next, older),
            None => self.newest = older,
        }
        self.point(older, Some(at), newer);
    }

    /// Lets the neighbours of the slot at `from` find it at `to`.
    fn move_links(&mut self, from: usize, to: usize) {
        let Some(slot) = self.slots.get(from) else {
            return;
        };
        let (newer, older) = (slot.newer, slot.older);
        if let Some(place) = self.places.get_mut(&slot.key) {
            *place = to;
        }
        match newer {
            Some(next) => self.set_older(next, Some(to)),
            None => self.newest = Some(to),
        }
        self.point(older, Some(from), Some(to));
    }

    /// Sets what is newer than the slot `at`; without one, the oldest slot, which was `was`.
    fn point(&mut self, at: Option<usize>, was: Option<usize>, newer: Option<usize>) {
        match at {
            Some(at) => {
                if let Some(slot) = self.slots.get_mut(at) {
                    slot.newer = newer;
                }
            }
            None => {
                debug_assert_eq!(self.oldest, was, "the oldest slot has no older one");
                self.oldest = newer;
            }
        }
    }

    fn set_older(&mut self, at: usize, older: Option<usize>) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.older = older;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_used_least_recently_goes_first() {
        let mut recent = Recent::new(2);
        assert_eq!(recent.insert('a', 1), None);
        assert_eq!(recent.insert('b', 2), None);
        assert_eq!(recent.get(&'a'), Some(&mut 1));
        assert_eq!(recent.insert('c', 3), Some(2));
        assert_eq!(recent.peek(&'a'), Some(&1));
        assert_eq!(recent.insert('d', 4), Some(1));
        assert_eq!((recent.peek(&'c'), recent.len()), (Some(&3), 2));
    }

    proptest! {
        /// Against a list that is searched from one end to the other.
        #[test]
        fn it_agrees_with_a_plain_list(
            steps in proptest::collection::vec((0_u8..4, 0_u8..8), 0..200),
        ) {
            let mut recent = Recent::new(5);
            let mut list: Vec<(u8, usize)> = Vec::new();
            for (number, (kind, key)) in steps.into_iter().enumerate() {
                let known = list.iter().position(|(other, _)| *other == key);
                match (kind, known) {
                    (0, Some(at)) => {
                        let (_, value) = list.remove(at);
                        prop_assert_eq!(recent.remove(&key), Some(value));
                    }
                    (0, None) => prop_assert_eq!(recent.remove(&key), None),
                    (3, _) => {
                        recent.retain(|other| other % 3 != key % 3);
                        list.retain(|(other, _)| other % 3 != key % 3);
                    }
                    (_, Some(at)) => {
                        let entry = list.remove(at);
                        prop_assert_eq!(recent.get(&key).copied(), Some(entry.1));
                        list.push(entry);
                    }
                    (_, None) => {
                        let oldest = (list.len() == 5).then(|| list.remove(0).1);
                        prop_assert_eq!(recent.insert(key, number), oldest);
                        list.push((key, number));
                    }
                }
                prop_assert_eq!(recent.len(), list.len());
                for (key, value) in &list {
                    prop_assert_eq!(recent.peek(key), Some(value));
                }
            }
        }
    }
}
