//! What a client asks its member about the realm's routing: `$sys.find` and `$sys.dht.*`.

use std::time::Duration;

use macula_wire::{ErrorCode, Key, NodeId, Procedure, Topic};
use serde::{Deserialize, Serialize};

use crate::Node;
use crate::call::{CallFailure, Invocation, Reply};
use crate::node::{FindOptions, Query};

/// What `$sys.find` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// `node`, `procedure`, `topic`, `value`, `closest` (to a node) or `key`.
    kind: String,
    /// Of what: an id or the beginning of one, a name, or 64 hexadecimal digits.
    name: String,
    /// Over how many paths, 1 to 20.
    #[serde(default = "one")]
    paths: usize,
    /// Whether to leave the members that membership knows aside.
    #[serde(default)]
    cold: bool,
}

const fn one() -> usize {
    1
}

/// Answers `$sys.find`.
pub(super) async fn find(node: &Node, invocation: &Invocation) -> Result<Reply, CallFailure> {
    let question: Question = serde_json::from_slice(&invocation.payload)
        .map_err(|error| wrong(&format!("no question: {error}")))?;
    let options = FindOptions {
        paths: question.paths,
        seeded: !question.cold,
    };
    let name = question.name.as_str();
    let query = match question.kind.as_str() {
        "node" => Query::Node(node.named(name).await.map_err(super::failure)?),
        "closest" => Query::Closest(macula_kad::position(
            &node.named(name).await.map_err(super::failure)?,
        )),
        "key" => Query::Closest(key(name)?),
        "procedure" => {
            Query::Procedure(Procedure::new(name).map_err(|error| wrong(&error.to_string()))?)
        }
        "topic" => Query::Topic(Topic::new(name).map_err(|error| wrong(&error.to_string()))?),
        "value" => Query::Value(Topic::new(name).map_err(|error| wrong(&error.to_string()))?),
        other => {
            return Err(wrong(&format!(
                "{other:?} is no kind of thing that can be found"
            )));
        }
    };
    super::json(&node.find(&query, options).await.map_err(super::failure)?)
}

fn key(text: &str) -> Result<Key, CallFailure> {
    // A key is written as an id is.
    let id: NodeId = text
        .parse()
        .map_err(|_| wrong("a key is 64 hexadecimal digits"))?;
    Ok(Key::from_bytes(*id.as_bytes()))
}

/// What became of a value.
#[derive(Debug, Default, Serialize)]
struct Done {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<bool>,
}

/// Answers `$sys.dht.put`: the payload is the value, the headers are `name` and `lease-ms`.
pub(super) async fn put(node: &Node, invocation: &Invocation) -> Result<Reply, CallFailure> {
    let name = own_name(node, invocation)?;
    let lease = header(invocation, "lease-ms")?;
    let lease: u64 = lease
        .parse()
        .map_err(|_| wrong("lease-ms is a number of milliseconds"))?;
    let lease = Duration::from_millis(lease);
    let (content, value) = (invocation.content.clone(), invocation.payload.clone());
    let put = node.put_value(name.clone(), content, value, lease).await;
    let expires_at_ms = put.map_err(super::failure)?;
    super::json(&Done {
        name: name.to_string(),
        expires_at_ms: Some(expires_at_ms),
        withdrawn: None,
    })
}

/// Answers `$sys.dht.withdraw`: the header `name` says of what.
pub(super) async fn withdraw(node: &Node, invocation: &Invocation) -> Result<Reply, CallFailure> {
    let name = own_name(node, invocation)?;
    let withdrawn = node
        .withdraw_value(name.clone())
        .await
        .map_err(super::failure)?;
    super::json(&Done {
        name: name.to_string(),
        expires_at_ms: None,
        withdrawn: Some(withdrawn),
    })
}

/// The name in a request to change what the node itself publishes. Only those who have its identity may: local clients.
fn own_name(node: &Node, invocation: &Invocation) -> Result<Topic, CallFailure> {
    if invocation.caller != node.node_id() {
        let detail =
            "only local clients of a node change what it publishes: use --node DIR on its machine";
        return Err(CallFailure::code(ErrorCode::DENIED, detail));
    }
    let name = header(invocation, "name")?;
    Topic::new(name).map_err(|error| CallFailure::code(ErrorCode::INVALID_NAME, &error.to_string()))
}

fn header<'a>(invocation: &'a Invocation, key: &str) -> Result<&'a str, CallFailure> {
    let found = invocation.headers.iter().find(|header| header.key == key);
    let value = found.and_then(|header| std::str::from_utf8(&header.value).ok());
    value.ok_or_else(|| wrong(&format!("the header {key} is missing")))
}

fn wrong(detail: &str) -> CallFailure {
    CallFailure::code(ErrorCode::INVALID_ARGUMENT, detail)
}
