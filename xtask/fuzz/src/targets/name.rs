//! Names: one strict form each, and the match of patterns.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use macula_wire::{NameError, NodeId, Pattern, Procedure, RealmName, Topic};

/// A topic is refused, or is written as it was read; as a pattern it matches itself.
pub fn topic(data: &[u8]) {
    if let Some(topic) = canonical(data, Topic::new) {
        assert!(Pattern::from(&topic).matches(&topic));
        assert_eq!(
            topic.segments().collect::<Vec<_>>().join("."),
            topic.as_str()
        );
        let realm = RealmName::new("be.acme.iot").expect("a realm");
        let qualified = format!("{realm}:{topic}");
        assert_eq!(Topic::in_realm(&realm, &qualified).as_ref(), Ok(&topic));
    }
}

/// A pattern is refused, or is written as it was read.
pub fn pattern(data: &[u8]) {
    if let Some(pattern) = canonical(data, Pattern::new) {
        // What is no wildcard pattern is a topic.
        let wild = pattern.as_str().contains('*');
        assert_eq!(Topic::new(pattern.as_str()).is_ok(), !wild);
    }
}

/// A procedure is refused, or is written as it was read.
pub fn procedure(data: &[u8]) {
    canonical(data, Procedure::new);
}

/// A realm is refused, or is written as it was read.
pub fn realm(data: &[u8]) {
    canonical(data, RealmName::new);
}

/// A node id is refused, or is written as it was read; any 32 bytes have a text that is read again.
pub fn node_id(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Ok(id) = text.parse::<NodeId>()
    {
        assert_eq!(id.to_string(), text);
    }
    if let Some(bytes) = data.first_chunk::<32>() {
        let id = NodeId::from_bytes(*bytes);
        assert_eq!(id.to_string().parse::<NodeId>().ok(), Some(id));
    }
}

/// A pattern matches what a naive reading of its segments matches.
///
/// Input: pattern, a line feed, topic.
pub fn pattern_match(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Some((pattern, topic)) = text.split_once('\n') else {
        return;
    };
    let (Ok(pattern), Ok(topic)) = (Pattern::new(pattern), Topic::new(topic)) else {
        return;
    };
    let wanted: Vec<&str> = pattern.as_str().split('.').collect();
    let found: Vec<&str> = topic.as_str().split('.').collect();
    let hidden = topic.is_reserved() && pattern.as_str().starts_with('*');
    assert_eq!(pattern.matches(&topic), !hidden && naive(&wanted, &found));
}

fn naive(pattern: &[&str], topic: &[&str]) -> bool {
    match (pattern, topic) {
        ([], []) | (["**"], _) => true,
        ([wanted, pattern @ ..], [found, topic @ ..]) => {
            (*wanted == "*" || wanted == found) && naive(pattern, topic)
        }
        _ => false,
    }
}

/// The name in `data`, after checking that its text is its only spelling.
fn canonical<T>(data: &[u8], read: fn(&str) -> Result<T, NameError>) -> Option<T>
where
    T: Display + Debug + PartialEq + FromStr<Err = NameError>,
{
    let text = str::from_utf8(data).ok()?;
    let name = read(text);
    assert_eq!(text.parse::<T>(), name);
    let name = name.ok()?;
    assert_eq!(name.to_string(), text);
    Some(name)
}
