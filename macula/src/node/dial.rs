//! Dialling members that have no link, and the seeds to join by.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use macula_transport::{Backoff, Endpoint, Link, LinkError, LinkReceiver};
use macula_wire::message::SignedRecord;
use macula_wire::{Instant, NodeId, Random};
use tokio::sync::mpsc;

use crate::machine::{NodeInput, Wish};
use crate::plane::Plane;

/// The shortest pause between two rounds of dialling.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// The longest pause between two rounds of dialling.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How long seeds have to answer before remembered members are dialled as well.
const HEAD_START: Duration = Duration::from_secs(1);
/// How many remembered members are dialled in one round.
const AT_A_TIME: usize = 4;
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
    /// Tells the machine of those who do not answer. It is the machine's own queue, which ends with the node.
    inputs: mpsc::WeakSender<(Instant, NodeInput)>,
    wanted: Arc<Mutex<BTreeSet<NodeId>>>,
    /// The seeds that are being dialled.
    seeds: Arc<Mutex<BTreeSet<SocketAddr>>>,
}

impl Dialler {
    pub(crate) fn new(
        plane: Arc<Plane>,
        endpoint: Endpoint,
        dialled: mpsc::Sender<Dialled>,
        inputs: mpsc::WeakSender<(Instant, NodeInput)>,
    ) -> Self {
        Self {
            plane,
            endpoint,
            dialled,
            inputs,
            wanted: Arc::default(),
            seeds: Arc::default(),
        }
    }

    fn wanted<T>(&self, with: impl FnOnce(&mut BTreeSet<NodeId>) -> T) -> T {
        with(&mut lock(&self.wanted))
    }

    /// Dials `node` once, at each of its addresses, and tells the machine if none of them answers. Does nothing if it is
    /// being dialled already. Membership asks again as long as the link is missing.
    pub(crate) fn connect(&self, node: NodeId, addresses: Vec<SocketAddr>, wish: Wish) {
        if addresses.is_empty() || self.is_leaving() || !self.wanted(|wanted| wanted.insert(node)) {
            return;
        }
        let dialler = self.clone();
        self.plane.tasks.spawn("dial", async move {
            let reached = dialler.reach(node, &addresses, wish).await;
            dialler.wanted(|wanted| wanted.remove(&node));
            if !reached {
                dialler.tell_unreachable(node).await;
            }
        });
    }

    async fn tell_unreachable(&self, node: NodeId) {
        if let Some(inputs) = self.inputs.upgrade() {
            let unreachable = NodeInput::Unreachable(node);
            drop(inputs.send((self.plane.clock.now(), unreachable)).await);
        }
    }

    /// Whether there is a link, or soon will be.
    async fn reach(&self, node: NodeId, addresses: &[SocketAddr], wish: Wish) -> bool {
        if wish == Wish::OfBoth && self.plane.node() > node {
            tokio::time::sleep(COURTESY).await;
        }
        for address in addresses {
            if self.is_leaving() || self.plane.links.member(&node).is_some() {
                return true;
            }
            match self.dial(*address, Some(node)).await {
                Ok(_) => return true,
                Err(error) => {
                    tracing::debug!(peer = %node.short(), %address, %error, "dial failed");
                }
            }
        }
        false
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

    /// Keeps joining while no other member is linked: at the start, and again after everybody was lost. Seeds are dialled
    /// first; if none of them has answered a second later, some remembered members are.
    pub(crate) async fn keep_joined(self, mut ways: Ways) {
        let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF, self.plane.random());
        while !self.is_leaving() {
            if self.is_alone() {
                for seed in &ways.seeds {
                    self.try_seed(*seed);
                }
                if !ways.seeds.is_empty() && !ways.remembered.is_empty() {
                    tokio::time::sleep(HEAD_START).await;
                }
            }
            if self.is_alone() {
                for (node, addresses) in ways.next() {
                    self.connect(node, addresses, Wish::OfBoth);
                }
            } else {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    fn is_leaving(&self) -> bool {
        self.plane.leaving.load(Ordering::Relaxed)
    }

    fn is_alone(&self) -> bool {
        self.plane.links.members().is_empty()
    }

    /// Dials a seed, unless it is being dialled already.
    fn try_seed(&self, seed: SocketAddr) {
        if self.is_leaving() || !lock(&self.seeds).insert(seed) {
            return;
        }
        let dialler = self.clone();
        self.plane.tasks.spawn("seed", async move {
            if let Err(error) = dialler.dial(seed, None).await {
                tracing::info!(%seed, %error, "the seed does not answer yet");
            }
            lock(&dialler.seeds).remove(&seed);
        });
    }
}

fn lock<T>(set: &Mutex<T>) -> MutexGuard<'_, T> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By whom a node can join.
#[derive(Debug)]
pub(crate) struct Ways {
    seeds: Vec<SocketAddr>,
    /// Members of an earlier run, in an order of their own for each node, so that not all nodes dial the same.
    remembered: Vec<(NodeId, Vec<SocketAddr>)>,
    turn: usize,
}

impl Ways {
    pub(crate) fn new(
        seeds: &[SocketAddr],
        remembered: &[Arc<SignedRecord>],
        mut random: Random,
    ) -> Self {
        let mut remembered: Vec<(NodeId, Vec<SocketAddr>)> = remembered
            .iter()
            .map(|signed| (signed.record.node, signed.record.addresses.clone()))
            .filter(|(_, addresses)| !addresses.is_empty())
            .collect();
        remembered.sort_by_cached_key(|_| random.below(u64::MAX));
        Self {
            seeds: seeds.to_vec(),
            remembered,
            turn: 0,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.seeds.is_empty() && self.remembered.is_empty()
    }

    /// The remembered members whose turn it is.
    fn next(&mut self) -> Vec<(NodeId, Vec<SocketAddr>)> {
        let count = self.remembered.len().min(AT_A_TIME);
        let start = self.turn.checked_rem(self.remembered.len()).unwrap_or(0);
        self.turn = start.saturating_add(count);
        let round = self.remembered.iter().cycle().skip(start);
        round.take(count).cloned().collect()
    }
}
