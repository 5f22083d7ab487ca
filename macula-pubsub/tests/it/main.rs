//! Integration tests of the machine and the forwarder.
