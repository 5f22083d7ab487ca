//! Procedures and calls in Macula, without I/O.
