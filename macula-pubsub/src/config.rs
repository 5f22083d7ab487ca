//! What can be set, and what it is set to.

use std::time::Duration;

/// The settings of [`PubSub`](crate::PubSub).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// How long what this node announces holds without renewal; it is renewed at half of that. From 1 s to 49 days;
    /// default 60 s. Shorter forgets a silent member sooner, longer costs fewer messages.
    pub lease: Duration,
    /// The longest lease that is granted to others; a longer one counts as this. Default 10 min.
    pub max_lease: Duration,
    /// The most members whose interest is kept; a further one's is refused as an offence. Default 1,024.
    pub max_members: usize,
    /// The most distinct patterns of one member, this one included. A subscription beyond is refused with
    /// [`TooManyPatterns`](crate::SubscribeError::TooManyPatterns). A message of another member that leads beyond is
    /// refused whole, as an offence, so that its interest ends with its link or its lease: set it alike on all members.
    /// Default 65,536, about 20 MiB.
    pub max_patterns: usize,
    /// The most topics that are declared for publishing; beyond, declaring is refused. Default 65,536.
    pub max_publications: usize,
    /// The most subscriptions of one client session; beyond, subscribing is refused. Default 10,000.
    pub max_session_subscriptions: usize,
    /// The most subscriptions on this node; beyond, subscribing is refused. Default 262,144.
    pub max_subscriptions: usize,
    /// The shortest time between two tables, and between two announcements of changes. The first change after a quiet
    /// time takes effect at once, what follows within this time together at its end. Default 1 ms; at least 1 us.
    pub settle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            max_lease: Duration::from_secs(600),
            max_members: 1_024,
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
