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
