//! What a store keeps of the debts of others.

mod laws;
mod network;
mod rules;
