//! The task that runs the trees of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::{
    Destination, Source, Table, Tree, TreeBatch, TreeConfig, TreeInput, TreeOutput,
};
use macula_transport::{LinkId, OutFrame};
use macula_wire::message::{Body, Message, Prune};
use macula_wire::{Epoch, Machine, NodeId, Topic, limit};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::counts::{TreeCounts, wide};
use super::survey::Known;
use super::{Carried, Input, Plane, Queued};
use crate::node::control::Control;
use crate::plane::counters::add;
use crate::plane::egress::Sent;
use crate::plane::ingress::with_hops;
use crate::plane::route::{Receivers, RouteCache};

/// How often links that took nothing are looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(100);
/// Every how many looks those who want the topics are watched on.
const WATCH_EVERY: u32 = 600;

/// The trees, and what the task knows of the rest.
pub(super) struct Task {
    pub(super) plane: Arc<Plane>,
    control: Control,
    pub(super) tree: Tree<Arc<Carried>>,
    /// The version of the tables that was looked at last.
    pub(super) seen: Option<u64>,
    pub(super) links: BTreeMap<NodeId, LinkId>,
    /// The latest runs of members that have or had links.
    pub(super) runs: BTreeMap<NodeId, Epoch>,
    pub(super) known: BTreeMap<Topic, Known>,
    /// The table by which topics were looked at last.
    pub(super) table: Option<Arc<Table>>,
    /// Members that may be gone.
    pub(super) doubted: BTreeSet<NodeId>,
    /// Whether neighbours may have changed since they were told last.
    pub(super) moved: bool,
    /// Neighbours whose links took nothing.
    pub(super) lagging: BTreeSet<NodeId>,
    routes: BTreeMap<Topic, RouteCache>,
    pub(super) found: Vec<Destination>,
    looks: u32,
}

/// Runs the trees of a node until it stops.
pub(crate) async fn run(plane: Arc<Plane>, control: Control, mut inputs: mpsc::Receiver<Queued>) {
    let tree = Tree::new(TreeConfig::default(), plane.node(), plane.clock.now());
    let mut task = Task {
        plane: Arc::clone(&plane),
        control,
        tree,
        seen: None,
        links: BTreeMap::new(),
        runs: BTreeMap::new(),
        known: BTreeMap::new(),
        table: None,
        doubted: BTreeSet::new(),
        moved: false,
        lagging: BTreeSet::new(),
        routes: BTreeMap::new(),
        found: Vec::new(),
        looks: 0,
    };
    let mut ticks = tokio::time::interval(LOOK_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Some(trees) = plane.trees.get() else {
        return;
    };
    loop {
        let changed = plane.tables_change();
        tokio::pin!(changed);
        changed.as_mut().enable();
        task.survey();
        task.carry_out();
        trees.count(task.counts());
        let due = task.tree.poll_timeout();
        tokio::select! {
            input = inputs.recv() => match input {
                Some((input, room)) => {
                    task.take(input);
                    task.carry_out();
                    drop(room);
                }
                None => return,
            },
            () = &mut changed => {}
            () = trees.doubts_change() => task.survey_doubts(),
            () = trees.straight_change() => task.say_needs(),
            () = plane.clock.sleep_until(due) => task.tree.handle_timeout(plane.clock.now()),
            _ = ticks.tick() => task.look(),
        }
    }
}

impl Task {
    /// Takes in what happened, where anybody here has to do with the topic.
    fn take(&mut self, input: Input) {
        let now = self.plane.clock.now();
        if let TreeInput::Batch { from, batch, .. } = &input
            && !self.look_after(&batch.topic, from.is_none())
        {
            // Nobody here wants it: it is not passed on either.
            if let Some(from) = from {
                let prune = Prune {
                    topic: batch.topic.clone(),
                    publisher: batch.publisher,
                };
                self.send(*from, prune.into());
            }
            return;
        }
        if let TreeInput::Have { have, .. } = &input {
            // What is told of a topic that is wanted here counts from the first time.
            self.meet(&have.topic);
        }
        self.tree.handle_input(now, input);
    }

    /// Looks whether links that took nothing take something again.
    fn look(&mut self) {
        let now = self.plane.clock.now();
        let recovered = |peer: &NodeId| {
            let attached = self.plane.links.member(peer);
            attached.is_none_or(|attached| {
                attached
                    .each_egress()
                    .all(|egress| egress.takes_more(&attached.link))
            })
        };
        let back: Vec<NodeId> = self
            .lagging
            .iter()
            .filter(|peer| recovered(peer))
            .copied()
            .collect();
        for peer in back {
            self.lagging.remove(&peer);
            self.tree.handle_input(now, TreeInput::CaughtUp { peer });
        }
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(WATCH_EVERY) {
            for topic in self.known.keys() {
                self.watch(topic);
            }
            self.survey_topics();
            self.forget_runs();
        }
    }

    /// Carries out what the trees want.
    fn carry_out(&mut self) {
        while let Some(output) = self.tree.poll_output() {
            match output {
                TreeOutput::Push { to, batch } => self.push(to, &batch),
                TreeOutput::Send { to, body } => self.send(to, body),
                TreeOutput::Deliver { batch } => self.deliver(&batch.payload),
                TreeOutput::Early { batch } => self.deliver_early(&batch.payload),
                TreeOutput::Unknown { topic } => self.meet(&topic),
                // The control plane is told of all neighbours at once.
                TreeOutput::Connect { .. } | TreeOutput::Release { .. } | _ => {}
            }
        }
        if std::mem::take(&mut self.moved) && self.neighbours_moved() {
            self.publish_neighbours();
        }
    }

    fn neighbours_moved(&self) -> bool {
        let Some(trees) = self.plane.trees.get() else {
            return false;
        };
        let around = trees.around.load();
        around.len() != self.known.len()
            || self.known.keys().any(|topic| {
                let before = around.get(topic).map(|nodes| &nodes[..]);
                before != Some(self.tree.neighbours(topic))
            })
    }

    /// Tells publishers to whom they send, and which links are needed.
    pub(super) fn publish_neighbours(&mut self) {
        let Some(trees) = self.plane.trees.get() else {
            return;
        };
        let around: BTreeMap<Topic, Arc<[NodeId]>> = self
            .known
            .keys()
            .map(|topic| (topic.clone(), self.tree.neighbours(topic).into()))
            .collect();
        self.routes.retain(|topic, _| around.contains_key(topic));
        trees.around.store(Arc::new(around));
        self.plane.changed();
        self.say_needs();
    }

    /// Tells the control plane which links are needed.
    fn say_needs(&self) {
        let Some(trees) = self.plane.trees.get() else {
            return;
        };
        let needs = trees.needs();
        self.control
            .run_later(move |machine, now| machine.need_tree_links(now, needs));
    }

    /// Somebody tells of a topic: it is looked after if it is wanted here.
    fn meet(&mut self, topic: &Topic) {
        if self.known.contains_key(topic) {
            return;
        }
        self.plane.table.load().matches_into(topic, &mut self.found);
        if self
            .found
            .iter()
            .any(|to| !matches!(to, Destination::Member(_)))
        {
            self.look_after(topic, false);
        }
    }

    fn send(&self, to: NodeId, body: Body) {
        let Some(attached) = self.plane.links.member(&to) else {
            return;
        };
        if let Ok(frame) = OutFrame::message(&Message::from(body))
            && attached.link.control().try_push(frame).is_err()
        {
            tracing::debug!(peer = %to.short(), "no room for a message of the trees");
        }
    }

    fn push(&mut self, to: NodeId, batch: &TreeBatch<Arc<Carried>>) {
        let carried = &batch.payload;
        let count = batch.count;
        let expires = carried.expires.as_ref();
        if expires.is_some_and(|expires| expires.at <= tokio::time::Instant::now()) {
            // Nobody is to be handed it any more.
            return;
        }
        let hops = limit::TREE_HOPS
            .saturating_add(1)
            .saturating_sub(batch.distance);
        let (Some(attached), Some(frame)) = (
            self.plane.links.member(&to),
            with_hops(&carried.frame, hops),
        ) else {
            return;
        };
        let egress = attached.egress(carried.origin.priority);
        match egress.send_along(&attached.link, &carried.feed, frame) {
            Sent::Queued if carried.batch.publisher == self.plane.node() => {}
            Sent::Queued => add(&self.plane.counters.events_forwarded, count),
            Sent::Dropped => {
                let now = self.plane.clock.now();
                self.lagging.insert(to);
                self.tree.handle_input(now, TreeInput::Lagging { peer: to });
            }
        }
    }

    fn counts(&self) -> TreeCounts {
        let bytes = self.tree.bytes();
        let mut counts = TreeCounts::of(self.tree.stats(), bytes);
        counts.topics = wide(self.known.len());
        counts.sources = wide(self.tree.sources());
        counts.lagging = wide(self.lagging.len());
        counts.suspected = wide(self.doubted.len());
        counts
    }

    /// The subscribers and clients of this node that are owed a batch.
    fn receivers(&mut self, carried: &Carried) -> Arc<Receivers> {
        let topic = &carried.origin.topic;
        let source = Source::Member(carried.batch.publisher);
        let route = self.routes.entry(topic.clone()).or_default();
        route.resolve(&self.plane, topic, source)
    }

    /// Hands a batch that waits for others to those who need no order.
    fn deliver_early(&mut self, carried: &Carried) {
        let receivers = self.receivers(carried);
        self.plane.hand_out_early(
            &carried.origin,
            &carried.feed,
            &carried.batch,
            &carried.frame,
            &receivers,
            carried.expires.as_ref(),
        );
    }

    /// Hands a batch to the subscribers and clients of this node.
    fn deliver(&mut self, carried: &Carried) {
        let receivers = self.receivers(carried);
        self.plane.hand_out(
            &carried.origin,
            &carried.feed,
            &carried.batch,
            &carried.frame,
            &receivers,
            carried.expires.as_ref(),
        );
    }
}
