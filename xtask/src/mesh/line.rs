//! The JSON lines of the command, as far as the scenarios read them.

use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// What a subscriber is told.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Told {
    /// An event.
    Event(Event),
    /// Events are missing.
    Gap(Gap),
}

/// An event that was delivered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Event {
    pub(super) topic: String,
    pub(super) publisher: String,
    pub(super) epoch: u64,
    pub(super) seq: u64,
    pub(super) payload: String,
}

/// Events that will not be delivered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Gap {
    pub(super) topic: String,
    pub(super) publisher: String,
    pub(super) epoch: u64,
    pub(super) from: u64,
    pub(super) to: Option<u64>,
    pub(super) count: Option<u64>,
    pub(super) cause: String,
}

/// A member, as `members` lists it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Member {
    pub(super) node: String,
    pub(super) state: String,
    pub(super) epoch: u64,
    pub(super) linked: bool,
    /// How long in this state.
    pub(super) since_ms: u64,
}

/// The line that a node prints when it serves.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Ready {
    pub(super) event: String,
    pub(super) node: String,
    pub(super) realm: String,
    pub(super) listen: String,
}

/// Reads a line as what it has to be.
///
/// # Errors
///
/// When it is something else.
pub(super) fn read<T: for<'a> Deserialize<'a>>(line: &Value) -> Result<T, Failure> {
    T::deserialize(line)
        .map_err(|error| Failure::failed(format!("unexpected line ({error}): {line}")))
}

/// The whole number at a JSON pointer.
///
/// # Errors
///
/// When there is none.
pub(super) fn number(line: &Value, pointer: &str) -> Result<u64, Failure> {
    line.pointer(pointer)
        .and_then(Value::as_u64)
        .ok_or_else(|| Failure::failed(format!("no number at {pointer} in {line}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_and_gaps_are_told_apart() {
        let event = json!({"event": "event", "topic": "a.b", "publisher": "p", "epoch": 5, "seq": 3,
            "content": "text/plain", "payload": "21.5"});
        assert!(matches!(read(&event), Ok(Told::Event(event)) if event.seq == 3));
        let gap = json!({"event": "gap", "topic": "a.b", "publisher": "p", "epoch": 5, "from": 4,
            "to": null, "count": null, "cause": "publisher-lost"});
        assert!(matches!(read(&gap), Ok(Told::Gap(gap)) if gap.to.is_none()));
        assert!(read::<Told>(&json!({"event": "weather"})).is_err());
    }

    #[test]
    fn numbers_are_found_by_their_path() {
        let line = json!({"stats": {"panics": 0}});
        assert_eq!(number(&line, "/stats/panics").unwrap(), 0);
        assert!(number(&line, "/stats/tasks").is_err());
    }
}
