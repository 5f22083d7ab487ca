//! A running node.

pub(crate) mod control;
pub(crate) mod dial;
#[cfg(feature = "http3")]
pub(crate) mod face;
pub(crate) mod link;
pub(crate) mod session;
mod socket;
pub(crate) mod start;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use macula_pubsub::{LocalId, SubscribeError, Subscriber};
use macula_realm::DefaultRules;
use macula_rpc::{RegisterError, RegisterOptions, Registrant, RegistrationKey};
use macula_swim::State;
use macula_transport::{Endpoint, LinkStats};
use macula_wire::message::RpcCall;
use macula_wire::{ErrorCode, NodeId, Pattern, Procedure, RealmName, Topic};
use tokio::sync::broadcast;

use self::control::Control;
use self::dial::Dialler;
use crate::call::{CallFailure, CallOptions, Handler, Invocation, Reply};
use crate::machine::MemberEvent;
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::plane::dispatch::Registration;
use crate::plane::links::Attached;
use crate::plane::outgoing::{self, HOPS, Outgoing, milliseconds};
use crate::plane::topic::too_large;
use crate::publisher::{PublishOptions, Publisher};
use crate::queue::{Queue, SubscribeOptions};
use crate::subscription::Subscription;
use crate::system::NodeInfo;
use crate::{Error, NodeStats};

/// How long a shutdown waits for what was published to leave, at most.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a node that leaves keeps its links, so that its goodbye arrives.
const LEAVE_DELAY: Duration = Duration::from_millis(300);

/// A member of a realm, running in this process. Cloning shares the node.
///
/// Dropping the last handle does not stop it: [`shutdown`](Self::shutdown) does, and so does the end of the runtime.
#[derive(Clone, Debug)]
pub struct Node(Arc<Running>);

#[derive(Debug)]
struct Running {
    plane: Arc<Plane>,
    control: Control,
    endpoint: Endpoint,
    dialler: Dialler,
    members: broadcast::Sender<MemberEvent>,
    next_key: AtomicU64,
}

/// A node that may have been dropped.
#[derive(Clone, Debug)]
pub(crate) struct WeakNode(Weak<Running>);

impl WeakNode {
    pub(crate) fn upgrade(&self) -> Option<Node> {
        self.0.upgrade().map(Node)
    }
}

/// What a node knows of a member.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct MemberInfo {
    /// The member's id, 64 hexadecimal digits.
    pub node: String,
    /// `alive`, `suspect`, `dead` or `left`.
    pub state: &'static str,
    /// The member's run.
    pub epoch: u64,
    /// The version of its record within the run.
    pub incarnation: u64,
    /// Where it can be dialled.
    pub addresses: Vec<SocketAddr>,
    /// The roles of its certificate.
    pub roles: Vec<&'static str>,
    /// The zone of its certificate.
    pub zone: Option<String>,
    /// Its program and version.
    pub agent: String,
    /// How long it has been in this state, in milliseconds.
    pub since_ms: u64,
    /// Whether a link to it is up; `true` for the node itself.
    pub linked: bool,
}

/// A link of a node.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct PeerInfo {
    /// The peer's id, 64 hexadecimal digits.
    pub node: String,
    /// `member`, `client` or `local`.
    pub role: &'static str,
    /// The way to it.
    pub path: String,
    /// Round trip time in microseconds.
    pub rtt_us: u64,
    /// The largest packet that the path carries, in bytes.
    pub mtu: u64,
    /// Bytes sent and received.
    pub sent_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets lost on the way.
    pub lost_packets: u64,
    /// Bytes that wait to be sent.
    pub queued_bytes: u64,
}

impl Node {
    /// Begins to describe a node.
    #[must_use]
    pub fn builder() -> crate::NodeBuilder {
        crate::NodeBuilder::new()
    }

    pub(crate) fn running(
        plane: Arc<Plane>,
        control: Control,
        endpoint: Endpoint,
        dialler: Dialler,
        members: broadcast::Sender<MemberEvent>,
    ) -> Self {
        Self(Arc::new(Running {
            plane,
            control,
            endpoint,
            dialler,
            members,
            next_key: AtomicU64::new(1),
        }))
    }

    /// This node's id: its public key.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.0.plane.node()
    }

    /// The realm that this node is a member of.
    #[must_use]
    pub fn realm(&self) -> &RealmName {
        &self.0.plane.realm
    }

    /// The UDP address that this node listens at.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.endpoint.local_addr()
    }

    /// Dials a node of the realm and joins by it. Returns who answered.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UNREACHABLE`] if nothing answers, [`ErrorCode::UNAUTHENTICATED`] if the other side is not of this
    /// realm or does not accept this node.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the link may or may not come up.
    pub async fn connect(&self, address: SocketAddr) -> Result<NodeId, Error> {
        Ok(self.0.dialler.dial(address, None).await?)
    }

    /// Declares a topic to publish on.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_NAME`], [`ErrorCode::POLICY_CONFLICT`] if the topic was declared with another priority,
    /// [`ErrorCode::DENIED`], and [`ErrorCode::QUOTA_EXCEEDED`] beyond 65,536 topics.
    pub fn publisher(&self, topic: &str, options: PublishOptions) -> Result<Publisher, Error> {
        let topic = Topic::in_realm(self.realm(), topic)?;
        self.0.plane.check_publish(&topic)?;
        Publisher::new(Arc::clone(&self.0.plane), &topic, options)
    }

    /// Publishes one event with default options.
    ///
    /// Whoever publishes many on one topic is better served by [`publisher`](Self::publisher).
    ///
    /// # Errors
    ///
    /// Those of [`publisher`](Self::publisher) and [`Publisher::publish`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Error> {
        let publisher = self.publisher(topic, PublishOptions::default())?;
        publisher.publish(payload).await
    }

    /// Subscribes to a pattern: `*` is one segment, a last `**` any number.
    ///
    /// An event that is published on any reachable member a second after this has returned reaches the subscription.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_NAME`], [`ErrorCode::DENIED`], [`ErrorCode::QUOTA_EXCEEDED`] beyond the limit of
    /// subscriptions.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, nothing stays subscribed.
    pub async fn subscribe(
        &self,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, Error> {
        let pattern = Pattern::in_realm(self.realm(), pattern)?;
        let id = LocalId::new(self.0.next_key.fetch_add(1, Ordering::Relaxed));
        let queue = Arc::new(Queue::new(options));
        self.queues(|queues| queues.insert(id, Arc::clone(&queue)));
        let node = self.clone();
        let release = Box::new(move || node.release(id));
        // From here on dropping the future drops the subscription, which takes everything back.
        let subscription = Subscription::new(pattern.clone(), queue, release);
        let principal = self.0.plane.own.clone();
        self.0
            .control
            .run(move |machine, now| {
                let subscriber = Subscriber::Local(id);
                machine
                    .pubsub_mut()
                    .subscribe(now, &DefaultRules, &principal, subscriber, pattern)
            })
            .await?
            .map_err(subscribe_error)?;
        Ok(subscription)
    }

    /// Ends a subscription and waits until no more events are owed to it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SHUTTING_DOWN`] if the node has stopped, which has ended it as well.
    pub async fn unsubscribe(&self, subscription: Subscription) -> Result<(), Error> {
        drop(subscription);
        // The command stands behind that of the drop.
        self.0.control.run(|_, _| ()).await
    }

    fn release(&self, id: LocalId) {
        self.queues(|queues| queues.remove(&id));
        self.0.plane.changed();
        self.0.control.run_later(move |machine, now| {
            let subscriber = Subscriber::Local(id);
            if let Err(error) = machine.pubsub_mut().unsubscribe(now, subscriber) {
                tracing::debug!(%error, "the subscription had not begun");
            }
        });
    }

    fn queues<T>(
        &self,
        with: impl FnOnce(&mut std::collections::BTreeMap<LocalId, Arc<Queue>>) -> T,
    ) -> T {
        with(
            &mut self
                .0
                .plane
                .queues
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Serves a procedure by a function, until the registration is dropped.
    ///
    /// Calls run in tasks of their own, as many at a time as `options` allow. A panic of the function ends the call
    /// with [`ErrorCode::INTERNAL`] and nothing else.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_NAME`], [`ErrorCode::DENIED`], [`ErrorCode::ALREADY_REGISTERED`] if this node serves the
    /// procedure already, [`ErrorCode::QUOTA_EXCEEDED`] beyond the limit of registrations.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, nothing stays registered.
    pub async fn register<F, A>(
        &self,
        procedure: &str,
        options: RegisterOptions,
        function: F,
    ) -> Result<Served, Error>
    where
        F: Fn(Invocation) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Reply, CallFailure>> + Send + 'static,
    {
        let procedure = Procedure::in_realm(self.realm(), procedure)?;
        let key = RegistrationKey::new(self.0.next_key.fetch_add(1, Ordering::Relaxed));
        let registration = Registration(Handler::new(function));
        self.registrations(|registrations| registrations.insert(key, registration));
        let node = self.clone();
        let served = Served::new(procedure.clone(), Box::new(move || node.withdraw(key)));
        let principal = self.0.plane.own.clone();
        self.0
            .control
            .run(move |machine, now| {
                let registrant = Registrant::Local(key);
                machine.rpc_mut().register(
                    now,
                    &DefaultRules,
                    &principal,
                    registrant,
                    procedure,
                    options,
                )
            })
            .await?
            .map_err(register_error)?;
        Ok(served)
    }

    /// Ends a registration and waits until no more calls are taken for it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SHUTTING_DOWN`] if the node has stopped, which has ended it as well.
    pub async fn unregister(&self, served: Served) -> Result<(), Error> {
        drop(served);
        self.0.control.run(|_, _| ()).await
    }

    fn withdraw(&self, key: RegistrationKey) {
        self.registrations(|registrations| registrations.remove(&key));
        self.0.control.run_later(move |machine, now| {
            let registrant = Registrant::Local(key);
            if let Err(error) = machine.rpc_mut().unregister(now, registrant) {
                tracing::debug!(%error, "the registration had not begun");
            }
        });
    }

    fn registrations<T>(
        &self,
        with: impl FnOnce(&mut std::collections::BTreeMap<RegistrationKey, Registration>) -> T,
    ) -> T {
        with(
            &mut self
                .0
                .plane
                .registrations
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Calls a procedure by name, wherever in the realm it is served.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NO_SUCH_PROCEDURE`] at once if nobody serves it, [`ErrorCode::DEADLINE_EXCEEDED`] at the deadline,
    /// [`ErrorCode::CALLEE_LOST`] if the provider vanished, [`ErrorCode::PAYLOAD_TOO_LARGE`], [`ErrorCode::DENIED`],
    /// and what the provider answers, [`ErrorCode::APPLICATION`] for its own errors.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the provider may or may not have run it.
    pub async fn call(
        &self,
        procedure: &str,
        payload: impl Into<Bytes>,
        options: CallOptions,
    ) -> Result<Reply, Error> {
        let procedure = Procedure::in_realm(self.realm(), procedure)?;
        self.0.plane.call(procedure, payload.into(), options).await
    }

    /// The members of the realm that this node knows, itself included.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SHUTTING_DOWN`] if the node has stopped.
    pub async fn members(&self) -> Result<Vec<MemberInfo>, Error> {
        let plane = Arc::clone(&self.0.plane);
        self.0
            .control
            .run(move |machine, now| {
                let own = plane.node();
                let info = |member: &macula_swim::Member| MemberInfo {
                    node: member.node().to_string(),
                    state: state_name(member.state()),
                    epoch: member.record().epoch.get(),
                    incarnation: member.record().incarnation.get(),
                    addresses: member.record().addresses.clone(),
                    roles: member.record().roles.names().collect(),
                    zone: member.record().zone.clone(),
                    agent: member.record().agent.clone(),
                    since_ms: u64::from(milliseconds(now.saturating_since(member.since()))),
                    linked: member.node() == own || plane.links.member(&member.node()).is_some(),
                };
                machine.swim().members().map(info).collect()
            })
            .await
    }

    /// What happens to members from here on. A receiver that lags 1,024 events behind loses the oldest.
    #[must_use]
    pub fn member_events(&self) -> broadcast::Receiver<MemberEvent> {
        self.0.members.subscribe()
    }

    /// The links of this node.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        peers(&self.0.plane)
    }

    /// What this node counts.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SHUTTING_DOWN`] if the node has stopped.
    pub async fn stats(&self) -> Result<NodeStats, Error> {
        crate::stats::collect(&self.0.plane, &self.0.control, &self.0.endpoint).await
    }

    /// This node in a few words.
    #[must_use]
    pub fn info(&self) -> NodeInfo {
        NodeInfo {
            node: self.node_id().to_string(),
            realm: self.realm().to_string(),
            listen: self.local_addr().to_string(),
            epoch: self.0.plane.epoch.get(),
            agent: start::AGENT,
        }
    }

    /// Waits until somebody wants events of `topic`, on this node or on another.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_NAME`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn wait_for_subscribers(&self, topic: &str) -> Result<(), Error> {
        let topic = Topic::in_realm(self.realm(), topic)?;
        self.0.plane.wait_for_subscribers(&topic).await;
        Ok(())
    }

    pub(crate) fn plane(&self) -> &Arc<Plane> {
        &self.0.plane
    }

    pub(crate) fn downgrade(&self) -> WeakNode {
        WeakNode(Arc::downgrade(&self.0))
    }

    /// Leaves the realm and stops: what was published leaves, the others are told, links close, tasks end.
    ///
    /// It takes about a second and at most ten. A second call waits for nothing and returns.
    pub async fn shutdown(&self) {
        let plane = &self.0.plane;
        if !plane.drained(FLUSH_TIMEOUT).await {
            tracing::warn!("some events or answers could not leave before the node stopped");
        }
        let left = self
            .0
            .control
            .run(|machine, now| machine.swim_mut().leave(now))
            .await;
        if left.is_ok() {
            tokio::time::sleep(LEAVE_DELAY).await;
        }
        self.0
            .endpoint
            .close(ErrorCode::SHUTTING_DOWN, "the node is shutting down")
            .await;
        for attached in plane.links.all() {
            attached
                .link
                .close(ErrorCode::SHUTTING_DOWN, "the node is shutting down");
        }
        plane.serving.shutdown().await;
        plane.tasks.shutdown().await;
        self.queues(|queues| queues.values().for_each(|queue| queue.close()));
    }
}

/// A procedure that this process serves. Dropping it ends the registration.
pub struct Served {
    procedure: Procedure,
    release: Option<crate::subscription::Release>,
}

impl Served {
    pub(crate) fn new(procedure: Procedure, release: crate::subscription::Release) -> Self {
        Self {
            procedure,
            release: Some(release),
        }
    }

    /// What is served.
    #[must_use]
    pub fn procedure(&self) -> &Procedure {
        &self.procedure
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served")
            .field("procedure", &self.procedure)
            .finish_non_exhaustive()
    }
}

impl Plane {
    /// Whether this node may publish on `topic`.
    pub(crate) fn check_publish(&self, topic: &Topic) -> Result<(), Error> {
        use macula_realm::{Action, Authority, Verdict};
        if DefaultRules.check(&self.own, Action::Publish, topic.as_str()) == Verdict::Allow {
            return Ok(());
        }
        add(&self.counters.denied, 1);
        Err(denied("publish on", topic.as_str()))
    }

    /// Makes a call of this node or client.
    pub(crate) async fn call(
        self: &Arc<Self>,
        procedure: Procedure,
        payload: Bytes,
        options: CallOptions,
    ) -> Result<Reply, Error> {
        use macula_realm::{Action, Authority, Verdict};
        if payload.len() > self.max_payload_len {
            return Err(too_large(payload.len(), self.max_payload_len));
        }
        let allowed =
            DefaultRules.check(&self.own, Action::Call, procedure.as_str()) == Verdict::Allow;
        if !allowed && self.uplink.is_none() {
            add(&self.counters.denied, 1);
            return Err(denied("call", procedure.as_str()));
        }
        add(&self.counters.calls_made, 1);
        let candidates = self.candidates(&procedure);
        let outgoing = Outgoing {
            caller: self.node(),
            deadline: self.clock.now() + options.deadline,
            request: RpcCall {
                call: self.call_id(),
                hops: HOPS,
                caller: self.node(),
                procedure,
                deadline_ms: milliseconds(options.deadline),
                idempotency: options.idempotency_key,
                content: options.content,
                headers: options.headers,
                payload,
            },
        };
        let result = outgoing::make(self, outgoing, candidates).await?;
        Ok(Reply::new(result.content, result.payload))
    }
}

fn denied(verb: &str, name: &str) -> Error {
    Error::new(
        ErrorCode::DENIED,
        format!(
            "this identity may not {verb} {name}: names that start with `$` are reserved, and a tenant has its own prefix only"
        ),
    )
}

pub(crate) fn subscribe_error(error: SubscribeError) -> Error {
    Error::caused(error.code(), error.to_string(), error)
}

pub(crate) fn register_error(error: RegisterError) -> Error {
    Error::caused(error.code(), error.to_string(), error)
}

const fn state_name(state: State) -> &'static str {
    match state {
        State::Alive => "alive",
        State::Suspect => "suspect",
        State::Dead => "dead",
        State::Left => "left",
    }
}

pub(crate) fn peers(plane: &Plane) -> Vec<PeerInfo> {
    plane
        .links
        .all()
        .iter()
        .map(|attached| peer_info(attached))
        .collect()
}

pub(crate) fn peer_info(attached: &Attached) -> PeerInfo {
    let link = &attached.link;
    let stats: LinkStats = link.stats();
    PeerInfo {
        node: link.peer().node.to_string(),
        role: match (link.is_local(), attached.session()) {
            (true, _) => "local",
            (false, Some(_)) => "client",
            (false, None) => "member",
        },
        path: link.path().to_string(),
        rtt_us: u64::try_from(stats.rtt.as_micros()).unwrap_or(u64::MAX),
        mtu: u64::from(stats.mtu),
        sent_bytes: stats.bytes_sent,
        received_bytes: stats.bytes_received,
        lost_packets: stats.packets_lost,
        queued_bytes: u64::try_from(stats.outbox_bytes).unwrap_or(u64::MAX),
    }
}
