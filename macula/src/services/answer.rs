//! Answering what a service is and how it goes: `$svc.ping`, `$svc.info`, `$svc.stats`.

use std::collections::BTreeMap;
use std::sync::Weak;

use macula_realm::{Action, Authority, DefaultRules, Principal, Verdict};
use macula_wire::message::Roles;
use macula_wire::{ErrorCode, Pattern};
use serde::Serialize;

use super::{Endpoint, Instance, Services, State};
use crate::call::{CallFailure, Handler, Invocation, Reply};
use crate::node::start::AGENT;
use crate::plane::Plane;
use crate::plane::outgoing::nobody;

/// What can be asked.
pub(super) const VERBS: [&str; 3] = ["ping", "info", "stats"];
/// How many services an answer names at most.
const MAX_SERVICES: usize = 256;
/// How many endpoints of one service it names at most.
const MAX_ENDPOINTS: usize = 256;
/// How long the services of an answer may be together, in bytes.
const MAX_ANSWER: usize = 512 << 10;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verb {
    Ping,
    Info,
    Stats,
}

/// What is asked of whom.
#[derive(Debug, Eq, PartialEq)]
struct Question<'a> {
    verb: Verb,
    name: Option<&'a str>,
    id: Option<&'a str>,
}

impl<'a> Question<'a> {
    fn read(procedure: &'a str) -> Option<Self> {
        let mut segments = procedure.split('.');
        if segments.next() != Some("$svc") {
            return None;
        }
        let verb = match segments.next()? {
            "ping" => Verb::Ping,
            "info" => Verb::Info,
            "stats" => Verb::Stats,
            _ => return None,
        };
        let (name, id) = (segments.next(), segments.next());
        segments.next().is_none().then_some(Self { verb, name, id })
    }

    fn concerns(&self, instance: &Instance) -> bool {
        self.name.is_none_or(|name| name == instance.about.name)
            && self.id.is_none_or(|id| id == instance.id)
    }
}

/// An instance, as it is told.
#[derive(Serialize)]
struct Told<'a> {
    name: &'a str,
    id: &'a str,
    version: &'a str,
    provider: String,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    info: Option<Info<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<Vec<ToldEndpoint<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    more_endpoints: Option<usize>,
}

#[derive(Serialize)]
struct Info<'a> {
    description: &'a str,
    metadata: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct ToldEndpoint<'a> {
    procedure: &'a str,
    #[serde(rename = "match")]
    matching: &'static str,
    invoke: &'static str,
    #[serde(flatten)]
    words: Words<'a>,
}

/// What is said of an endpoint.
#[derive(Serialize)]
#[serde(untagged)]
enum Words<'a> {
    Info {
        weight: u32,
        concurrency: u32,
        zone: Option<&'a str>,
    },
    Stats {
        in_flight: usize,
        calls: u64,
        errors: u64,
        last_error: Option<String>,
        mean_us: u64,
        p50_us: u64,
        p99_us: u64,
    },
}

/// What serves the names. It does not hold the plane that holds it.
pub(super) fn handler(plane: Weak<Plane>) -> Handler {
    Handler::new(move |invocation: Invocation| {
        let answered = match plane.upgrade() {
            Some(plane) => answer(&plane, &invocation),
            None => Err(CallFailure::code(
                ErrorCode::SHUTTING_DOWN,
                "the node has stopped",
            )),
        };
        std::future::ready(answered)
    })
}

fn answer(plane: &Plane, invocation: &Invocation) -> Result<Reply, CallFailure> {
    let unknown = || CallFailure(nobody());
    let question = Question::read(invocation.procedure.as_str()).ok_or_else(unknown)?;
    let who =
        Principal::new(invocation.caller, Roles::CLIENT).with_tenant(invocation.tenant.clone());
    let (services, more) = plane.services.told(&question, &who);
    if services.is_empty() && more == 0 {
        return Err(unknown());
    }
    // A node's id and a program's name need no escaping.
    Ok(Reply::json(format!(
        r#"{{"node":"{}","agent":"{AGENT}","services":[{}],"more":{more}}}"#,
        plane.node(),
        services.join(",")
    )))
}

impl Services {
    /// The services that `who` may call anything of, each as JSON, and how many there was no room for.
    fn told(&self, question: &Question<'_>, who: &Principal) -> (Vec<String>, usize) {
        self.read(|state| told(state, question, who))
    }
}

fn told(state: &State, question: &Question<'_>, who: &Principal) -> (Vec<String>, usize) {
    let (mut all, mut length, mut more) = (Vec::new(), 0_usize, 0_usize);
    let asked = state.instances.values();
    for instance in asked.filter(|one| question.concerns(one)) {
        let visible: Vec<&Endpoint> = instance
            .endpoints
            .values()
            .filter(|endpoint| may_call(who, &endpoint.pattern))
            .collect();
        // Who may not call anything of a service does not learn that it is there.
        if visible.is_empty() {
            continue;
        }
        let text = (all.len() < MAX_SERVICES)
            .then(|| serde_json::to_string(&describe(question.verb, instance, &visible)).ok())
            .flatten()
            .filter(|text| length.saturating_add(text.len()) <= MAX_ANSWER);
        match text {
            Some(text) => {
                length = length.saturating_add(text.len());
                all.push(text);
            }
            None => more = more.saturating_add(1),
        }
    }
    (all, more)
}

fn may_call(who: &Principal, pattern: &Pattern) -> bool {
    DefaultRules.check(who, Action::Call, pattern.as_str()) == Verdict::Allow
}

fn describe<'a>(verb: Verb, instance: &'a Instance, endpoints: &[&'a Endpoint]) -> Told<'a> {
    let about = &instance.about;
    let is_ping = verb == Verb::Ping;
    let told = endpoints.iter().take(MAX_ENDPOINTS);
    let more = endpoints.len().saturating_sub(MAX_ENDPOINTS);
    Told {
        name: &about.name,
        id: &instance.id,
        version: &about.version,
        provider: instance.provider.to_string(),
        info: (verb == Verb::Info).then_some(Info {
            description: &about.description,
            metadata: &about.metadata,
        }),
        started_at_ms: (!is_ping).then_some(instance.started_at_ms),
        endpoints: (!is_ping).then(|| told.map(|one| endpoint(verb, one)).collect()),
        more_endpoints: (!is_ping).then_some(more),
    }
}

fn endpoint(verb: Verb, endpoint: &Endpoint) -> ToldEndpoint<'_> {
    let words = if verb == Verb::Stats {
        let read = endpoint.tally.read();
        Words::Stats {
            in_flight: read.running,
            calls: read.calls,
            errors: read.errors,
            last_error: endpoint.tally.last_error(),
            mean_us: read.mean_us,
            p50_us: read.p50_us,
            p99_us: read.p99_us,
        }
    } else {
        Words::Info {
            weight: endpoint.weight,
            concurrency: endpoint.concurrency,
            zone: endpoint.zone.as_deref(),
        }
    };
    ToldEndpoint {
        procedure: endpoint.pattern.as_str(),
        matching: kind(&endpoint.pattern),
        invoke: endpoint.invoke.word(),
        words,
    }
}

/// How the name of a registration was read that became this pattern.
pub(crate) fn kind(pattern: &Pattern) -> &'static str {
    let is_plain = |name: &str| !name.is_empty() && !name.contains('*');
    if pattern.is_exact() {
        "exact"
    } else if pattern.as_str().strip_suffix(".**").is_some_and(is_plain) {
        "prefix"
    } else {
        "wildcard"
    }
}

#[cfg(test)]
mod tests;
