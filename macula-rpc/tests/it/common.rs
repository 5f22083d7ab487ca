//! What several of these tests need.

use macula_realm::{Action, Authority, DefaultRules, Principal, Verdict};
use macula_rpc::{Config, Output, RegisterOptions, Registrant, RegistrationKey, Rpc, SessionKey};
use macula_testkit::node_id;
use macula_wire::message::Roles;
use macula_wire::{Instant, Machine, NodeId, Pattern, Procedure, RegistrationId};

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

pub(crate) fn procedure(text: &str) -> Procedure {
    Procedure::new(text).unwrap()
}

pub(crate) const fn local(number: u64) -> Registrant {
    Registrant::Local(RegistrationKey::new(number))
}

pub(crate) const fn session(session: u64, registration: u64) -> Registrant {
    Registrant::Session(SessionKey::new(session), RegistrationId::new(registration))
}

pub(crate) fn machine(config: Config) -> Rpc {
    Rpc::new(config, own(), at(0))
}

/// Everything that waits.
pub(crate) fn drain(rpc: &mut Rpc) -> Vec<Output> {
    std::iter::from_fn(|| rpc.poll_output()).collect()
}

pub(crate) fn pattern(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

/// Registers somebody without a tenant, by the default rules.
pub(crate) fn register(rpc: &mut Rpc, now: Instant, registrant: Registrant, text: &str) {
    let options = RegisterOptions::default();
    let name = pattern(text);
    let result = rpc.register(now, &DefaultRules, &anybody(), registrant, name, options);
    assert_eq!(result, Ok(()), "{text}");
}

/// Watches procedures, by the default rules: offers of them are taken in from then on.
pub(crate) fn watch(rpc: &mut Rpc, now: Instant, names: &[&str]) {
    for text in names {
        let result = rpc.watch(now, &DefaultRules, &anybody(), &procedure(text));
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
