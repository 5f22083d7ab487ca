//! Benchmarks of Macula: criterion for time, callgrind for instructions.
//!
//! Both run the same [`Scenario`]s: `benches/scenarios.rs` times them, and the program `instructions` runs them under
//! callgrind. What a scenario works on is made in its preparation, from fixed seeds and without hash maps, so that the
//! count of instructions is the same in every run.

pub mod forwarder;
mod input;
pub mod matching;
mod scenario;
pub mod spreading;
pub mod swim;

pub mod wire;

pub use scenario::{Round, Scenario, Size, all};
