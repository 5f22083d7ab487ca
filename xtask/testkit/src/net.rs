//! The simulated network: nodes on virtual time, and what a test does to them.

mod clock;
mod conditions;
mod config;
mod counters;
mod digest;
mod event;
mod fabric;
mod failure;
mod fate;
mod fault;
mod geography;
mod host;
mod link;
mod parcel;
mod pauses;
mod place;
mod queue;
mod run;
mod send;
mod trace;

pub use conditions::{Bursts, Chance, Conditions};
pub use config::{Coding, Config};
pub use counters::Counters;
pub(crate) use digest::Digest;
pub use failure::{Failure, FailureCause};
pub use geography::Geography;
pub use host::{Class, Context, Host, LinkChange, NodeIndex, NodeRef};

use std::fmt;
use std::io::Write;
use std::time::Duration;

use macula_wire::{Instant, NodeId, Random};

use crate::stub::node_id;
use fabric::Fabric;
use trace::Trace;

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
    /// `None` where no machine runs.
    machines: Vec<Option<H::Machine>>,
    fabric: Fabric,
}

impl<H: Host> Net<H> {
    /// An empty network. Virtual time starts at one second.
    #[must_use]
    pub fn new(config: Config, seed: u64, host: H) -> Self {
        Self {
            host,
            machines: Vec::new(),
            fabric: Fabric::new(config, seed),
        }
    }

    /// Makes room for so many more nodes.
    pub fn reserve(&mut self, nodes: usize) {
        self.machines.reserve(nodes);
        self.fabric.reserve(nodes);
    }

    /// Adds a node with the machine that `make` builds from its id, its own randomness and the time.
    pub fn add(&mut self, make: impl FnOnce(NodeId, Random, Instant) -> H::Machine) -> NodeIndex {
        let id = node_id(self.machines.len());
        let node = self.fabric.add_node(id);
        self.machines.push(None);
        self.restart(node, make);
        node
    }

    /// Gives a command to the machine of a node, with the time as the node sees it, and carries out what comes of it;
    /// `None` if the node does not run.
    ///
    /// A paused node takes the command, but its clock stays stopped.
    pub fn with<R>(
        &mut self,
        node: NodeIndex,
        command: impl FnOnce(&mut H::Machine, Instant) -> R,
    ) -> Option<R> {
        let mut result = None;
        self.touch(node, None, |_, context, machine| {
            result = Some(command(machine, context.now()));
        });
        result
    }

    /// Runs for `duration`.
    ///
    /// # Errors
    ///
    /// The [`Failure`] that stopped the run; it stays stopped.
    pub fn run_for(&mut self, duration: Duration) -> Result<(), Failure> {
        self.run_until(self.fabric.now + duration)
    }

    /// Runs until `at`; everything that is due by then has happened afterwards.
    ///
    /// # Errors
    ///
    /// The [`Failure`] that stopped the run; it stays stopped.
    pub fn run_until(&mut self, at: Instant) -> Result<(), Failure> {
        while self.step_before(at)? {}
        self.fabric.flush_trace();
        self.fabric.now = self.fabric.now.max(at);
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
        let start = self.fabric.now;
        loop {
            if condition(self) {
                return Ok(self.fabric.now.saturating_since(start));
            }
            if !self.step_before(start + limit)? {
                self.fabric.now = self.fabric.now.max(start + limit);
                return Err(self
                    .fabric
                    .failure(FailureCause::Condition { what: what.into() }));
            }
        }
    }

    /// The virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.fabric.now
    }

    /// The simulation seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.fabric.seed
    }

    /// Every node that was added.
    pub fn nodes(&self) -> impl Iterator<Item = NodeIndex> + use<H> {
        (0..self.machines.len()).map(NodeIndex::new)
    }

    /// Every node that runs; a paused one counts.
    pub fn running(&self) -> impl Iterator<Item = NodeIndex> {
        self.nodes().filter(|node| self.machine(*node).is_some())
    }

    /// The id of a node.
    #[must_use]
    pub fn id(&self, node: NodeIndex) -> Option<NodeId> {
        self.fabric.id(node)
    }

    /// The node with an id.
    #[must_use]
    pub fn find(&self, id: NodeId) -> Option<NodeIndex> {
        self.fabric.find(id)
    }

    /// The machine of a node, if it runs.
    #[must_use]
    pub fn machine(&self, node: NodeIndex) -> Option<&H::Machine> {
        self.machines.get(node.get())?.as_ref()
    }

    /// The time as a node sees it: the virtual time, unless its clock [drifts](Self::set_drift).
    #[must_use]
    pub fn local_now(&self, node: NodeIndex) -> Instant {
        self.fabric.local_now(node)
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
        &self.fabric.counters
    }

    /// How many messages a node has sent since it was added, on links that were up, and how many bytes: those of its
    /// packets as [`Config::datagram_overhead`] counts them, and its half of each dial.
    ///
    /// What the network doubles is not counted again; what it loses of a stream is, as it is sent again.
    #[must_use]
    pub fn sent(&self, node: NodeIndex) -> (u64, u64) {
        self.fabric
            .place(node)
            .map_or((0, 0), |place| (place.messages, place.bytes))
    }

    /// The sum of [`sent`](Self::sent) over all nodes.
    #[must_use]
    pub fn total_sent(&self) -> (u64, u64) {
        let add = |sum: (u64, u64), (messages, bytes)| {
            (sum.0.saturating_add(messages), sum.1.saturating_add(bytes))
        };
        self.nodes().map(|node| self.sent(node)).fold((0, 0), add)
    }

    /// How many events were carried out so far: time-outs, arrivals and ends of links and dials.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.fabric.events
    }

    /// How many messages are on their way, those included that wait for a block or a pause to end.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.fabric.parcels.len()
    }

    /// A hash over every event so far: its time, who is concerned, and its bytes.
    #[must_use]
    pub const fn trace_hash(&self) -> u64 {
        self.fabric.digest.value()
    }

    /// Writes a line to `out` for each event from here on: the time in seconds, the kind, the nodes from and to which
    /// something goes, the message and the length of its frame in bytes, with `-` for what does not apply.
    ///
    /// ```text
    /// 1.284113047 datagram 4711 23 SWIM_PING 187
    /// ```
    ///
    /// A writer that fails, fails the run.
    pub fn set_trace(&mut self, out: Box<dyn Write + Send>) {
        self.fabric.trace = Some(Trace::new(out));
    }
}

impl<H: Host> fmt::Debug for Net<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net")
            .field("seed", &self.fabric.seed)
            .field("now", &self.fabric.now)
            .field("nodes", &self.machines.len())
            .field("events", &self.fabric.events)
            .field("counters", &self.fabric.counters)
            .finish_non_exhaustive()
    }
}
