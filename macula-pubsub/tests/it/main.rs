//! Integration tests of the machine, the tables and the forwarder.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that goes wrong has to stop"
)]

mod ahead;
mod auto_traits;
mod baseline;
mod common;
mod estate;
mod laws;
mod laws_kept;
mod model;
mod order;
mod reliable;
mod rules;
mod tree;
