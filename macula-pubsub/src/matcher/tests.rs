//! The matcher agrees with the definition, whatever meets.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

fn found(matcher: &Matcher<u32>, topic: &str) -> Vec<u32> {
    let mut out = Vec::new();
    matcher.for_each_match(&Topic::new(topic).unwrap(), |value| out.push(*value));
    out.sort_unstable();
    out
}

fn of(patterns: &[&str]) -> Matcher<u32> {
    let mut matcher = Matcher::default();
    for (value, text) in (0..).zip(patterns) {
        assert!(matcher.insert(&pattern(text), value));
    }
    matcher
}

#[test]
fn every_kind_of_segment_is_followed() {
    let matcher = of(&["a.b", "a.*", "a.**", "*.b", "**", "a.b.**", "a.*.c", "b"]);
    assert_eq!(found(&matcher, "a.b"), [0, 1, 2, 3, 4, 5]);
    assert_eq!(found(&matcher, "a"), [2, 4]);
    assert_eq!(found(&matcher, "a.x.c"), [2, 4, 6]);
    assert_eq!(found(&matcher, "b"), [4, 7]);
}

#[test]
fn wildcards_at_the_start_never_reach_reserved_topics() {
    let matcher = of(&["**", "*.x", "$sys.*", "$sys.**", "$sys.x"]);
    assert_eq!(found(&matcher, "$sys.x"), [2, 3, 4]);
    assert_eq!(found(&matcher, "sys.x"), [0, 1]);
}

#[test]
fn topics_and_patterns_of_the_most_segments_are_matched() {
    let longest = ["a"; 16].join(".");
    let open = format!("{}.*", ["a"; 15].join("."));
    let ending = format!("{}.**", ["*"; 15].join("."));
    let matcher = of(&[&longest, &open, &ending, "a.**"]);
    assert_eq!(found(&matcher, &longest), [0, 1, 2, 3]);
    assert_eq!(found(&matcher, &["a"; 15].join(".")), [2, 3]);
}

#[test]
fn every_shape_is_asked_for_however_many_there_are() {
    // With a wildcard at any of four places behind the first, and with an end that is open or not: 32 shapes.
    let texts = (0_u8..32).map(|bits| {
        let places = (0..4).map(|place| if bits >> place & 1 == 1 { "*" } else { "b" });
        let end = if bits & 16 == 16 { Some("**") } else { None };
        let segments: Vec<&str> = ["a"].into_iter().chain(places).chain(end).collect();
        segments.join(".")
    });
    let texts: Vec<String> = texts.collect();
    for count in 1..=texts.len() {
        let patterns: Vec<&str> = texts.iter().take(count).map(String::as_str).collect();
        let all: Vec<u32> = (0..).take(count).collect();
        assert_eq!(found(&of(&patterns), "a.b.b.b.b"), all);
    }
}

#[test]
fn segments_count_where_they_are() {
    let matcher = of(&["a.b", "b.a", "a.*", "*.a", "*.*.a", "a.**"]);
    assert_eq!(found(&matcher, "a.b"), [0, 2, 5]);
    assert_eq!(found(&matcher, "b.a"), [1, 3]);
}

#[test]
fn what_was_removed_leaves_nothing_behind() {
    let mut matcher = Matcher::default();
    assert!(matcher.insert(&pattern("a.*.c"), 1));
    assert!(!matcher.insert(&pattern("a.*.c"), 1));
    assert!(matcher.insert(&pattern("a.*.c"), 2));
    assert!(!matcher.remove(&pattern("a.*.c"), &3));
    assert!(!matcher.remove(&pattern("a.b.c"), &1));
    assert!(matcher.remove(&pattern("a.*.c"), &1));
    assert_eq!((matcher.len(), found(&matcher, "a.b.c")), (1, vec![2]));
    assert!(!matcher.remove(&pattern("a.*.c"), &1));
    assert!(matcher.remove(&pattern("a.*.c"), &2));
    assert!(matcher.is_empty());
}

#[test]
fn a_clone_does_not_see_later_changes() {
    let mut matcher = Matcher::default();
    matcher.insert(&pattern("a.b"), 1);
    matcher.insert(&pattern("c.d"), 1);
    let snapshot = matcher.clone();
    matcher.insert(&pattern("a.b"), 2);
    matcher.remove(&pattern("a.b"), &1);
    assert_eq!(found(&snapshot, "a.b"), [1]);
    assert_eq!(found(&matcher, "a.b"), [2]);
}

#[test]
fn clones_share_what_did_not_change() {
    let patterns: Vec<Pattern> = (0..5_000).map(|n| pattern(&format!("a.{n}"))).collect();
    let mut matcher = Matcher::default();
    for pattern in &patterns {
        matcher.insert(pattern, 1);
    }
    let snapshot = matcher.clone();
    matcher.insert(&patterns[0], 2);
    let entry = |matcher: &Matcher<u32>, pattern: &Pattern| {
        let (_, hash) = Shape::of(matcher.key, pattern);
        let entry = matcher
            .patterns
            .get(hash, |entry| entry.pattern == *pattern);
        std::ptr::from_ref(entry.unwrap())
    };
    let copied = patterns.iter();
    let copied = copied.filter(|pattern| entry(&matcher, pattern) != entry(&snapshot, pattern));
    assert!((1..=3 * 64).contains(&copied.count()));
}

/// A question is asked for each shape, so a match must not ask for those that are gone.
#[test]
fn shapes_are_known_as_long_as_a_pattern_has_them() {
    let mut matcher = of(&["a.b", "a.c", "a.*", "*.b"]);
    let shapes = |matcher: &Matcher<u32>| {
        let hash = matcher.key.hash(b"a");
        let start = matcher.starts.get(hash, |start| &*start.segment == "a");
        let literal = start.map_or(0, |start| start.shapes.iter().count());
        (literal, matcher.open.iter().count())
    };
    assert_eq!(shapes(&matcher), (2, 1));
    matcher.remove(&pattern("a.b"), &0);
    assert_eq!(shapes(&matcher), (2, 1));
    matcher.remove(&pattern("a.c"), &1);
    assert_eq!(shapes(&matcher), (1, 1));
    matcher.remove(&pattern("a.*"), &2);
    matcher.remove(&pattern("*.b"), &3);
    assert_eq!(shapes(&matcher), (0, 0));
}

fn topics() -> impl Strategy<Value = Topic> {
    let segments = prop::collection::vec("[abc]", 1..6);
    let segments = prop_oneof![9 => segments, 1 => prop::collection::vec("[ab]", 16)];
    (segments, any::<bool>()).prop_map(|(segments, reserved)| {
        let dollar = if reserved { "$" } else { "" };
        Topic::new(&format!("{dollar}{}", segments.join("."))).unwrap()
    })
}

/// Patterns near the topics: segments replaced by `*`, the end by `**`.
fn patterns() -> impl Strategy<Value = Pattern> {
    (topics(), any::<u16>(), any::<bool>()).prop_map(|(topic, stars, tail)| {
        let segments = topic.segments().take(if tail { 15 } else { 16 });
        let segments = segments.enumerate();
        let mut segments: Vec<&str> = segments
            .map(|(at, segment)| if stars >> at & 1 == 1 { "*" } else { segment })
            .collect();
        if tail {
            segments.push("**");
        }
        pattern(&segments.join("."))
    })
}

/// Keys, some of which make all hashes the same, or the first bits of them.
fn keys() -> impl Strategy<Value = MatchKey> {
    let hidden = prop_oneof![Just(0), Just(u64::MAX), Just(0xfff_ffff)];
    (any::<[u8; 16]>(), hidden).prop_map(|(bytes, hidden)| {
        let mut key = MatchKey::from_bytes(bytes);
        key.hidden = hidden;
        key
    })
}

proptest! {
    /// Insertions and removals in any order leave what agrees with the definition, and so do the clones on the way.
    #[test]
    fn it_agrees_with_the_definition(
        key in keys(),
        steps in prop::collection::vec((patterns(), 0_u32..3, 0_u8..3), 0..80),
        topics in prop::collection::vec(topics(), 1..20),
        at in 0_usize..80,
    ) {
        let mut matcher = Matcher::new(key);
        let mut kept = BTreeSet::new();
        let mut snapshot = (matcher.clone(), kept.clone());
        for (step, (pattern, value, kind)) in steps.into_iter().enumerate() {
            if step == at {
                snapshot = (matcher.clone(), kept.clone());
            }
            if kind == 0 {
                let removed = matcher.remove(&pattern, &value);
                prop_assert_eq!(removed, kept.remove(&(pattern, value)));
            } else {
                let added = matcher.insert(&pattern, value);
                prop_assert_eq!(added, kept.insert((pattern, value)));
            }
        }
        for (mut matcher, kept) in [snapshot, (matcher, kept)] {
            prop_assert_eq!(matcher.len(), kept.len());
            for topic in &topics {
                let mut expected: Vec<u32> = kept
                    .iter()
                    .filter(|(pattern, _)| pattern.matches(topic))
                    .map(|(_, value)| *value)
                    .collect();
                expected.sort_unstable();
                prop_assert_eq!(found(&matcher, topic.as_str()), expected, "{}", topic);
            }
            for (pattern, value) in kept {
                prop_assert!(matcher.remove(&pattern, &value));
            }
            prop_assert!(matcher.is_empty());
        }
    }
}
