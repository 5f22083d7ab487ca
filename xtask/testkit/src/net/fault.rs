//! What a test does to nodes and links.

use std::collections::BTreeMap;
use std::time::Duration;

use macula_wire::{Body, Instant, NodeId, Random};

use super::conditions::Rules;
use super::{Class, Conditions, Digest, Geography, Host, LinkChange, Net, NodeIndex};

/// Starting and ending nodes.
impl<H: Host> Net<H> {
    /// Starts a node anew under its old id. What it had linked to before is told that the link is down.
    pub fn restart(
        &mut self,
        node: NodeIndex,
        make: impl FnOnce(NodeId, Random, Instant) -> H::Machine,
    ) {
        self.end(node, true);
        let (seed, now) = (self.fabric.seed, self.fabric.local_now(node));
        let Some(id) = self.fabric.id(node) else {
            return;
        };
        let Some(place) = self.fabric.place_mut(node) else {
            return;
        };
        place.life = place.life.saturating_add(1);
        place.runs = true;
        let mut own = Digest::new();
        own.number(seed);
        own.bytes(id.as_bytes());
        own.number(place.life.into());
        if let Some(machine) = self.machines.get_mut(node.get()) {
            *machine = Some(make(id, Random::new(own.value()), now));
        }
        self.touch(node, None, |_, _, _| ());
        self.fabric.review_node(node);
    }

    /// Ends a node without a word: its links break for the others only after
    /// [`Config::link_timeout`](super::Config::link_timeout).
    pub fn kill(&mut self, node: NodeIndex) {
        self.end(node, false);
        self.fabric.review_node(node);
    }

    /// Ends a node that closes its links: the others are told at once.
    pub fn stop(&mut self, node: NodeIndex) {
        self.end(node, true);
    }

    fn end(&mut self, node: NodeIndex, tell: bool) {
        let Some(place) = self.fabric.places.get_mut(node.get()) else {
            return;
        };
        place.runs = false;
        place.paused = false;
        place.wanted = None;
        place.wakes.clear();
        for event in place.held.drain(..) {
            if let Some(parcel) = event.parcel() {
                self.fabric.parcels.take(parcel);
            }
        }
        if let Some(machine) = self.machines.get_mut(node.get()) {
            *machine = None;
        }
        if tell {
            for link in self.fabric.links.of(node) {
                self.fabric.drop_link(link);
            }
        }
    }

    /// Stops the clock of a node: it neither hears nor does anything until [`resume`](Self::resume).
    pub fn pause(&mut self, node: NodeIndex) {
        self.fabric.pause(node);
    }

    /// Lets a paused node go on: first with what fell due, then with what arrived, in order.
    pub fn resume(&mut self, node: NodeIndex) {
        self.fabric.resume(node);
    }

    /// Pauses `nodes` now, all at once, for `pause`, lets them run for `run`, pauses them again, and so on until
    /// [`end_pauses`](Self::end_pauses): members that are slow, as in Lifeguard's experiments.
    ///
    /// A node that was killed is left out, and takes part again when it is restarted.
    pub fn schedule_pauses(&mut self, nodes: &[NodeIndex], pause: Duration, run: Duration) {
        self.fabric.schedule_pauses(nodes, pause, run);
    }

    /// Ends every schedule of pauses, and resumes their nodes.
    pub fn end_pauses(&mut self) {
        self.fabric.end_pauses();
    }

    /// Makes the clock of a node faster by so many parts per million, or slower by a negative number; 0 lets it go on
    /// as the network's, from where it stands.
    ///
    /// The machine is told the node's time and asks for time-outs in it; all else stays in the network's time. The
    /// node's time goes on without a jump. Less than -500,000 (half the speed) counts as that, more than 1,000,000
    /// (twice the speed) as that.
    pub fn set_drift(&mut self, node: NodeIndex, parts_per_million: i32) {
        let now = self.fabric.now;
        let Some(place) = self.fabric.place_mut(node) else {
            return;
        };
        let wanted = place.wanted.map(|at| place.clock.local(at));
        place.clock.set_drift(now, parts_per_million);
        place.wanted = wanted.map(|at| place.clock.network(at));
        self.fabric.arm(node);
    }
}

/// Links, and what happens on them.
impl<H: Host> Net<H> {
    /// Dials from one node to another, as [`Context::dial`](super::Context::dial) does.
    pub fn dial(&mut self, from: NodeIndex, to: NodeIndex) {
        if self.fabric.place(to).is_some() {
            self.fabric.dial(from, Some(to));
        }
    }

    /// Links two nodes at once, without a dial and its cost, and tells both; to begin with a network that stands.
    ///
    /// False, and nothing is done, if they have a link or one of them does not run.
    pub fn link(&mut self, a: NodeIndex, b: NodeIndex) -> bool {
        let linked = self.link_silently(a, b);
        if linked {
            self.tell(a, b, LinkChange::Up);
            self.tell(b, a, LinkChange::Up);
        }
        linked
    }

    /// As [`link`](Self::link), but tells neither: for machines that a test fills by itself.
    pub fn link_silently(&mut self, a: NodeIndex, b: NodeIndex) -> bool {
        self.fabric.link(a, b).is_some()
    }

    /// Sends `body` from a node past its machine: what an attacker with the node's identity could send.
    pub fn inject(&mut self, from: NodeIndex, to: NodeIndex, class: Class, body: impl Into<Body>) {
        if self.fabric.place(to).is_some() {
            self.fabric.send(from, Some(to), class, body.into());
        }
    }

    /// Breaks the link between two nodes; both are told.
    pub fn break_link(&mut self, a: NodeIndex, b: NodeIndex) {
        self.fabric.drop_link_between(a, b);
    }

    /// Lets nothing more through from one node to another; the other direction stays as it is.
    pub fn block(&mut self, from: NodeIndex, to: NodeIndex) {
        self.fabric.links.set_blocked(from, to);
        self.fabric.review_between(from, to);
    }

    /// Ends a [`block`](Self::block); a [`partition`](Self::partition) stays.
    pub fn unblock(&mut self, from: NodeIndex, to: NodeIndex) {
        self.fabric.links.clear_blocked(from, to);
        self.fabric.review_between(from, to);
    }

    /// Lets nothing through between `some` and all other nodes, in both directions.
    ///
    /// Partitions add up: between two nodes nothing gets through if any of them divides the two. A node that is added
    /// later stands with those that were never among `some`.
    pub fn partition(&mut self, some: &[NodeIndex]) {
        let links = &mut self.fabric.links;
        let nodes = (0..self.machines.len()).map(NodeIndex::new);
        let mut sides: Vec<u32> = nodes.map(|node| links.side(node)).collect();
        let mut next = sides.iter().max().copied().unwrap_or(0).saturating_add(1);
        let mut split = BTreeMap::new();
        for node in some {
            let Some(side) = sides.get_mut(node.get()) else {
                continue;
            };
            // A node that is named twice is split off once.
            let old = links.side(*node);
            *side = *split.entry(old).or_insert_with(|| {
                let new = next;
                next = next.saturating_add(1);
                new
            });
        }
        links.set_sides(|node| sides.get(node.get()).copied().unwrap_or(0));
        self.fabric.review_all();
    }

    /// Puts every node on the side that `side` says, and lets nothing through between two sides; replaces all
    /// partitions before.
    pub fn partition_by(&mut self, side: impl FnMut(NodeIndex) -> u32) {
        self.fabric.links.set_sides(side);
        self.fabric.review_all();
    }

    /// Ends every block and every partition.
    pub fn heal(&mut self) {
        self.fabric.links.clear_blocks();
        self.fabric.review_all();
    }

    /// Sets the conditions of one direction; they hold for what is sent from here on.
    pub fn set_conditions(&mut self, from: NodeIndex, to: NodeIndex, conditions: Conditions) {
        let rules = Rules::new(&conditions);
        self.fabric.own_rules.insert((from, to), rules);
    }

    /// Sets the conditions of every direction that has none of its own.
    pub fn set_default_conditions(&mut self, conditions: Conditions) {
        self.fabric.config.conditions = conditions;
        self.fabric.rules = Rules::new(&conditions);
    }

    /// Puts the nodes into regions, in turn. From here on delays are those between regions; all else of the
    /// [`Conditions`] holds as before, and so do conditions that were set for one direction.
    pub fn set_geography(&mut self, geography: Geography) {
        self.fabric.geography = Some(geography);
        for node in self.nodes() {
            let region = self.fabric.region_in_turn(node);
            self.set_region(node, region);
        }
    }

    /// Puts a node into a region of the [`Geography`].
    pub fn set_region(&mut self, node: NodeIndex, region: usize) {
        if let Some(place) = self.fabric.place_mut(node) {
            place.region = region;
        }
    }

    /// The region of a node; 0 without a [`Geography`].
    #[must_use]
    pub fn region(&self, node: NodeIndex) -> usize {
        self.fabric.place(node).map_or(0, |place| place.region)
    }

    /// Whether there is a link between two nodes that can be used.
    #[must_use]
    pub fn is_linked(&self, a: NodeIndex, b: NodeIndex) -> bool {
        self.fabric.is_linked(a, b)
    }

    /// The peers of a node, ascending; links that are being made count.
    pub fn peers(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        self.fabric.links.peers(node)
    }
}
