//! Tests of membership: the laws, directed tests of each rule, and simulated networks.
#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic"
)]

mod bench;
mod compare;
mod directed;
mod forged;
mod laws;
mod overlay;
mod overlay_bench;
mod overlay_edges;
mod overlay_flips;
mod overlay_laws;
mod overlay_offers;
mod overlay_sim;
mod overlay_walks;
mod realm;
mod sim;
mod watch;
