//! Which links a node keeps, and which it asks for, in a realm too large for a link to everybody.
//!
//! Up to the size of the pool, membership sees to a link between any two. Above it, a link is needed to neighbours in the
//! overlay, and to those with whom messages are exchanged: members that want what is published here, unless so many want
//! it that it goes along a tree, neighbours in trees, and members that serve what is called from here. Who needs a link says so on it from time to time, so that the other side, which cannot know,
//! keeps it as well. A link that nobody needs is kept for a while, which is longer than membership takes to probe a
//! stranger, the overlay to exchange an edge, and routing to ask somebody, and beyond that as long as the pool has room.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use macula_pubsub::Destination;
use macula_wire::message::Heartbeat;
use macula_wire::{ErrorCode, Instant, NodeId, Topic};

use super::{Lane, NodeMachine, NodeOutput, Wish};

/// How often links are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a link that nobody needs is kept.
const IDLE: Duration = Duration::from_secs(30);
/// After how long links are looked at when messaging needs others than before.
const SOON: Duration = Duration::from_millis(50);
/// How often a peer is told that a link is needed.
const TELL: Duration = Duration::from_secs(10);
/// How many members are dialled for messaging in each period.
const DIALS: usize = 32;
/// How long a member that was dialled for messaging is left alone, at first; doubles five times.
const PAUSE: Duration = Duration::from_secs(5);

/// What is known of the need for links. It holds as much as there are members and links.
#[derive(Debug)]
pub(super) struct Pool {
    size: usize,
    /// The links that nobody needs, and since when.
    idle: BTreeMap<NodeId, Instant>,
    /// Who was dialled for messaging: how often, and when it may be again.
    dialled: BTreeMap<NodeId, (u32, Instant)>,
    /// The members that messaging needs, by the versions of all that it follows from.
    needed: BTreeSet<NodeId>,
    needs: (u64, u64, u64),
    /// To how many members that want a topic links are needed for it; to more, those of its tree are enough.
    direct: usize,
    trees: TreeNeeds,
    /// When peers are to be told next that links to them are needed.
    tell: Instant,
    due: Option<Instant>,
}

/// What the trees of the data plane need.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct TreeNeeds {
    /// Those with whom events are exchanged.
    pub neighbours: BTreeSet<NodeId>,
    /// Topics published here whose events go to everybody straight, however many want them.
    pub straight: BTreeSet<Topic>,
}

impl Pool {
    pub(super) fn new(size: usize) -> Self {
        Self {
            size,
            idle: BTreeMap::new(),
            dialled: BTreeMap::new(),
            needed: BTreeSet::new(),
            needs: (0, 0, 0),
            direct: usize::MAX,
            trees: TreeNeeds::default(),
            tell: Instant::ZERO,
            due: None,
        }
    }

    pub(super) const fn set_direct(&mut self, members: usize) {
        self.direct = members;
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    /// The overlay or routing has just used the link to a member, or the member says that it needs it.
    pub(super) fn used(&mut self, node: &NodeId) {
        self.idle.remove(node);
    }

    /// The link to a member is gone, or the member itself.
    pub(super) fn gone(&mut self, node: &NodeId) {
        self.idle.remove(node);
        self.dialled.remove(node);
    }

    /// The link to a member is down. If messaging needs it, it is asked for soon.
    pub(super) fn lost(&mut self, now: Instant, node: &NodeId) {
        self.gone(node);
        if self.needed.contains(node) {
            self.hurry(now);
        }
    }

    /// Begins to look after links when there are too many members, and stops when there are not.
    pub(super) fn resize(&mut self, now: Instant, members: usize) {
        if members <= self.size {
            self.due = None;
            self.idle.clear();
            self.dialled.clear();
            self.needed.clear();
            self.needs = (0, 0, 0);
        } else if self.due.is_none() {
            self.due = Some(now + PERIOD);
        }
    }

    /// Looks at the links soon.
    fn hurry(&mut self, now: Instant) {
        let soon = now + SOON;
        self.due = self.due.map(|due| due.min(soon));
    }

    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = Some(now + PERIOD);
        }
        is_due
    }

    /// Whether a member may be dialled now; if so, it is.
    fn may_dial(&mut self, now: Instant, node: NodeId) -> bool {
        let (times, next) = self.dialled.get(&node).copied().unwrap_or((0, now));
        if next > now {
            return false;
        }
        let pause = PAUSE.saturating_mul(1 << times.min(5));
        self.dialled
            .insert(node, (times.saturating_add(1), now + pause));
        true
    }

    /// The links to be closed out of `count`: those that were idle for long enough, the longest first.
    fn surplus(&self, now: Instant, count: usize) -> Vec<NodeId> {
        let mut idle: Vec<(Instant, NodeId)> = self
            .idle
            .iter()
            .filter(|(_, since)| now.saturating_since(**since) >= IDLE)
            .map(|(node, since)| (*since, *node))
            .collect();
        idle.sort_unstable();
        idle.truncate(count.saturating_sub(self.size));
        idle.into_iter().map(|(_, node)| node).collect()
    }
}

impl NodeMachine {
    /// The trees of the data plane need this from here on. [`settle`](Self::settle) has to follow.
    pub fn need_tree_links(&mut self, now: Instant, needs: TreeNeeds) {
        let now = self.advance(now);
        if self.pool.trees != needs {
            self.pool.trees = needs;
            self.pool.needs = (u64::MAX, u64::MAX, u64::MAX);
            self.pool.hurry(now);
        }
    }

    /// Asks for the links that messaging lacks, and closes those that nobody has needed for a while.
    pub(super) fn tend_links(&mut self, now: Instant) {
        self.find_needs();
        let mut dials = DIALS;
        let needed: Vec<NodeId> = self.pool.needed.iter().copied().collect();
        for node in &needed {
            if !self.links.contains_key(node) && dials > 0 && self.dial(now, *node) {
                dials = dials.saturating_sub(1);
            }
        }
        if self.pool.tell <= now {
            self.pool.tell = now + TELL;
            for to in needed {
                self.say_needed(to);
            }
        }
        let peers: Vec<NodeId> = self.links.keys().copied().collect();
        for peer in &peers {
            self.pool.dialled.remove(peer);
            if self.pool.needed.contains(peer) || self.overlay.is_neighbour(peer) {
                self.pool.idle.remove(peer);
            } else {
                self.pool.idle.entry(*peer).or_insert(now);
            }
        }
        for node in self.pool.surplus(now, peers.len()) {
            self.pool.idle.remove(&node);
            if let Some(epoch) = self.links.get(&node) {
                self.disconnect((node, *epoch), ErrorCode::OK, "nobody needs the link");
            }
        }
    }

    /// Links to these members carry something for this node: they are kept on both sides for another 30 s where links that
    /// nobody needs are closed. [`settle`](Self::settle) has to follow.
    pub fn need_links(&mut self, now: Instant, members: &[NodeId]) {
        self.advance(now);
        if self.pool.due.is_none() {
            return;
        }
        for member in members {
            self.pool.used(member);
            self.say_needed(*member);
        }
    }

    /// Tells a member that this node needs the link, if there is one.
    fn say_needed(&mut self, to: NodeId) {
        if self.links.contains_key(&to) {
            let (lane, body) = (Lane::Control, Heartbeat {}.into());
            self.outputs.push_back(NodeOutput::Send { to, lane, body });
        }
    }

    fn versions_of_needs(&self) -> (u64, u64, u64) {
        (
            self.pubsub.table().version(),
            self.pubsub.declarations(),
            self.rpc.table().version(),
        )
    }

    /// Looks at links soon if messaging may need others than before.
    pub(super) fn look_for_needs(&mut self, now: Instant) {
        if self.pool.due.is_some() && self.pool.needs != self.versions_of_needs() {
            self.pool.hurry(now);
        }
    }

    /// Finds the members that want what is published here, those with whom trees exchange events, and those that serve
    /// what is called from here.
    fn find_needs(&mut self) {
        let versions = self.versions_of_needs();
        if self.pool.needs == versions {
            return;
        }
        let table = self.pubsub.table();
        let mut needed: BTreeSet<NodeId> = self.rpc.asked().collect();
        needed.extend(self.pool.trees.neighbours.iter().copied());
        let mut found = Vec::new();
        for topic in self.pubsub.publications() {
            table.matches_into(topic, &mut found);
            found.retain(|to| matches!(to, Destination::Member(_)));
            if found.len() > self.pool.direct && !self.pool.trees.straight.contains(topic) {
                continue;
            }
            needed.extend(found.iter().filter_map(|to| match to {
                Destination::Member(node) => Some(*node),
                Destination::Local(_) | Destination::Session(_) => None,
            }));
        }
        self.pool.needed = needed;
        self.pool.needs = versions;
    }

    /// Asks for a link to a member that messaging needs. Whether it did.
    fn dial(&mut self, now: Instant, node: NodeId) -> bool {
        let Some(member) = self.swim.member(&node) else {
            return false;
        };
        let addresses = member.addresses();
        let can_be = member.state().is_present() && !addresses.is_empty();
        if !can_be || !self.pool.may_dial(now, node) {
            return false;
        }
        self.outputs.push_back(NodeOutput::Connect {
            node,
            addresses,
            wish: Wish::OfThis,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    #[test]
    fn what_is_idle_longest_goes_first_and_only_beyond_the_pool() {
        let mut pool = Pool::new(2);
        for (number, seconds) in [(1, 3), (2, 1), (3, 2), (4, 40)] {
            let since = Instant::from_millis(seconds * 1_000);
            pool.idle.insert(node(number), since);
        }
        let now = Instant::from_millis(60_000);
        assert_eq!(pool.surplus(now, 4), [node(2), node(3)]);
        assert!(pool.surplus(now, 2).is_empty());
        let soon = Instant::from_millis(31_500);
        assert_eq!(pool.surplus(soon, 9), [node(2)]);
    }

    #[test]
    fn whoever_does_not_answer_is_dialled_less_and_less() {
        let mut pool = Pool::new(2);
        let mut dials = Vec::new();
        for second in 0..400 {
            if pool.may_dial(Instant::from_millis(second * 1_000), node(1)) {
                dials.push(second);
            }
        }
        assert_eq!(dials, [0, 5, 15, 35, 75, 155, 315]);
    }

    #[test]
    fn links_are_looked_at_only_in_large_realms() {
        let mut pool = Pool::new(2);
        let now = Instant::from_millis(1_000);
        pool.resize(now, 2);
        assert_eq!(pool.due(), None);
        pool.resize(now, 3);
        let due = pool.due().unwrap();
        assert!(!pool.take_due(now) && pool.take_due(due));
        pool.resize(due, 2);
        assert_eq!(pool.due(), None);
    }
}
