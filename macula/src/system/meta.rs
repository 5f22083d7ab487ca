//! What is registered, subscribed to and attached here: the procedures under `$meta`, and `$sys.ping`.
//!
//! A member answers them to its own clients, and to other members for theirs, each as far as the rules let the caller do
//! the like itself.

mod topics;

use std::collections::BTreeMap;

use macula_pubsub::Subscriber;
use macula_realm::{Action, Authority, DefaultRules, Principal, Verdict};
use macula_rpc::{Match, Registrant};
use macula_wire::message::Roles;
use macula_wire::{ErrorCode, NodeId, Pattern, PatternSegment, Procedure, Topic};
use serde::{Deserialize, Serialize};

use crate::Node;
use crate::call::{CallFailure, Invocation, Reply};
use crate::plane::caller::session_key;
use crate::services::{Endpoint, kind};

/// Answered at once, with an empty object.
pub(crate) const PING: &str = "$sys.ping";
/// What the names of the others begin with.
const PREFIX: &str = "$meta.";
/// How many entries an answer has at most.
const MAX_ENTRIES: usize = 1_000;

/// Whether members answer it to each other.
pub(crate) fn is_open(procedure: &str) -> bool {
    procedure == PING || procedure.starts_with(PREFIX)
}

/// What a question is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Question {
    /// A procedure, a topic or a pattern; the id of a session.
    name: Option<String>,
    /// How the name of a registration is to be read.
    #[serde(rename = "match")]
    matching: Option<String>,
}

impl Question {
    fn read(invocation: &Invocation) -> Result<Self, CallFailure> {
        if invocation.payload.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(&invocation.payload)
            .map_err(|error| wrong(&format!("no question: {error}")))
    }

    fn name(&self) -> Result<&str, CallFailure> {
        let name = self.name.as_deref();
        name.ok_or_else(|| wrong("the question is about something: give its `name`"))
    }

    /// The pattern that is named.
    fn pattern(&self) -> Result<Pattern, CallFailure> {
        let found = match self.matching.as_deref() {
            None => Pattern::new(self.name()?),
            Some(how) => {
                let how: Match = how
                    .parse()
                    .map_err(|_| wrong("`match` is exact, prefix or wildcard"))?;
                how.pattern(self.name()?)
            }
        };
        found.map_err(|error| misnamed(&error.to_string()))
    }
}

/// Answers one of the questions.
pub(super) async fn answer(node: &Node, invocation: &Invocation) -> Result<Reply, CallFailure> {
    let name = invocation.procedure.as_str();
    if name == PING {
        return Ok(Reply::json("{}"));
    }
    let question = Question::read(invocation)?;
    let who =
        Principal::new(invocation.caller, Roles::CLIENT).with_tenant(invocation.tenant.clone());
    let asked = name.strip_prefix(PREFIX).unwrap_or_default();
    match asked.split_once('.') {
        Some(("registration", verb)) => registrations(node, verb, &question, &who),
        Some(("subscription", verb)) => subscriptions(node, verb, &question, &who).await,
        Some(("session", verb)) => sessions(node, verb, &question, &who).await,
        Some(("topic", verb)) => topics::answer(node, verb, &question, &who),
        _ => Err(unknown()),
    }
}

/// What is served under one pattern.
#[derive(Serialize)]
struct Registered<'a> {
    procedure: &'a str,
    #[serde(rename = "match")]
    matching: &'static str,
    invoke: &'static str,
    providers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    each: Option<Vec<Provider<'a>>>,
}

/// One registration of it.
#[derive(Serialize)]
struct Provider<'a> {
    provider: String,
    /// The number of the client's link; of this node's own application there is none.
    session: Option<u64>,
    weight: u32,
    concurrency: u32,
    zone: Option<&'a str>,
    since_at_ms: u64,
}

fn registrations(
    node: &Node,
    verb: &str,
    question: &Question,
    who: &Principal,
) -> Result<Reply, CallFailure> {
    let all = node.plane().services.endpoints();
    let mut by_pattern: BTreeMap<&Pattern, Vec<&(Registrant, NodeId, Endpoint)>> = BTreeMap::new();
    for one in &all {
        if may(who, Action::Call, &one.2.pattern) {
            by_pattern.entry(&one.2.pattern).or_default().push(one);
        }
    }
    let tell = |pattern: &Pattern, in_full: bool| {
        let each = by_pattern.get(pattern)?;
        Some(registered(each, in_full))
    };
    let missing = || missing("no_such_registration", "nobody here serves it");
    match verb {
        "list" => {
            let told = by_pattern.values().map(|each| registered(each, false));
            listed(node, "registrations", told)
        }
        "lookup" => super::json(&tell(&question.pattern()?, false).ok_or_else(missing)?),
        "get" => super::json(&tell(&question.pattern()?, true).ok_or_else(missing)?),
        "match" => {
            let procedure = Procedure::new(question.name()?);
            let procedure = procedure.map_err(|error| misnamed(&error.to_string()))?;
            let covering = by_pattern.keys().filter(|one| one.covers(&procedure));
            let best = covering.min_by_key(|one| rank(one));
            super::json(&best.and_then(|best| tell(best, true)).ok_or_else(missing)?)
        }
        "count" => {
            let registrations = by_pattern.values().map(Vec::len).sum();
            counted(by_pattern.len(), registrations)
        }
        _ => Err(unknown()),
    }
}

/// By which the most specific pattern comes first: compared from the left, a segment, `*`, `**`.
fn rank(pattern: &Pattern) -> Vec<u8> {
    let ranks = pattern.segments().map(|segment| match segment {
        PatternSegment::Literal(_) => 1,
        PatternSegment::One => 2,
        PatternSegment::Tail => 3,
    });
    ranks.collect()
}

fn registered<'a>(each: &[&'a (Registrant, NodeId, Endpoint)], in_full: bool) -> Registered<'a> {
    let provider =
        |(registrant, provider, endpoint): &'a (Registrant, NodeId, Endpoint)| Provider {
            provider: provider.to_string(),
            session: match registrant {
                Registrant::Local(_) => None,
                Registrant::Session(session, _) => Some(session.get()),
            },
            weight: endpoint.weight,
            concurrency: endpoint.concurrency,
            zone: endpoint.zone.as_deref(),
            since_at_ms: endpoint.since_at_ms,
        };
    let first = each.first().map(|one| &one.2);
    Registered {
        procedure: first.map_or("", |one| one.pattern.as_str()),
        matching: first.map_or("exact", |one| kind(&one.pattern)),
        invoke: first.map_or("", |one| one.invoke.word()),
        providers: each.len(),
        each: in_full.then(|| {
            let told = each.iter().take(MAX_ENTRIES);
            told.map(|one| provider(one)).collect()
        }),
    }
}

/// What is wanted under one pattern.
#[derive(Serialize)]
struct Subscribed<'a> {
    pattern: &'a str,
    subscribers: usize,
    /// How many of them are clients.
    clients: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    each: Option<Vec<SubscriberInfo>>,
}

/// One subscription to it.
#[derive(Serialize)]
struct SubscriberInfo {
    node: String,
    /// The number of the client's link; of this node's own application there is none.
    session: Option<u64>,
}

async fn subscriptions(
    node: &Node,
    verb: &str,
    question: &Question,
    who: &Principal,
) -> Result<Reply, CallFailure> {
    let all = node.subscribed().await.map_err(super::failure)?;
    let mut by_pattern: BTreeMap<&Pattern, Vec<Subscriber>> = BTreeMap::new();
    for (subscriber, pattern) in &all {
        if may(who, Action::Subscribe, pattern) {
            by_pattern.entry(pattern).or_default().push(*subscriber);
        }
    }
    let missing = || missing("no_such_subscription", "nobody here wants it");
    let tell = |in_full: bool| {
        let pattern = question.pattern()?;
        let (pattern, each) = by_pattern.get_key_value(&pattern).ok_or_else(missing)?;
        super::json(&subscribed(node, pattern, each, in_full))
    };
    match verb {
        "list" => {
            let told = by_pattern.iter();
            let told = told.map(|(pattern, each)| subscribed(node, pattern, each, false));
            listed(node, "subscriptions", told)
        }
        "lookup" => tell(false),
        "get" => tell(true),
        "match" => {
            let topic = Topic::new(question.name()?);
            let topic = topic.map_err(|error| misnamed(&error.to_string()))?;
            let matching = by_pattern.iter().filter(|(one, _)| one.matches(&topic));
            let told = matching.map(|(pattern, each)| subscribed(node, pattern, each, false));
            listed(node, "subscriptions", told)
        }
        "count" => counted(by_pattern.len(), by_pattern.values().map(Vec::len).sum()),
        _ => Err(unknown()),
    }
}

fn subscribed<'a>(
    node: &Node,
    pattern: &'a Pattern,
    each: &[Subscriber],
    in_full: bool,
) -> Subscribed<'a> {
    let is_client = |one: &&Subscriber| matches!(one, Subscriber::Session(..));
    let info = |one: &Subscriber| match one {
        Subscriber::Local(_) => SubscriberInfo {
            node: node.node_id().to_string(),
            session: None,
        },
        Subscriber::Session(session, _) => {
            let attached = node.plane().links.session(*session);
            let peer = attached.map_or_else(|| node.node_id(), |one| one.link.peer().node);
            SubscriberInfo {
                node: peer.to_string(),
                session: Some(session_key(*session).get()),
            }
        }
    };
    Subscribed {
        pattern: pattern.as_str(),
        subscribers: each.len(),
        clients: each.iter().filter(is_client).count(),
        each: in_full.then(|| each.iter().take(MAX_ENTRIES).map(info).collect()),
    }
}

/// A client of this node, or a member of the realm.
#[derive(Debug, Serialize)]
pub(crate) struct SessionInfo {
    /// What it is asked for by: the number of a client's link, the id of a member.
    pub(crate) id: String,
    /// `member`, `client` or `local`.
    pub(crate) kind: &'static str,
    pub(crate) node: String,
    pub(crate) tenant: Option<String>,
    pub(crate) zone: Option<String>,
    pub(crate) since_at_ms: u64,
}

async fn sessions(
    node: &Node,
    verb: &str,
    question: &Question,
    who: &Principal,
) -> Result<Reply, CallFailure> {
    let mut all = node.sessions().await.map_err(super::failure)?;
    // A tenant sees the members, which everybody does, and clients of its own.
    let own = who.tenant.as_ref().map(ToString::to_string);
    all.retain(|one| one.kind == "member" || own.is_none() || one.tenant == own);
    match verb {
        "list" => listed(node, "sessions", all.iter()),
        "get" => {
            let id = question.name()?;
            let found = all.iter().find(|one| one.id == id);
            let missing = || missing("no_such_session", "nobody of that id is here");
            super::json(found.ok_or_else(missing)?)
        }
        "count" => {
            let members = all.iter().filter(|one| one.kind == "member").count();
            super::json(&serde_json::json!({
                "members": members,
                "clients": all.len().saturating_sub(members),
            }))
        }
        _ => Err(unknown()),
    }
}

/// A list, as far as there is room.
fn listed<T: Serialize>(
    node: &Node,
    what: &'static str,
    mut entries: impl Iterator<Item = T>,
) -> Result<Reply, CallFailure> {
    let told: Vec<T> = entries.by_ref().take(MAX_ENTRIES).collect();
    let more = entries.count();
    let mut answer = BTreeMap::new();
    let value = |value: Result<serde_json::Value, serde_json::Error>| {
        value.map_err(|error| CallFailure::code(ErrorCode::INTERNAL, &error.to_string()))
    };
    answer.insert(
        "node",
        value(serde_json::to_value(node.node_id().to_string()))?,
    );
    answer.insert(what, value(serde_json::to_value(&told))?);
    answer.insert("more", value(serde_json::to_value(more))?);
    super::json(&answer)
}

fn counted(patterns: usize, all: usize) -> Result<Reply, CallFailure> {
    super::json(&serde_json::json!({ "patterns": patterns, "count": all }))
}

/// Whether the rules let `who` do it; of reserved names nothing is told.
fn may(who: &Principal, action: Action, pattern: &Pattern) -> bool {
    DefaultRules.check(who, action, pattern.as_str()) == Verdict::Allow
}

fn wrong(detail: &str) -> CallFailure {
    CallFailure::code(ErrorCode::INVALID_ARGUMENT, detail)
}

fn misnamed(detail: &str) -> CallFailure {
    CallFailure::code(ErrorCode::INVALID_NAME, detail)
}

fn missing(name: &str, detail: &str) -> CallFailure {
    CallFailure::application(name, detail)
}

fn unknown() -> CallFailure {
    CallFailure::code(ErrorCode::NO_SUCH_PROCEDURE, "there is no such question")
}
