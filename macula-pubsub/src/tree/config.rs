//! What can be set about trees.

use std::time::Duration;

/// The settings of a [`Tree`](crate::Tree). Nodes with different ones get on.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TreeConfig {
    /// How many links an event may pass at most. Default 56, what the hop limit of a batch leaves; more than twice the
    /// depth of a tree over a million nodes.
    pub max_distance: u8,
    /// How long news for neighbours that get events by other ways are gathered. Default 100 ms.
    pub digest_interval: Duration,
    /// How long an event is waited for that a neighbour has, before it is asked for it, where the round trip to the
    /// neighbour is not known. Otherwise twice the round trip, within `min_graft_timeout` and `max_graft_timeout`.
    /// Default 120 ms.
    pub graft_timeout: Duration,
    /// The least of it. Default 50 ms.
    pub min_graft_timeout: Duration,
    /// The most of it. Default 1 s.
    pub max_graft_timeout: Duration,
    /// How long events wait for earlier ones of their publisher and topic that are missing. Default 250 ms. Then these
    /// are given up.
    pub gap_timeout: Duration,
    /// The most that they wait if a neighbour has what is missing and is asked for it. Default 2 s.
    pub max_gap_timeout: Duration,
    /// By how much later events may come by a way that is shorter by a link, for it to be preferred. Default 100 ms.
    pub tolerance: Duration,
    /// The most bytes of events that are kept for neighbours who miss them; the oldest make room. Default 16 MiB.
    pub cache_bytes: usize,
    /// How long they are kept at most. Default 30 s.
    pub cache_time: Duration,
    /// By how much earlier events may have come than a neighbour became interested, for it to be told of them: it is known
    /// here later than where they were published. Default 1 s.
    pub newcomer_time: Duration,
    /// The most bytes of events that wait for earlier ones, of all publishers together; beyond, what is missing is
    /// given up. Default 16 MiB.
    pub held_bytes: usize,
    /// The most batches that wait so of one publisher and topic. Default 256.
    pub max_held: usize,
    /// The most pairs of a publisher and a topic with a tree of their own. Default 512. One beyond takes the place of
    /// that heard least recently, and begins with the edges of another tree of its topic.
    pub max_sources: usize,
    /// The most topics. Default 1,024. Events of one beyond are delivered and not passed on, and counted.
    pub max_topics: usize,
    /// The most nodes that events of one publisher and topic are exchanged with, neighbours and others who ask.
    /// Default 24.
    pub max_edges: usize,
    /// The most batches that one request is answered with. Default 64.
    pub max_resent: usize,
}

impl Default for TreeConfig {
    fn default() -> Self {
        Self {
            max_distance: 56,
            digest_interval: Duration::from_millis(100),
            graft_timeout: Duration::from_millis(120),
            min_graft_timeout: Duration::from_millis(50),
            max_graft_timeout: Duration::from_secs(1),
            gap_timeout: Duration::from_millis(250),
            max_gap_timeout: Duration::from_secs(2),
            tolerance: Duration::from_millis(100),
            cache_bytes: 16 << 20,
            cache_time: Duration::from_secs(30),
            newcomer_time: Duration::from_secs(1),
            held_bytes: 16 << 20,
            max_held: 256,
            max_sources: 512,
            max_topics: 1_024,
            max_edges: 24,
            max_resent: 64,
        }
    }
}
