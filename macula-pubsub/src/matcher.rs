//! The matcher: from a topic to everything that is kept under a pattern that matches it.

mod key;
mod map;
mod shape;
mod topic;
mod values;

use std::sync::Arc;

use macula_wire::{Pattern, PatternSegment, Topic};

pub use self::key::MatchKey;
use self::map::{AT_ONCE, Map};
use self::shape::{Shape, Shapes};
use self::topic::Hashed;
use self::values::Values;

/// Values under patterns, found by topic. A value is kept once under a pattern.
///
/// Patterns lie in one map, by the hash of their literal segments with their places and of their [`Shape`]: which places
/// are open, and whether a `**` ends them. A topic has one such hash for each shape, so a match asks the map once for
/// each shape that a pattern has at all; where patterns are written by programs, those are few. The shapes are kept
/// apart by the first segment, so that odd ones somewhere cost nothing elsewhere.
///
/// In the worst case a match costs as many questions as there are shapes behind the first segment of the topic and
/// behind wildcards; a tree of segments visits as many nodes for a topic whose own patterns are the odd ones.
///
/// Cloning shares everything. A change copies a few slots of the maps on its way, as far as a clone shares them: a
/// snapshot costs nothing, and the first change after it some hundred bytes.
#[derive(Clone, Debug)]
pub(crate) struct Matcher<V> {
    key: MatchKey,
    patterns: Map<Entry<V>>,
    /// Of patterns that start with a literal segment, by that.
    starts: Map<Arc<Start>>,
    /// Of patterns that start with a wildcard.
    open: Shapes,
    len: usize,
}

/// A pattern and what is kept under it.
#[derive(Clone, Debug)]
struct Entry<V> {
    pattern: Pattern,
    values: Values<V>,
}

/// The shapes of the patterns that start with one segment.
#[derive(Clone, Debug)]
struct Start {
    segment: Box<str>,
    shapes: Shapes,
}

impl<V> Matcher<V> {
    /// An empty one whose hashes are those of `key`.
    pub(crate) fn new(key: MatchKey) -> Self {
        Self {
            key,
            patterns: Map::default(),
            starts: Map::default(),
            open: Shapes::default(),
            len: 0,
        }
    }

    /// How many values are kept, each counted for each of its patterns.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

impl<V> Default for Matcher<V> {
    fn default() -> Self {
        Self::new(MatchKey::default())
    }
}

impl<V: Clone + Ord> Matcher<V> {
    /// Keeps `value` under `pattern`; `false` if it is there already.
    pub(crate) fn insert(&mut self, pattern: &Pattern, value: V) -> bool {
        let (shape, hash) = Shape::of(self.key, pattern);
        let is = |entry: &Entry<V>| entry.pattern == *pattern;
        if let Some(entry) = self.patterns.get_mut(hash, is) {
            let added = entry.values.insert(value);
            self.len = self.len.saturating_add(usize::from(added));
            return added;
        }
        let values = Values::One(value);
        let pattern = pattern.clone();
        self.change_shapes(&pattern, |shapes| shapes.add(shape));
        self.patterns.insert(hash, Entry { pattern, values });
        self.len = self.len.saturating_add(1);
        true
    }

    /// No longer keeps `value` under `pattern`; `false` if it is not there.
    pub(crate) fn remove(&mut self, pattern: &Pattern, value: &V) -> bool {
        let (shape, hash) = Shape::of(self.key, pattern);
        let is = |entry: &Entry<V>| entry.pattern == *pattern;
        let Some(entry) = self.patterns.get(hash, is) else {
            return false;
        };
        match entry.values.as_slice() {
            [only] if only == value => {
                self.patterns.remove(hash, is);
                self.change_shapes(pattern, |shapes| shapes.remove(shape));
            }
            values if values.binary_search(value).is_err() => return false,
            _ => {
                if let Some(entry) = self.patterns.get_mut(hash, is) {
                    entry.values.remove(value);
                }
            }
        }
        self.len = self.len.saturating_sub(1);
        true
    }

    /// Hands out what is kept under the patterns that match `topic`; in no order, and doubled where several match.
    pub(crate) fn for_each_match(&self, topic: &Topic, mut each: impl FnMut(&V)) {
        let topic = Hashed::new(self.key, topic);
        let (first, hash) = topic.first();
        let start = self
            .starts
            .get(hash, |start| start.segment.as_bytes() == first);
        if let Some(start) = start {
            self.ask(&start.shapes, &topic, &mut each);
        }
        if !topic.is_reserved() {
            self.ask(&self.open, &topic, &mut each);
        }
    }

    fn ask(&self, shapes: &Shapes, topic: &Hashed<'_>, each: &mut impl FnMut(&V)) {
        let mut fitting = shapes.iter().filter(|shape| shape.fits(topic.len()));
        while !shapes.is_empty() {
            let (mut some, mut hashes, mut count) = ([None; AT_ONCE], [0; AT_ONCE], 0_usize);
            for ((place, hash), shape) in some.iter_mut().zip(&mut hashes).zip(fitting.by_ref()) {
                *place = Some(shape);
                *hash = shape.hash(topic);
                count = count.saturating_add(1);
            }
            if count == 0 {
                return;
            }
            let is = |at: usize, entry: &Entry<V>| {
                let shape = some.get(at).copied().flatten();
                shape.is_some_and(|shape| shape.makes(topic, &entry.pattern))
            };
            self.patterns.get_each(&hashes, count, is, |entry| {
                entry.values.as_slice().iter().for_each(&mut *each);
            });
            if count < AT_ONCE {
                return;
            }
        }
    }

    /// Changes the shapes of the patterns that start as `pattern` does.
    fn change_shapes(&mut self, pattern: &Pattern, change: impl FnOnce(&mut Shapes)) {
        let Some(PatternSegment::Literal(first)) = pattern.segments().next() else {
            return change(&mut self.open);
        };
        let hash = self.key.hash(first.as_bytes());
        let is = |start: &Arc<Start>| *start.segment == *first;
        if self.starts.get(hash, is).is_none() {
            let (segment, shapes) = (first.into(), Shapes::default());
            self.starts
                .insert(hash, Arc::new(Start { segment, shapes }));
        }
        let Some(start) = self.starts.get_mut(hash, is) else {
            return;
        };
        let shapes = &mut Arc::make_mut(start).shapes;
        change(shapes);
        if shapes.is_empty() {
            self.starts.remove(hash, is);
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.len == 0 && self.patterns.is_empty() && self.starts.is_empty() && self.open.is_empty()
    }
}

#[cfg(test)]
mod tests;
