//! A simulated network, the laws of machines and generators, for the tests of every core.
//!
//! [`Net`] runs any [`Machine`](macula_wire::Machine) on virtual time in one thread: a [`Host`] says what the machine's
//! outputs mean to the network and what the network's events mean to the machine. It carries 10,000 nodes, with
//! [`Conditions`] from a LAN to the whole [world](Geography::world), with faults, and with an account of what each node
//! [sends](Net::sent). [`laws`] checks the six laws of
//! machines on random steps. [`history`] compares what applications wrote down with what is
//! promised. [`seeds`] and [`each_seed`] say which simulation seeds a test runs, and how to replay one.

pub mod history;
pub mod laws;
mod net;
mod seed;
mod stub;

pub use net::{
    Bursts, Chance, Class, Coding, Conditions, Config, Context, Counters, Failure, FailureCause,
    Geography, Host, LinkChange, Net, NodeIndex, NodeRef,
};
pub use seed::{DEFAULT_SEEDS, each_seed, seeds};
pub use stub::{StubSigner, StubVerifier, node_id};
