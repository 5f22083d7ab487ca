//! Who is owed a topic, resolved from the tables and remembered until they change.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use macula_pubsub::{Destination, Forwarder, GroupMatch, Source};
use macula_wire::{NodeId, Topic};

use super::Plane;
use super::links::Attached;
use crate::queue::Queue;

/// The receivers of a topic.
#[derive(Debug, Default)]
pub(crate) struct Receivers {
    pub(crate) queues: Vec<Arc<Queue>>,
    pub(crate) links: Vec<Arc<Attached>>,
    /// Members with interest and without a link.
    pub(crate) unlinked: Vec<NodeId>,
    /// Whether the members among them get events along a tree. They do not stand among the links then.
    pub(crate) by_tree: bool,
    /// The links by which a tree begins here.
    pub(crate) branches: Vec<Arc<Attached>>,
    /// All of them.
    pub(crate) destinations: Vec<Destination>,
    /// The groups of which one member is owed each event.
    pub(crate) groups: Vec<GroupMatch>,
}

impl Receivers {
    /// How many are owed each event.
    pub(crate) fn count(&self) -> u64 {
        let known = self.queues.len().saturating_add(self.links.len());
        u64::try_from(known.saturating_add(self.unlinked.len())).unwrap_or(u64::MAX)
    }

    /// Whether nobody is owed anything.
    pub(crate) const fn is_empty(&self) -> bool {
        let nobody = self.queues.is_empty() && self.links.is_empty() && self.unlinked.is_empty();
        nobody && !self.by_tree && self.groups.is_empty()
    }
}

/// The receivers of one topic as they were at a version of the tables.
#[derive(Debug, Default)]
pub(crate) struct RouteCache(Mutex<Option<(u64, Arc<Receivers>)>>);

impl RouteCache {
    /// The receivers by the present tables.
    pub(crate) fn resolve(&self, plane: &Plane, topic: &Topic, from: Source) -> Arc<Receivers> {
        let version = plane.version.load(Ordering::Acquire);
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cached {
            Some((known, receivers)) if *known == version => Arc::clone(receivers),
            _ => {
                let receivers = Arc::new(resolve(plane, topic, from));
                *cached = Some((version, Arc::clone(&receivers)));
                receivers
            }
        }
    }
}

impl Plane {
    /// Waits until the tables of routes and of providers have at least these versions. Cancel safe.
    pub(crate) async fn reached(&self, (routes, providers): (u64, u64)) {
        loop {
            let changed = self.tables_changed.notified();
            let present = (self.table.load().version(), self.providers.load().version());
            if present.0 >= routes && present.1 >= providers {
                return;
            }
            changed.await;
        }
    }
}

fn resolve(plane: &Plane, topic: &Topic, from: Source) -> Receivers {
    let mut receivers = Receivers::default();
    if let Some(uplink) = &plane.uplink {
        // A client hands everything to its member, which sends back what the client itself subscribed to.
        if from == Source::Own {
            receivers.links.push(Arc::clone(uplink));
            return receivers;
        }
    }
    let mut found = Vec::new();
    Forwarder::route(&plane.table.load(), topic, from, &mut found);
    let is_member = |to: &&Destination| matches!(to, Destination::Member(_));
    let members = found.iter().filter(is_member).count();
    if members > 0
        && let Some(trees) = plane.trees.get()
        && trees.takes(topic, members)
    {
        receivers.by_tree = true;
        let around = trees.around(topic);
        let nodes = around.iter().flat_map(|nodes| nodes.iter());
        receivers.branches = nodes.filter_map(|node| plane.links.member(node)).collect();
    }
    let queues = plane.queues.read().unwrap_or_else(PoisonError::into_inner);
    for destination in &found {
        match *destination {
            Destination::Local(id) => receivers.queues.extend(queues.get(&id).cloned()),
            Destination::Session(session) => receivers.links.extend(plane.links.session(session)),
            Destination::Member(_) if receivers.by_tree => {}
            Destination::Member(node) => match plane.links.member(&node) {
                Some(attached) => receivers.links.push(attached),
                None => receivers.unlinked.push(node),
            },
        }
    }
    receivers.destinations = found;
    receivers.groups = plane.groups.load().matches(topic);
    if let Source::Member(_) = from {
        // Its publisher has chosen this node: one here gets it.
        for group in &mut receivers.groups {
            group
                .members
                .retain(|to| !matches!(to, Destination::Member(_)));
        }
        receivers.groups.retain(|group| !group.members.is_empty());
    }
    receivers
}
