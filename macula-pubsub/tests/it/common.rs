//! What several of these tests need.

use macula_pubsub::{Config, LocalId, Output, PubSub, SessionId, Subscriber};
use macula_realm::{Action, Authority, DefaultRules, Principal, Verdict};
use macula_testkit::node_id;
use macula_wire::message::Roles;
use macula_wire::{Instant, Machine, NodeId, Pattern, SubscriptionId, Topic};

/// The node on which the machine under test runs.
pub(crate) fn own() -> NodeId {
    node_id(0)
}

/// Somebody without a tenant.
pub(crate) fn anybody() -> Principal {
    Principal::new(own(), Roles::MEMBER)
}

pub(crate) const fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(crate) fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

pub(crate) fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

pub(crate) const fn local(number: u64) -> Subscriber {
    Subscriber::Local(LocalId::new(number))
}

pub(crate) const fn session(session: u64, subscription: u64) -> Subscriber {
    Subscriber::Session(SessionId::new(session), SubscriptionId::new(subscription))
}

pub(crate) fn machine(config: Config) -> PubSub {
    PubSub::new(config, own(), at(0))
}

/// Everything that waits.
pub(crate) fn drain(pubsub: &mut PubSub) -> Vec<Output> {
    std::iter::from_fn(|| pubsub.poll_output()).collect()
}

/// Subscribes somebody without a tenant, by the default rules.
pub(crate) fn subscribe(pubsub: &mut PubSub, now: Instant, subscriber: Subscriber, text: &str) {
    let result = pubsub.subscribe(now, &DefaultRules, &anybody(), subscriber, pattern(text));
    assert_eq!(result, Ok(()), "{text}");
}

/// Declares topics, by the default rules: what is wanted under their keys is taken in from then on.
pub(crate) fn declare(pubsub: &mut PubSub, now: Instant, topics: &[&str]) {
    for text in topics {
        let result = pubsub.declare(now, &DefaultRules, &anybody(), &topic(text));
        assert_eq!(result, Ok(()), "{text}");
    }
}

/// Gives one answer to everything.
#[derive(Debug)]
pub(crate) struct Always(pub(crate) Verdict);

impl Authority for Always {
    fn check(&self, _: &Principal, _: Action, _: &str) -> Verdict {
        self.0
    }
}
