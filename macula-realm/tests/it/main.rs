//! Integration tests of identity and trust.
#![cfg(feature = "certificates")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops at what it did not expect, and says why it was skipped"
)]

mod auto_traits;
mod chain;
mod files;
mod forge;
mod issue;
mod openssl;
mod profile;
mod secrets;
mod trust;
mod web;
