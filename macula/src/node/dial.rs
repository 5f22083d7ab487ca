//! Dialling members that have no link, and the seeds to join by.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use macula_transport::{Backoff, Endpoint, Link, LinkError, LinkReceiver};
use macula_wire::NodeId;
use tokio::sync::mpsc;

use crate::plane::Plane;

/// The shortest pause between two rounds of dialling.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// The longest pause between two rounds of dialling.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How much later than the smaller id the larger one of two members dials, so that they do not cross each other.
const COURTESY: Duration = Duration::from_millis(500);

/// A link that was dialled, on its way to the task that runs links.
pub(crate) type Dialled = (Link, LinkReceiver);

/// Dials for one node.
#[derive(Clone, Debug)]
pub(crate) struct Dialler {
    plane: Arc<Plane>,
    endpoint: Endpoint,
    dialled: mpsc::Sender<Dialled>,
    wanted: Arc<Mutex<BTreeSet<NodeId>>>,
}

impl Dialler {
    pub(crate) fn new(
        plane: Arc<Plane>,
        endpoint: Endpoint,
        dialled: mpsc::Sender<Dialled>,
    ) -> Self {
        Self {
            plane,
            endpoint,
            dialled,
            wanted: Arc::default(),
        }
    }

    fn wanted<T>(&self, with: impl FnOnce(&mut BTreeSet<NodeId>) -> T) -> T {
        with(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Dials `node` once, at each of its addresses. Does nothing if it is being dialled already. Membership asks again
    /// as long as the link is missing.
    pub(crate) fn connect(&self, node: NodeId, addresses: Vec<SocketAddr>) {
        if addresses.is_empty() || !self.wanted(|wanted| wanted.insert(node)) {
            return;
        }
        let dialler = self.clone();
        self.plane.tasks.spawn("dial", async move {
            dialler.reach(node, &addresses).await;
            dialler.wanted(|wanted| wanted.remove(&node));
        });
    }

    async fn reach(&self, node: NodeId, addresses: &[SocketAddr]) {
        if self.plane.node() > node {
            tokio::time::sleep(COURTESY).await;
        }
        for address in addresses {
            if self.plane.links.member(&node).is_some() {
                return;
            }
            match self.dial(*address, Some(node)).await {
                Ok(_) => return,
                Err(error) => {
                    tracing::debug!(peer = %node.short(), %address, %error, "dial failed");
                }
            }
        }
    }

    /// Dials one address and hands the link over. Returns who answered.
    pub(crate) async fn dial(
        &self,
        address: SocketAddr,
        expected: Option<NodeId>,
    ) -> Result<NodeId, LinkError> {
        let (link, receiver) = self
            .endpoint
            .dial(&self.plane.realm, address, expected)
            .await?;
        let node = link.peer().node;
        drop(self.dialled.send((link, receiver)).await);
        Ok(node)
    }

    /// Keeps joining by `seeds` while no other member is linked: at the start, and again after everybody was lost.
    pub(crate) async fn keep_joined(self, seeds: Vec<SocketAddr>) {
        let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF, self.plane.random());
        loop {
            if self.plane.links.members().is_empty() {
                for seed in &seeds {
                    if let Err(error) = self.dial(*seed, None).await {
                        tracing::info!(%seed, %error, "the seed does not answer yet");
                    }
                }
            } else {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }
}
