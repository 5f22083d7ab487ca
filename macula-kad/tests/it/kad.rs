//! Routing: the laws, each rule by hand-fed messages, and simulated networks.

mod answers;
mod bench;
mod bounds;
mod draft;
mod faults;
mod laws;
mod lookups;
mod model;
mod networks;
mod outdone;
mod owners;
mod publish;
mod refusals;
mod replicas;
mod retries;
mod sim;
mod table;
mod versions;
mod watched;
mod watching;
mod withdrawals;
mod world;
