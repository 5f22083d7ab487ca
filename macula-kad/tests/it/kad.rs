//! Routing: the laws, each rule by hand-fed messages, and simulated networks.

mod bench;
mod laws;
mod lookups;
mod publish;
mod refusals;
mod replicas;
mod table;
mod versions;
mod watched;
mod watching;
