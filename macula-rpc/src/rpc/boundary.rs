//! What the machine is told, and what it wants done.

use std::sync::Arc;

use macula_wire::{NodeId, Procedure};

use crate::ProviderTable;

/// What happened outside.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever feeds the machine constructs them"
)]
pub enum Input {
    /// A member offers a procedure, or with another weight, as the watch of it tells. What is not watched is ignored, and
    /// so is what this node itself offers.
    Offered {
        /// The member.
        node: NodeId,
        /// What it offers.
        procedure: Procedure,
        /// Its share of the calls; with 0 it asks for no new ones.
        weight: u32,
    },
    /// A member offers it no more.
    Unoffered {
        /// The member.
        node: NodeId,
        /// What it offered.
        procedure: Procedure,
    },
    /// A member is gone: dead, or left. What it offered is forgotten.
    MemberDown {
        /// The member.
        node: NodeId,
    },
}

/// What the caller has to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Let the other members know that this node offers a procedure, until it is withdrawn.
    Announce {
        /// The procedure: one of its own.
        procedure: Procedure,
        /// The sum of the weights of its registrations, in place of the one announced before.
        weight: u32,
    },
    /// Let them know that this node offers it no more.
    Withdraw {
        /// The procedure.
        procedure: Procedure,
    },
    /// Call by this table from here on.
    Table(Arc<ProviderTable>),
    /// Nobody calls the procedure any more: stop looking for providers. The members that were known are forgotten
    /// already.
    Unwatch {
        /// The procedure.
        procedure: Procedure,
    },
    /// Find out who offers the procedure, now and later, and tell by [`Input::Offered`] and [`Input::Unoffered`].
    Watch {
        /// The procedure.
        procedure: Procedure,
    },
}
