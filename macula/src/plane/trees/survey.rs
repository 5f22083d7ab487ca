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
/// The most topics that trees are looked after for.
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
        let topics: Vec<Topic> = self.known.keys().cloned().collect();
        for topic in topics {
            self.survey_topic(&topic);
        }
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
            self.known.remove(topic);
            let topic = topic.clone();
            self.tree.handle_input(now, TreeInput::Forget { topic });
            return;
        }
        if known.members == members {
            return;
        }
        known.rings = Arc::new(Rings::new(members.iter().copied()));
        known.members = members;
        let input = TreeInput::Members {
            topic: topic.clone(),
            rings: Arc::clone(&known.rings),
            since: known.since,
        };
        self.tree.handle_input(now, input);
    }

    /// Looks after a topic that is wanted here, or published, and for which there is room. Whether it is one.
    pub(super) fn look_after(&mut self, topic: &Topic, is_published: bool) -> bool {
        let now = self.plane.clock.now();
        let published = is_published.then_some(now);
        if let Some(known) = self.known.get_mut(topic) {
            known.published = published.or(known.published);
            return true;
        }
        if self.known.len() >= MAX_TOPICS {
            return false;
        }
        let known = Known {
            members: Vec::new(),
            rings: Arc::default(),
            since: now,
            published,
        };
        self.known.insert(topic.clone(), known);
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
