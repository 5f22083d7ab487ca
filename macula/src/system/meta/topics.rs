//! What is published here, and how much.

use macula_realm::{Action, Authority, DefaultRules, Principal, Verdict};
use macula_wire::Pattern;
use serde::Serialize;

use super::super::json;
use super::{MAX_ENTRIES, Question, misnamed, unknown};
use crate::Node;
use crate::call::{CallFailure, Reply};

/// What is published by a node.
#[derive(Serialize)]
struct Published {
    node: String,
    /// When it was counted, in microseconds of a clock of the node.
    at_us: u64,
    /// The topics with the most events first.
    topics: Vec<Topic>,
    more: usize,
}

/// A topic, and what was published on it since the node started.
#[derive(Serialize)]
struct Topic {
    topic: String,
    events: u64,
    bytes: u64,
}

/// Answers `list`: of all topics, or of those that a pattern matches.
pub(super) fn answer(
    node: &Node,
    verb: &str,
    question: &Question,
    who: &Principal,
) -> Result<Reply, CallFailure> {
    if verb != "list" {
        return Err(unknown());
    }
    let pattern = question.name.as_deref().map(Pattern::new).transpose();
    let pattern = pattern.map_err(|error| misnamed(&error.to_string()))?;
    let plane = node.plane();
    let at_us = plane.clock.now().as_nanos() / 1_000;
    let own = plane.own_topics().into_iter();
    let shown = own.filter(|one| {
        let topic = &one.origin.topic;
        let may = DefaultRules.check(who, Action::Subscribe, topic.as_str()) == Verdict::Allow;
        may && pattern
            .as_ref()
            .is_none_or(|pattern| pattern.matches(topic))
    });
    let mut topics: Vec<Topic> = shown
        .map(|one| {
            let (events, bytes) = one.published();
            let topic = one.origin.topic.to_string();
            Topic {
                topic,
                events,
                bytes,
            }
        })
        .collect();
    topics.sort_by(|one, other| {
        let by_events = other.events.cmp(&one.events);
        by_events.then_with(|| one.topic.cmp(&other.topic))
    });
    let more = topics.len().saturating_sub(MAX_ENTRIES);
    topics.truncate(MAX_ENTRIES);
    json(&Published {
        node: node.node_id().to_string(),
        at_us,
        topics,
        more,
    })
}
