//! The records that a node keeps, and what it refuses to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use macula_wire::message::{RecordKind, RecordVersion, RoutingRecord, SignedRoutingRecord};
use macula_wire::{ErrorCode, Instant, Key, NodeId, RealmName, RecordId, SIGNATURE_LEN, signed};

use crate::Config;
use crate::distance::{key_of, record_id};
use crate::named::Namers;
use crate::reserved::is_reserved;

/// By how much clocks may differ, in milliseconds.
const SKEW_MS: u64 = 600_000;

/// Why a record was refused.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not signed by its owner, for this realm.
    #[error("the signature is not that of its owner in this realm")]
    Forged,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It would hold for longer than any record may.
    #[error("it expires too far ahead")]
    TooLong,
    /// It takes more bytes than a record may.
    #[error("it is too large")]
    TooLarge,
    /// Its owner has as many records here as it may have, or as many bytes.
    #[error("its owner has too many records here")]
    OverQuota,
    /// This node keeps as many records as it can.
    #[error("there is no room for more records")]
    Full,
    /// Names that begin with `$` stay on the node that has them, but for providers of what services say of themselves.
    #[error("its name is reserved")]
    Reserved,
    /// It is not what was asked for: another key or kind.
    #[error("it is not under the key or of the kind that was asked for")]
    Misplaced,
}

impl Refusal {
    /// The code that says so in KAD_ANSWER.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Forged => ErrorCode::UNAUTHENTICATED,
            Self::Expired => ErrorCode::EXPIRED,
            Self::TooLarge => ErrorCode::PAYLOAD_TOO_LARGE,
            Self::OverQuota | Self::Full => ErrorCode::QUOTA_EXCEEDED,
            Self::TooLong | Self::Reserved | Self::Misplaced => ErrorCode::INVALID_ARGUMENT,
        }
    }
}

/// A record, where it belongs, and how much room it takes.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) record: Arc<SignedRoutingRecord>,
    pub(crate) key: Key,
    bytes: usize,
    pub(crate) namers: Namers,
}

/// The place of a record in the order of their keys.
pub(crate) type Rank = (Key, RecordKind, RecordId);

/// What putting a record in did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Put {
    /// It is new, or later than the one that was there; a withdrawn one has taken that out.
    New,
    /// One as late was there, and stays.
    Known,
    /// A later one was there, of this sequence, and stays.
    Outdated(u64),
}

/// What an owner takes up.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    records: usize,
    bytes: usize,
}

impl Usage {
    const fn add(&mut self, bytes: usize) {
        self.records = self.records.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    const fn take(&mut self, bytes: usize) {
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Records by id, by key and by the time at which they expire.
#[derive(Debug)]
pub(crate) struct Store {
    realm: RealmName,
    limits: Limits,
    records: BTreeMap<RecordId, Kept>,
    keys: BTreeSet<Rank>,
    expiry: BTreeSet<(u64, RecordId)>,
    owners: BTreeMap<NodeId, Usage>,
    /// What all owners take up together.
    all: Usage,
    /// The withdrawn among the records by owner, those that expire first first. They are kept, told and handed on like
    /// others, so that an earlier version does not come back; but they take nobody's room.
    withdrawn: BTreeSet<(NodeId, u64, RecordId)>,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
struct Limits {
    lease_ms: u64,
    record: usize,
    owner: Usage,
    all: Usage,
}

impl Store {
    pub(crate) fn new(realm: RealmName, config: &Config) -> Self {
        let lease = config.max_lease.as_millis();
        let limits = Limits {
            lease_ms: u64::try_from(lease).unwrap_or(u64::MAX),
            record: config.max_record_len,
            owner: Usage {
                records: config.max_owner_records,
                bytes: config.max_owner_bytes,
            },
            all: Usage {
                records: config.max_records,
                bytes: config.max_bytes,
            },
        };
        Self {
            realm,
            limits,
            records: BTreeMap::new(),
            keys: BTreeSet::new(),
            expiry: BTreeSet::new(),
            owners: BTreeMap::new(),
            all: Usage::default(),
            withdrawn: BTreeSet::new(),
        }
    }

    /// Whether a record may be believed at `wall_ms`, leaving aside whether its signature is right and whether there is
    /// room for it; answers with its length, signature and all.
    pub(crate) fn judge(&self, record: &RoutingRecord, wall_ms: u64) -> Result<usize, Refusal> {
        if record.expires_ms <= wall_ms {
            return Err(Refusal::Expired);
        }
        let latest = wall_ms.saturating_add(self.limits.lease_ms);
        if record.expires_ms > latest.saturating_add(SKEW_MS) {
            return Err(Refusal::TooLong);
        }
        if is_reserved(&record.content) {
            return Err(Refusal::Reserved);
        }
        let bytes = signed::record_bytes(&self.realm, record).map_err(|_| Refusal::TooLarge)?;
        let len = bytes.len().saturating_add(SIGNATURE_LEN);
        if len > self.limits.record {
            return Err(Refusal::TooLarge);
        }
        Ok(len)
    }

    /// Takes in a record whose signature is right.
    pub(crate) fn put(
        &mut self,
        record: &Arc<SignedRoutingRecord>,
        wall_ms: u64,
    ) -> Result<Put, Refusal> {
        let inner = &record.record;
        let bytes = self.judge(inner, wall_ms)?;
        let id = record_id(&inner.owner, &inner.content);
        let before = self.records.get(&id);
        let known = before.map(|kept| kept.record.record.sequence);
        if let Some(known) = known.filter(|known| *known >= inner.sequence) {
            return Ok(if known == inner.sequence {
                Put::Known
            } else {
                Put::Outdated(known)
            });
        }
        if inner.withdrawn {
            self.make_room_for_withdrawal(inner.owner);
        } else {
            let freed = before.filter(|kept| !kept.record.record.withdrawn);
            self.check_room(&inner.owner, freed.map(|kept| kept.bytes), bytes)?;
        }
        self.remove(&id);
        let key = key_of(&self.realm, &inner.owner, &inner.content);
        self.keys.insert((key, inner.content.kind(), id));
        self.expiry.insert((inner.expires_ms, id));
        if inner.withdrawn {
            self.withdrawn.insert((inner.owner, inner.expires_ms, id));
        } else {
            self.owners.entry(inner.owner).or_default().add(bytes);
            self.all.add(bytes);
        }
        let record = Arc::clone(record);
        let kept = Kept {
            record,
            key,
            bytes,
            namers: Namers::default(),
        };
        self.records.insert(id, kept);
        Ok(Put::New)
    }

    /// An owner may have four times as many withdrawals remembered as records; beyond that, or when there are as many in
    /// all as there may be records, its own that expires first is forgotten.
    fn make_room_for_withdrawal(&mut self, owner: NodeId) {
        let (first, last) = (
            (owner, 0, RecordId::from_bytes([0; 16])),
            (owner, u64::MAX, RecordId::from_bytes([255; 16])),
        );
        let of_owner = self.withdrawn.range(first..=last);
        let limit = self.limits.owner.records.saturating_mul(4);
        let is_full =
            of_owner.clone().count() >= limit || self.withdrawn.len() >= self.limits.all.records;
        let oldest = of_owner.map(|(.., id)| *id).next();
        if let Some(oldest) = oldest.filter(|_| is_full) {
            self.remove(&oldest);
        }
    }

    fn check_room(
        &self,
        owner: &NodeId,
        before: Option<usize>,
        bytes: usize,
    ) -> Result<(), Refusal> {
        let freed = before.unwrap_or(0);
        let more = usize::from(before.is_none());
        let over = |records: usize, used: usize, limit: Usage| {
            let bytes = used.saturating_sub(freed).saturating_add(bytes);
            records.saturating_add(more) > limit.records || bytes > limit.bytes
        };
        let usage = self.owners.get(owner).copied().unwrap_or_default();
        if over(usage.records, usage.bytes, self.limits.owner) {
            return Err(Refusal::OverQuota);
        }
        if over(self.all.records, self.all.bytes, self.limits.all) {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: &RecordId) -> Option<Kept> {
        let kept = self.records.remove(id)?;
        let record = &kept.record.record;
        self.keys.remove(&(kept.key, record.content.kind(), *id));
        self.expiry.remove(&(record.expires_ms, *id));
        if record.withdrawn {
            self.withdrawn
                .remove(&(record.owner, record.expires_ms, *id));
            return Some(kept);
        }
        self.all.take(kept.bytes);
        if let Some(usage) = self.owners.get_mut(&record.owner) {
            usage.take(kept.bytes);
            if usage.records == 0 {
                self.owners.remove(&record.owner);
            }
        }
        Some(kept)
    }

    /// Drops the next record whose time is over at `wall_ms`.
    pub(crate) fn expire(&mut self, wall_ms: u64) -> Option<Kept> {
        let (expires, id) = self.expiry.first().copied()?;
        (expires <= wall_ms).then(|| self.remove(&id)).flatten()
    }

    /// When the next record expires, in milliseconds since 1970.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.expiry.first().map(|(expires, _)| *expires)
    }

    /// The records of a kind under a key, those that are withdrawn last.
    pub(crate) fn under(
        &self,
        key: Key,
        kind: RecordKind,
    ) -> impl Iterator<Item = &Arc<SignedRoutingRecord>> {
        let (first, last) = (
            RecordId::from_bytes([0; 16]),
            RecordId::from_bytes([255; 16]),
        );
        let ids = self.keys.range((key, kind, first)..=(key, kind, last));
        let kept = ids.filter_map(|(_, _, id)| self.records.get(id));
        let records = kept.map(|kept| &kept.record);
        let live = records.clone().filter(|record| !record.record.withdrawn);
        live.chain(records.filter(|record| record.record.withdrawn))
    }

    /// The keys under which there are records.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let mut last = None;
        let keys = self.keys.iter().map(|(key, ..)| *key);
        keys.filter(move |key| last.replace(*key) != Some(*key))
    }

    /// At most `count` of all records, in the order of their keys, behind the one that had that rank.
    pub(crate) fn behind(&self, rank: Option<Rank>, count: usize) -> Vec<Rank> {
        let begin = rank.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.keys.range((begin, Bound::Unbounded));
        rest.take(count).copied().collect()
    }

    /// How many records there are, withdrawn ones among them.
    pub(crate) fn count(&self) -> usize {
        self.records.len()
    }

    /// A node has named this version, so it has it. Whether this one has neither it nor a later one.
    pub(crate) fn named(&mut self, now: Instant, by: &NodeId, version: &RecordVersion) -> bool {
        let Some(kept) = self.records.get_mut(&version.id) else {
            return true;
        };
        let known = kept.record.record.sequence;
        if known == version.sequence {
            kept.namers.add(now, by);
        }
        known < version.sequence
    }

    /// A record with what this node knows of it.
    pub(crate) fn kept(&self, id: &RecordId) -> Option<&Kept> {
        self.records.get(id)
    }

    /// Whether anything is kept under a key.
    pub(crate) fn has(&self, key: &Key) -> bool {
        let first = (*key, RecordKind::Node, RecordId::from_bytes([0; 16]));
        let first = self.keys.range(first..).next();
        first.is_some_and(|(found, ..)| found == key)
    }

    /// The records under a key, without what they say.
    pub(crate) fn versions(&self, key: Key) -> impl Iterator<Item = RecordVersion> {
        let kinds = RecordKind::ALL.iter();
        let records = kinds.flat_map(move |kind| self.under(key, *kind));
        records.map(|signed| {
            let record = &signed.record;
            RecordVersion {
                id: record_id(&record.owner, &record.content),
                sequence: record.sequence,
            }
        })
    }

    pub(crate) fn get(&self, id: &RecordId) -> Option<&Arc<SignedRoutingRecord>> {
        self.records.get(id).map(|kept| &kept.record)
    }

    /// How many there are that are not withdrawn, and how many bytes they take.
    pub(crate) const fn len(&self) -> (usize, usize) {
        (self.all.records, self.all.bytes)
    }

    /// Whether more than half of the room for records or for their bytes is taken.
    pub(crate) const fn is_crowded(&self) -> bool {
        let (all, limit) = (&self.all, &self.limits.all);
        all.records > limit.records / 2 || all.bytes > limit.bytes / 2
    }

    /// Whether there is nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}
