//! The simulated network: nodes on virtual time, and what a test does to them.

mod config;
mod counters;
mod digest;
mod event;
mod failure;
mod host;
mod link;
mod run;
mod transfer;

pub use config::{Chance, Coding, Conditions, Config};
pub use counters::Counters;
pub(crate) use digest::Digest;
pub use failure::{Failure, FailureCause};
pub use host::{Class, Context, Host, LinkChange, NodeIndex};

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use macula_wire::{Body, Instant, NodeId, Random};

use crate::stub::node_id;
use event::{Event, Queue};
use host::Action;
use link::{Links, Pair};

/// A network of machines in one thread, on virtual time, from one simulation seed.
///
/// Everything that happens is an event in a queue ordered by time and then by the order of its making, and every chance
/// comes from the seed, so equal seeds and equal calls give equal runs: [`trace_hash`](Self::trace_hash) tells. A run
/// stops with a [`Failure`] instead of going on in an impossible state.
///
/// Two nodes talk over a link, which has to be dialled first. Its datagrams are lost, doubled and overtaken as
/// [`Conditions`] say; its streams keep their order and wait while the way is blocked, until the link breaks because
/// nothing came through for [`Config::link_timeout`].
pub struct Net<H: Host> {
    host: H,
    config: Config,
    seed: u64,
    random: Random,
    now: Instant,
    steps: u64,
    queue: Queue,
    slots: Vec<Slot<H::Machine>>,
    by_id: BTreeMap<NodeId, NodeIndex>,
    links: Links,
    conditions: BTreeMap<(NodeIndex, NodeIndex), Conditions>,
    counters: Counters,
    digest: Digest,
    failure: Option<Failure>,
    actions: Vec<Action>,
}

/// The place of one node.
struct Slot<M> {
    id: NodeId,
    machine: Option<M>,
    /// How often it was started.
    life: u64,
    wake: Option<(Instant, u64)>,
    paused: bool,
    /// What waits for the node to go on.
    held: Vec<Event>,
}

impl<H: Host> Net<H> {
    /// An empty network. Virtual time starts at one second.
    #[must_use]
    pub fn new(config: Config, seed: u64, host: H) -> Self {
        Self {
            host,
            config,
            seed,
            random: Random::new(seed),
            now: Instant::from_millis(1_000),
            steps: 0,
            queue: Queue::default(),
            slots: Vec::new(),
            by_id: BTreeMap::new(),
            links: Links::default(),
            conditions: BTreeMap::new(),
            counters: Counters::default(),
            digest: Digest::new(),
            failure: None,
            actions: Vec::new(),
        }
    }

    /// Adds a node with the machine that `make` builds from its id, its own randomness and the time.
    pub fn add(&mut self, make: impl FnOnce(NodeId, Random, Instant) -> H::Machine) -> NodeIndex {
        let node = NodeIndex(self.slots.len());
        let id = node_id(node.0);
        self.slots.push(Slot {
            id,
            machine: None,
            life: 0,
            wake: None,
            paused: false,
            held: Vec::new(),
        });
        self.by_id.insert(id, node);
        self.restart(node, make);
        node
    }

    /// Starts a node anew under its old id. What it had linked to before is told that the link is down.
    pub fn restart(
        &mut self,
        node: NodeIndex,
        make: impl FnOnce(NodeId, Random, Instant) -> H::Machine,
    ) {
        self.end(node, true);
        let (seed, now) = (self.seed, self.now);
        let Some(slot) = self.slots.get_mut(node.0) else {
            return;
        };
        slot.life = slot.life.saturating_add(1);
        let mut own = Digest::new();
        own.number(seed);
        own.bytes(slot.id.as_bytes());
        own.number(slot.life);
        slot.machine = Some(make(slot.id, Random::new(own.value()), now));
        self.touch(node, |_, _, _| ());
        self.review_links();
    }

    /// Ends a node without a word: its links break for the others only after [`Config::link_timeout`].
    pub fn kill(&mut self, node: NodeIndex) {
        self.end(node, false);
        self.review_links();
    }

    /// Ends a node that closes its links: the others are told at once.
    pub fn stop(&mut self, node: NodeIndex) {
        self.end(node, true);
        self.review_links();
    }

    fn end(&mut self, node: NodeIndex, tell: bool) {
        let Some(slot) = self.slots.get_mut(node.0) else {
            return;
        };
        slot.machine = None;
        slot.paused = false;
        slot.held.clear();
        if let Some(key) = slot.wake.take() {
            self.queue.remove(key);
        }
        if tell {
            for pair in self.links.pairs_of(node) {
                self.drop_link(pair);
            }
        }
    }

    /// Stops the clock of a node: it neither hears nor does anything until [`resume`](Self::resume).
    pub fn pause(&mut self, node: NodeIndex) {
        if let Some(slot) = self.slots.get_mut(node.0) {
            slot.paused = true;
            if let Some(key) = slot.wake.take() {
                self.queue.remove(key);
            }
        }
        self.review_links();
    }

    /// Lets a paused node go on: first with what fell due, then with what arrived, in order.
    pub fn resume(&mut self, node: NodeIndex) {
        let Some(slot) = self.slots.get_mut(node.0) else {
            return;
        };
        slot.paused = false;
        let held = std::mem::take(&mut slot.held);
        self.rearm(node);
        for event in held {
            self.queue.push(self.now, event);
        }
        self.review_links();
    }

    /// Dials from one node to another, as [`Context::dial`] does.
    pub fn dial(&mut self, from: NodeIndex, to: NodeIndex) {
        if let Some(id) = self.id(to) {
            self.start_dial(from, id);
        }
    }

    /// Sends `body` from a node past its machine: what an attacker with the node's identity could send.
    pub fn inject(&mut self, from: NodeIndex, to: NodeIndex, class: Class, body: impl Into<Body>) {
        if let Some(id) = self.id(to) {
            self.send(from, id, class, body.into());
        }
    }

    /// Breaks the link between two nodes; both are told.
    pub fn break_link(&mut self, a: NodeIndex, b: NodeIndex) {
        self.drop_link(Pair::new(a, b));
    }

    /// Lets nothing more through from one node to another; the other direction stays as it is.
    pub fn block(&mut self, from: NodeIndex, to: NodeIndex) {
        self.links.set_blocked(from, to);
        self.review_links();
    }

    /// Ends a [`block`](Self::block).
    pub fn unblock(&mut self, from: NodeIndex, to: NodeIndex) {
        self.links.clear_blocked(from, to);
        self.review_links();
    }

    /// Lets nothing through between `some` and all other nodes, in both directions.
    pub fn partition(&mut self, some: &[NodeIndex]) {
        for other in (0..self.slots.len()).map(NodeIndex) {
            if some.contains(&other) {
                continue;
            }
            for one in some {
                self.links.set_blocked(*one, other);
                self.links.set_blocked(other, *one);
            }
        }
        self.review_links();
    }

    /// Ends every block and every partition.
    pub fn heal(&mut self) {
        for (from, to) in self.links.blocks() {
            self.links.clear_blocked(from, to);
        }
        self.review_links();
    }

    /// Sets the conditions of one direction; they hold for what is sent from here on.
    pub fn set_conditions(&mut self, from: NodeIndex, to: NodeIndex, conditions: Conditions) {
        self.conditions.insert((from, to), conditions);
    }

    /// Sets the conditions of every direction that has none of its own.
    pub fn set_default_conditions(&mut self, conditions: Conditions) {
        self.config.conditions = conditions;
    }

    /// Gives a command to the machine of a node and carries out what comes of it; `None` if the node does not run.
    ///
    /// A paused node takes the command, but its clock stays stopped.
    pub fn with<R>(
        &mut self,
        node: NodeIndex,
        command: impl FnOnce(&mut H::Machine, Instant) -> R,
    ) -> Option<R> {
        let now = self.now;
        let mut result = None;
        self.touch(node, |_, _, machine| result = Some(command(machine, now)));
        result
    }

    /// Runs for `duration`.
    ///
    /// # Errors
    ///
    /// The [`Failure`] that stopped the run; it stays stopped.
    pub fn run_for(&mut self, duration: Duration) -> Result<(), Failure> {
        self.run_until(self.now + duration)
    }

    /// Runs until `at`; everything that is due by then has happened afterwards.
    ///
    /// # Errors
    ///
    /// The [`Failure`] that stopped the run; it stays stopped.
    pub fn run_until(&mut self, at: Instant) -> Result<(), Failure> {
        while self.step_before(at)? {}
        self.now = self.now.max(at);
        Ok(())
    }

    /// Runs until `condition` holds, which is asked after each event, and says how long that took.
    ///
    /// # Errors
    ///
    /// [`FailureCause::Condition`] with `what` if it does not hold within `limit`, after which the run may go on; or
    /// the failure that stopped the run.
    pub fn wait(
        &mut self,
        limit: Duration,
        what: &str,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> Result<Duration, Failure> {
        let start = self.now;
        loop {
            if condition(self) {
                return Ok(self.now.saturating_since(start));
            }
            if !self.step_before(start + limit)? {
                self.now = self.now.max(start + limit);
                return Err(self.failure(FailureCause::Condition { what: what.into() }));
            }
        }
    }

    /// The virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The simulation seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Every node that was added.
    pub fn nodes(&self) -> impl Iterator<Item = NodeIndex> + use<H> {
        (0..self.slots.len()).map(NodeIndex)
    }

    /// Every node that runs; a paused one counts.
    pub fn running(&self) -> impl Iterator<Item = NodeIndex> {
        self.nodes().filter(|node| self.machine(*node).is_some())
    }

    /// The id of a node.
    #[must_use]
    pub fn id(&self, node: NodeIndex) -> Option<NodeId> {
        self.slots.get(node.0).map(|slot| slot.id)
    }

    /// The node with an id.
    #[must_use]
    pub fn find(&self, id: NodeId) -> Option<NodeIndex> {
        self.by_id.get(&id).copied()
    }

    /// The machine of a node, if it runs.
    #[must_use]
    pub fn machine(&self, node: NodeIndex) -> Option<&H::Machine> {
        self.slots.get(node.0)?.machine.as_ref()
    }

    /// Whether there is a link between two nodes that can be used.
    #[must_use]
    pub fn is_linked(&self, a: NodeIndex, b: NodeIndex) -> bool {
        self.links.get(Pair::new(a, b)).is_some_and(|link| link.up)
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &H {
        &self.host
    }

    /// The host, to be changed.
    pub const fn host_mut(&mut self) -> &mut H {
        &mut self.host
    }

    /// What happened so far, counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A hash over every event so far: its time, who is concerned, and its bytes.
    #[must_use]
    pub const fn trace_hash(&self) -> u64 {
        self.digest.value()
    }
}

impl<H: Host> fmt::Debug for Net<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("nodes", &self.slots.len())
            .field("steps", &self.steps)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
