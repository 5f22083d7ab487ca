//! The scenarios of events that go to many.

pub(crate) mod kill;
pub(crate) mod loss;
mod measure;
mod node;
mod start;
pub(crate) mod tree;
