//! What the machine takes in, and what it puts out.

use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{Contact, RecordContent, RecordKind, SignedRoutingRecord};
use macula_wire::{Body, Key, NodeId, RecordId};

use crate::Checked;
use crate::Refusal;
use crate::lookup::Step;

/// Something that happened outside.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A message came from a peer whose identity its link proves.
    Message {
        /// The peer, with the addresses at which it can be reached, as far as the caller knows them.
        from: Arc<Contact>,
        /// The message.
        body: Checked,
    },
    /// A node can be asked at these addresses: who it is was proven, by a link for example.
    Contact(Arc<Contact>),
    /// A node is a member of the realm, or has other addresses, as membership says. Lookups begin with the members.
    Member(Arc<Contact>),
    /// Membership says that a node is dead or has left.
    MemberGone(NodeId),
    /// The present run of a node began at this number of its records, so what it offered and wanted before does not count
    /// any more: watches do not tell of it. Given before [`Member`](Self::Member), and when there is a later run.
    Run {
        /// Which node.
        node: NodeId,
        /// The lowest sequence of its records that count.
        since: u64,
    },
    /// A node cannot be reached at present: what it was asked has failed.
    Unreachable(NodeId),
    /// The wall clock in milliseconds since 1970, when it was set.
    WallClock(u64),
}

/// Something the caller has to do or may want to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// Send a message to a node; reach it first if there is no link. What cannot be sent is dropped, and
    /// [`Input::Unreachable`] saves time then.
    Send {
        /// To whom.
        to: Arc<Contact>,
        /// What.
        body: Body,
    },
    /// A lookup has ended.
    Found(Outcome),
    /// A record under a watched key holds, says something new, or holds no more.
    Changed {
        /// The key.
        key: Key,
        /// The record.
        record: Arc<SignedRoutingRecord>,
        /// Whether it holds. It does not if it was withdrawn, has expired, or its owner is gone.
        present: bool,
    },
    /// Every record that was under a watched key was told; changes follow. Told once for each watch, also when nobody
    /// could be asked.
    Watching {
        /// The key.
        key: Key,
        /// The kind of records.
        kind: RecordKind,
    },
}

/// Something that a node does with a record of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the caller constructs them")]
pub enum RecordChange {
    /// Publishes a record that says this.
    Publish(RecordContent),
    /// Takes a record back.
    Withdraw(RecordId),
}

/// Names a lookup of one machine.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QueryId(pub(crate) u64);

/// What a lookup is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Goal {
    /// The nodes closest to a key.
    Closest(Key),
    /// A node: the lookup ends when it has answered.
    Node(NodeId),
    /// The records of a kind under a key.
    Records {
        /// The key.
        key: Key,
        /// The kind.
        kind: RecordKind,
        /// Whether all of the closest are asked; otherwise the first who has any is enough.
        all: bool,
    },
}

/// How a lookup goes about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LookupOptions {
    /// Over how many paths that have no node in common; 1 to 20. With more than one, liars among the nodes have to stand
    /// on all of them to hide something. Default: 1.
    pub paths: usize,
    /// Whether to begin with the members that membership knows, where it does. Default: yes.
    pub seeded: bool,
}

impl Default for LookupOptions {
    fn default() -> Self {
        Self {
            paths: 1,
            seeded: true,
        }
    }
}

/// How a lookup ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// Which.
    pub query: QueryId,
    /// What it was for.
    pub goal: Goal,
    /// Whether it came to its end; otherwise its time was over.
    pub complete: bool,
    /// The closest that answered, closest first; at most k.
    pub closest: Vec<Arc<Contact>>,
    /// The records that were found, of each the latest; without those that were withdrawn.
    pub records: Vec<Arc<SignedRoutingRecord>>,
    /// How many requests in a row led to the closest; 0 if nobody answered.
    pub hops: u32,
    /// After how long the closest had answered.
    pub closest_after: Duration,
    /// How long the lookup took.
    pub took: Duration,
    /// How many requests it made.
    pub requests: u32,
    /// How many answers were late.
    pub late: u32,
    /// The requests, in the order in which they were made.
    pub steps: Vec<Step>,
}

/// Counts since the machine was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Lookups begun.
    pub queries: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests whose answer was late.
    pub late: u64,
    /// Requests that were not answered.
    pub failed: u64,
    /// Requests of others that were answered.
    pub answered: u64,
    /// Requests of others beyond what a peer may ask.
    pub refused_rate: u64,
    /// Answers that nobody had asked for.
    pub unasked: u64,
    /// Contacts that were refused: the node that tells of them, the one that is told, or one named twice.
    pub refused_contacts: u64,
    /// Records of this node that others refused to keep.
    pub stores_refused: u64,
    /// Watches of others that were refused because there were too many.
    pub refused_watches: u64,
    /// Records that were refused because they were forged.
    pub refused_forged: u64,
    /// Records that were refused because their time was over.
    pub refused_expired: u64,
    /// Records that were refused because they take too much room, or hold for too long.
    pub refused_size: u64,
    /// Records that were refused because their owner has too many, or this node has.
    pub refused_quota: u64,
    /// Records that were refused because of their name, or because they were not what was asked for.
    pub refused_place: u64,
}

impl Stats {
    /// One record more was refused.
    pub(crate) const fn refused(&mut self, refusal: Refusal) {
        let count = match refusal {
            Refusal::Forged => &mut self.refused_forged,
            Refusal::Expired => &mut self.refused_expired,
            Refusal::TooLarge | Refusal::TooLong => &mut self.refused_size,
            Refusal::OverQuota | Refusal::Full => &mut self.refused_quota,
            Refusal::Reserved | Refusal::Misplaced => &mut self.refused_place,
        };
        *count = count.saturating_add(1);
    }

    /// All records that were refused, for whatever reason.
    #[must_use]
    pub const fn records_refused(&self) -> u64 {
        self.refused_forged
            .saturating_add(self.refused_expired)
            .saturating_add(self.refused_size)
            .saturating_add(self.refused_quota)
            .saturating_add(self.refused_place)
    }
}
