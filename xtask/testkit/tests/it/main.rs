//! Tests of the simulated network and of the laws against machines with known faults.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod account;
mod fault;
mod flood;
mod history;
mod laws;
mod net;
mod trace;
