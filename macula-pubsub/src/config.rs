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

/// The settings of a [`Replay`](crate::Replay).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ReplayConfig {
    /// The most events of this node that wait until they are settled. Beyond it nothing more is taken, so whoever
    /// publishes waits. Default 16,384.
    pub max_events: usize,
    /// The most bytes that they take; one offer always fits. Default 64 MiB.
    pub max_bytes: usize,
    /// When so many events of other nodes wait for subscribers and clients of this one, nothing more is taken from other
    /// nodes, which keep it meanwhile; one batch goes beyond. Default 16,384.
    pub max_transit_events: usize,
    /// The same by their bytes. Default 64 MiB.
    pub max_transit_bytes: usize,
    /// How long events wait for a member whose link is lost. Default 60 s, at most 24 h.
    pub lease: Duration,
    /// The shortest time between two turns of sending again that one receiver can cause. Default 50 ms.
    pub resend_pace: Duration,
    /// The most groups of which it is remembered whose turn it is. Default 4,096; beyond, one without events under way is
    /// forgotten, which begins its turns anew.
    pub max_groups: usize,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            max_events: 16_384,
            max_bytes: 64 << 20,
            max_transit_events: 16_384,
            max_transit_bytes: 64 << 20,
            lease: Duration::from_secs(60),
            resend_pace: Duration::from_millis(50),
            max_groups: 4_096,
        }
    }
}

impl ReplayConfig {
    /// The longest lease.
    pub const MAX_LEASE: Duration = Duration::from_secs(24 * 3_600);

    /// The most events and bytes of one custody.
    pub(crate) const fn room(&self, custody: crate::Custody) -> (usize, usize) {
        match custody {
            crate::Custody::Own => (self.max_events, self.max_bytes),
            crate::Custody::Transit => (self.max_transit_events, self.max_transit_bytes),
            // What is taken over was counted by the estate before.
            crate::Custody::Inherited => (usize::MAX, usize::MAX),
        }
    }
}

/// The settings of an [`Intake`](crate::Intake).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IntakeConfig {
    /// The most channels, one for each peer and class. Beyond, that which was heard least recently is forgotten;
    /// what comes again on it then is taken for new. Default 16,384.
    pub max_channels: usize,
    /// How many refusals are remembered of one channel until its sender has heard of them. Beyond, the oldest are
    /// forgotten. Default 1,024.
    pub max_refused: usize,
    /// After which time a RESEND that brought nothing is repeated. Default 1 s.
    pub resend_timeout: Duration,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self {
            max_channels: 16_384,
            max_refused: 1_024,
            resend_timeout: Duration::from_secs(1),
        }
    }
}

/// The settings of an [`Estate`](crate::Estate).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EstateConfig {
    /// The most events of other publishers that are kept in case that these are lost; beyond, the oldest are given up.
    /// Default 65,536.
    pub max_events: usize,
    /// The most bytes that they take. Default 64 MiB.
    pub max_bytes: usize,
    /// How long a node waits for each one that comes before it to take over. Default 3 s.
    pub turn: Duration,
    /// Of how many publishers it is remembered that they are lost, for what comes of them yet. Default 1,024; beyond,
    /// any is forgotten.
    pub max_lost: usize,
}

impl Default for EstateConfig {
    fn default() -> Self {
        Self {
            max_events: 65_536,
            max_bytes: 64 << 20,
            turn: Duration::from_secs(3),
            max_lost: 1_024,
        }
    }
}
