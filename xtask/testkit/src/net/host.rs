//! What stands between a machine and the simulated network.

use std::fmt;

use macula_wire::{Body, Instant, Machine, NodeId};

use super::FailureCause;
use super::fabric::Fabric;

/// A node of a simulated network, by the order in which it was added; its id is [`node_id`](crate::node_id) of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct NodeIndex(u32);

impl NodeIndex {
    /// The node that was added as number `index`, from 0. There are at most 2^32 - 1 nodes; a number beyond them names
    /// none.
    #[must_use]
    pub const fn new(index: usize) -> Self {
        if index > u32::MAX as usize {
            return Self(u32::MAX);
        }
        let [a, b, c, d, ..] = index.to_le_bytes();
        Self(u32::from_le_bytes([a, b, c, d]))
    }

    /// The number, from 0.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    pub(super) fn word(self) -> u64 {
        u64::from(self.0)
    }
}

impl fmt::Display for NodeIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// How a message travels.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a link has these two kinds of channel"
)]
pub enum Class {
    /// May be lost, doubled and overtaken.
    Datagram,
    /// Arrives once and in the order of sending, unless the link breaks.
    Reliable,
}

/// What happened to the link to a peer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "a link is there or it is not")]
pub enum LinkChange {
    /// It can be used.
    Up,
    /// It is gone, and what was on its way is lost.
    Down,
}

/// Plugs a machine into a [`Net`](crate::Net): says what its outputs do, and what the network's events are to it.
///
/// One host serves all nodes, so it is also the place to keep what a test wants to know: give it a log and write each
/// event into it with [`Context::node`]. After each call the network drains the machine through
/// [`on_output`](Self::on_output), so no method needs to drain.
pub trait Host {
    /// What runs at each node: one machine, or several composed to one.
    type Machine: Machine;

    /// Carries out what the machine asks for.
    fn on_output(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Self::Machine,
        output: <Self::Machine as Machine>::Output,
    );

    /// Hands over a message that arrived from `from`.
    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Self::Machine,
        from: NodeId,
        class: Class,
        body: Body,
    );

    /// Tells that the link to `peer` came up or went down.
    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Self::Machine,
        peer: NodeId,
        change: LinkChange,
    );
}

/// A node, named by its id or by its index. The index saves a look-up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a node has these two names")]
pub enum NodeRef {
    /// By its id.
    Id(NodeId),
    /// By its index.
    Index(NodeIndex),
}

impl From<NodeId> for NodeRef {
    fn from(id: NodeId) -> Self {
        Self::Id(id)
    }
}

impl From<NodeIndex> for NodeRef {
    fn from(index: NodeIndex) -> Self {
        Self::Index(index)
    }
}

/// Where and when a [`Host`] is called, and what it may do to the network there.
pub struct Context<'a> {
    pub(super) fabric: &'a mut Fabric,
    pub(super) now: Instant,
    pub(super) node: NodeIndex,
    pub(super) id: NodeId,
    pub(super) peer: Option<NodeIndex>,
}

impl Context<'_> {
    /// The time as the node sees it: the virtual time, unless its clock [drifts](crate::Net::set_drift).
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The virtual time, whatever the node's clock says: for what is compared between nodes.
    #[must_use]
    pub const fn network_now(&self) -> Instant {
        self.fabric.now
    }

    /// The node.
    #[must_use]
    pub const fn node(&self) -> NodeIndex {
        self.node
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// The other node of what is being handed over: the sender of a message, or the other end of a link. `None` for
    /// outputs that a time-out or a command caused.
    #[must_use]
    pub const fn peer(&self) -> Option<NodeIndex> {
        self.peer
    }

    /// The node with an id.
    #[must_use]
    pub fn index_of(&self, id: NodeId) -> Option<NodeIndex> {
        self.fabric.find(id)
    }

    /// The id of a node.
    #[must_use]
    pub fn id_of(&self, node: NodeIndex) -> Option<NodeId> {
        self.fabric.id(node)
    }

    /// Sends `body` over the link to `to`. Without a link it is dropped and counted.
    pub fn send(&mut self, to: impl Into<NodeRef>, class: Class, body: impl Into<Body>) {
        let to = self.fabric.resolve(to.into());
        self.fabric.send(self.node, to, class, body.into());
    }

    /// Sends `body` to `to` without a link, as if all links were up: for protocols that are measured without dials. It
    /// arrives once, unless a chance of [`Conditions`](crate::Conditions) loses it, the way is blocked or nobody runs
    /// there.
    pub fn post(&mut self, to: impl Into<NodeRef>, body: impl Into<Body>) {
        let to = self.fabric.resolve(to.into());
        self.fabric.post(self.node, to, body.into());
    }

    /// Whether the link to `to` is up.
    #[must_use]
    pub fn is_linked(&self, to: NodeIndex) -> bool {
        self.fabric.is_linked(self.node, to)
    }

    /// Dials `to`. Does nothing if there is a link already or one is being made; fails in silence, and is counted, if
    /// `to` is not there or cannot be reached.
    pub fn dial(&mut self, to: impl Into<NodeRef>) {
        let to = self.fabric.resolve(to.into());
        self.fabric.dial(self.node, to);
    }

    /// Closes the link to `to`.
    pub fn close(&mut self, to: impl Into<NodeRef>) {
        if let Some(peer) = self.fabric.resolve(to.into()) {
            self.fabric.drop_link_between(self.node, peer);
        }
    }

    /// Fails the run.
    pub fn fail(&mut self, text: impl Into<String>) {
        let (node, text) = (self.node, text.into());
        self.fabric.fail(FailureCause::Host { node, text });
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("now", &self.now)
            .field("node", &self.node)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
