//! Looking things up in the realm's routing, and what a node's own part of it holds.

mod info;

pub use info::{ContactInfo, Findings, RecordInfo, RoutingInfo, StepInfo, TableEntry};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use macula_kad::{
    Goal, LookupOptions, Outcome, PublishError, QueryError, QueryId, Refusal, key, position,
    record_id,
};
use macula_wire::message::{RecordContent, RecordKind, ValueContent};
use macula_wire::{ContentType, EncodeError, ErrorCode, Key, NodeId, Procedure, Topic};
use tokio::sync::oneshot;

use self::info::routing_info;
use super::Node;
use crate::Error;
use crate::machine::NodeMachine;

/// The longest lease of a value.
const MAX_LEASE: Duration = Duration::from_secs(48 * 3_600);

/// What is looked up.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Query {
    /// A node: where it can be reached.
    Node(NodeId),
    /// Who serves a procedure.
    Procedure(Procedure),
    /// Who wants the events of a topic.
    Topic(Topic),
    /// The values under a name, one of each owner at most.
    Value(Topic),
    /// The nodes closest to a key.
    Closest(Key),
}

/// How it is looked up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FindOptions {
    /// Over how many paths that have no node in common, 1 to 20. Liars have to stand on all of them to hide something.
    /// Default: 1.
    pub paths: usize,
    /// Whether to begin with the members that membership knows, so that one request in a row is the rule. Default: yes.
    pub seeded: bool,
}

impl Default for FindOptions {
    fn default() -> Self {
        Self {
            paths: 1,
            seeded: true,
        }
    }
}

/// Callers that wait for a lookup to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lookups(Arc<Mutex<BTreeMap<QueryId, oneshot::Sender<Outcome>>>>);

impl Lookups {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<QueryId, oneshot::Sender<Outcome>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody waits for a lookup.
    fn expect(&self, query: QueryId) -> oneshot::Receiver<Outcome> {
        let (give, take) = oneshot::channel();
        self.lock().insert(query, give);
        take
    }

    /// A lookup has ended. That nobody waits any more is no error.
    pub(crate) fn end(&self, outcome: Outcome) {
        let waiting = self.lock().remove(&outcome.query);
        if let Some(waiting) = waiting {
            waiting.send(outcome).ok();
        }
    }
}

impl Node {
    /// Looks something up in the realm's routing.
    ///
    /// # Errors
    ///
    /// [`OVERLOADED`](ErrorCode::OVERLOADED) if too many lookups are under way,
    /// [`SHUTTING_DOWN`](ErrorCode::SHUTTING_DOWN) if the node has stopped. That nothing was found is no error.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the lookup goes on and its result is lost.
    pub async fn find(&self, query: &Query, options: FindOptions) -> Result<Findings, Error> {
        let realm = self.realm();
        let under = |kind, name: &str| (key(realm, kind, name), Some(kind));
        match query {
            Query::Closest(at) => self.look_up((*at, None), true, options).await,
            Query::Node(node) => {
                let at = (position(node), Some(RecordKind::Node));
                self.look_up(at, false, options).await
            }
            Query::Procedure(procedure) => {
                let at = under(RecordKind::Provider, procedure.as_str());
                self.look_up(at, true, options).await
            }
            Query::Value(name) => {
                let at = under(RecordKind::Value, name.as_str());
                self.look_up(at, true, options).await
            }
            Query::Topic(topic) => {
                let first = topic.segments().next().unwrap_or_default();
                let literal = under(RecordKind::Interest, first);
                let mut findings = self.look_up(literal, true, options).await?;
                let wildcard = under(RecordKind::Interest, "*");
                findings.add(self.look_up(wildcard, true, options).await?);
                findings.records.retain(|record| record.wants(topic));
                Ok(findings)
            }
        }
    }

    async fn look_up(
        &self,
        (at, kind): (Key, Option<RecordKind>),
        all: bool,
        options: FindOptions,
    ) -> Result<Findings, Error> {
        let goal = kind.map_or(Goal::Closest(at), |kind| Goal::Records {
            key: at,
            kind,
            all,
        });
        let outcome = self.outcome_with(goal, options).await?;
        Ok(Findings::new(&at, &outcome))
    }

    /// How a lookup with default options ends.
    pub(crate) async fn outcome(&self, goal: Goal) -> Result<Outcome, Error> {
        self.outcome_with(goal, FindOptions::default()).await
    }

    async fn outcome_with(&self, goal: Goal, options: FindOptions) -> Result<Outcome, Error> {
        let mut lookup = LookupOptions::default();
        lookup.paths = options.paths;
        lookup.seeded = options.seeded;
        let lookups = self.0.plane.lookups.clone();
        let waiting = self
            .0
            .control
            .run(move |machine, now| {
                let query = machine.kad_mut().lookup(now, goal, lookup)?;
                Ok::<_, QueryError>(lookups.expect(query))
            })
            .await?
            .map_err(|error| Error::caused(ErrorCode::OVERLOADED, error.to_string(), error))?;
        waiting
            .await
            .map_err(|_| Error::new(ErrorCode::SHUTTING_DOWN, "the node has stopped"))
    }

    /// Publishes a value of this node under a name, in place of an earlier one: the nodes closest to the name keep it until
    /// `lease` is over, at most 48 h, whatever becomes of this node. It is renewed while this node runs. Returns until when
    /// it holds without renewal, in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// [`PAYLOAD_TOO_LARGE`](ErrorCode::PAYLOAD_TOO_LARGE) over 65,536 bytes,
    /// [`INVALID_NAME`](ErrorCode::INVALID_NAME) for a reserved name,
    /// [`QUOTA_EXCEEDED`](ErrorCode::QUOTA_EXCEEDED) if this node has as many records as it may,
    /// [`SHUTTING_DOWN`](ErrorCode::SHUTTING_DOWN) if it has stopped. Nothing is changed then.
    pub async fn put_value(
        &self,
        name: Topic,
        content: ContentType,
        value: Bytes,
        lease: Duration,
    ) -> Result<u64, Error> {
        if name.is_reserved() {
            let detail = format!("{name} is reserved: no name of a value begins with `$`");
            return Err(Error::new(ErrorCode::INVALID_NAME, detail));
        }
        let record = RecordContent::Value(ValueContent {
            name,
            content,
            value,
        });
        let lease = lease.min(MAX_LEASE);
        let unix_ms = self.0.plane.clock.unix_ms();
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let publish = move |machine: &mut NodeMachine, now| {
            let kad = machine.kad_mut();
            kad.publish_for(now, record, lease)
        };
        let ends = unix_ms.saturating_add(lease_ms);
        self.0
            .control
            .run(publish)
            .await?
            .map(|_| ends)
            .map_err(|error| {
                let code = match &error {
                    PublishError::TooMany { .. } => ErrorCode::QUOTA_EXCEEDED,
                    PublishError::Refused(Refusal::Reserved) => ErrorCode::INVALID_NAME,
                    PublishError::Encode(EncodeError::TooLarge { .. }) => {
                        ErrorCode::PAYLOAD_TOO_LARGE
                    }
                    _ => ErrorCode::INVALID_ARGUMENT,
                };
                Error::caused(code, error.to_string(), error)
            })
    }

    /// Takes back the value of this node under a name. Whether there was one.
    ///
    /// # Errors
    ///
    /// [`SHUTTING_DOWN`](ErrorCode::SHUTTING_DOWN) if the node has stopped.
    pub async fn withdraw_value(&self, name: Topic) -> Result<bool, Error> {
        let owner = self.node_id();
        let content = RecordContent::Value(ValueContent {
            name,
            content: ContentType::Bytes,
            value: Bytes::new(),
        });
        let id = record_id(&owner, &content);
        let withdraw = move |machine: &mut NodeMachine, now| machine.kad_mut().withdraw(now, &id);
        self.0.control.run(withdraw).await
    }

    /// This node's own part of the realm's routing.
    ///
    /// # Errors
    ///
    /// [`SHUTTING_DOWN`](ErrorCode::SHUTTING_DOWN) if the node has stopped.
    pub async fn routing(&self) -> Result<RoutingInfo, Error> {
        let table = |machine: &mut NodeMachine, now| routing_info(machine.kad(), now);
        self.0.control.run(table).await
    }
}
