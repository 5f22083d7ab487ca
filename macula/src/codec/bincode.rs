//! bincode 2's standard layout for serde's data model: integers of variable length, least significant byte first.
//!
//! bincode itself is not maintained any more, so it reads nothing that a peer sent. Its layout is simple and fixed; the
//! tests compare this with it.

mod read;
mod write;

use std::fmt;

pub(super) use read::from_slice;
pub(super) use write::to_vec;

/// Why a value cannot be written or read.
#[derive(Debug)]
pub(super) struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl serde::ser::Error for Failure {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

impl serde::de::Error for Failure {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}
