//! What the machine is told, and what it wants done.

use std::sync::Arc;

use macula_wire::message::GroupInterest;
use macula_wire::{NodeId, Pattern};

use crate::{GroupTable, Table, WatchKey};

/// What happened outside.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever feeds the machine constructs them"
)]
pub enum Input {
    /// A member wants the events of a pattern, as the watch of the pattern's key tells. What is not watched is ignored,
    /// and so is what this node itself wants.
    Wanted {
        /// The member.
        node: NodeId,
        /// What it wants.
        pattern: Pattern,
    },
    /// A member wants them no more.
    Unwanted {
        /// The member.
        node: NodeId,
        /// What it wanted.
        pattern: Pattern,
    },
    /// These groups of a member, and no others, want a share of the events of a pattern.
    Shared {
        /// The member.
        node: NodeId,
        /// What they want.
        pattern: Pattern,
        /// The groups, ascending by name; empty if none does any more.
        groups: Vec<GroupInterest>,
    },
    /// A member is gone: dead, or left. What it wanted is forgotten.
    MemberDown {
        /// The member.
        node: NodeId,
    },
}

/// What the caller has to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Let the other members know that this node wants the events of a pattern, until it is withdrawn.
    Announce {
        /// The pattern: one of its own, each once, and not reserved.
        pattern: Pattern,
    },
    /// Let the other members know what groups of this node want of a pattern, in place of what they know.
    AnnounceShared {
        /// The pattern: one of its own, and not reserved.
        pattern: Pattern,
        /// Whether this node wants each event beside that.
        each: bool,
        /// The groups, at least one, ascending by name.
        groups: Vec<GroupInterest>,
    },
    /// Let them know that this node wants them no more.
    Withdraw {
        /// The pattern.
        pattern: Pattern,
    },
    /// Forward by this table from here on.
    Table(Arc<Table>),
    /// Share events by this table from here on.
    Groups(Arc<GroupTable>),
    /// Nobody publishes under a topic of this key any more: stop looking for interest under it. What was known under it
    /// is forgotten already.
    Unwatch {
        /// The key.
        key: WatchKey,
    },
    /// Find out who announces interest under this key, now and later, and tell by [`Input::Wanted`] and
    /// [`Input::Unwanted`].
    Watch {
        /// The key.
        key: WatchKey,
    },
}
