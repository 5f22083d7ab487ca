//! Tests of the crate from outside.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on has failed, and one on real sockets needs tasks and a clock"
)]

mod auto_traits;
mod calls;
mod clients;
#[cfg(feature = "command")]
mod command;
#[cfg(feature = "command")]
mod command_attach;
#[cfg(feature = "command")]
mod command_cache;
#[cfg(feature = "command")]
mod command_calls;
#[cfg(feature = "command")]
mod command_demo;
#[cfg(feature = "command")]
mod command_events;
#[cfg(feature = "command")]
mod command_files;
#[cfg(feature = "command")]
mod command_find;
#[cfg(feature = "command")]
mod command_members;
#[cfg(feature = "command")]
mod command_node;
#[cfg(feature = "command")]
mod command_services;
#[cfg(feature = "command")]
mod command_top;
#[cfg(feature = "command")]
mod command_topics;
#[cfg(feature = "command")]
mod command_trace;
mod crossing;
mod events;
mod forger;
#[cfg(feature = "command")]
mod links;
mod lookups;
mod members;
mod mesh;
mod reach;
mod refusals;
mod sim;
