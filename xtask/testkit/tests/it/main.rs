//! Tests of the simulated network and of the laws against machines with known faults.
#![expect(clippy::arithmetic_side_effects, reason = "a test may panic")]

mod account;
mod flood;
mod laws;
mod net;
