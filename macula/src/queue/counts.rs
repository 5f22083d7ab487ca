//! What became of the events of a subscription.

/// How many events a subscription was owed, by what became of them. What still waits is in none of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SubscriptionCounts {
    /// The application has been handed them.
    pub delivered: u64,
    /// The queue was full, and its policy dropped them.
    pub overflow: u64,
    /// A newer event of their key came before the application took them.
    pub superseded: u64,
    /// Their time to live ended in the queue.
    pub expired: u64,
}

impl SubscriptionCounts {
    /// All that were dropped, for whatever reason.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.overflow
            .saturating_add(self.superseded)
            .saturating_add(self.expired)
    }
}
