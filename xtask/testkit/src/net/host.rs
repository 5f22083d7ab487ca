//! What stands between a machine and the simulated network.

use std::fmt;

use macula_wire::{Body, Instant, Machine, NodeId};

/// A node of a simulated network, by the order in which it was added; its id is [`node_id`](crate::node_id) of it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct NodeIndex(pub(super) usize);

impl NodeIndex {
    /// The node that was added as number `index`, from 0.
    #[must_use]
    pub const fn new(index: usize) -> Self {
        Self(index)
    }

    /// The number, from 0.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
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

/// Where and when a [`Host`] is called, and what it may do to the network there.
#[derive(Debug)]
pub struct Context<'a> {
    pub(super) now: Instant,
    pub(super) node: NodeIndex,
    pub(super) id: NodeId,
    pub(super) actions: &'a mut Vec<Action>,
}

/// What a host wants done.
#[derive(Debug)]
pub(super) enum Action {
    Send {
        to: NodeId,
        class: Class,
        body: Box<Body>,
    },
    Dial {
        to: NodeId,
    },
    Close {
        to: NodeId,
    },
    Fail {
        text: String,
    },
}

impl Context<'_> {
    /// The virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
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

    /// Sends `body` over the link to `to`. Without a link it is dropped and counted.
    pub fn send(&mut self, to: NodeId, class: Class, body: impl Into<Body>) {
        self.actions.push(Action::Send {
            to,
            class,
            body: Box::new(body.into()),
        });
    }

    /// Dials `to`. Does nothing if there is a link already or one is being made; fails in silence, and is counted, if
    /// `to` is not there or cannot be reached.
    pub fn dial(&mut self, to: NodeId) {
        self.actions.push(Action::Dial { to });
    }

    /// Closes the link to `to`.
    pub fn close(&mut self, to: NodeId) {
        self.actions.push(Action::Close { to });
    }

    /// Fails the run.
    pub fn fail(&mut self, text: impl Into<String>) {
        self.actions.push(Action::Fail { text: text.into() });
    }
}
