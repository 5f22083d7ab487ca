//! The services of a node: what its applications and clients serve, and how that goes.
//!
//! Every registration belongs to an *instance* of a service: one that the application made by
//! [`Node::service`](crate::Node::service), or the default one of whoever registered. The node serves `$svc.*` for all of
//! them, and counts the calls that go to clients itself, because they all pass it.

mod answer;
mod declare;
mod names;
mod options;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use macula_rpc::{RegisterOptions, Registrant, SessionKey};
use macula_wire::message::Invoke;
use macula_wire::{ErrorCode, NodeId, Pattern, RegistrationId};
use tokio::sync::Notify;

pub(crate) use self::answer::kind;
pub(crate) use self::declare::{Declaration, SERVICE, declare};
pub(crate) use self::names::announce;
pub use self::options::ServiceOptions;
pub use self::service::Service;
use crate::Error;
use crate::plane::Plane;
use crate::plane::tally::Tally;

/// How many instances applications may make on a node, those of its clients included.
const MAX_INSTANCES: usize = 256;
/// How many of them one client may make.
const MAX_SESSION_INSTANCES: usize = 16;
/// How many registrations a client may name that it has not made yet.
const MAX_DECLARED: usize = 1_000;
/// Of how many instances the names are announced, the oldest ones; the others are found by the names that are for all.
const MAX_ANNOUNCED: usize = 256;
/// The version of what was registered without a service.
const NO_VERSION: &str = "0.0.0";
/// Its description.
const NO_SERVICE: &str = "what was registered without a service";

/// Numbers an instance within the process.
pub(crate) type Number = u64;

/// All instances on this node.
#[derive(Debug, Default)]
pub(crate) struct Services {
    state: RwLock<State>,
    /// Told when the names to be announced may have changed.
    changed: Notify,
    /// What the application calls this node.
    name: OnceLock<String>,
}

#[derive(Debug, Default)]
struct State {
    next: Number,
    instances: BTreeMap<Number, Instance>,
    registrants: BTreeMap<Registrant, Number>,
    /// The default instance of each process that has one.
    defaults: BTreeMap<Option<SessionKey>, Number>,
    /// To which instance a client will add a registration.
    declared: BTreeMap<(SessionKey, RegistrationId), Number>,
}

/// One instance of a service.
#[derive(Debug)]
struct Instance {
    about: ServiceOptions,
    /// Tells it from others of its name.
    id: String,
    /// Whose process it is in: this one, or that of a client.
    session: Option<SessionKey>,
    /// The node or client that runs it.
    provider: NodeId,
    started_at_ms: u64,
    endpoints: BTreeMap<Registrant, Endpoint>,
    /// How many registrations were declared and not made yet.
    expected: usize,
    /// Whether the application has a handle of it.
    is_held: bool,
    /// Whether nobody made it: it is for what belongs to none.
    is_default: bool,
}

/// What is served by one registration.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) pattern: Pattern,
    pub(crate) invoke: Invoke,
    pub(crate) weight: u32,
    pub(crate) concurrency: u32,
    pub(crate) zone: Option<String>,
    pub(crate) since_at_ms: u64,
    pub(crate) tally: Arc<Tally>,
}

impl Endpoint {
    /// What a registration amounts to on a node in `plane`'s zone.
    pub(crate) fn new(
        plane: &Plane,
        pattern: Pattern,
        options: &RegisterOptions,
        tally: Arc<Tally>,
    ) -> Self {
        let most = macula_rpc::Config::default().max_concurrency;
        let zone = options.zone.as_ref().or(plane.own.zone.as_ref());
        Self {
            pattern,
            invoke: options.invoke,
            weight: options.weight,
            concurrency: match options.concurrency {
                0 => most,
                wanted => wanted.min(most),
            },
            zone: zone.map(ToString::to_string),
            since_at_ms: plane.clock.unix_ms(),
            tally,
        }
    }
}

impl Instance {
    /// Whether anything may still become of it.
    fn is_needed(&self) -> bool {
        self.is_held || self.expected > 0 || !self.endpoints.is_empty()
    }
}

impl State {
    fn make(&mut self, instance: Instance) -> Number {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.instances.insert(number, instance);
        number
    }

    fn made(&self) -> impl Iterator<Item = &Instance> {
        self.instances.values().filter(|one| !one.is_default)
    }

    /// Forgets an instance that is of no use any more.
    fn tidy(&mut self, number: Number) {
        if self
            .instances
            .get(&number)
            .is_some_and(|one| !one.is_needed())
        {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: Number) -> Option<Instance> {
        let instance = self.instances.remove(&number)?;
        if instance.is_default {
            self.defaults.remove(&instance.session);
        }
        Some(instance)
    }

    /// A declared registration was made, or never will be.
    fn settle_declared(&mut self, key: (SessionKey, RegistrationId)) -> Option<Number> {
        let number = self.declared.remove(&key)?;
        if let Some(instance) = self.instances.get_mut(&number) {
            instance.expected = instance.expected.saturating_sub(1);
        }
        Some(number)
    }

    fn end(&mut self, registrant: Registrant) {
        if let Some(number) = self.registrants.remove(&registrant) {
            if let Some(instance) = self.instances.get_mut(&number) {
                instance.endpoints.remove(&registrant);
            }
            self.tidy(number);
        }
    }
}

impl Services {
    /// Calls this node so, where its default service is named.
    pub(crate) fn call(&self, name: &str) {
        if options::is_name(name) && self.name.set(name.to_owned()).is_err() {
            tracing::debug!("a node has one name");
        }
    }

    fn read<T>(&self, with: impl FnOnce(&State) -> T) -> T {
        with(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        let result = with(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
        result
    }

    /// Makes an instance for the application of this process.
    fn open(&self, plane: &Plane, about: ServiceOptions) -> Result<(Number, String), Error> {
        about.check()?;
        self.write(|state| {
            if state.made().count() >= MAX_INSTANCES {
                return Err(too_many(MAX_INSTANCES, "a node"));
            }
            let mut instance = self.instance(plane, about, None, plane.node());
            instance.is_held = true;
            let id = instance.id.clone();
            Ok((state.make(instance), id))
        })
    }

    /// The application has no handle of it any more.
    fn close(&self, number: Number) {
        self.write(|state| {
            if let Some(instance) = state.instances.get_mut(&number) {
                instance.is_held = false;
            }
            state.tidy(number);
        });
    }

    fn instance(
        &self,
        plane: &Plane,
        about: ServiceOptions,
        session: Option<SessionKey>,
        provider: NodeId,
    ) -> Instance {
        Instance {
            about,
            id: fresh_id(plane),
            session,
            provider,
            started_at_ms: plane.clock.unix_ms(),
            endpoints: BTreeMap::new(),
            expected: 0,
            is_held: false,
            is_default: false,
        }
    }

    /// Something is served from here on: by the instance that it was made for, or the default one of its process.
    pub(crate) fn begin(
        &self,
        plane: &Plane,
        registrant: Registrant,
        provider: NodeId,
        service: Option<Number>,
        endpoint: Endpoint,
    ) {
        self.write(|state| {
            let (session, declared) = match registrant {
                Registrant::Local(_) => (None, None),
                Registrant::Session(session, id) => {
                    (Some(session), state.settle_declared((session, id)))
                }
            };
            let chosen = service
                .or(declared)
                .filter(|number| {
                    let instance = state.instances.get(number);
                    instance.is_some_and(|one| one.session == session)
                })
                .or_else(|| state.defaults.get(&session).copied());
            let number = chosen.unwrap_or_else(|| {
                let name = self.default_name(plane, provider);
                let about = ServiceOptions::new(name, NO_VERSION).description(NO_SERVICE);
                let mut instance = self.instance(plane, about, session, provider);
                instance.is_default = true;
                let number = state.make(instance);
                state.defaults.insert(session, number);
                number
            });
            if let Some(instance) = state.instances.get_mut(&number) {
                instance.endpoints.insert(registrant, endpoint);
                state.registrants.insert(registrant, number);
            }
        });
    }

    /// The name of what `provider` registers without a service: that of its node, or the beginning of its id.
    fn default_name(&self, plane: &Plane, provider: NodeId) -> String {
        let known = self.name.get().filter(|_| provider == plane.node());
        known.cloned().unwrap_or_else(|| {
            let id = provider.to_string();
            id.get(..16).unwrap_or(&id).to_owned()
        })
    }

    /// It is served no more.
    pub(crate) fn end(&self, registrant: Registrant) {
        self.write(|state| state.end(registrant));
    }

    /// A client will not make a registration that it may have declared.
    pub(crate) fn refused(&self, session: SessionKey, registration: RegistrationId) {
        self.write(|state| {
            if let Some(number) = state.settle_declared((session, registration)) {
                state.tidy(number);
            }
        });
    }

    /// Forgets all of a client that has gone.
    pub(crate) fn end_session(&self, session: SessionKey) {
        self.write(|state| {
            let of_session = |one: &Instance| one.session == Some(session);
            let gone = state.instances.iter().filter(|(_, one)| of_session(one));
            let gone: Vec<Number> = gone.map(|(number, _)| *number).collect();
            for number in gone {
                if let Some(instance) = state.forget(number) {
                    for registrant in instance.endpoints.keys() {
                        state.registrants.remove(registrant);
                    }
                }
            }
            let first = (session, RegistrationId::new(0));
            let last = (session, RegistrationId::new(u64::MAX));
            let declared = state.declared.range(first..=last);
            let declared: Vec<_> = declared.map(|(key, _)| *key).collect();
            for key in declared {
                state.declared.remove(&key);
            }
        });
    }

    /// Everything that is served here, and by whom.
    pub(crate) fn endpoints(&self) -> Vec<(Registrant, NodeId, Endpoint)> {
        self.read(|state| {
            let all = state.instances.values().flat_map(|instance| {
                let provider = instance.provider;
                let each = instance.endpoints.iter();
                each.map(move |(registrant, one)| (*registrant, provider, one.clone()))
            });
            all.collect()
        })
    }

    /// What counts the calls of a registration.
    pub(crate) fn tally(&self, registrant: Registrant) -> Option<Arc<Tally>> {
        self.read(|state| {
            let number = state.registrants.get(&registrant)?;
            let instance = state.instances.get(number)?;
            let endpoint = instance.endpoints.get(&registrant)?;
            Some(Arc::clone(&endpoint.tally))
        })
    }

    /// The names under which the instances of this node are to be found.
    fn names(&self) -> BTreeSet<Pattern> {
        self.read(|state| {
            let mut names = BTreeSet::new();
            let serving = state.instances.values();
            let serving = serving.filter(|one| !one.endpoints.is_empty());
            for instance in serving.take(MAX_ANNOUNCED) {
                let (name, id) = (&instance.about.name, &instance.id);
                for verb in answer::VERBS {
                    let all = [
                        format!("$svc.{verb}"),
                        format!("$svc.{verb}.{name}"),
                        format!("$svc.{verb}.{name}.{id}"),
                    ];
                    names.extend(all.iter().filter_map(|text| Pattern::new(text).ok()));
                }
            }
            names
        })
    }
}

/// A fresh id of an instance: 16 hexadecimal digits.
fn fresh_id(plane: &Plane) -> String {
    let mut bytes = [0; 8];
    plane.with_random(|random| random.fill(&mut bytes));
    format!("{:016x}", u64::from_be_bytes(bytes))
}

fn too_many(limit: usize, whose: &str) -> Error {
    Error::new(
        ErrorCode::QUOTA_EXCEEDED,
        format!("{whose} has {limit} services already"),
    )
}

#[cfg(test)]
mod tests;
