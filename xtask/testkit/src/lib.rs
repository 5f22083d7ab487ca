//! A simulated network, the laws of machines and generators, for the tests of every core.
