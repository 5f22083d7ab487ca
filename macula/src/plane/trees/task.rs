//! The task that runs the trees of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::{Destination, Source, Tree, TreeBatch, TreeConfig, TreeInput, TreeOutput};
use macula_transport::{LinkId, OutFrame};
use macula_wire::message::{Body, Message, Prune};
use macula_wire::{Machine, NodeId, Topic, limit};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::survey::Known;
use super::{Carried, Input, Plane};
use crate::node::control::Control;
use crate::plane::counters::add;
use crate::plane::egress::Sent;
use crate::plane::ingress::with_hops;
use crate::plane::route::RouteCache;

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
    pub(super) known: BTreeMap<Topic, Known>,
    /// Neighbours whose links took nothing.
    pub(super) lagging: BTreeSet<NodeId>,
    routes: BTreeMap<Topic, RouteCache>,
    pub(super) found: Vec<Destination>,
    looks: u32,
}

/// Runs the trees of a node until it stops.
pub(crate) async fn run(plane: Arc<Plane>, control: Control, mut inputs: mpsc::Receiver<Input>) {
    let tree = Tree::new(TreeConfig::default(), plane.node(), plane.clock.now());
    let mut task = Task {
        plane: Arc::clone(&plane),
        control,
        tree,
        seen: None,
        links: BTreeMap::new(),
        known: BTreeMap::new(),
        lagging: BTreeSet::new(),
        routes: BTreeMap::new(),
        found: Vec::new(),
        looks: 0,
    };
    let mut ticks = tokio::time::interval(LOOK_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let changed = plane.tables_change();
        tokio::pin!(changed);
        changed.as_mut().enable();
        task.survey();
        task.carry_out();
        let due = task.tree.poll_timeout();
        tokio::select! {
            input = inputs.recv() => match input {
                Some(input) => task.take(input),
                None => return,
            },
            () = &mut changed => {}
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
            let topics: Vec<Topic> = self.known.keys().cloned().collect();
            for topic in topics {
                self.survey_topic(&topic);
            }
        }
    }

    /// Carries out what the trees want.
    fn carry_out(&mut self) {
        while let Some(output) = self.tree.poll_output() {
            match output {
                TreeOutput::Push { to, batch } => self.push(to, &batch),
                TreeOutput::Send { to, body } => self.send(to, body),
                TreeOutput::Deliver { batch } => self.deliver(&batch.payload),
                TreeOutput::Unknown { topic } => self.meet(&topic),
                // The control plane is told of all neighbours at once.
                TreeOutput::Connect { .. } | TreeOutput::Release { .. } | _ => {}
            }
        }
        if self.neighbours_moved() {
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

    /// Tells publishers to whom they send, and the control plane which links are needed.
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
        let needed = Plane::tree_neighbours(&around);
        trees.around.store(Arc::new(around));
        self.plane.changed();
        self.control
            .run_later(move |machine, now| machine.need_links(now, needed));
    }

    /// Somebody tells of a topic of which nothing is known here: it is looked after if it is wanted here.
    fn meet(&mut self, topic: &Topic) {
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

    /// Hands a batch to the subscribers and clients of this node.
    fn deliver(&mut self, carried: &Arc<Carried>) {
        let topic = &carried.origin.topic;
        let source = Source::Member(carried.batch.publisher);
        let route = self.routes.entry(topic.clone()).or_default();
        let receivers = route.resolve(&self.plane, topic, source);
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
