//! A running node.

pub(crate) mod cache;
mod calls;
pub(crate) mod control;
pub(crate) mod dial;
#[cfg(feature = "http3")]
pub(crate) mod face;
pub(crate) mod link;
mod lookups;
pub(crate) mod meta;
mod news;
mod path;
mod reach;
mod replace;
mod routing;
pub(crate) mod session;
mod socket;
pub(crate) mod start;
mod stop;
mod trace;
mod values;
mod view;
mod watch;
mod way;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use bytes::Bytes;
use macula_pubsub::{LocalId, SubscribeError, Subscriber};
use macula_rpc::RegisterError;
use macula_transport::Endpoint;
use macula_wire::{NodeId, Pattern, RealmName, Testament, Topic};
use tokio::sync::broadcast;

use self::cache::MemberCache;
pub(crate) use self::control::Control;
use self::dial::Dialler;
pub(crate) use self::reach::Reacher;
pub(crate) use self::routing::Lookups;
pub use self::routing::{
    ContactInfo, FindOptions, Findings, Query, RecordInfo, RoutingInfo, StepInfo, TableEntry,
};
pub use self::trace::{TraceHop, TraceInfo};
pub(crate) use self::values::value_of;
pub(crate) use self::view::peer_info;
pub use self::view::{MemberInfo, PeerInfo};
use crate::Error;
use crate::Group;
use crate::keep;
use crate::machine::{MemberEvent, NodeMachine};
use crate::plane::Plane;
use crate::plane::rights::NodeRules;
use crate::publisher::{PublishOptions, Publisher};
use crate::queue::{Queue, SubscribeOptions};
use crate::subscription::Subscription;

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
    cache: Option<Arc<MemberCache>>,
    next_key: AtomicU64,
    /// What this node leaves behind.
    testaments: tokio::sync::Mutex<Vec<Testament>>,
}

/// A node that may have been dropped.
#[derive(Clone, Debug)]
pub(crate) struct WeakNode(Weak<Running>);

impl WeakNode {
    pub(crate) fn upgrade(&self) -> Option<Node> {
        self.0.upgrade().map(Node)
    }
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
        cache: Option<Arc<MemberCache>>,
    ) -> Self {
        Self(Arc::new(Running {
            plane,
            control,
            endpoint,
            dialler,
            members,
            cache,
            next_key: AtomicU64::new(1),
            testaments: tokio::sync::Mutex::default(),
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
    /// [`UNREACHABLE`](macula_wire::ErrorCode::UNREACHABLE) if nothing answers, [`UNAUTHENTICATED`](macula_wire::ErrorCode::UNAUTHENTICATED) if the other side is not of this
    /// realm or does not accept this node.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the link may or may not come up.
    pub async fn connect(&self, address: SocketAddr) -> Result<NodeId, Error> {
        Ok(self.0.dialler.dial(address, None).await?)
    }

    /// Declares a topic to publish on, and waits until those are known who want its events so far and there are links to
    /// them, but two seconds at most. Publishing waits for nothing of the kind.
    ///
    /// # Errors
    ///
    /// [`INVALID_NAME`](macula_wire::ErrorCode::INVALID_NAME), [`POLICY_CONFLICT`](macula_wire::ErrorCode::POLICY_CONFLICT) if the topic was declared with another priority,
    /// [`DENIED`](macula_wire::ErrorCode::DENIED), [`QUOTA_EXCEEDED`](macula_wire::ErrorCode::QUOTA_EXCEEDED) beyond 65,536 topics, and
    /// [`SHUTTING_DOWN`](macula_wire::ErrorCode::SHUTTING_DOWN) if the node has stopped.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the topic may or may not be declared, which changes nothing for others.
    pub async fn publisher(
        &self,
        topic: &str,
        options: PublishOptions,
    ) -> Result<Publisher, Error> {
        let topic = Topic::in_realm(self.realm(), topic)?;
        self.0.plane.check_publish(&topic)?;
        let publisher = Publisher::new(Arc::clone(&self.0.plane), &topic, options)?;
        publisher.declare().await?;
        Ok(publisher)
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
        let publisher = self.publisher(topic, PublishOptions::default()).await?;
        publisher.publish(payload).await
    }

    /// Subscribes to a pattern: `*` is one segment, a last `**` any number.
    ///
    /// An event that is published on any reachable member a second after this has returned reaches the subscription.
    /// In a realm of more members than `link_pool` the publisher dials this node first, as soon as it hears of it.
    ///
    /// # Errors
    ///
    /// [`INVALID_NAME`](macula_wire::ErrorCode::INVALID_NAME), [`DENIED`](macula_wire::ErrorCode::DENIED), [`QUOTA_EXCEEDED`](macula_wire::ErrorCode::QUOTA_EXCEEDED) beyond the limit of
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
        self.subscribe_as(pattern, options, None).await
    }

    /// Subscribes as one of a group: of all its subscriptions in the realm, one gets each event. Otherwise as
    /// [`subscribe`](Self::subscribe).
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe), and [`POLICY_CONFLICT`](macula_wire::ErrorCode::POLICY_CONFLICT) if the group is
    /// balanced in another way by subscriptions of this node.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, nothing stays subscribed.
    pub async fn subscribe_in(
        &self,
        group: &Group,
        pattern: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, Error> {
        self.subscribe_as(pattern, options, Some(group)).await
    }

    async fn subscribe_as(
        &self,
        pattern: &str,
        options: SubscribeOptions,
        group: Option<&Group>,
    ) -> Result<Subscription, Error> {
        let pattern = Pattern::in_realm(self.realm(), pattern)?;
        options.check(&pattern)?;
        let id = LocalId::new(self.0.next_key.fetch_add(1, Ordering::Relaxed));
        let expired = Arc::clone(&self.0.plane.expired);
        let queue = Arc::new(Queue::new(options, expired));
        if options.begins() {
            queue.hold();
        }
        self.queues(|queues| queues.insert(id, Arc::clone(&queue)));
        let node = self.clone();
        let release = Box::new(move || node.release(id));
        // From here on dropping the future drops the subscription, which takes everything back.
        let subscription = Subscription::new(pattern.clone(), queue, release);
        let principal = self.0.plane.own.clone();
        let group = group.map(|group| group.interest().clone());
        self.0
            .control
            .run(move |machine, now| {
                let (who, subscriber) = (&principal, Subscriber::Local(id));
                let pubsub = machine.pubsub_mut();
                match &group {
                    None => pubsub.subscribe(now, &NodeRules, who, subscriber, pattern),
                    Some(group) => {
                        pubsub.subscribe_shared(now, &NodeRules, who, subscriber, pattern, group)
                    }
                }
            })
            .await?
            .map_err(subscribe_error)?;
        if options.begins() {
            self.begin(subscription.pattern().clone(), &subscription.queue, options);
        }
        Ok(subscription)
    }

    /// Ends a subscription and waits until no more events are owed to it.
    ///
    /// # Errors
    ///
    /// [`SHUTTING_DOWN`](macula_wire::ErrorCode::SHUTTING_DOWN) if the node has stopped, which has ended it as well.
    pub async fn unsubscribe(&self, subscription: Subscription) -> Result<(), Error> {
        drop(subscription);
        // The command stands behind that of the drop.
        self.0.control.settled().await
    }

    /// Looks for what a subscription begins with, in a task of its own.
    fn begin(&self, pattern: Pattern, queue: &Arc<Queue>, options: SubscribeOptions) {
        let (node, queue) = (self.clone(), Arc::clone(queue));
        self.0.plane.tasks.spawn("earlier events", async move {
            let found = node.earlier(&pattern, options.wanted());
            keep::begin(&node.0.plane, &queue, found).await;
        });
    }

    fn release(&self, id: LocalId) {
        self.queues(|queues| queues.remove(&id));
        self.0.plane.changed();
        let to = macula_pubsub::Destination::Local(id);
        self.0.plane.kept_receiver_gone(to);
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

    /// Waits until somebody wants events of `topic`, on this node or on another.
    ///
    /// # Errors
    ///
    /// Those of [`publisher`](Self::publisher): it is declared by this.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn wait_for_subscribers(&self, topic: &str) -> Result<(), Error> {
        let topic = Topic::in_realm(self.realm(), topic)?;
        self.0.plane.check_publish(&topic)?;
        self.0.plane.wait_for_subscribers(&topic).await
    }

    /// Tries again to write the log of events, after a disk that was full or failed was mended. Until then nothing is
    /// published with [`Qos::Durable`](crate::Qos::Durable).
    pub fn reopen_event_log(&self) {
        if let Some(log) = &self.0.plane.reliable.log {
            log.reopen();
        }
    }

    pub(crate) fn plane(&self) -> &Arc<Plane> {
        &self.0.plane
    }

    /// What this node leaves behind, for one at a time to change.
    pub(crate) async fn testaments(&self) -> tokio::sync::MutexGuard<'_, Vec<Testament>> {
        self.0.testaments.lock().await
    }

    /// Runs `command` on the machine, as [`Control::run`] does.
    pub(crate) async fn command<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut NodeMachine, macula_wire::Instant) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.0.control.run(command).await
    }

    pub(crate) fn downgrade(&self) -> WeakNode {
        WeakNode(Arc::downgrade(&self.0))
    }
}

pub(crate) fn subscribe_error(error: SubscribeError) -> Error {
    Error::caused(error.code(), error.to_string(), error)
}

pub(crate) fn register_error(error: RegisterError) -> Error {
    Error::caused(error.code(), error.to_string(), error)
}
