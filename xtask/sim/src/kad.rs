//! Routing alone: nodes that run its machine, in tables that they built by joining.

pub(crate) mod churn;
pub(crate) mod kill;
pub(crate) mod liars;
pub(crate) mod lookup;
mod measure;
mod node;
pub(crate) mod records;
mod start;
