//! What several of these tests need.

use macula_pubsub::{Config, LocalId, Output, PubSub, SessionId, Subscriber};
use macula_realm::{Action, Authority, DefaultRules, Principal, Verdict};
use macula_testkit::node_id;
use macula_wire::message::{Interest, Roles};
use macula_wire::{Instant, Machine, NodeId, Pattern, Random, SubscriptionId, Topic};

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
    PubSub::new(config, own(), Random::new(1), at(0))
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

/// A full statement of these patterns, which have to ascend.
pub(crate) fn full(version: u64, add: &[&str]) -> Interest {
    Interest {
        full: true,
        ..change(version, add, &[])
    }
}

pub(crate) fn change(version: u64, add: &[&str], remove: &[&str]) -> Interest {
    let patterns = |texts: &[&str]| texts.iter().map(|text| pattern(text)).collect();
    Interest {
        version,
        full: false,
        lease_ms: 60_000,
        add: patterns(add),
        remove: patterns(remove),
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
