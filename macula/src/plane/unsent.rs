//! Events for members that want them and have no link yet.
//!
//! A member may be known to want a topic before there is a link to it: it has just subscribed, its link broke, or this
//! node keeps links only to some. What is published then waits a while for the link. What has waited in vain is counted,
//! and the member is told that it is missing when it has a link after all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use macula_transport::OutFrame;
use macula_wire::message::Priority;
use macula_wire::{Epoch, Instant, NodeId, Sequence, TopicAlias};

use super::Plane;
use super::counters::{Counters, add};
use super::deliver::Expires;
use super::egress::{Feed, Sent};
use super::links::{Admission, Attached, Turn};

/// How long an event waits for a link at most.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many events wait for one member at most.
const MAX_EVENTS: u64 = 256;
/// How many bytes they take at most.
const MAX_BYTES: usize = 1 << 20;
/// For how many members events wait at most.
const MAX_MEMBERS: usize = 1_024;
/// Of how many publishers and topics a member is told that events are missing that waited in vain.
const MAX_LOST: usize = 64;

/// A batch that waits.
#[derive(Clone, Debug)]
pub(crate) struct Unsent {
    pub(crate) feed: Arc<Feed>,
    pub(crate) priority: Priority,
    pub(crate) base: Sequence,
    pub(crate) count: u64,
    pub(crate) frame: OutFrame,
    pub(crate) expires: Option<Expires>,
}

/// What waits for one member.
#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<(Instant, Unsent)>,
    events: u64,
    bytes: usize,
    lost: BTreeMap<(NodeId, Epoch, TopicAlias), Lost>,
}

/// Events that waited in vain: those from `from` up to `next`.
#[derive(Debug)]
struct Lost {
    feed: Arc<Feed>,
    priority: Priority,
    from: Sequence,
    next: Sequence,
}

/// What waits for all members.
#[derive(Debug, Default)]
pub(crate) struct Outstanding(Mutex<BTreeMap<NodeId, Waiting>>);

impl Plane {
    /// Sends a batch to members that had no link when its receivers were looked up, or lets it wait for one.
    pub(super) fn send_when_linked(&self, members: &[NodeId], unsent: impl Fn() -> Unsent) {
        for to in members {
            self.send_to_unlinked(*to, unsent());
        }
    }

    fn send_to_unlinked(&self, to: NodeId, unsent: Unsent) {
        let mut all = self.outstanding.lock();
        // Under the lock, because links are added under it: nothing overtakes what waits.
        if let Some(attached) = self.links.member(&to) {
            drop(all);
            unsent.send(&attached, &self.counters);
            return;
        }
        if !all.contains_key(&to) && all.len() >= MAX_MEMBERS {
            add(&self.counters.dropped_no_link, unsent.count);
            return;
        }
        let until = self.clock.now() + PATIENCE;
        all.entry(to)
            .or_default()
            .put(until, unsent, &self.counters);
    }

    /// Makes a link that of its member, as [`Links::admit_member`](super::links::Links::admit_member) decides; what waits
    /// for it goes first.
    pub(crate) fn admit_member(&self, turn: &Turn<'_>, attached: &Arc<Attached>) -> Admission {
        let peer = attached.link.peer().node;
        let mut all = self.outstanding.lock();
        if self.links.member(&peer).is_none()
            && let Some(waiting) = all.remove(&peer)
        {
            waiting.send(attached, &self.counters);
        }
        self.links.admit_member(turn, self.node(), attached)
    }

    /// Drops what has waited for long enough.
    pub(super) fn tend_unsent(&self) {
        let now = self.clock.now();
        for waiting in self.outstanding.lock().values_mut() {
            waiting.tend(now, &self.counters);
        }
    }

    /// A member is gone for good: nothing waits for it any more.
    pub(crate) fn unsent_member_lost(&self, node: NodeId) {
        let gone = self.outstanding.lock().remove(&node);
        if let Some(gone) = gone {
            add(&self.counters.dropped_no_link, gone.events);
        }
    }
}

impl Outstanding {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn put(&mut self, until: Instant, unsent: Unsent, counters: &Counters) {
        self.events = self.events.saturating_add(unsent.count);
        self.bytes = self.bytes.saturating_add(unsent.frame.len());
        self.batches.push_back((until, unsent));
        while self.events > MAX_EVENTS || self.bytes > MAX_BYTES {
            if !self.drop_first(counters) {
                return;
            }
        }
    }

    fn tend(&mut self, now: Instant, counters: &Counters) {
        let real = tokio::time::Instant::now();
        while self.batches.front().is_some_and(|(until, unsent)| {
            let is_expired = |expires: &Expires| expires.at <= real;
            *until <= now || unsent.expires.as_ref().is_some_and(is_expired)
        }) {
            self.drop_first(counters);
        }
    }

    /// Drops what has waited for the longest. Whether there was anything.
    fn drop_first(&mut self, counters: &Counters) -> bool {
        let Some((_, gone)) = self.batches.pop_front() else {
            return false;
        };
        self.events = self.events.saturating_sub(gone.count);
        self.bytes = self.bytes.saturating_sub(gone.frame.len());
        add(&counters.dropped_no_link, gone.count);
        let key = (gone.feed.publisher, gone.feed.epoch, gone.feed.alias);
        let next = gone.base.plus(gone.count);
        if let Some(lost) = self.lost.get_mut(&key) {
            lost.next = next;
        } else if self.lost.len() < MAX_LOST {
            let lost = Lost {
                feed: gone.feed,
                priority: gone.priority,
                from: gone.base,
                next,
            };
            self.lost.insert(key, lost);
        }
        true
    }

    /// Sends what waits, and has the member told what is missing before it.
    fn send(self, attached: &Attached, counters: &Counters) {
        for lost in self.lost.into_values() {
            let egress = attached.egress(lost.priority);
            egress.skip(&lost.feed, lost.from, lost.next);
        }
        for (_, unsent) in self.batches {
            unsent.send(attached, counters);
        }
    }
}

impl Unsent {
    fn send(self, attached: &Attached, counters: &Counters) {
        let sent = attached.egress(self.priority).send(
            &attached.link,
            &self.feed,
            self.base,
            self.count,
            self.frame,
            self.expires.as_ref(),
        );
        if sent == Sent::Dropped {
            add(&counters.dropped_outbox, self.count);
        }
    }
}
