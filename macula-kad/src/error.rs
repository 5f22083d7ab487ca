//! What can go wrong.

/// A lookup was not begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// As many lookups are under way as may be; try again when one has ended.
    #[error("{limit} lookups are under way already")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// A record was not published.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// This node owns as many records as it may; withdraw some.
    #[error("{limit} records are published already")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The record is one that others refuse.
    #[error(transparent)]
    Refused(#[from] crate::Refusal),
    /// A field of it is over its limit.
    #[error(transparent)]
    Encode(#[from] macula_wire::EncodeError),
}

/// A key is not watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// As many keys are watched as may be; end some watches.
    #[error("{limit} keys are watched already")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}
