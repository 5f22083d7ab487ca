//! A client: a process that attaches to a member instead of being one.

mod calls;
mod machines;
mod requests;
mod start;

pub use start::ClientBuilder;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use macula_pubsub::{LocalId, Subscriber};
use macula_transport::CloseReason;
use macula_wire::message::{Body, Subscribe, Unsubscribe};
use macula_wire::{ErrorCode, NodeId, Pattern, RealmName, RequestId, SubscriptionId, Topic};

use self::machines::Machines;
use self::requests::Requests;
use crate::keep;
use crate::node::subscribe_error;
use crate::plane::Plane;
use crate::plane::links::Attached;
use crate::plane::rights::ClientRules;
use crate::publisher::{PublishOptions, Publisher};
use crate::queue::{Queue, SubscribeOptions};
use crate::subscription::Subscription;
use crate::{Error, Group, PeerInfo};

/// How long closing waits for what has to leave, at most.
const CLOSE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
/// A link to a member, and what this process does through it. Cloning shares the link.
///
/// Dropping the last handle closes the link; [`close`](Self::close) waits for what was published to leave first.
///
/// When the link is lost, subscriptions end, calls fail with [`ErrorCode::UNREACHABLE`], and
/// [`closed`](Self::closed) tells why; attach anew then.
#[derive(Clone, Debug)]
pub struct Client(Arc<Attachment>);

#[derive(Debug)]
struct Attachment {
    plane: Arc<Plane>,
    uplink: Arc<Attached>,
    requests: Arc<Requests>,
    /// What this client subscribed to and serves, in the same machines as a node, without other members.
    machines: Mutex<Machines>,
    next_key: AtomicU64,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.uplink.link.close(ErrorCode::OK, "");
    }
}

impl Client {
    /// Attaches to the node of a directory, over its Unix socket. The client has the node's identity.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UNREACHABLE`] if no node runs there.
    pub async fn local(directory: &crate::NodeDirectory) -> Result<Self, Error> {
        start::local(directory).await
    }

    /// Begins to describe a client that attaches over QUIC with an identity of its own.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    fn machines(&self) -> MutexGuard<'_, Machines> {
        self.0
            .machines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The id that this client acts under; that of the node for a local client.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.0.plane.node()
    }

    /// The member that this client is attached to.
    #[must_use]
    pub fn member(&self) -> NodeId {
        self.0.uplink.link.peer().node
    }

    /// The realm.
    #[must_use]
    pub fn realm(&self) -> &RealmName {
        &self.0.plane.realm
    }

    /// The link to the member.
    #[must_use]
    pub fn link(&self) -> PeerInfo {
        crate::node::peer_info(&self.0.plane, &self.0.uplink)
    }

    /// Declares a topic to publish on.
    ///
    /// # Errors
    ///
    /// As [`Node::publisher`](crate::Node::publisher); what this identity may do is judged by the member.
    pub fn publisher(&self, topic: &str, options: PublishOptions) -> Result<Publisher, Error> {
        let topic = Topic::in_realm(self.realm(), topic)?;
        self.0.plane.check_publish(&topic)?;
        Publisher::new(Arc::clone(&self.0.plane), &topic, options)
    }

    /// Publishes one event with default options. It has left this process when the client is
    /// [closed](Self::close) properly.
    ///
    /// # Errors
    ///
    /// Those of [`publisher`](Self::publisher) and [`Publisher::publish`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the event was not published.
    pub async fn publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.publisher(topic, PublishOptions::default())?
            .publish(payload)
            .await
    }

    /// Subscribes to a pattern through the member.
    ///
    /// # Errors
    ///
    /// As [`Node::subscribe`](crate::Node::subscribe), and [`ErrorCode::UNREACHABLE`] once the link is lost.
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

    /// Subscribes as one of a group, as [`Node::subscribe_in`](crate::Node::subscribe_in) does.
    ///
    /// # Errors
    ///
    /// As [`Node::subscribe_in`](crate::Node::subscribe_in), and [`ErrorCode::UNREACHABLE`] once the link is lost.
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
        let group = group.map(|group| group.interest().clone());
        let pattern = Pattern::in_realm(self.realm(), pattern)?;
        options.check(&pattern)?;
        let key = self.0.next_key.fetch_add(1, Ordering::Relaxed);
        let (id, subscription) = (LocalId::new(key), SubscriptionId::new(key));
        let expired = Arc::clone(&self.0.plane.expired);
        let queue = Arc::new(Queue::new(options, expired));
        if options.begins() {
            queue.hold();
        }
        {
            let plane = &self.0.plane;
            let mut queues = plane.queues.write().unwrap_or_else(PoisonError::into_inner);
            queues.insert(id, Arc::clone(&queue));
        }
        let client = self.clone();
        let release = Box::new(move || client.release(id, subscription));
        let handle = Subscription::new(pattern.clone(), queue, release);
        {
            let mut machines = self.machines();
            let now = self.0.plane.clock.now();
            let who = self.0.plane.own.clone();
            let (pubsub, subscriber) = (&mut machines.pubsub, Subscriber::Local(id));
            let wanted = pattern.clone();
            match &group {
                None => pubsub.subscribe(now, &ClientRules, &who, subscriber, wanted),
                Some(group) => {
                    pubsub.subscribe_shared(now, &ClientRules, &who, subscriber, wanted, group)
                }
            }
            .map_err(subscribe_error)?;
            self.settle(&mut machines);
        }
        self.request(|request| {
            Subscribe {
                request,
                subscription,
                pattern,
                early: options.takes_early() && group.is_none(),
                group,
            }
            .into()
        })
        .await?;
        if options.begins() {
            let (client, queue) = (self.clone(), Arc::clone(&handle.queue));
            let pattern = handle.pattern().clone();
            self.0.plane.tasks.spawn("earlier events", async move {
                let found = client.earlier(&pattern, options.wanted());
                keep::begin(&client.0.plane, &queue, found).await;
            });
        }
        Ok(handle)
    }

    /// Ends a subscription and waits until the member sends no more of it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UNREACHABLE`] once the link is lost, which has ended it as well.
    pub async fn unsubscribe(&self, subscription: Subscription) -> Result<(), Error> {
        drop(subscription);
        self.settled().await
    }

    fn release(&self, id: LocalId, subscription: SubscriptionId) {
        {
            let mut queues = self
                .0
                .plane
                .queues
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            queues.remove(&id);
        }
        let to = macula_pubsub::Destination::Local(id);
        self.0.plane.kept_receiver_gone(to);
        let mut machines = self.machines();
        let now = self.0.plane.clock.now();
        if machines
            .pubsub
            .unsubscribe(now, Subscriber::Local(id))
            .is_ok()
        {
            self.settle(&mut machines);
        }
        drop(machines);
        self.0.requests.send_only(&self.0.uplink, |request| {
            Unsubscribe {
                request,
                subscription,
            }
            .into()
        });
    }

    async fn request(&self, body: impl FnOnce(RequestId) -> Body) -> Result<(), Error> {
        self.0.requests.ask(&self.0.uplink, body).await
    }

    /// Waits until the member has carried out what was sent before.
    async fn settled(&self) -> Result<(), Error> {
        self.0.requests.settled(&self.0.uplink).await
    }

    /// Resolves when the link is lost or was closed, with the reason.
    pub async fn closed(&self) -> CloseReason {
        self.0.uplink.link.closed().await
    }

    /// Hands over what was published and what was answered, and closes the link.
    ///
    /// It waits, at most two seconds, until the member has everything.
    pub async fn close(&self) {
        if !self.0.plane.drained(CLOSE_TIMEOUT).await {
            tracing::warn!("some events or answers could not leave before the client closed");
        }
        self.0.uplink.link.close(ErrorCode::OK, "");
        self.0.uplink.link.closed().await;
        self.0.plane.serving.shutdown().await;
        self.0.plane.tasks.shutdown().await;
    }
}

/// Why nothing works on a link that is lost.
pub(crate) fn lost(reason: &CloseReason) -> Error {
    let code = match reason.code {
        ErrorCode::OK => ErrorCode::UNREACHABLE,
        code => code,
    };
    Error::new(code, format!("the link to the node is closed: {reason}"))
}
