//! Forwarding: reach in random graphs, deaths, loops, lies, answers and bounds.

mod answers;
mod bounds;
mod death;
mod forged;
mod loops;
mod order;
mod reach;
mod traces;
mod world;
