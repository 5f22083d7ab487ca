//! Names as texts, and what patterns match.

use macula_wire::{NameError, NodeId, Pattern, PatternSegment, Procedure, RealmName, Topic};
use serde_json::{Map, Value, json};

use super::{read, text};
use crate::to_hex;

const VALID: &[(&str, &str)] = &[
    ("topic", "a"),
    ("topic", "home.42.measured"),
    ("topic", "A-b_c.D"),
    ("topic", "-._"),
    ("topic", "$sys.members"),
    ("topic", "$sys"),
    ("topic", "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a"),
    ("procedure", "temperature.latest_v1"),
    ("procedure", "$sys.node"),
    ("pattern", "home.42.measured"),
    ("pattern", "home.*.measured"),
    ("pattern", "home.**"),
    ("pattern", "home.*.**"),
    ("pattern", "*"),
    ("pattern", "**"),
    ("pattern", "$sys.*"),
    ("pattern", "$sys.**"),
    ("realm", "be.acme"),
    ("realm", "be.acme.iot"),
    ("realm", "io.0x-1"),
    (
        "node id",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    ),
];

const INVALID: &[(&str, &str, &str)] = &[
    ("topic", "", "empty_segment"),
    ("topic", ".a", "empty_segment"),
    ("topic", "a.", "empty_segment"),
    ("topic", "a..b", "empty_segment"),
    ("topic", "$", "empty_segment"),
    ("topic", "a.*", "wildcard"),
    ("topic", "**", "wildcard"),
    ("topic", "a b", "character"),
    ("topic", "a\u{7}", "character"),
    ("topic", "a/b", "character"),
    ("topic", "caf\u{e9}", "character"),
    ("topic", "be.acme:a", "character"),
    ("topic", "a.$b", "reserved"),
    ("topic", "$$a", "reserved"),
    (
        "topic",
        "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a",
        "too_many_segments",
    ),
    ("procedure", "a.*", "wildcard"),
    ("procedure", "", "empty_segment"),
    ("pattern", "a.**.b", "wildcard"),
    ("pattern", "a.***", "wildcard"),
    ("pattern", "a.b*", "wildcard"),
    ("pattern", "$*.a", "wildcard"),
    ("pattern", "a..*", "empty_segment"),
    ("realm", "acme", "empty_segment"),
    ("realm", "be.Acme", "character"),
    ("realm", "be.-acme", "character"),
    ("realm", "be.acme-", "character"),
    ("realm", "be.a_b", "character"),
    ("realm", "be..acme", "empty_segment"),
    ("node id", "0001", "length"),
    (
        "node id",
        "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
        "character",
    ),
];

const TOPICS: &[&str] = &[
    "home",
    "home.42",
    "home.42.measured",
    "home.42.measured.raw",
    "homes.42.measured",
    "office",
    "$sys",
    "$sys.node",
    "$sys.node.up",
];

fn error_name(error: NameError) -> &'static str {
    match error {
        NameError::Character { .. } => "character",
        NameError::EmptySegment { .. } => "empty_segment",
        NameError::Length { .. } => "length",
        NameError::Reserved { .. } => "reserved",
        NameError::TooManySegments { .. } => "too_many_segments",
        NameError::Wildcard { .. } => "wildcard",
        other => panic!("{other:?} has no name here"),
    }
}

/// What a text of this kind means.
fn fields(kind: &str, text: &str) -> Result<Value, NameError> {
    let segments: Vec<&str> = text.split('.').collect();
    Ok(match kind {
        "topic" => json!({"segments": segments, "reserved": Topic::new(text)?.is_reserved()}),
        "procedure" => {
            json!({"segments": segments, "reserved": Procedure::new(text)?.is_reserved()})
        }
        "pattern" => {
            let pattern = Pattern::new(text)?;
            let segments: Vec<Value> = pattern.segments().map(segment).collect();
            let matched = |topic: &&&str| pattern.matches(&Topic::new(topic).unwrap());
            let (hits, misses): (Vec<&str>, Vec<&str>) =
                TOPICS.iter().partition(|topic| matched(topic));
            json!({"segments": segments, "matches": hits, "does_not_match": misses})
        }
        "realm" => json!({"labels": RealmName::new(text).map(|_| segments)?}),
        "node id" => json!({"bytes": to_hex(text.parse::<NodeId>()?.as_bytes())}),
        other => panic!("{other} is no kind of name"),
    })
}

fn segment(segment: PatternSegment<'_>) -> Value {
    match segment {
        PatternSegment::Literal(text) => json!({"literal": text}),
        PatternSegment::One => "one".into(),
        PatternSegment::Tail => "tail".into(),
    }
}

fn vector(kind: &str, text: &str, outcome: Result<Value, &str>) -> Value {
    let mut vector = Map::new();
    let shown: String = text.chars().take(24).collect();
    let name = match text.len() {
        0..=24 => format!("{kind} {shown:?}"),
        length => format!("{kind} {shown:?}.. of {length} bytes"),
    };
    vector.insert("name".into(), name.into());
    vector.insert("kind".into(), kind.into());
    vector.insert("text".into(), text.into());
    vector.insert("hex".into(), to_hex(text.as_bytes()).into());
    vector.insert("valid".into(), outcome.is_ok().into());
    match outcome {
        Ok(fields) => vector.insert("fields".into(), fields),
        Err(error) => vector.insert("error".into(), error.into()),
    };
    vector.into()
}

pub(super) fn vectors() -> Vec<Value> {
    let longest = "x".repeat(255);
    let valid = VALID.iter().copied();
    let valid = valid.chain([("topic", longest.as_str())]);
    let valid = valid.map(|(kind, text)| vector(kind, text, Ok(fields(kind, text).unwrap())));
    let too_long = "x".repeat(256);
    let label = format!("be.{}", "x".repeat(64));
    let invalid = INVALID.iter().copied();
    let invalid = invalid.chain([
        ("topic", too_long.as_str(), "length"),
        ("pattern", too_long.as_str(), "length"),
        ("realm", label.as_str(), "length"),
    ]);
    let invalid = invalid.map(|(kind, text, error)| vector(kind, text, Err(error)));
    valid.chain(invalid).collect()
}

#[test]
fn names_are_accepted_and_refused_as_the_file_says() {
    for vector in read("names.json") {
        let (kind, name) = (text(&vector, "kind"), text(&vector, "text"));
        assert_eq!(to_hex(name.as_bytes()), text(&vector, "hex"));
        match fields(kind, name) {
            Ok(fields) => assert_eq!(fields, vector["fields"], "{kind} {name:?}"),
            Err(error) => assert_eq!(error_name(error), text(&vector, "error"), "{kind} {name:?}"),
        }
    }
}

/// The matches in the file against a naive reading of the segments.
#[test]
fn matches_in_the_file_are_those_of_the_rule() {
    let vectors = read("names.json");
    let patterns = vectors.iter().filter(|vector| vector["kind"] == "pattern");
    let mut seen = 0;
    for vector in patterns.filter(|vector| vector["valid"] == true) {
        let pattern: Vec<&str> = text(vector, "text").split('.').collect();
        for (list, expected) in [("matches", true), ("does_not_match", false)] {
            for topic in vector["fields"][list].as_array().unwrap() {
                let topic: Vec<&str> = topic.as_str().unwrap().split('.').collect();
                let hidden = topic[0].starts_with('$') && pattern[0].starts_with('*');
                assert_eq!(
                    !hidden && naive(&pattern, &topic),
                    expected,
                    "{pattern:?} {topic:?}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen >= 50, "{seen}");
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
