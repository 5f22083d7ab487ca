//! The match tree: from a topic to everything that is kept under a pattern that matches it.

use std::collections::BTreeMap;
use std::sync::Arc;

use macula_wire::{Pattern, PatternSegment, Topic};

/// Values under patterns, found by topic. A value is kept once under a pattern.
///
/// Cloning shares the whole tree. A change copies the nodes from the root to where it happens, as far as a clone shares
/// them: a snapshot costs nothing, and the first change after it the children maps along one path.
///
/// A match visits the nodes whose path matches a beginning of the topic, so it costs O(log children) for each literal
/// step; a `*` beside a literal makes two steps of one, which is bounded by the patterns that match.
#[derive(Clone, Debug)]
pub(crate) struct Trie<V> {
    root: Arc<Node<V>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Node<V> {
    /// By the next segment.
    children: BTreeMap<Arc<str>, Arc<Self>>,
    /// Behind `*`.
    one: Option<Arc<Self>>,
    /// Of patterns that end here, ascending.
    exact: Vec<V>,
    /// Of patterns that end here with `**`, ascending.
    tail: Vec<V>,
}

impl<V> Default for Node<V> {
    fn default() -> Self {
        Self {
            children: BTreeMap::new(),
            one: None,
            exact: Vec::new(),
            tail: Vec::new(),
        }
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self {
            root: Arc::default(),
            len: 0,
        }
    }
}

impl<V: Clone + Ord> Trie<V> {
    /// Keeps `value` under `pattern`; `false` if it is there already.
    pub(crate) fn insert(&mut self, pattern: &Pattern, value: V) -> bool {
        let added = insert_into(&mut self.root, pattern.segments(), value);
        self.len = self.len.saturating_add(usize::from(added));
        added
    }

    /// No longer keeps `value` under `pattern`; `false` if it is not there.
    pub(crate) fn remove(&mut self, pattern: &Pattern, value: &V) -> bool {
        let removed = remove_from(&mut self.root, pattern.segments(), value);
        self.len = self.len.saturating_sub(usize::from(removed));
        removed
    }

    /// Appends what is kept under the patterns that match `topic`; in no order, and doubled where several match.
    pub(crate) fn matches_into(&self, topic: &Topic, out: &mut Vec<V>) {
        collect(&self.root, topic.segments(), !topic.is_reserved(), out);
    }

    /// How many values are kept, each counted for each of its patterns.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

impl<V> Node<V> {
    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.one.is_none()
            && self.exact.is_empty()
            && self.tail.is_empty()
    }
}

fn insert_into<'a, V: Clone + Ord>(
    root: &mut Arc<Node<V>>,
    segments: impl Iterator<Item = PatternSegment<'a>>,
    value: V,
) -> bool {
    let mut node = Arc::make_mut(root);
    for segment in segments {
        let child = match segment {
            PatternSegment::Tail => return insert_sorted(&mut node.tail, value),
            PatternSegment::One => node.one.get_or_insert_default(),
            PatternSegment::Literal(text) => {
                if !node.children.contains_key(text) {
                    node.children.insert(text.into(), Arc::default());
                }
                match node.children.get_mut(text) {
                    Some(child) => child,
                    None => return false,
                }
            }
        };
        node = Arc::make_mut(child);
    }
    insert_sorted(&mut node.exact, value)
}

fn remove_from<'a, V: Clone + Ord>(
    node: &mut Arc<Node<V>>,
    mut segments: impl Iterator<Item = PatternSegment<'a>>,
    value: &V,
) -> bool {
    let node = Arc::make_mut(node);
    // A pattern has at most 16 segments, so the recursion is that deep.
    match segments.next() {
        None => remove_sorted(&mut node.exact, value),
        Some(PatternSegment::Tail) => remove_sorted(&mut node.tail, value),
        Some(PatternSegment::One) => {
            let Some(child) = &mut node.one else {
                return false;
            };
            let removed = remove_from(child, segments, value);
            if child.is_empty() {
                node.one = None;
            }
            removed
        }
        Some(PatternSegment::Literal(text)) => {
            let Some(child) = node.children.get_mut(text) else {
                return false;
            };
            let removed = remove_from(child, segments, value);
            if child.is_empty() {
                node.children.remove(text);
            }
            removed
        }
    }
}

/// `wild` says whether a wildcard may match at this place, which it may not at the start of a reserved topic.
fn collect<'a, V: Clone>(
    node: &Node<V>,
    mut rest: impl Iterator<Item = &'a str> + Clone,
    wild: bool,
    out: &mut Vec<V>,
) {
    if wild {
        out.extend_from_slice(&node.tail);
    }
    let Some(segment) = rest.next() else {
        out.extend_from_slice(&node.exact);
        return;
    };
    if let Some(child) = node.children.get(segment) {
        collect(child, rest.clone(), true, out);
    }
    if let Some(child) = node.one.as_ref().filter(|_| wild) {
        collect(child, rest, true, out);
    }
}

fn insert_sorted<V: Ord>(values: &mut Vec<V>, value: V) -> bool {
    match values.binary_search(&value) {
        Ok(_) => false,
        Err(at) => {
            // Most patterns have one value: grow from one, not from four.
            values.reserve_exact(usize::from(values.is_empty()));
            values.insert(at, value);
            true
        }
    }
}

fn remove_sorted<V: Ord>(values: &mut Vec<V>, value: &V) -> bool {
    match values.binary_search(value) {
        Ok(at) => {
            values.remove(at);
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    fn found(trie: &Trie<u32>, topic: &str) -> Vec<u32> {
        let mut out = Vec::new();
        trie.matches_into(&Topic::new(topic).unwrap(), &mut out);
        out.sort_unstable();
        out
    }

    #[test]
    fn every_kind_of_segment_is_followed() {
        let mut trie = Trie::default();
        for (value, text) in ["a.b", "a.*", "a.**", "*.b", "**", "a.b.**", "a.*.c", "b"]
            .into_iter()
            .enumerate()
        {
            assert!(trie.insert(&pattern(text), u32::try_from(value).unwrap()));
        }
        assert_eq!(found(&trie, "a.b"), [0, 1, 2, 3, 4, 5]);
        assert_eq!(found(&trie, "a"), [2, 4]);
        assert_eq!(found(&trie, "a.x.c"), [2, 4, 6]);
        assert_eq!(found(&trie, "b"), [4, 7]);
    }

    #[test]
    fn wildcards_at_the_start_never_reach_reserved_topics() {
        let mut trie = Trie::default();
        for (value, text) in ["**", "*.x", "$sys.*", "$sys.**", "$sys.x"]
            .into_iter()
            .enumerate()
        {
            trie.insert(&pattern(text), u32::try_from(value).unwrap());
        }
        assert_eq!(found(&trie, "$sys.x"), [2, 3, 4]);
        assert_eq!(found(&trie, "sys.x"), [0, 1]);
    }

    #[test]
    fn what_was_removed_leaves_nothing_behind() {
        let mut trie = Trie::default();
        assert!(trie.insert(&pattern("a.*.c"), 1));
        assert!(!trie.insert(&pattern("a.*.c"), 1));
        assert!(trie.insert(&pattern("a.*.c"), 2));
        assert!(!trie.remove(&pattern("a.*.c"), &3));
        assert!(!trie.remove(&pattern("a.b.c"), &1));
        assert!(trie.remove(&pattern("a.*.c"), &1));
        assert_eq!((trie.len(), found(&trie, "a.b.c")), (1, vec![2]));
        assert!(trie.remove(&pattern("a.*.c"), &2));
        assert!(trie.root.is_empty());
    }

    #[test]
    fn a_clone_does_not_see_later_changes() {
        let mut trie = Trie::default();
        trie.insert(&pattern("a.b"), 1);
        trie.insert(&pattern("c.d"), 1);
        let snapshot = trie.clone();
        trie.insert(&pattern("a.b"), 2);
        trie.remove(&pattern("a.b"), &1);
        assert_eq!(found(&snapshot, "a.b"), [1]);
        assert_eq!(found(&trie, "a.b"), [2]);
        let shared = |trie: &Trie<u32>| Arc::as_ptr(&trie.root.children["c"]);
        assert_eq!(shared(&snapshot), shared(&trie));
    }

    fn segments() -> impl Strategy<Value = Vec<&'static str>> {
        proptest::collection::vec(
            prop_oneof!["a", "b", "c"].prop_map(|text: String| match text.as_str() {
                "a" => "a",
                "b" => "b",
                _ => "c",
            }),
            1..5,
        )
    }

    fn topics() -> impl Strategy<Value = Topic> {
        (segments(), any::<bool>()).prop_map(|(segments, reserved)| {
            let dollar = if reserved { "$" } else { "" };
            Topic::new(&format!("{dollar}{}", segments.join("."))).unwrap()
        })
    }

    /// Patterns near the topics: segments replaced by `*`, the end by `**`.
    fn patterns() -> impl Strategy<Value = Pattern> {
        (topics(), any::<u8>(), any::<bool>()).prop_map(|(topic, stars, tail)| {
            let mut segments: Vec<&str> = topic
                .segments()
                .enumerate()
                .map(|(at, segment)| if stars >> at & 1 == 1 { "*" } else { segment })
                .collect();
            if tail {
                segments.push("**");
            }
            pattern(&segments.join("."))
        })
    }

    proptest! {
        /// Insertions and removals in any order leave a tree that agrees with the definition.
        #[test]
        fn the_tree_agrees_with_the_definition(
            steps in proptest::collection::vec((patterns(), 0_u32..3, 0_u8..3), 0..60),
            topics in proptest::collection::vec(topics(), 1..20),
        ) {
            let mut trie = Trie::default();
            let mut kept = BTreeSet::new();
            for (pattern, value, kind) in steps {
                if kind == 0 {
                    let removed = trie.remove(&pattern, &value);
                    prop_assert_eq!(removed, kept.remove(&(pattern, value)));
                } else {
                    let added = trie.insert(&pattern, value);
                    prop_assert_eq!(added, kept.insert((pattern, value)));
                }
            }
            prop_assert_eq!(trie.len(), kept.len());
            for topic in topics {
                let mut expected: Vec<u32> = kept
                    .iter()
                    .filter(|(pattern, _)| pattern.matches(&topic))
                    .map(|(_, value)| *value)
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(found(&trie, topic.as_str()), expected, "{}", topic);
            }
            for (pattern, value) in kept {
                prop_assert!(trie.remove(&pattern, &value));
            }
            prop_assert!(trie.root.is_empty());
        }
    }
}
