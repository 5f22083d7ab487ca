//! What the estate is told, and what it wants done.

use std::time::Duration;

use macula_wire::message::{Arrears, Balance, Debts, Priority};
use macula_wire::{ChannelRun, DeliveryId, NodeId};

/// Events that a publisher owes to others, kept in case that it is lost.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever receives constructs it")]
pub struct Bequest<T> {
    /// Who published them.
    pub publisher: NodeId,
    /// The numbering of its ids.
    pub run: ChannelRun,
    /// The id of the first event; the others have the ids that follow.
    pub first: DeliveryId,
    /// How many there are, at least 1.
    pub count: u32,
    /// The events, as whoever sends them wants them.
    pub payload: T,
    /// How many bytes they take.
    pub bytes: usize,
    /// The class that they travel in.
    pub class: Priority,
    /// How long they are worth delivering; `None` for ever.
    pub ttl: Option<Duration>,
    /// Who is owed them.
    pub debts: Debts,
    /// How many other nodes that keep them come before this one.
    pub rank: u32,
    /// This node: what it is owed itself it has.
    pub own: NodeId,
}

/// What happened outside.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever feeds the machine constructs them"
)]
pub enum EstateInput {
    /// A publisher tells what it owes yet.
    Arrears(NodeId, Arrears),
    /// A publisher is taken for dead, or has left.
    Lost(NodeId),
    /// A publisher is there again, or is not lost after all.
    Back(NodeId),
    /// A member has begun a new run: its earlier one is owed nothing.
    Gone(NodeId),
}

/// One event of those that were inherited, of which one of a group is owed it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SharedEvent {
    /// Its place among them.
    pub at: u32,
    /// Who was chosen for it; `None` for somebody on the publisher's own node.
    pub chosen: Option<NodeId>,
    /// Whether another one was chosen than at first, so that it may have been handed over before.
    pub is_passed_on: bool,
}

/// A group that is owed some of the events that were inherited.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SharedWith {
    /// Its name.
    pub name: String,
    /// How one is chosen.
    pub balance: Balance,
    /// Its members beside the publisher, ascending.
    pub members: Vec<NodeId>,
    /// What it is owed, ascending by place.
    pub events: Vec<SharedEvent>,
}

/// Events that this node sends from here on, in their publisher's name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inheritance<T> {
    /// Who published them.
    pub publisher: NodeId,
    /// The events.
    pub payload: T,
    /// How many there are.
    pub count: u32,
    /// How many bytes they take.
    pub bytes: usize,
    /// The class that they travel in.
    pub class: Priority,
    /// What is left of their time to live, at least 1 ms; `None` for ever.
    pub ttl: Option<Duration>,
    /// The members that are owed some of them; which those have already they say.
    pub members: Vec<NodeId>,
    /// The groups that are owed some of them.
    pub groups: Vec<SharedWith>,
}

/// What the caller has to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EstateOutput<T> {
    /// Send them to those who are owed them.
    Inherited(Box<Inheritance<T>>),
    /// There was no room for so many events, which are not taken over if their publisher is lost.
    GivenUp {
        /// How many.
        events: u64,
    },
}
