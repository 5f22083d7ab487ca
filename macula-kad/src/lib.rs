//! Routing in a realm: Kademlia, signed records, and reaching nodes by others, without I/O.
//!
//! What follows is the `README.md` of the crate.
#![doc = include_str!("../README.md")]

mod bucket;
mod check;
mod closest;
mod config;
mod distance;
mod error;
mod estimate;
pub mod forward;
mod kad;
mod limit;
mod lookup;
mod members;
mod named;
mod network;
mod own;
mod reserved;
mod rtt;
mod store;
mod table;
mod timer;

pub use check::Checked;
pub use config::Config;
pub use distance::{Distance, interest_name, key, key_of, position, record_id};
pub use error::{PublishError, QueryError, WatchError};
pub use forward::{Topology, Wayfinder};
pub use kad::{
    ContactView, Goal, Input, Kad, LookupOptions, Outcome, Output, QueryId, RecordChange, Stats,
};
pub use limit::RecordLimit;
pub use lookup::{Step, StepEnd};
pub use members::MemberSnapshot;
pub use store::Refusal;
