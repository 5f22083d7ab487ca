//! Dialling addresses: those of members that have no link, and the seeds to join by.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use macula_transport::{Backoff, Endpoint, Link, LinkError, LinkReceiver};
use macula_wire::message::SignedRecord;
use macula_wire::{NodeId, Random};
use tokio::sync::{Semaphore, mpsc, watch};

use super::control::Control;
use super::reach::{By, Outcome};
use super::way::MAX_WAYS;
use crate::machine::Wish;
use crate::plane::Plane;
use crate::plane::forward::{Forwarding, ForwardingConfig};

/// The shortest pause between two rounds of dialling.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// The longest pause between two rounds of dialling.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How long seeds have to answer before remembered members are dialled as well.
const HEAD_START: Duration = Duration::from_secs(1);
/// How many remembered members are dialled in one round.
const AT_A_TIME: usize = 4;
/// How long an address of a member has to answer before the next one is dialled as well.
const STAGGER: Duration = Duration::from_secs(1);

/// A link that was dialled, on its way to the task that runs links.
pub(crate) type Dialled = (Link, LinkReceiver);

/// Dials for one node.
#[derive(Clone, Debug)]
pub(crate) struct Dialler {
    pub(super) plane: Arc<Plane>,
    pub(super) control: Control,
    pub(super) endpoint: Endpoint,
    pub(super) forwarding: Arc<Forwarding>,
    dialled: mpsc::Sender<Dialled>,
    /// The members that are being dialled, and how that ends.
    pub(super) wanted: Arc<Mutex<BTreeMap<NodeId, watch::Receiver<Option<Outcome>>>>>,
    /// How many more ways to targets may be made at a time.
    pub(super) ways: Arc<Semaphore>,
    /// The seeds that are being dialled.
    seeds: Arc<Mutex<BTreeSet<SocketAddr>>>,
}

impl Dialler {
    pub(crate) fn new(
        control: Control,
        endpoint: Endpoint,
        forwarding: ForwardingConfig,
        dialled: mpsc::Sender<Dialled>,
    ) -> Self {
        let plane = Arc::clone(&control.plane);
        let forwarding = Forwarding::new(Arc::clone(&plane), endpoint.clone(), forwarding);
        Self {
            plane,
            control,
            endpoint,
            forwarding: Arc::new(forwarding),
            dialled,
            wanted: Arc::default(),
            ways: Arc::new(Semaphore::new(MAX_WAYS)),
            seeds: Arc::default(),
        }
    }

    /// Dials `node` once, at each of its addresses, and by forwarding where none works. Does nothing if it is being
    /// dialled already. Membership asks again as long as the link is missing.
    pub(crate) fn connect(&self, node: NodeId, addresses: Vec<SocketAddr>, wish: Wish) {
        if !self.is_leaving() {
            drop(self.attempt(node, addresses, By::Machine(wish)));
        }
    }

    /// Dials the addresses of a member, the next one when one has failed or has had some time. The first link is handed
    /// over.
    ///
    /// # Errors
    ///
    /// What became of each.
    pub(super) async fn dial_each(
        &self,
        node: NodeId,
        addresses: &[SocketAddr],
    ) -> Result<(), Vec<LinkError>> {
        let mut waiting = addresses.iter();
        let mut running = FuturesUnordered::new();
        let mut errors = Vec::new();
        loop {
            if self.is_leaving() || self.is_linked_directly(&node) {
                return Ok(());
            }
            if let Some(address) = waiting.next() {
                let dial = self.endpoint.dial(&self.plane.realm, *address, Some(node));
                running.push(dial);
            }
            tokio::select! {
                dialled = running.next() => match dialled {
                    Some(Ok(dialled)) => {
                        self.hand_over(dialled).await;
                        return Ok(());
                    }
                    Some(Err(error)) => {
                        tracing::debug!(peer = %node.short(), %error, "dial failed");
                        errors.push(error);
                    }
                    None => return Err(errors),
                },
                () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {}
            }
        }
    }

    /// Starts what runs as long as the node.
    pub(crate) fn start(&self) {
        self.forwarding.start();
        let tasks = &self.plane.tasks;
        tasks.spawn("hints", self.clone().keep_hints());
        tasks.spawn("paths", self.clone().keep_paths());
        tasks.spawn("ways", self.clone().keep_ways());
    }

    /// Gives a link to the task that runs links.
    pub(super) async fn hand_over(&self, dialled: Dialled) {
        drop(self.dialled.send(dialled).await);
    }

    pub(super) fn is_linked_directly(&self, node: &NodeId) -> bool {
        let linked = self.plane.links.member(node);
        linked.is_some_and(|linked| !linked.link.is_forwarded())
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
        self.hand_over((link, receiver)).await;
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

    pub(super) fn is_leaving(&self) -> bool {
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

pub(super) fn lock<T>(set: &Mutex<T>) -> MutexGuard<'_, T> {
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
