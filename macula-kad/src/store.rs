//! The records that a node keeps, and what it refuses to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use macula_wire::message::{RecordKind, RecordVersion, RoutingRecord, SignedRoutingRecord};
use macula_wire::{ErrorCode, Key, NodeId, RealmName, RecordId, signed};

use crate::Config;
use crate::distance::{key_of, record_id};

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
    /// Names that begin with `$` stay on the node that has them.
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
}

/// What putting a record in did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Put {
    /// It is new, or later than the one that was there; a withdrawn one has taken that out.
    New,
    /// One as late or later was there, and stays.
    Known,
}

/// What an owner takes up.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    records: usize,
    bytes: usize,
}

/// Records by id, by key and by the time at which they expire.
#[derive(Debug)]
pub(crate) struct Store {
    realm: RealmName,
    limits: Limits,
    records: BTreeMap<RecordId, Kept>,
    keys: BTreeSet<(Key, RecordKind, RecordId)>,
    expiry: BTreeSet<(u64, RecordId)>,
    owners: BTreeMap<NodeId, Usage>,
    bytes: usize,
    /// The sequences of withdrawn records, until they would have expired: an earlier one does not come back.
    withdrawn: BTreeMap<RecordId, (u64, u64)>,
    withdrawn_expiry: BTreeSet<(u64, RecordId)>,
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
            bytes: 0,
            withdrawn: BTreeMap::new(),
            withdrawn_expiry: BTreeSet::new(),
        }
    }

    /// Whether a record may be believed at `wall_ms`, leaving its signature and the room for it aside; answers with its
    /// length.
    pub(crate) fn judge(&self, record: &RoutingRecord, wall_ms: u64) -> Result<usize, Refusal> {
        if record.expires_ms <= wall_ms {
            return Err(Refusal::Expired);
        }
        let latest = wall_ms.saturating_add(self.limits.lease_ms);
        if record.expires_ms > latest.saturating_add(SKEW_MS) {
            return Err(Refusal::TooLong);
        }
        if record.content.name().starts_with('$') {
            return Err(Refusal::Reserved);
        }
        let bytes = signed::record_bytes(&self.realm, record).map_err(|_| Refusal::TooLarge)?;
        if bytes.len() > self.limits.record {
            return Err(Refusal::TooLarge);
        }
        Ok(bytes.len())
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
        if self
            .sequence(&id)
            .is_some_and(|known| known >= inner.sequence)
        {
            return Ok(Put::Known);
        }
        if inner.withdrawn {
            self.withdraw(id, inner.sequence, inner.expires_ms);
            return Ok(Put::New);
        }
        let before = self.records.get(&id);
        self.check_room(&inner.owner, before.map(|kept| kept.bytes), bytes)?;
        self.remove(&id);
        self.forget_withdrawn(&id);
        let key = key_of(&self.realm, &inner.owner, &inner.content);
        self.keys.insert((key, inner.content.kind(), id));
        self.expiry.insert((inner.expires_ms, id));
        let usage = self.owners.entry(inner.owner).or_default();
        usage.records = usage.records.saturating_add(1);
        usage.bytes = usage.bytes.saturating_add(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        let record = Arc::clone(record);
        self.records.insert(id, Kept { record, key, bytes });
        Ok(Put::New)
    }

    /// The latest sequence that is known of a record, be it withdrawn.
    fn sequence(&self, id: &RecordId) -> Option<u64> {
        let kept = self.records.get(id).map(|kept| kept.record.record.sequence);
        let withdrawn = self.withdrawn.get(id).map(|(sequence, _)| *sequence);
        kept.max(withdrawn)
    }

    /// A record is withdrawn. As many of those are remembered as there may be records; beyond that, those that expire
    /// first are forgotten.
    fn withdraw(&mut self, id: RecordId, sequence: u64, expires_ms: u64) {
        self.remove(&id);
        self.forget_withdrawn(&id);
        if self.withdrawn.len() >= self.limits.all.records
            && let Some((_, first)) = self.withdrawn_expiry.first().copied()
        {
            self.forget_withdrawn(&first);
        }
        self.withdrawn.insert(id, (sequence, expires_ms));
        self.withdrawn_expiry.insert((expires_ms, id));
    }

    fn forget_withdrawn(&mut self, id: &RecordId) {
        if let Some((_, expires)) = self.withdrawn.remove(id) {
            self.withdrawn_expiry.remove(&(expires, *id));
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
        if over(self.records.len(), self.bytes, self.limits.all) {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: &RecordId) -> Option<Kept> {
        let kept = self.records.remove(id)?;
        let record = &kept.record.record;
        self.keys.remove(&(kept.key, record.content.kind(), *id));
        self.expiry.remove(&(record.expires_ms, *id));
        self.bytes = self.bytes.saturating_sub(kept.bytes);
        if let Some(usage) = self.owners.get_mut(&record.owner) {
            usage.records = usage.records.saturating_sub(1);
            usage.bytes = usage.bytes.saturating_sub(kept.bytes);
            if usage.records == 0 {
                self.owners.remove(&record.owner);
            }
        }
        Some(kept)
    }

    /// Drops the next record whose time is over at `wall_ms`.
    pub(crate) fn expire(&mut self, wall_ms: u64) -> Option<Kept> {
        while let Some((expires, id)) = self.withdrawn_expiry.first().copied()
            && expires <= wall_ms
        {
            self.forget_withdrawn(&id);
        }
        let (expires, id) = self.expiry.first().copied()?;
        (expires <= wall_ms).then(|| self.remove(&id)).flatten()
    }

    /// When the next record expires, in milliseconds since 1970.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        let first = [self.expiry.first(), self.withdrawn_expiry.first()];
        first
            .into_iter()
            .flatten()
            .map(|(expires, _)| *expires)
            .min()
    }

    /// The records of a kind under a key, by their ids.
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
        kept.map(|kept| &kept.record)
    }

    /// The keys under which there are records.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        let mut last = None;
        let keys = self.keys.iter().map(|(key, ..)| *key);
        keys.filter(move |key| last.replace(*key) != Some(*key))
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

    /// How many there are, and how many bytes they take.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.records.len(), self.bytes)
    }

    /// Which of these are not here, or in an earlier version only.
    pub(crate) fn lacking(&self, versions: &[RecordVersion]) -> Vec<RecordId> {
        let has = |version: &RecordVersion| {
            let known = self.sequence(&version.id);
            known.is_some_and(|known| known >= version.sequence)
        };
        let lacking = versions.iter().filter(|version| !has(version));
        lacking.map(|version| version.id).collect()
    }
}
