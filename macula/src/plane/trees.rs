//! Topics that many members want: their events go along trees.

pub(crate) mod counts;
mod survey;
mod task;

pub(crate) use self::task::run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use macula_pubsub::{TreeBatch, TreeInput};
use macula_realm::NodeSigner;
use macula_wire::message::{Body, Kind, Message};
use macula_wire::{Batch, Frame, NodeId, SealedBatch, Sequence, Topic, limit};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use self::counts::TreeCounts;
use super::Plane;
use super::deliver::Expires;
use super::egress::Feed;
use super::prove;
use crate::event::Origin;
use crate::machine::{MemberEvent, TreeNeeds};

/// How many batches and messages may wait for the trees; messages beyond that are dropped.
const MAX_INPUTS: usize = 1_024;
/// How many of these may be batches; whoever reads a stream, or publishes, waits beyond that.
const MAX_BATCHES: usize = 16;

/// A batch on its way along a tree, as it came.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) origin: Arc<Origin>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) batch: Batch,
    pub(crate) frame: Frame,
    pub(crate) expires: Option<Expires>,
}

/// What the task of the trees is told.
pub(crate) type Input = TreeInput<Arc<Carried>>;

/// The same as it waits, with its room, which is there again when everything was done.
pub(super) type Queued = (Input, Option<OwnedSemaphorePermit>);

/// What a member needs to send along trees.
#[derive(Debug)]
pub(crate) struct Trees {
    /// To as many members events go straight, to more along a tree.
    direct: usize,
    /// What proves batches beyond the links of this node.
    signer: NodeSigner,
    chain: Vec<Bytes>,
    inputs: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    /// The topics with a tree here, and to whom this node sends.
    around: ArcSwap<BTreeMap<Topic, Arc<[NodeId]>>>,
    /// Members that are suspected.
    doubted: Mutex<BTreeSet<NodeId>>,
    doubts_changed: Notify,
    /// Topics published here whose events are kept, and therefore go to everybody straight.
    straight: Mutex<BTreeSet<Topic>>,
    straight_changed: Notify,
    counts: Mutex<TreeCounts>,
}

impl Trees {
    pub(crate) fn new(
        direct: usize,
        signer: NodeSigner,
        chain: &[Vec<u8>],
    ) -> (Self, mpsc::Receiver<Queued>) {
        let (inputs, queue) = mpsc::channel(MAX_INPUTS);
        let trees = Self {
            direct,
            signer,
            chain: chain.iter().cloned().map(Bytes::from).collect(),
            inputs,
            room: Arc::new(Semaphore::new(MAX_BATCHES)),
            around: ArcSwap::default(),
            doubted: Mutex::default(),
            doubts_changed: Notify::new(),
            straight: Mutex::default(),
            straight_changed: Notify::new(),
            counts: Mutex::default(),
        };
        (trees, queue)
    }

    /// Something happened to a member: whoever is suspected is passed over, and others bring what it would have.
    pub(crate) fn member(&self, event: &MemberEvent) {
        let node = event.node();
        let mut doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = if matches!(event, MemberEvent::Suspect(_)) {
            doubted.insert(node)
        } else {
            doubted.remove(&node)
        };
        if is_new {
            self.doubts_changed.notify_one();
        }
    }

    fn doubted(&self) -> BTreeSet<NodeId> {
        let doubted = self.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        doubted.clone()
    }

    /// Ends when the suspected may have changed. Cancel safe. One task at most waits for it.
    async fn doubts_change(&self) {
        self.doubts_changed.notified().await;
    }

    /// Events of a topic of this node go to everybody straight from here on.
    pub(crate) fn go_straight(&self, topic: &Topic) {
        let mut straight = self.straight.lock().unwrap_or_else(PoisonError::into_inner);
        if straight.insert(topic.clone()) {
            self.straight_changed.notify_one();
        }
    }

    /// Ends when more topics may go straight. Cancel safe. One task at most waits for it.
    async fn straight_change(&self) {
        self.straight_changed.notified().await;
    }

    /// Which links the trees need.
    fn needs(&self) -> TreeNeeds {
        let around = self.around.load();
        let nodes = around.values().flat_map(|nodes| nodes.iter().copied());
        let straight = self.straight.lock().unwrap_or_else(PoisonError::into_inner);
        TreeNeeds {
            neighbours: nodes.collect(),
            straight: straight.clone(),
        }
    }

    fn count(&self, counts: TreeCounts) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    /// What the trees of this node hold and did.
    pub(crate) fn counts(&self) -> TreeCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether events of a topic that `members` others want go along a tree. One that has a tree goes on to have it until
    /// half as many want it.
    pub(crate) fn takes(&self, topic: &Topic, members: usize) -> bool {
        let most = if self.around.load().contains_key(topic) {
            self.direct / 2
        } else {
            self.direct
        };
        members > most
    }

    /// To whom events of a topic are sent from here along its tree.
    pub(crate) fn around(&self, topic: &Topic) -> Option<Arc<[NodeId]>> {
        self.around.load().get(topic).cloned()
    }

    /// Hands a batch to the task, waiting for room. Cancel safe: dropped before it returns, nothing was handed over.
    pub(crate) async fn tell(&self, input: Input) {
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        // The task ends with the node.
        drop(self.inputs.send((input, room)).await);
    }

    /// Hands something over that may be lost, because it is said again or asked for.
    pub(crate) fn mention(&self, input: Input) {
        if self.inputs.try_send((input, None)).is_err() {
            tracing::debug!("the trees are behind: a message of a neighbour was dropped");
        }
    }

    /// Signs a batch of this node and makes it ready for its tree.
    pub(crate) fn publish(
        &self,
        plane: &Plane,
        origin: &Arc<Origin>,
        feed: &Feed,
        sealed: &SealedBatch,
    ) -> Option<Input> {
        let mut batch = sealed.open();
        batch.hops = limit::TREE_HOPS;
        prove::sign(&self.signer, &plane.realm, &origin.topic, &mut batch)?;
        let bytes = Message::from(Body::Batch(batch.clone())).to_bytes().ok()?;
        let body = Bytes::from(bytes).slice(limit::HEADER_LEN..);
        let feed = Feed {
            publisher: feed.publisher,
            epoch: feed.epoch,
            alias: feed.alias,
            topic: feed.topic.clone(),
            chain: self.chain.clone(),
        };
        let carried = Carried {
            origin: Arc::clone(origin),
            feed: Arc::new(feed),
            expires: plane.expires(batch.ttl_ms),
            batch,
            frame: Frame::new(Kind::Batch.number(), body),
        };
        Some(carried.on_its_way(None, None))
    }
}

impl Carried {
    /// As the trees take it, from a neighbour or from this node; `expected` is the next sequence where the publisher is
    /// followed already.
    pub(crate) fn on_its_way(self, from: Option<NodeId>, expected: Option<Sequence>) -> Input {
        let batch = self.in_a_tree(from.is_some());
        TreeInput::Batch {
            from,
            batch,
            expected,
        }
    }

    /// As the trees take it where its publisher sent it to everybody itself.
    pub(crate) fn straight(self) -> Input {
        let batch = self.in_a_tree(false);
        TreeInput::Direct { batch }
    }

    fn in_a_tree(self, along: bool) -> TreeBatch<Arc<Self>> {
        let passed = limit::TREE_HOPS
            .saturating_add(1)
            .saturating_sub(self.batch.hops);
        TreeBatch {
            publisher: self.batch.publisher,
            epoch: self.batch.epoch,
            topic: self.origin.topic.clone(),
            base: self.batch.base,
            count: u64::try_from(self.batch.entries.count()).unwrap_or(u64::MAX),
            distance: if along { passed } else { 0 },
            bytes: self.frame.body.len(),
            payload: Arc::new(self),
        }
    }
}

/// Where there are trees: at members.
pub(crate) type Grown = OnceLock<Trees>;

impl Plane {
    /// A neighbour said something of trees.
    pub(crate) fn heard_of_tree(&self, from: NodeId, body: Body) {
        let Some(trees) = self.trees.get() else {
            return;
        };
        if let Body::IHave(have) = body {
            trees.mention(TreeInput::Have { from, have });
        } else if let Body::Graft(graft) = body {
            trees.mention(TreeInput::Graft { from, graft });
        } else if let Body::Prune(prune) = body {
            trees.mention(TreeInput::Prune { from, prune });
        }
    }

    /// Waits until everything handed to the trees so far was put on links.
    pub(super) async fn trees_are_idle(&self) {
        let Some(trees) = self.trees.get() else {
            return;
        };
        // When the second input has been taken, everything before it was carried out.
        for _ in 0..2 {
            let peer = self.node();
            trees.tell(TreeInput::Present { peer }).await;
            drop(trees.inputs.reserve_many(MAX_INPUTS).await);
        }
    }

    /// Whether a topic has a tree here.
    pub(crate) fn has_tree(&self, topic: &Topic) -> bool {
        let trees = self.trees.get();
        trees.is_some_and(|trees| trees.around.load().contains_key(topic))
    }
}
