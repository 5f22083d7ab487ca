//! What can be set, and what it is set to.

use std::time::Duration;

use crate::matcher::MatchKey;

/// The settings of [`PubSub`](crate::PubSub).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The secret by which the segments of patterns are found. Set it at random on a node that has peers: who knows it
    /// can choose names that make matches slow. Default a key that is no secret.
    pub match_key: MatchKey,
    /// The most patterns of all other members together, each counted for each member that wants it. One beyond is
    /// refused and [counted](crate::PubSub::interests_refused). Default 1,000,000, about 150 MiB.
    pub max_interests: usize,
    /// The most distinct patterns of one member, this one included. A subscription beyond is refused with
    /// [`TooManyPatterns`](crate::SubscribeError::TooManyPatterns); a pattern of another member beyond is refused and
    /// [counted](crate::PubSub::interests_refused), so set it alike on all members. Default 65,536, about 10 MiB.
    pub max_patterns: usize,
    /// The most topics that are declared for publishing; beyond, declaring is refused. Default 65,536.
    pub max_publications: usize,
    /// The most subscriptions of one client session; beyond, subscribing is refused. Default 10,000.
    pub max_session_subscriptions: usize,
    /// The most subscriptions on this node; beyond, subscribing is refused. Default 262,144.
    pub max_subscriptions: usize,
    /// The shortest time between two tables, and between two turns of announcing. The first change after a quiet
    /// time takes effect at once, what follows within this time together at its end. Default 1 ms; at least 1 us.
    pub settle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            match_key: MatchKey::default(),
            max_interests: 1_000_000,
            max_patterns: 65_536,
            max_publications: 65_536,
            max_session_subscriptions: 10_000,
            max_subscriptions: 262_144,
            settle: Duration::from_millis(1),
        }
    }
}

/// The settings of a [`Forwarder`](crate::Forwarder).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ForwarderConfig {
    /// The most publishers that are remembered, spread evenly over the shards. In a shard that is full, the publisher
    /// heard least recently is forgotten with all its topics. Default 4,096.
    pub max_publishers: usize,
    /// The most topics that are remembered of one publisher; beyond, the one heard least recently is forgotten. What
    /// was forgotten starts afresh: events that come again are then taken for new, and what was lost meanwhile is not
    /// seen. Default 10,000, about 1.5 MiB for a publisher that has so many.
    pub max_topics: usize,
    /// In how many parts the state is kept, each behind a lock of its own. 1 to 1,024; default 16, enough that some
    /// dozens of tasks seldom meet.
    pub shards: usize,
}

impl Default for ForwarderConfig {
    fn default() -> Self {
        Self {
            max_publishers: 4_096,
            max_topics: 10_000,
            shards: 16,
        }
    }
}
