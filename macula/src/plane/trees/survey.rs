//! What the trees have to know of the rest: who is linked, and who wants a topic.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use macula_pubsub::{Destination, Rings, TreeInput};
use macula_wire::{Instant, Machine, NodeId, Topic};

use super::Plane;
use super::task::Task;
use crate::plane::watches::Name;

/// How long a topic is remembered that is published here and not wanted.
const PUBLISHED: Duration = Duration::from_secs(600);
/// The most topics that trees are looked after for; as many as the trees take.
pub(super) const MAX_TOPICS: usize = 1_024;

/// A topic with a tree.
#[derive(Debug)]
pub(super) struct Known {
    /// The members that want it, this node included if somebody here does; ascending.
    members: Vec<NodeId>,
    rings: Arc<Rings>,
    since: Instant,
    /// When it was last published on here.
    published: Option<Instant>,
    /// When an event of it was last seen.
    heard: Instant,
}

impl Task {
    /// Looks for what has changed since the last time.
    pub(super) fn survey(&mut self) {
        let version = self.plane.version.load(Ordering::Acquire);
        if self.seen == Some(version) {
            return;
        }
        self.seen = Some(version);
        self.survey_links();
        let table = self.plane.table.load_full();
        let is_same = |known: &Arc<_>| Arc::ptr_eq(known, &table);
        if !self.table.as_ref().is_some_and(is_same) {
            self.table = Some(table);
            self.survey_topics();
        }
    }

    /// Forgets runs of members that have to do with no topic here.
    pub(super) fn forget_runs(&mut self) {
        let (links, known) = (&self.links, &self.known);
        self.runs.retain(|node, _| {
            let is_member = |known: &Known| known.members.binary_search(node).is_ok();
            links.contains_key(node) || known.values().any(is_member)
        });
    }

    /// Finds out who wants each topic.
    pub(super) fn survey_topics(&mut self) {
        let topics: Vec<Topic> = self.known.keys().cloned().collect();
        for topic in topics {
            self.survey_topic(&topic);
        }
    }

    /// Passes over those who are suspected, until they are not.
    pub(super) fn survey_doubts(&mut self) {
        let Some(trees) = self.plane.trees.get() else {
            return;
        };
        let now = self.plane.clock.now();
        let doubted = trees.doubted();
        let before = std::mem::replace(&mut self.doubted, doubted);
        for peer in before.difference(&self.doubted) {
            let back = TreeInput::Present { peer: *peer };
            self.tree.handle_input(now, back);
        }
        for peer in self.doubted.difference(&before) {
            let gone = TreeInput::Absent { peer: *peer };
            self.tree.handle_input(now, gone);
        }
        self.moved = true;
    }

    fn survey_links(&mut self) {
        let now = self.plane.clock.now();
        let links = self.plane.links.members();
        let present = links
            .iter()
            .map(|attached| (attached.link.peer().node, attached.link.id()))
            .collect();
        let before = std::mem::replace(&mut self.links, present);
        for (peer, link) in &before {
            if self.links.get(peer) != Some(link) {
                self.lagging.remove(peer);
                let down = TreeInput::LinkDown { peer: *peer };
                self.tree.handle_input(now, down);
            }
        }
        for attached in links {
            let peer = attached.link.peer().node;
            let run = attached.link.epoch();
            let former = self.runs.insert(peer, run);
            if former.is_some_and(|former| former != run) {
                self.tree.handle_input(now, TreeInput::Restarted { peer });
            }
            if before.get(&peer) != Some(&attached.link.id()) {
                let rtt = Some(attached.link.stats().rtt);
                self.tree.handle_input(now, TreeInput::LinkUp { peer, rtt });
            }
        }
    }

    /// Finds out who wants a topic, and forgets it where nobody here has to do with it.
    pub(super) fn survey_topic(&mut self, topic: &Topic) {
        let now = self.plane.clock.now();
        self.plane.table.load().matches_into(topic, &mut self.found);
        let is_wanted = self
            .found
            .iter()
            .any(|to| !matches!(to, Destination::Member(_)));
        let mut members: Vec<NodeId> = self
            .found
            .iter()
            .filter_map(|to| match to {
                Destination::Member(node) => Some(*node),
                Destination::Local(_) | Destination::Session(_) => None,
            })
            .collect();
        if is_wanted {
            members.push(self.plane.node());
        }
        members.sort_unstable();
        let Some(known) = self.known.get_mut(topic) else {
            return;
        };
        let is_published = known
            .published
            .is_some_and(|at| now.saturating_since(at) < PUBLISHED);
        if !is_wanted && !is_published {
            self.forget(topic);
            return;
        }
        if known.members != members {
            self.regroup(topic, members);
        }
    }

    /// Tells the trees who wants a topic now.
    fn regroup(&mut self, topic: &Topic, members: Vec<NodeId>) {
        let now = self.plane.clock.now();
        // Topics that the same members want share their rings.
        let same = self.known.values().find(|known| known.members == members);
        let rings = same.map(|known| Arc::clone(&known.rings));
        let rings = rings.unwrap_or_else(|| Arc::new(Rings::new(members.iter().copied())));
        let Some(known) = self.known.get_mut(topic) else {
            return;
        };
        known.rings = Arc::clone(&rings);
        let input = TreeInput::Members {
            topic: topic.clone(),
            rings,
            since: known.since,
        };
        self.tree.handle_input(now, input);
        for peer in self.doubted.iter().copied() {
            if members.binary_search(&peer).is_ok() {
                self.tree.handle_input(now, TreeInput::Absent { peer });
            }
        }
        known.members = members;
        self.moved = true;
    }

    fn forget(&mut self, topic: &Topic) {
        if self.known.remove(topic).is_some() {
            let (now, topic) = (self.plane.clock.now(), topic.clone());
            self.tree.handle_input(now, TreeInput::Forget { topic });
            self.moved = true;
        }
    }

    /// Makes room for a topic: that of which nothing was heard for the longest goes. If it is heard of again, its first
    /// events go to all neighbours, as those of a new one.
    fn make_room(&mut self) {
        while self.known.len() >= MAX_TOPICS {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.heard);
            let Some(topic) = oldest.map(|(topic, _)| topic.clone()) else {
                return;
            };
            self.forget(&topic);
        }
    }

    /// Looks after a topic that is wanted here, or published. Whether it is one.
    pub(super) fn look_after(&mut self, topic: &Topic, is_published: bool) -> bool {
        let now = self.plane.clock.now();
        let published = is_published.then_some(now);
        if let Some(known) = self.known.get_mut(topic) {
            known.published = published.or(known.published);
            known.heard = now;
            return true;
        }
        self.make_room();
        let known = Known {
            members: Vec::new(),
            rings: Arc::default(),
            since: now,
            published,
            heard: now,
        };
        self.known.insert(topic.clone(), known);
        self.moved = true;
        self.survey_topic(topic);
        let is_known = self.known.contains_key(topic);
        if is_known {
            self.watch(topic);
            self.publish_neighbours();
        }
        is_known
    }

    /// Has those who want a topic watched, for the next ten minutes.
    pub(super) fn watch(&self, topic: &Topic) {
        let (plane, name): (Arc<Plane>, _) = (Arc::clone(&self.plane), Name::Topic(topic.clone()));
        self.plane.tasks.spawn("tree watch", async move {
            if let Err(error) = plane.watch(&name).await {
                tracing::debug!(?name, %error, "not watched");
            }
        });
    }
}
