//! What a node counts of trees.

use macula_pubsub::TreeStats;

/// What a node's trees hold and what they did. From `received` on they only rise; batches are counted, not events.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct TreeCounts {
    /// Topics with a tree here.
    pub topics: u64,
    /// Publishers and topics whose events came along a tree lately.
    pub sources: u64,
    /// Bytes of batches kept for neighbours that miss them.
    pub cached_bytes: u64,
    /// Bytes of batches that wait here for earlier ones.
    pub held_bytes: u64,
    /// Members whose links took nothing and that are passed over for that.
    pub lagging: u64,
    /// Members that are suspected and passed over for that.
    pub suspected: u64,
    /// Batches that came from other members and were new.
    pub received: u64,
    /// Batches that came and were known.
    pub duplicates: u64,
    /// Batches sent to neighbours, those sent again included.
    pub pushed: u64,
    /// Batches sent again because a neighbour asked.
    pub resent: u64,
    /// Times that this node asked a neighbour for events.
    pub grafts: u64,
    /// Times that this node told a neighbour that it need not send.
    pub prunes: u64,
    /// Messages that told neighbours what is here.
    pub haves: u64,
    /// Times that missing events were given up, after their time or for want of room.
    pub given_up: u64,
    /// Batches not passed on because they had passed as many links as they may.
    pub too_far: u64,
}

impl TreeCounts {
    pub(super) fn of(stats: TreeStats, (cached, held): (usize, usize)) -> Self {
        Self {
            cached_bytes: wide(cached),
            held_bytes: wide(held),
            received: stats.received,
            duplicates: stats.duplicates,
            pushed: stats.pushed,
            resent: stats.resent,
            grafts: stats.grafts,
            prunes: stats.prunes,
            haves: stats.haves,
            given_up: stats.given_up,
            too_far: stats.too_far,
            ..Self::default()
        }
    }

    /// Those that only rise, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("tree_received", self.received),
            ("tree_duplicates", self.duplicates),
            ("tree_pushed", self.pushed),
            ("tree_resent", self.resent),
            ("tree_grafts", self.grafts),
            ("tree_prunes", self.prunes),
            ("tree_haves", self.haves),
            ("tree_given_up", self.given_up),
            ("tree_too_far", self.too_far),
        ]
        .into_iter()
    }
}

pub(super) fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
