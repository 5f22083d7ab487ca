//! The wire protocol of Macula: names, frames, messages, limits and errors, without I/O.
