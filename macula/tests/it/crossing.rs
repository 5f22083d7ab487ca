//! Two nodes that dial each other at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use macula::realm::{IssueRequest, NodeIdentity};
use macula::transport::{Config, Endpoint, Hello, Incoming, Link, LinkEvent, LinkReceiver};
use macula::wire::message::Role;
use macula::wire::{Epoch, ErrorCode};
use macula::{Node, RealmCredentials};

use crate::mesh::{Realm, loopback, until, within};

/// How long the link that is given up is served at least, on a clock that is read a little later.
const SERVED: Duration = Duration::from_millis(1_950);

/// A member that does nothing but dial and accept links.
struct Bare {
    endpoint: Endpoint,
    incoming: Incoming,
}

impl Bare {
    fn new(realm: &Realm, identity: &NodeIdentity) -> Self {
        let epoch = Epoch::new(macula::unix_time() * 1_000);
        let credentials = RealmCredentials::new(identity, realm.bundle());
        let realms = vec![Arc::new(credentials) as _];
        let hello = Hello::new(Role::Member, epoch);
        let mut config = Config::default();
        // What ends is known soon.
        config.drain_timeout = Duration::from_millis(100);
        let (endpoint, incoming) = Endpoint::bind(loopback(), config, hello, realms).unwrap();
        Self { endpoint, incoming }
    }

    async fn dial(&self, node: &Node) -> (Link, LinkReceiver) {
        let dial = self
            .endpoint
            .dial(node.realm(), node.local_addr(), Some(node.node_id()));
        within(dial).await.unwrap()
    }

    /// Has `node` dial this one.
    async fn be_dialled(&mut self, node: &Node) -> (Link, LinkReceiver) {
        let (dialled, accepted) = tokio::join!(
            within(node.connect(self.endpoint.local_addr())),
            within(self.incoming.accept())
        );
        dialled.unwrap();
        accepted.unwrap()
    }
}

/// Waits for the end of a link, and reads what comes until then.
async fn end(receiver: &mut LinkReceiver) {
    let closed = async {
        loop {
            if let LinkEvent::Closed(reason) = receiver.next().await {
                return reason;
            }
        }
    };
    let reason = within(closed).await;
    assert_eq!(reason.code, ErrorCode::OK, "{reason}");
}

/// An identity of which it is known whether its links are preferred to those of `node`.
fn identity(realm: &Realm, node: &Node, is_smaller: bool) -> NodeIdentity {
    loop {
        let identity = realm.identity(&IssueRequest::default());
        if (identity.node() < node.node_id()) == is_smaller {
            return identity;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_links_that_crossed_the_surplus_one_is_served_a_while() {
    let realm = Realm::new();
    let node = realm.node().await;
    for is_smaller in [true, false] {
        let mut bare = Bare::new(&realm, &identity(&realm, &node, is_smaller));
        let (own, mut own_events) = bare.dial(&node).await;
        let crossed = Instant::now();
        let (other, mut other_events) = bare.be_dialled(&node).await;
        let (kept, surplus) = if is_smaller {
            end(&mut other_events).await;
            (own, other)
        } else {
            end(&mut own_events).await;
            (other, own)
        };
        assert!(crossed.elapsed() >= SERVED, "{:?}", crossed.elapsed());
        assert!(surplus.close_reason().is_some() && kept.close_reason().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_has_no_more_than_one_surplus_link() {
    let realm = Realm::new();
    let node = realm.node().await;
    let mut bare = Bare::new(&realm, &identity(&realm, &node, false));
    let (kept, _events) = bare.be_dialled(&node).await;
    until(async || node.stats().await.unwrap().links_members == 1).await;
    let dialled = Instant::now();
    let ends = (0..3).map(async |_| {
        let (_link, mut events) = bare.dial(&node).await;
        end(&mut events).await;
        dialled.elapsed()
    });
    let ends = futures::future::join_all(ends).await;
    let served = ends.iter().filter(|after| **after >= SERVED).count();
    assert_eq!(served, 1, "{ends:?}");
    assert!(kept.close_reason().is_none());
}
