//! The golden bytes: files that every implementation reads, and the table that they are written from.
//!
//! `MACULA_BLESS=1` writes the files anew. A vector that changes is a change of the protocol.

mod calls;
mod events;
mod invalid;
mod membership;
mod names;
mod overlay;
mod routing;
mod session;
mod trees;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Once;

use bytes::Bytes;
use macula_wire::{DecodeError, Kind, Message};
use serde_json::{Map, Value};

use crate::{decode, from_hex, render, to_hex};

/// A message and what the vector is called.
struct Sample {
    name: String,
    message: Message,
}

fn sample(name: &str, message: impl Into<Message>) -> Sample {
    Sample {
        name: name.to_owned(),
        message: message.into(),
    }
}

/// Bytes that have to be refused, by hand.
struct Refusal {
    name: String,
    hex: String,
    error: String,
}

/// A file and the two halves of its table.
struct File {
    name: &'static str,
    samples: fn() -> Vec<Sample>,
    refusals: fn() -> Vec<Refusal>,
}

const FILES: &[File] = &[
    File {
        name: "session.json",
        samples: session::samples,
        refusals: invalid::session,
    },
    File {
        name: "events.json",
        samples: events::samples,
        refusals: invalid::events,
    },
    File {
        name: "trees.json",
        samples: trees::samples,
        refusals: invalid::trees,
    },
    File {
        name: "calls.json",
        samples: calls::samples,
        refusals: invalid::calls,
    },
    File {
        name: "membership.json",
        samples: membership::samples,
        refusals: invalid::membership,
    },
    File {
        name: "overlay.json",
        samples: overlay::samples,
        refusals: invalid::overlay,
    },
    File {
        name: "routing.json",
        samples: routing::samples,
        refusals: invalid::routing,
    },
];

fn path(file: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests").join("vectors").join(file)
}

fn read(file: &str) -> Vec<Value> {
    static BLESSED: Once = Once::new();
    if std::env::var_os("MACULA_BLESS").is_some_and(|value| value == "1") {
        BLESSED.call_once(|| tables().iter().for_each(|(file, table)| write(file, table)));
    }
    let text = std::fs::read_to_string(path(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key]
        .as_str()
        .unwrap_or_else(|| panic!("{vector} has no text `{key}`"))
}

/// The name of an error in the files.
fn error_name(error: DecodeError) -> &'static str {
    match error {
        DecodeError::Flags { .. } => "flags",
        DecodeError::Invalid { .. } => "invalid",
        DecodeError::Name(_) => "name",
        DecodeError::NotCanonical => "not_canonical",
        DecodeError::TooLarge { .. } => "too_large",
        DecodeError::TrailingBytes { .. } => "trailing_bytes",
        DecodeError::UnexpectedEnd => "unexpected_end",
        DecodeError::UnknownExtension { .. } => "unknown_extension",
        DecodeError::UnknownKind { .. } => "unknown_kind",
        DecodeError::Utf8 => "utf8",
        DecodeError::Version { .. } => "version",
        other => panic!("{other:?} has no name here"),
    }
}

fn of_sample(sample: &Sample) -> Value {
    let message = &sample.message;
    let bytes = message
        .to_bytes()
        .unwrap_or_else(|error| panic!("{}: {error}", sample.name));
    let mut vector = Map::new();
    vector.insert("name".into(), sample.name.as_str().into());
    vector.insert("message".into(), message.kind().name().into());
    vector.insert("valid".into(), true.into());
    vector.insert("hex".into(), to_hex(&bytes).into());
    vector.insert("fields".into(), render::fields(message));
    vector.insert("extensions".into(), render::extensions(message));
    vector.into()
}

fn of_refusal(refusal: &Refusal) -> Value {
    let mut vector = Map::new();
    vector.insert("name".into(), refusal.name.as_str().into());
    vector.insert("valid".into(), false.into());
    vector.insert("hex".into(), to_hex(&from_hex(&refusal.hex)).into());
    vector.insert("error".into(), refusal.error.as_str().into());
    vector.into()
}

/// One key a line, in an order for readers.
fn write(file: &str, vectors: &[Value]) {
    const KEYS: &[&str] = &[
        "name",
        "message",
        "kind",
        "text",
        "valid",
        "error",
        "hex",
        "fields",
        "extensions",
    ];
    let mut out = String::from("[");
    for (index, vector) in vectors.iter().enumerate() {
        let known = vector.as_object().unwrap();
        assert!(known.keys().all(|key| KEYS.contains(&key.as_str())));
        let lines: Vec<String> = KEYS
            .iter()
            .filter_map(|key| {
                known
                    .get(*key)
                    .map(|value| format!("    \"{key}\": {value}"))
            })
            .collect();
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&format!("  {{\n{}\n  }}", lines.join(",\n")));
    }
    out.push_str("\n]\n");
    std::fs::write(path(file), out).unwrap();
}

/// What each file has to hold.
fn tables() -> Vec<(&'static str, Vec<Value>)> {
    let mut tables = vec![("names.json", names::vectors())];
    for file in FILES {
        let valid = (file.samples)().iter().map(of_sample).collect::<Vec<_>>();
        let invalid = (file.refusals)().iter().map(of_refusal).collect::<Vec<_>>();
        tables.push((file.name, [valid, invalid].concat()));
    }
    tables
}

#[test]
fn the_files_hold_what_the_table_says() {
    for (file, vectors) in tables() {
        let found = read(file);
        for (expected, found) in vectors.iter().zip(&found) {
            assert_eq!(
                found, expected,
                "{file} differs: a change of the protocol? if so, `cargo xtask vectors --bless`"
            );
        }
        assert_eq!(found.len(), vectors.len(), "{file}");
        let names: BTreeSet<&str> = vectors.iter().map(|one| text(one, "name")).collect();
        assert_eq!(names.len(), vectors.len(), "{file} uses a name twice");
    }
}

#[test]
fn valid_bytes_are_read_and_written_the_same() {
    for table in FILES {
        let file = table.name;
        for vector in read(file).iter().filter(|vector| vector["valid"] == true) {
            let name = text(vector, "name");
            let bytes = from_hex(text(vector, "hex"));
            let message = decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(message.kind().name(), text(vector, "message"), "{name}");
            assert_eq!(render::fields(&message), vector["fields"], "{name}");
            assert_eq!(render::extensions(&message), vector["extensions"], "{name}");
            assert_eq!(message.to_bytes().unwrap(), bytes, "{name}");
        }
    }
}

#[test]
fn invalid_bytes_are_refused_for_the_stated_reason() {
    for table in FILES {
        let file = table.name;
        for vector in read(file).iter().filter(|vector| vector["valid"] == false) {
            let name = text(vector, "name");
            let found = decode(&from_hex(text(vector, "hex")));
            let found = found.map_err(error_name);
            assert_eq!(found, Err(text(vector, "error")), "{name}");
        }
    }
}

#[test]
fn every_message_has_a_vector_and_refusals_abound() {
    let vectors: Vec<Value> = FILES.iter().flat_map(|table| read(table.name)).collect();
    let covered: BTreeSet<&str> = vectors
        .iter()
        .filter(|vector| vector["valid"] == true)
        .map(|vector| text(vector, "message"))
        .collect();
    for kind in Kind::ALL {
        assert!(
            covered.contains(kind.name()),
            "{} has no vector",
            kind.name()
        );
    }
    let refused = vectors
        .iter()
        .filter(|vector| vector["valid"] == false)
        .count();
    assert!(refused >= 40, "{refused} refusals are too few");
    let reasons: BTreeSet<&str> = vectors
        .iter()
        .filter(|vector| vector["valid"] == false)
        .map(|vector| text(vector, "error"))
        .collect();
    assert_eq!(reasons.len(), 11, "each reason occurs: {reasons:?}");
}

/// The bytes of every valid vector.
pub(crate) fn valid_hex() -> BTreeSet<String> {
    let vectors = FILES.iter().flat_map(|file| read(file.name));
    vectors
        .filter(|vector| vector["valid"] == true)
        .map(|vector| text(&vector, "hex").to_owned())
        .collect()
}

/// The extensions of a sample.
fn with_extension(message: impl Into<Message>, tag: u32, value: &'static [u8]) -> Message {
    let mut message = message.into();
    let value = Bytes::from_static(value);
    message.extensions.insert(tag, value).unwrap();
    message
}
