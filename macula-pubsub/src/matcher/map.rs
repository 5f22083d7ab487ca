//! A persistent map by hash.

use std::sync::Arc;

/// How many bits of a hash choose the place on one level.
const STEP: u32 = 6;

/// A hash array mapped trie: each level has a bit for each of 64 places and a slot for each bit that is set.
///
/// Items whose places on a level are the same go on to a next level. Those whose whole hashes are the same end in one
/// last level, which is searched; see [`MatchKey`](super::MatchKey). Clones share all; a change copies the levels on its
/// way as far as they are shared.
#[derive(Clone, Debug)]
pub(super) struct Map<T> {
    /// Without slots there is no level.
    top: Option<Level<T>>,
}

/// How many items are looked for at a time.
pub(super) const AT_ONCE: usize = 4;

/// How far a search has come.
enum Way<'a, T> {
    At(&'a Level<T>),
    /// An item with the hash that was looked for.
    End(&'a T),
}

impl<T> Clone for Way<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Way<'_, T> {}

#[derive(Clone, Debug)]
struct Level<T> {
    /// By place, or in no order on the last level.
    slots: Arc<[Slot<T>]>,
    present: u64,
}

#[derive(Clone, Debug)]
enum Slot<T> {
    Leaf { hash: u64, item: T },
    Next(Level<T>),
}

impl<T> Default for Map<T> {
    fn default() -> Self {
        Self { top: None }
    }
}

impl<T: Clone> Map<T> {
    #[cfg(test)]
    pub(super) const fn is_empty(&self) -> bool {
        self.top.is_none()
    }

    /// The item with this hash that `is` it.
    pub(super) fn get(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        let mut level = self.top.as_ref()?;
        let mut shift = 0;
        while let Some(bit) = bit(hash, shift) {
            match level.slots.get(level.place(bit)?)? {
                Slot::Leaf { hash: found, item } => {
                    return (*found == hash && is(item)).then_some(item);
                }
                Slot::Next(next) => level = next,
            }
            shift = shift.saturating_add(STEP);
        }
        let items = level.slots.iter().filter_map(Slot::item);
        items.into_iter().find(|item| is(item))
    }

    /// The items with these hashes, of which `is` tells whether it is the one, by the place of its hash.
    ///
    /// They are looked for together, level by level, so that what one needs comes from memory while the others wait for
    /// theirs: most of the time of a search in a large map is waiting.
    pub(super) fn get_each<'a>(
        &'a self,
        hashes: &[u64; AT_ONCE],
        count: usize,
        is: impl Fn(usize, &T) -> bool,
        mut each: impl FnMut(&'a T),
    ) {
        let Some(top) = &self.top else { return };
        let mut ways = [Some(Way::At(top)); AT_ONCE];
        let mut shift = 0;
        let mut on_the_way = true;
        while on_the_way && shift < u64::BITS {
            on_the_way = false;
            for (way, hash) in ways.iter_mut().zip(hashes).take(count) {
                let Some(Way::At(level)) = way else { continue };
                *way = level.step(*hash, shift);
                on_the_way |= matches!(way, Some(Way::At(_)));
            }
            shift = shift.saturating_add(STEP);
        }
        for (place, way) in ways.into_iter().enumerate().take(count) {
            let found = match way {
                None => None,
                Some(Way::End(item)) => Some(item).filter(|item| is(place, item)),
                Some(Way::At(last)) => {
                    let mut items = last.slots.iter().filter_map(Slot::item);
                    items.find(|item| is(place, item))
                }
            };
            if let Some(found) = found {
                each(found);
            }
        }
    }

    /// As [`get`](Self::get), to be changed; its hash has to stay.
    pub(super) fn get_mut(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&mut T> {
        self.get(hash, &is)?;
        let mut level = self.top.as_mut()?;
        let mut shift = 0;
        while let Some(bit) = bit(hash, shift) {
            let at = level.place(bit)?;
            match Arc::make_mut(&mut level.slots).get_mut(at)? {
                Slot::Leaf { item, .. } => return Some(item),
                Slot::Next(next) => level = next,
            }
            shift = shift.saturating_add(STEP);
        }
        let slots = Arc::make_mut(&mut level.slots).iter_mut();
        let items = slots.filter_map(|slot| match slot {
            Slot::Leaf { item, .. } => Some(item),
            Slot::Next(_) => None,
        });
        items.into_iter().find(|item| is(item))
    }

    /// Adds an item that is not there.
    pub(super) fn insert(&mut self, hash: u64, item: T) {
        let leaf = Slot::Leaf { hash, item };
        match &mut self.top {
            Some(top) => top.insert(hash, 0, leaf),
            None => self.top = Some(Level::of(hash, 0, leaf)),
        }
    }

    /// Removes the item that [`get`](Self::get) finds, if there is one.
    pub(super) fn remove(&mut self, hash: u64, is: impl Fn(&T) -> bool) {
        if self.get(hash, &is).is_none() {
            return;
        }
        if let Some(top) = &mut self.top {
            top.remove(hash, &is, 0);
            if top.slots.is_empty() {
                self.top = None;
            }
        }
    }

    #[cfg(test)]
    fn iter(&self) -> Box<dyn Iterator<Item = &T> + '_> {
        match &self.top {
            Some(top) => top.iter(),
            None => Box::new(std::iter::empty()),
        }
    }
}

/// The place of `hash` on the level `shift` bits deep, as a bit; `None` on the last level, which has no places.
fn bit(hash: u64, shift: u32) -> Option<u64> {
    (shift < u64::BITS).then(|| 1 << ((hash >> shift) & 63))
}

impl<T> Slot<T> {
    const fn item(&self) -> Option<&T> {
        match self {
            Self::Leaf { item, .. } => Some(item),
            Self::Next(_) => None,
        }
    }
}

impl<T: Clone> Level<T> {
    /// A level of one slot.
    fn of(hash: u64, shift: u32, slot: Slot<T>) -> Self {
        Self {
            slots: Arc::new([slot]),
            present: bit(hash, shift).unwrap_or(0),
        }
    }

    /// Where a search for a hash goes on from this level, which is not the last.
    fn step(&self, hash: u64, shift: u32) -> Option<Way<'_, T>> {
        match self.slots.get(self.place(bit(hash, shift)?)?)? {
            Slot::Next(next) => Some(Way::At(next)),
            Slot::Leaf { hash: found, item } => (*found == hash).then_some(Way::End(item)),
        }
    }

    /// Where the slot of `bit` is, if there is one.
    const fn place(&self, bit: u64) -> Option<usize> {
        if self.present & bit == 0 {
            return None;
        }
        Some(self.before(bit))
    }

    /// How many slots are before that of `bit`.
    const fn before(&self, bit: u64) -> usize {
        (self.present & bit.wrapping_sub(1)).count_ones() as usize
    }

    /// Adds a leaf that is not there.
    fn insert(&mut self, hash: u64, shift: u32, leaf: Slot<T>) {
        let Some(bit) = bit(hash, shift) else {
            return self.put(0, leaf);
        };
        let Some(at) = self.place(bit) else {
            self.put(self.before(bit), leaf);
            self.present |= bit;
            return;
        };
        let deeper = shift.saturating_add(STEP);
        match Arc::make_mut(&mut self.slots).get_mut(at) {
            Some(Slot::Next(next)) => next.insert(hash, deeper, leaf),
            Some(slot @ Slot::Leaf { .. }) => {
                let Slot::Leaf { hash: other, .. } = slot else {
                    return;
                };
                let mut next = Self::of(*other, deeper, slot.clone());
                next.insert(hash, deeper, leaf);
                *slot = Slot::Next(next);
            }
            None => {}
        }
    }

    fn put(&mut self, at: usize, slot: Slot<T>) {
        let (before, behind) = self.slots.split_at(at.min(self.slots.len()));
        let all = before.iter().cloned().chain([slot]);
        self.slots = all.chain(behind.iter().cloned()).collect();
    }

    /// Removes a leaf that is there; a level that is left with one leaf becomes it.
    fn remove(&mut self, hash: u64, is: &impl Fn(&T) -> bool, shift: u32) {
        let Some(bit) = bit(hash, shift) else {
            let is_other = |slot: &&Slot<T>| !slot.item().is_some_and(is);
            self.slots = self.slots.iter().filter(is_other).cloned().collect();
            return;
        };
        let Some(at) = self.place(bit) else { return };
        if let Some(Slot::Leaf { .. }) = self.slots.get(at) {
            let kept = self.slots.iter().enumerate();
            let kept = kept.filter(|(other, _)| *other != at);
            self.slots = kept.map(|(_, slot)| slot.clone()).collect();
            self.present &= !bit;
            return;
        }
        let slot = Arc::make_mut(&mut self.slots).get_mut(at);
        if let Some(Slot::Next(next)) = slot {
            next.remove(hash, is, shift.saturating_add(STEP));
            if let [last @ Slot::Leaf { .. }] = &*next.slots {
                let last = last.clone();
                if let Some(slot) = Arc::make_mut(&mut self.slots).get_mut(at) {
                    *slot = last;
                }
            }
        }
    }

    #[cfg(test)]
    fn iter(&self) -> Box<dyn Iterator<Item = &T> + '_> {
        Box::new(self.slots.iter().flat_map(|slot| match slot {
            Slot::Leaf { item, .. } => {
                let item: Box<dyn Iterator<Item = &T>> = Box::new(std::iter::once(item));
                item
            }
            Slot::Next(next) => next.iter(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Item(String, u32);

    #[test]
    fn slots_are_small() {
        assert_eq!(size_of::<Slot<Arc<u64>>>(), 24);
    }

    /// Hashes of which many are the same, in the first bits, in the last ones, or in all.
    fn hash_of(name: &str) -> u64 {
        match name.len() % 4 {
            0 => 7,
            1 => u64::from(name.as_bytes()[0]) << 58,
            2 => u64::from(name.as_bytes()[0]) | 1 << 63,
            _ => u64::from(name.as_bytes()[0]).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_whatever_the_hashes(
            steps in prop::collection::vec(("[a-f]{1,4}", any::<u32>(), 0_u8..3), 1..200),
        ) {
            let mut map = Map::default();
            let mut model: BTreeMap<String, u32> = BTreeMap::new();
            let mut snapshots = Vec::new();
            for (name, value, kind) in steps {
                let hash = hash_of(&name);
                let is = |item: &Item| item.0 == name;
                if kind == 0 {
                    map.remove(hash, is);
                    model.remove(&name);
                } else {
                    match map.get_mut(hash, is) {
                        Some(item) => item.1 = value,
                        None => map.insert(hash, Item(name.clone(), value)),
                    }
                    model.insert(name, value);
                }
                if value % 16 == 0 {
                    snapshots.push((map.clone(), model.clone()));
                }
            }
            snapshots.push((map, model));
            for (mut map, model) in snapshots {
                prop_assert_eq!(map.iter().count(), model.len());
                for (name, value) in &model {
                    let item = Item(name.clone(), *value);
                    prop_assert_eq!(map.get(hash_of(name), |item| item.0 == *name), Some(&item));
                }
                let names: Vec<String> = model.keys().cloned().chain(["ag".into()]).collect();
                for names in names.chunks(AT_ONCE) {
                    let mut hashes = [0; AT_ONCE];
                    for (hash, name) in hashes.iter_mut().zip(names) {
                        *hash = hash_of(name);
                    }
                    let mut found = Vec::new();
                    let is = |at: usize, item: &Item| item.0 == names[at];
                    map.get_each(&hashes, names.len(), is, |item| found.push(item.0.clone()));
                    let there = names.iter().filter(|name| model.contains_key(*name));
                    prop_assert!(found.iter().eq(there));
                }
                prop_assert_eq!(map.get(hash_of("ag"), |item| item.0 == "ag"), None);
                for name in model.keys() {
                    map.remove(hash_of(name), |item| item.0 == *name);
                }
                prop_assert!(map.is_empty());
            }
        }
    }
}
