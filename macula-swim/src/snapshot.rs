//! Members known from the start, shared by whoever starts with them.

use std::sync::Arc;

use macula_wire::message::{MemberStatus, SignedRecord};
use macula_wire::{Instant, NodeId};

use crate::digest::Digest;
use crate::index::Index;
use crate::kept::Kept;
use crate::member::Member;
use crate::members::{node_at, stands_at};

/// An immutable set of members, each taken for alive until something else is known: what a member cache on disk holds,
/// or the common start of many simulated nodes.
///
/// A machine that starts with a snapshot keeps only what differs from it, so ten thousand machines can share one.
#[derive(Debug, Default)]
pub struct Snapshot {
    members: Vec<Member>,
    index: Index,
    digest: Digest,
}

impl Snapshot {
    /// A snapshot of `records`, whose signatures were checked. Of several records of one node the latest counts; those
    /// that say *left* or break a rule of the wire are left out. At most 2^32 - 1 members; more are left out.
    #[must_use]
    pub fn new(mut records: Vec<Arc<SignedRecord>>) -> Self {
        records.retain(|signed| signed.record.status == MemberStatus::Alive);
        let version = |signed: &SignedRecord| (signed.record.epoch, signed.record.incarnation);
        records.sort_by(|a, b| {
            let by_node = a.record.node.cmp(&b.record.node);
            by_node.then_with(|| version(b).cmp(&version(a)))
        });
        records.dedup_by(|later, first| later.record.node == first.record.node);
        records.truncate(usize::try_from(u32::MAX).unwrap_or(usize::MAX));
        let mut snapshot = Self::default();
        let kept = records.iter().filter_map(|signed| Kept::new(signed).ok());
        for (place, kept) in (0_u32..).zip(kept) {
            let member = Member::new(kept, Instant::ZERO);
            let members = &snapshot.members;
            let at = |place| node_at(members, 0, place);
            snapshot.index.insert(&member.node(), place, at);
            snapshot.digest.toggle(&member);
            snapshot.members.push(member);
        }
        snapshot
    }

    /// How many members it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has no members.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The records, by the order of the ids; each is decoded when it is asked for.
    pub fn records(&self) -> impl Iterator<Item = Arc<SignedRecord>> {
        self.members.iter().map(Member::signed)
    }

    pub(crate) fn place(&self, node: &NodeId) -> Option<u32> {
        self.index
            .get(node, |place| stands_at(&self.members, 0, place, node))
    }

    pub(crate) fn at(&self, place: u32) -> Option<&Member> {
        self.members.get(usize::try_from(place).ok()?)
    }

    pub(crate) const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The places of the members whose id begins with `byte`.
    pub(crate) fn bucket(&self, byte: u8) -> std::ops::Range<u32> {
        let first = |member: &Member| member.node().as_bytes().first().copied();
        let start = self
            .members
            .partition_point(|member| first(member) < Some(byte));
        let end = self
            .members
            .partition_point(|member| first(member) <= Some(byte));
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        place(start)..place(end)
    }
}
