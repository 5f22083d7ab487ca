//! The data plane of events: what is new of a batch, what is missing, and who is owed it.

mod recent;
mod shard;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

use macula_wire::{Epoch, Instant, NodeId, Sequence, Topic};

use crate::{Destination, ForwarderConfig, SessionId, Table};
use shard::Shard;

/// Decides what happens to events that come in, without asking the machine and without waiting.
///
/// It remembers the next sequence of every (publisher, epoch, topic) that this node follows, so that each event is
/// delivered at most once and in order, and each that was lost is told of. The state is cut into shards by publisher,
/// each behind a lock that is held for one lookup; share the value among all tasks.
///
/// Call [`accept`](Self::accept) for each batch for whose topic somebody is owed events, and nothing for others: what is
/// not owed is not missing either. When a table no longer has a topic, [`retain`](Self::retain) forgets its place.
#[derive(Debug)]
pub struct Forwarder {
    shards: Vec<Mutex<Shard>>,
}

impl Forwarder {
    /// Has seen nothing.
    #[must_use]
    pub fn new(config: &ForwarderConfig) -> Self {
        let shards = config.shards.clamp(1, 1_024);
        let publishers = config.max_publishers.div_ceil(shards).max(1);
        let topics = config.max_topics.max(1);
        Self {
            shards: (0..shards)
                .map(|_| Mutex::new(Shard::new(publishers, topics)))
                .collect(),
        }
    }

    /// Takes in the events `base..base + count` of a topic, and says what is new of them.
    ///
    /// The first batch of a topic that is not followed yet is accepted wherever it begins. After that, what was seen is
    /// skipped, and what was left out is reported, once. An event that comes after it was reported missing is a
    /// duplicate: it is never delivered behind its successors. A batch of a later epoch ends the earlier one; what the
    /// publisher said at the end of it and did not arrive cannot be known, which `restarted` tells.
    #[must_use]
    pub fn accept(
        &self,
        now: Instant,
        publisher: NodeId,
        epoch: Epoch,
        topic: &Topic,
        base: Sequence,
        count: u64,
    ) -> Acceptance {
        self.with(&publisher, |shard| {
            shard.accept(now, publisher, epoch, topic, base, count)
        })
        .unwrap_or(Acceptance::Stale)
    }

    /// Takes in that the next event of a topic on some stream is `next`, and says what is missing before it.
    ///
    /// For a topic that is not followed yet, this is where it begins.
    #[must_use]
    pub fn announced(
        &self,
        now: Instant,
        publisher: NodeId,
        epoch: Epoch,
        topic: &Topic,
        next: Sequence,
    ) -> Option<Missing> {
        self.with(&publisher, |shard| {
            shard.announced(now, publisher, epoch, topic, next)
        })
        .flatten()
    }

    /// The same for events that their sender keeps. What is of an earlier run of the publisher is new as long as nothing of a
    /// later one has come on this topic: it may be brought by whoever has taken over from the publisher.
    #[must_use]
    pub fn accept_kept(
        &self,
        now: Instant,
        publisher: NodeId,
        epoch: Epoch,
        topic: &Topic,
        base: Sequence,
        count: u64,
    ) -> Acceptance {
        self.with(&publisher, |shard| {
            shard.accept_kept(now, publisher, epoch, topic, base, count)
        })
        .unwrap_or(Acceptance::Stale)
    }

    /// A publisher is lost, and its subscribers were told so. Its place in each topic is remembered, for what others may yet
    /// bring of it; what is missing up to the next event is not told once more.
    pub fn lose(&self, publisher: NodeId) {
        self.with(&publisher, |shard| shard.lose(&publisher));
    }

    /// Forgets a publisher, its epoch included.
    pub fn forget(&self, publisher: NodeId) {
        self.with(&publisher, |shard| shard.forget(&publisher));
    }

    /// The topics that are followed of a publisher, with its epoch and the next sequence of each: what its subscribers
    /// lose when it is lost.
    #[must_use]
    pub fn following(&self, publisher: &NodeId) -> Vec<(Topic, Epoch, Sequence)> {
        self.with(publisher, |shard| shard.following(publisher))
            .unwrap_or_default()
    }

    /// Forgets the place in every topic that nobody on this node is owed by `table`, so that whoever subscribes later
    /// is not told of events from before. Costs a match for each topic that is followed; to be called when a
    /// subscription of this node ended.
    pub fn retain(&self, table: &Table) {
        let mut owed = Vec::new();
        for shard in &self.shards {
            lock(shard).retain(|topic| {
                table.matches_into(topic, &mut owed);
                owed.iter().any(|to| !matches!(to, Destination::Member(_)))
            });
        }
    }

    /// When a publisher was last heard of; `None` for one that is not remembered.
    #[must_use]
    pub fn last_heard(&self, publisher: &NodeId) -> Option<Instant> {
        self.with(publisher, |shard| shard.last_heard(publisher))
            .flatten()
    }

    /// How much is remembered.
    #[must_use]
    pub fn stats(&self) -> ForwarderStats {
        let mut stats = ForwarderStats::default();
        for shard in &self.shards {
            lock(shard).add_to(&mut stats);
        }
        stats
    }

    /// Who gets an event of `topic` that came from `from`, in place of what `out` holds; ascending, each once.
    ///
    /// Split horizon: what came from a member was sent to every other member by its publisher, so it goes to this
    /// node's own subscribers and clients only. What was published here goes to everybody who is owed it, the client
    /// that published it included if it subscribed.
    pub fn route(table: &Table, topic: &Topic, from: Source, out: &mut Vec<Destination>) {
        table.matches_into(topic, out);
        match from {
            Source::Own | Source::Session(_) => {}
            Source::Member(_) => out.retain(|to| !matches!(to, Destination::Member(_))),
        }
    }

    fn with<T>(&self, publisher: &NodeId, act: impl FnOnce(&mut Shard) -> T) -> Option<T> {
        let start = publisher.as_bytes().first_chunk().copied();
        let shards = u64::try_from(self.shards.len()).ok()?;
        let at = u64::from_le_bytes(start?).checked_rem(shards)?;
        let shard = self.shards.get(usize::try_from(at).ok()?)?;
        Some(act(&mut lock(shard)))
    }
}

/// A panic elsewhere while the lock was held leaves numbers that are at worst out of date.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is new of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever forwards has to act on each answer"
)]
pub enum Acceptance {
    /// Deliver it from behind the first `skip` events on.
    Accepted {
        /// How many events at its start were seen before; less than all.
        skip: u64,
        /// What is missing before it: tell the subscribers first.
        gap: Option<Missing>,
        /// Whether it is the first of the publisher's new epoch in a topic that was followed in an earlier one: the end
        /// of what was lost before is not known.
        restarted: bool,
    },
    /// All of it was seen, or reported missing, before.
    Duplicate,
    /// It is of an epoch that the publisher has left.
    Stale,
}

/// Events of one publisher, epoch and topic that are not going to be delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a range, and nothing else")]
pub struct Missing {
    /// The first of them.
    pub from: Sequence,
    /// The first behind them.
    pub to: Sequence,
}

impl Missing {
    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.to.since(self.from)
    }
}

/// Where an event comes from, as seen from this node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "an event comes from one of these")]
pub enum Source {
    /// It was published on this node.
    Own,
    /// It came over the link to this member.
    Member(NodeId),
    /// A client of this node published it.
    Session(SessionId),
}

/// How much a [`Forwarder`] remembers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ForwarderStats {
    /// Publishers.
    pub publishers: usize,
    /// Topics of all publishers together.
    pub topics: usize,
    /// Topics that were forgotten for want of room; each may have let a duplicate pass or hidden a loss.
    pub evicted: u64,
}
