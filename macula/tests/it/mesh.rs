//! Realms in memory, nodes in this process, and waiting, for the other modules.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use macula::realm::{IssueRequest, NodeIdentity, RealmRoot, TrustBundle};
use macula::wire::message::Roles;
use macula::{
    CallOptions, Client, Delivery, Event, Node, NodeBuilder, RegisterOptions, Reply,
    SubscribeOptions, Subscription,
};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// How long anything may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// What `future` gives, unless it takes too long.
#[track_caller]
pub(crate) fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    let future = Box::pin(future);
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(value) => value,
            Err(_) => panic!("nothing happened for {PATIENCE:?} at {caller}"),
        }
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    within(async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A realm whose root is here.
pub(crate) struct Realm {
    root: RealmRoot,
}

impl Realm {
    pub(crate) fn new() -> Self {
        Self::named("be.acme.iot")
    }

    /// A realm that is an hour old.
    pub(crate) fn named(name: &str) -> Self {
        let begun = macula::unix_time() - 3_600;
        let root = RealmRoot::create(name.parse().unwrap(), begun, RealmRoot::DEFAULT_VALIDITY);
        Self {
            root: root.unwrap(),
        }
    }

    pub(crate) fn bundle(&self) -> TrustBundle {
        self.root.bundle().clone()
    }

    pub(crate) fn identity(&self, request: &IssueRequest) -> NodeIdentity {
        self.identity_at(request, macula::unix_time())
    }

    pub(crate) fn identity_at(&self, request: &IssueRequest, now: u64) -> NodeIdentity {
        self.root.issue(request, now).unwrap()
    }

    /// A node on loopback with this identity and the trust of this realm.
    pub(crate) fn builder_with(&self, identity: NodeIdentity) -> NodeBuilder {
        Node::builder()
            .identity(identity)
            .trust(self.bundle())
            .listen(loopback())
            .http(false)
    }

    pub(crate) fn builder(&self) -> NodeBuilder {
        self.builder_with(self.identity(&IssueRequest::default()))
    }

    pub(crate) async fn node(&self) -> Node {
        within(self.builder().start()).await.unwrap()
    }

    /// Nodes that are all linked to each other.
    pub(crate) async fn mesh<const COUNT: usize>(&self) -> [Node; COUNT] {
        let mut nodes = Vec::new();
        for _ in 0..COUNT {
            nodes.push(self.node().await);
        }
        link(&nodes).await;
        nodes.try_into().unwrap()
    }

    /// A client with an identity of its own, attached to `node`.
    pub(crate) async fn client(&self, node: &Node) -> Client {
        self.client_with(node, &IssueRequest::new(Roles::CLIENT))
            .await
    }

    pub(crate) async fn client_with(&self, node: &Node, request: &IssueRequest) -> Client {
        let client = Client::builder()
            .identity(self.identity(request))
            .trust(self.bundle())
            .connect(node.local_addr());
        within(client).await.unwrap()
    }
}

/// Links all nodes by the first, and waits until every link is there and none is on its way.
pub(crate) async fn link(nodes: &[Node]) {
    for node in &nodes[1..] {
        within(node.connect(nodes[0].local_addr())).await.unwrap();
    }
    let count = u64::try_from(nodes.len()).unwrap();
    until(async || {
        for node in nodes {
            let stats = node.stats().await.unwrap();
            let links = [stats.links_members, stats.endpoint.connections];
            if links != [count - 1; 2]
                || stats.endpoint.handshakes_pending > 0
                || stats.members.alive != count
            {
                return false;
            }
        }
        true
    })
    .await;
}

/// A settled realm finds losses within a second rather than within ten.
pub(crate) fn hasty(builder: NodeBuilder) -> NodeBuilder {
    let mut membership = macula_swim::Config::default();
    membership.probe_period = Duration::from_millis(200);
    membership.probe_timeout = Duration::from_millis(100);
    membership.min_suspicion_timeout = Duration::from_millis(300);
    membership.max_suspicion_timeout = Duration::from_millis(500);
    membership.check_delay = Duration::from_millis(50);
    membership.gossip_period = Duration::from_millis(50);
    let mut transport = macula::transport::Config::default();
    transport.drain_timeout = Duration::from_millis(100);
    builder.membership(membership).transport(transport)
}

/// A node on a runtime of its own, so that it can end without a word.
pub(crate) struct Mortal {
    runtime: Option<Runtime>,
    pub(crate) node: Node,
}

impl Mortal {
    pub(crate) async fn start(builder: NodeBuilder) -> Self {
        let runtime = Runtime::new().unwrap();
        let started = runtime.spawn(builder.start());
        let node = within(started).await.unwrap().unwrap();
        Self {
            runtime: Some(runtime),
            node,
        }
    }

    /// Ends everything of the node where it stands.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn fresh(kind: char) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("ready.{kind}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until `publisher` knows everything that `subscriber` has subscribed to or no longer does.
pub(crate) async fn told(subscriber: &Node, publisher: &Node) {
    let topic = fresh('t');
    let ready = subscribe(subscriber, &topic).await;
    within(publisher.wait_for_subscribers(&topic))
        .await
        .unwrap();
    subscriber.unsubscribe(ready).await.unwrap();
}

/// Waits until `caller` knows everything that `provider` serves or no longer does.
pub(crate) async fn offered(provider: &Node, caller: &Node) {
    let name = fresh('p');
    let ready = provider
        .register(&name, RegisterOptions::default(), |_| async {
            Ok(Reply::default())
        })
        .await
        .unwrap();
    until(async || {
        let options = CallOptions::default();
        caller.call(&name, "", options).await.is_ok()
    })
    .await;
    provider.unregister(ready).await.unwrap();
}

/// A subscription with a queue that these tests do not fill.
pub(crate) async fn subscribe(node: &Node, pattern: &str) -> Subscription {
    let options = SubscribeOptions::default().max_events(100_000);
    within(node.subscribe(pattern, options)).await.unwrap()
}

/// The next delivery, which has to be an event.
#[track_caller]
pub(crate) fn event(subscription: &mut Subscription) -> impl Future<Output = Event> {
    let next = within(subscription.next());
    async move {
        match next.await {
            Some(Delivery::Event(event)) => event,
            other => panic!("no event: {other:?}"),
        }
    }
}

/// Events whose payloads are their own sequences.
pub(crate) fn numbered(sequence: u64) -> Vec<u8> {
    sequence.to_le_bytes().to_vec()
}

/// Tells when it is dropped.
pub(crate) struct Guard(pub(crate) Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
