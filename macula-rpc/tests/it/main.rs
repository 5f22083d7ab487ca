//! Integration tests of the machines and of admission.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that goes wrong has to stop"
)]

mod auto_traits;
mod common;
mod invocation;
mod laws;
mod model;
mod rules;
