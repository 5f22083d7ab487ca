//! The bytes that a signature covers.

use alloc::vec::Vec;

use crate::batch::Batch;
use crate::field::{Field, UNLIMITED};
use crate::message::{Accusation, MemberRecord, RecordContent, RecordKind, RoutingRecord};
use crate::{EncodeError, NodeId, RealmName, Topic, varint};

/// What a signature is for. Its text starts the signed bytes, so that a signature serves one purpose only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Domain {
    /// A member's record.
    Member,
    /// An accusation that a member does not answer.
    Suspect,
    /// A declaration that a member is dead.
    Dead,
    /// The events of a batch.
    Batch,
    /// A record of routing.
    Record,
}

impl Domain {
    /// The text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Member => "macula/1 member",
            Self::Suspect => "macula/1 suspect",
            Self::Dead => "macula/1 dead",
            Self::Batch => "macula/1 batch",
            Self::Record => "macula/1 record",
        }
    }
}

fn begin(domain: Domain, realm: &RealmName) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    put_texts(&mut out, [domain.text(), realm.as_str()]);
    out
}

fn put_texts<const N: usize>(out: &mut Vec<u8>, texts: [&str; N]) {
    for text in texts {
        varint::put(out, u64::try_from(text.len()).unwrap_or(u64::MAX));
        out.extend_from_slice(text.as_bytes());
    }
}

/// What a member signs: the domain and the realm, each behind its length, then the encoded record.
///
/// # Errors
///
/// [`EncodeError::TooLarge`] if a field is over its limit.
pub fn member_bytes(realm: &RealmName, record: &MemberRecord) -> Result<Vec<u8>, EncodeError> {
    let mut out = begin(Domain::Member, realm);
    record.put("record", UNLIMITED, &mut out)?;
    Ok(out)
}

/// What an accuser signs, in the domain [`Domain::Suspect`] or [`Domain::Dead`].
#[must_use]
pub fn accusation_bytes(domain: Domain, realm: &RealmName, accusation: &Accusation) -> Vec<u8> {
    let mut out = begin(domain, realm);
    let encoded = accusation.put("accusation", UNLIMITED, &mut out);
    debug_assert!(
        encoded.is_ok(),
        "no field of an accusation has a limit to exceed"
    );
    out
}

/// What a publisher signs for a batch: who, which run, the topic by name, the first sequence, the time to live, the
/// content type, whether entries begin with envelopes, the count, and the SHA-256 (FIPS 180-4) of [`Entries::encoded`](crate::Entries::encoded).
///
/// # Errors
///
/// [`EncodeError::TooLarge`] if a field is over its limit.
pub fn batch_bytes(
    realm: &RealmName,
    topic: &Topic,
    batch: &Batch,
    entries_sha256: &[u8; 32],
) -> Result<Vec<u8>, EncodeError> {
    let mut out = begin(Domain::Batch, realm);
    batch.publisher.put("publisher", UNLIMITED, &mut out)?;
    batch.epoch.put("epoch", UNLIMITED, &mut out)?;
    topic.put("topic", UNLIMITED, &mut out)?;
    batch.base.put("base", UNLIMITED, &mut out)?;
    batch.ttl_ms.put("ttl_ms", UNLIMITED, &mut out)?;
    batch.content.put("content", UNLIMITED, &mut out)?;
    batch.enveloped.put("enveloped", UNLIMITED, &mut out)?;
    varint::put(
        &mut out,
        u64::try_from(batch.entries.count()).unwrap_or(u64::MAX),
    );
    out.extend_from_slice(entries_sha256);
    Ok(out)
}

/// What the owner of a record signs: the domain and the realm, each behind its length, then the encoded record.
///
/// # Errors
///
/// [`EncodeError`] if a field is over its limit or breaks a rule.
pub fn record_bytes(realm: &RealmName, record: &RoutingRecord) -> Result<Vec<u8>, EncodeError> {
    let mut out = begin(Domain::Record, realm);
    record.put("record", UNLIMITED, &mut out)?;
    Ok(out)
}

/// What is hashed by SHA-256 (FIPS 180-4) for the [`Key`](crate::Key) under which records of a kind and a name are kept:
/// `macula/1 key` and the realm, each behind its length, the tag of the kind, and the name behind its length.
///
/// Interest is kept under the first segment of its pattern, or under `*` if that is a wildcard. A record of a node is
/// kept where the node stands, see [`position_bytes`].
#[must_use]
pub fn key_bytes(realm: &RealmName, kind: RecordKind, name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    put_texts(&mut out, ["macula/1 key", realm.as_str()]);
    out.push(kind.tag());
    put_texts(&mut out, [name]);
    out
}

/// What is hashed by SHA-256 for the [`Key`](crate::Key) at which a node stands: its id alone.
#[must_use]
pub const fn position_bytes(node: &NodeId) -> &[u8; 32] {
    node.as_bytes()
}

/// What is hashed by SHA-256 for the [`RecordId`](crate::RecordId): the owner, the tag of the kind, and the name.
#[must_use]
pub fn record_id_bytes(owner: &NodeId, content: &RecordContent) -> Vec<u8> {
    let name = content.name();
    let mut out = Vec::with_capacity(name.len().saturating_add(33));
    out.extend_from_slice(owner.as_bytes());
    out.push(content.kind().tag());
    out.extend_from_slice(name.as_bytes());
    out
}
