//! Benchmarks of Macula: criterion for time, callgrind for instructions.
