//! The reserved names `$sys.*`: what a member answers to its own clients about itself, and what it tells them.

mod meta;
mod routing;

use macula_wire::{ContentType, ErrorCode};
use serde::Serialize;

use crate::call::{CallFailure, Handler, Invocation, Reply};
use crate::keep::{self, EARLIER, HISTORY};
use crate::node::WeakNode;
use crate::{Error, Node};

/// The procedures, for `--help` and documents.
pub const PROCEDURES: &[(&str, &str)] = &[
    (
        "$sys.dht.put",
        "publishes a value of this node; for local clients",
    ),
    (
        "$sys.dht.withdraw",
        "takes a value of this node back; for local clients",
    ),
    (
        "$sys.earlier",
        "what a subscription to the pattern in the headers begins with",
    ),
    (
        "$sys.find",
        "looks up a node, a procedure, a topic, a value or a key",
    ),
    (
        "$sys.graph",
        "who is linked to whom, as far as this node knows",
    ),
    (
        "$sys.members",
        "the members of the realm as this node knows them",
    ),
    ("$sys.node", "this node: id, realm, address, version"),
    ("$sys.peers", "the links of this node"),
    ("$sys.ping", "nothing, at once; also for other members"),
    (
        "$sys.routing",
        "this node's own part of the realm's routing: contacts and counts",
    ),
    (
        "$sys.service",
        "tells to which service a registration will belong; for clients",
    ),
    ("$sys.stats", "the counters of this node"),
    (
        "$sys.testament",
        "leaves an event behind for when the client has gone, or takes all back",
    ),
    ("$sys.trace", "the way to the node that the arguments name"),
];

/// What members answer about what is here, to their own clients and to each other, for `--help` and documents.
pub const META: &[(&str, &str)] = &[
    (
        "$meta.registration.count",
        "how much is served on this node",
    ),
    (
        "$meta.registration.get",
        "all who serve what is named, each",
    ),
    ("$meta.registration.list", "what is served on this node"),
    ("$meta.registration.lookup", "what is served by that name"),
    (
        "$meta.registration.match",
        "what a call of that procedure would go to on this node",
    ),
    (
        "$meta.session.count",
        "how many members and clients there are",
    ),
    ("$meta.session.get", "the member or client of that id"),
    (
        "$meta.session.list",
        "the members of the realm and the clients of this node",
    ),
    (
        "$meta.subscription.count",
        "how much is subscribed to on this node",
    ),
    (
        "$meta.subscription.get",
        "all who subscribed to that pattern, each",
    ),
    (
        "$meta.subscription.list",
        "what is subscribed to on this node",
    ),
    (
        "$meta.subscription.lookup",
        "how many subscribed to that pattern",
    ),
    (
        "$meta.subscription.match",
        "what an event on that topic would go to on this node",
    ),
];

/// The topics that a member publishes on to its own clients and applications, for `--help` and documents. Nobody else gets
/// them.
pub const TOPICS: &[(&str, &str)] = &[
    (
        "$meta.registration.on_create",
        "something is served on this node that was not",
    ),
    (
        "$meta.registration.on_delete",
        "something is served on this node no more",
    ),
    (
        "$meta.session.on_join",
        "a member or a client of this node has come",
    ),
    (
        "$meta.session.on_leave",
        "a member or a client of this node has gone",
    ),
    (
        "$meta.subscription.on_create",
        "something is subscribed to on this node that was not",
    ),
    (
        "$meta.subscription.on_delete",
        "something is subscribed to on this node no more",
    ),
    (
        MEMBERS_TOPIC,
        "what happens to the members of the realm as this node sees it",
    ),
];

pub(crate) const MEMBERS_TOPIC: &str = "$sys.members";

/// What `$sys.node` answers.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NodeInfo {
    /// The node's id, 64 hexadecimal digits.
    pub node: String,
    /// Its realm.
    pub realm: String,
    /// The UDP address it listens at.
    pub listen: String,
    /// Its run.
    pub epoch: u64,
    /// Its program and version.
    pub agent: &'static str,
}

pub(crate) use self::meta::{SessionInfo, is_open};

pub(crate) fn handler(node: WeakNode) -> Handler {
    Handler::new(move |invocation: Invocation| {
        let node = node.upgrade();
        async move {
            let node = node.ok_or_else(|| {
                CallFailure::code(ErrorCode::SHUTTING_DOWN, "the node has stopped")
            })?;
            answer(&node, invocation).await
        }
    })
}

async fn answer(node: &Node, invocation: Invocation) -> Result<Reply, CallFailure> {
    match invocation.procedure.as_str() {
        "$sys.dht.put" => routing::put(node, &invocation).await,
        "$sys.dht.withdraw" => routing::withdraw(node, &invocation).await,
        "$sys.find" => routing::find(node, &invocation).await,
        EARLIER | HISTORY => keep::answer(node, &invocation)
            .await
            .map(|told| Reply::new(ContentType::Bytes, told))
            .map_err(failure),
        "$sys.graph" => json(&node.graph().await.map_err(failure)?),
        "$sys.members" => json(&node.members().await.map_err(failure)?),
        "$sys.node" => json(&node.info()),
        "$sys.peers" => json(&node.peers()),
        "$sys.routing" => json(&node.routing().await.map_err(failure)?),
        "$sys.stats" => json(&node.stats().await.map_err(failure)?),
        name if is_open(name) => meta::answer(node, &invocation).await,
        "$sys.trace" => {
            let name = String::from_utf8_lossy(&invocation.payload);
            let target = node.named(name.trim()).await.map_err(failure)?;
            json(&node.trace(target).await.map_err(failure)?)
        }
        _ => Err(CallFailure::code(
            ErrorCode::NO_SUCH_PROCEDURE,
            "no such question: see `macula status --help`",
        )),
    }
}

fn failure(error: Error) -> CallFailure {
    CallFailure::code(error.code(), error.detail())
}

fn json(value: &impl Serialize) -> Result<Reply, CallFailure> {
    match serde_json::to_string(value) {
        Ok(text) => Ok(Reply::json(text)),
        Err(error) => Err(CallFailure::code(ErrorCode::INTERNAL, &error.to_string())),
    }
}
