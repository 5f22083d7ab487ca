//! Tests of the crate from outside.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

#[cfg(feature = "command")]
mod command;
#[cfg(feature = "command")]
mod command_attach;
#[cfg(feature = "command")]
mod command_calls;
#[cfg(feature = "command")]
mod command_demo;
#[cfg(feature = "command")]
mod command_events;
#[cfg(feature = "command")]
mod command_files;
#[cfg(feature = "command")]
mod command_node;
