//! Links between nodes, over real sockets and over simulated ones.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod attacker;
mod auto_traits;
#[cfg(feature = "baseline")]
mod baseline;
mod closing;
mod forward;
#[cfg(feature = "http3")]
mod http3;
mod limits;
mod memory;
mod outbox;
mod quic;
mod refusal;
mod streams;
mod support;
mod unix;
