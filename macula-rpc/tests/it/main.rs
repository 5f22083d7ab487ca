//! Integration tests of the machines of calls.
