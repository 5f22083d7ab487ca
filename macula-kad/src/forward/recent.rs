//! A bounded map that forgets what was used least recently.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Entries by key; at most `max`, one more takes the place of the one used least recently.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    max: usize,
    entries: BTreeMap<K, (u64, V)>,
    /// Keys by when they were used.
    order: BTreeMap<u64, K>,
    next: u64,
}

impl<K: Copy + Ord, V> Recent<K, V> {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            max,
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }

    /// The value of `key`, which counts as used; `fresh` if there is none.
    pub(super) fn entry(&mut self, key: K, fresh: V) -> &mut V {
        let used = self.next;
        self.next = self.next.wrapping_add(1);
        if let Some((before, _)) = self.entries.get(&key) {
            self.order.remove(before);
        } else if self.entries.len() >= self.max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.order.insert(used, key);
        let entry = self.entries.entry(key).or_insert((used, fresh));
        entry.0 = used;
        &mut entry.1
    }

    /// The value of `key`, which does not count as used.
    pub(super) fn peek_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// The entries of some keys, ascending.
    pub(super) fn range(&self, keys: RangeInclusive<K>) -> impl Iterator<Item = (&K, &V)> {
        self.entries
            .range(keys)
            .map(|(key, (_, value))| (key, value))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_least_recently_goes_first() {
        let mut recent = Recent::new(2);
        *recent.entry('a', 1) += 10;
        recent.entry('b', 2);
        assert_eq!(recent.entry('a', 0), &11);
        assert_eq!(recent.entry('a', 0), &11);
        recent.entry('c', 3);
        assert_eq!(recent.peek_mut(&'b'), None);
        assert_eq!(recent.len(), 2);
        assert_eq!(recent.peek_mut(&'a'), Some(&mut 11));
        recent.entry('d', 4);
        let left: Vec<_> = recent
            .range('a'..='z')
            .map(|(key, value)| (*key, *value))
            .collect();
        assert_eq!(left, [('c', 3), ('d', 4)]);
        assert_eq!(recent.order.len(), 2);
    }
}
