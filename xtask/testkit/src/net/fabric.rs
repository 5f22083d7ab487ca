//! Everything of a simulated network but its machines and their host.

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, Hasher};

use macula_wire::{Instant, NodeId, Random};

use super::conditions::Rules;
use super::event::Event;
use super::host::NodeRef;
use super::link::{Links, Pair};
use super::parcel::Parcels;
use super::place::Place;
use super::queue::Queue;
use super::trace::Trace;
use super::{Config, Counters, Digest, Failure, FailureCause, Geography, NodeIndex};

#[expect(
    clippy::disallowed_types,
    reason = "asked for each message of 10,000 nodes; fixed hasher, never iterated"
)]
type Ids = std::collections::HashMap<NodeId, NodeIndex, BuildHasherDefault<IdHasher>>;

/// Everything of a network but its machines and their host, so that a machine can be borrowed while it acts on this.
#[derive(Debug)]
pub(super) struct Fabric {
    pub(super) config: Config,
    pub(super) seed: u64,
    pub(super) random: Random,
    pub(super) now: Instant,
    pub(super) events: u64,
    pub(super) queue: Queue,
    pub(super) places: Vec<Place>,
    pub(super) ids: Vec<NodeId>,
    by_id: Ids,
    pub(super) links: Links,
    pub(super) parcels: Parcels,
    pub(super) rules: Rules,
    pub(super) own_rules: BTreeMap<(NodeIndex, NodeIndex), Rules>,
    pub(super) geography: Option<Geography>,
    pub(super) schedules: Vec<super::pauses::Schedule>,
    pub(super) counters: Counters,
    pub(super) digest: Digest,
    pub(super) trace: Option<Trace>,
    pub(super) failure: Option<Failure>,
    /// Where messages are encoded.
    pub(super) scratch: Vec<u8>,
}

impl Fabric {
    pub(super) fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            seed,
            random: Random::new(seed),
            now: Instant::from_millis(1_000),
            events: 0,
            queue: Queue::new(),
            places: Vec::new(),
            ids: Vec::new(),
            by_id: Ids::default(),
            links: Links::default(),
            parcels: Parcels::default(),
            rules: Rules::new(&config.conditions),
            own_rules: BTreeMap::new(),
            geography: None,
            schedules: Vec::new(),
            counters: Counters::default(),
            digest: Digest::new(),
            trace: None,
            failure: None,
            scratch: Vec::new(),
        }
    }

    pub(super) fn reserve(&mut self, nodes: usize) {
        self.places.reserve(nodes);
        self.ids.reserve(nodes);
        self.by_id.reserve(nodes);
        self.links.reserve(nodes);
    }

    pub(super) fn add_node(&mut self, id: NodeId) -> NodeIndex {
        let node = NodeIndex::new(self.places.len());
        self.places.push(Place {
            region: self.region_in_turn(node),
            ..Place::default()
        });
        self.ids.push(id);
        self.by_id.insert(id, node);
        self.links.add_node();
        node
    }

    pub(super) fn place(&self, node: NodeIndex) -> Option<&Place> {
        self.places.get(node.get())
    }

    pub(super) fn place_mut(&mut self, node: NodeIndex) -> Option<&mut Place> {
        self.places.get_mut(node.get())
    }

    pub(super) fn runs(&self, node: NodeIndex) -> bool {
        self.place(node).is_some_and(|place| place.runs)
    }

    pub(super) fn id(&self, node: NodeIndex) -> Option<NodeId> {
        self.ids.get(node.get()).copied()
    }

    pub(super) fn find(&self, id: NodeId) -> Option<NodeIndex> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn resolve(&self, node: NodeRef) -> Option<NodeIndex> {
        match node {
            NodeRef::Id(id) => self.find(id),
            NodeRef::Index(node) => self.place(node).map(|_| node),
        }
    }

    /// What holds for what travels from one node to another.
    pub(super) fn rules(&self, from: NodeIndex, to: NodeIndex) -> Rules {
        if !self.own_rules.is_empty()
            && let Some(own) = self.own_rules.get(&(from, to))
        {
            return *own;
        }
        let Some(geography) = &self.geography else {
            return self.rules;
        };
        let region = |node| self.place(node).map_or(0, |place| place.region);
        let delay = geography.delay(region(from), region(to));
        self.rules.with_delay(delay, geography.jitter())
    }

    /// The time as a node sees it.
    pub(super) fn local_now(&self, node: NodeIndex) -> Instant {
        self.place(node)
            .map_or(self.now, |place| place.clock.local(self.now))
    }

    /// The region of a node that was given none.
    pub(super) fn region_in_turn(&self, node: NodeIndex) -> usize {
        let regions = self.geography.as_ref().map_or(1, Geography::regions);
        node.get().checked_rem(regions).unwrap_or(0)
    }

    pub(super) const fn failure(&self, cause: FailureCause) -> Failure {
        Failure {
            seed: self.seed,
            at: self.now,
            cause,
        }
    }

    /// Stops the run; the first cause counts.
    pub(super) fn fail(&mut self, cause: FailureCause) {
        if self.failure.is_none() {
            self.failure = Some(self.failure(cause));
        }
    }

    /// Notes when the machine of a node wants its time-out, now that it is drained.
    pub(super) fn settle(&mut self, node: NodeIndex, wanted: Option<Instant>) {
        let now = self.now;
        let Some(place) = self.places.get_mut(node.get()) else {
            return;
        };
        let wanted = wanted.filter(|at| *at < Instant::FAR_FUTURE);
        if let Some(at) = wanted.filter(|at| *at <= place.clock.local(now)) {
            self.fail(FailureCause::NotInFuture { node, at });
            return;
        }
        place.wanted = wanted.map(|at| place.clock.network(at));
        self.arm(node);
    }

    /// Sees to it that a node wakes when its machine wants to.
    pub(super) fn arm(&mut self, node: NodeIndex) {
        let now = self.now;
        let Some(place) = self.places.get_mut(node.get()) else {
            return;
        };
        let Some(wanted) = place.wanted.filter(|_| !place.paused) else {
            return;
        };
        let at = wanted.max(now);
        if place.wakes.last().is_none_or(|next| at < *next) {
            place.wakes.push(at);
            self.queue.push(at, Event::Wake { node });
        }
    }

    /// Whether a wake-up that comes now is one for the machine of the node.
    pub(super) fn wakes(&mut self, node: NodeIndex) -> bool {
        let now = self.now;
        let Some(place) = self.places.get_mut(node.get()) else {
            return false;
        };
        if place.wakes.last() != Some(&now) {
            // It was left over from an earlier run of the node.
            return false;
        }
        place.wakes.pop();
        if place.paused {
            return false;
        }
        if place.wanted.is_some_and(|at| at <= now) {
            return true;
        }
        self.arm(node);
        false
    }

    pub(super) fn is_linked(&self, a: NodeIndex, b: NodeIndex) -> bool {
        let Pair(a, b) = Pair::new(a, b);
        let link = self.links.find(a, b).and_then(|link| self.links.get(link));
        link.is_some_and(|link| link.up)
    }

    /// Whether nothing, or only one direction, gets through between two nodes.
    pub(super) fn is_silent(&self, pair: Pair) -> bool {
        let deaf = |node| {
            self.place(node)
                .is_none_or(|place| place.paused || !place.runs)
        };
        self.links.is_cut(pair) || deaf(pair.0) || deaf(pair.1)
    }
}

/// Takes the first eight bytes of an id, which are as good as random.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
