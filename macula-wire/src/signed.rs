//! The bytes that a signature covers.

use alloc::vec::Vec;

use crate::batch::Batch;
use crate::field::{Field, UNLIMITED};
use crate::message::{Accusation, MemberRecord};
use crate::{EncodeError, RealmName, Topic, varint};

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
        }
    }
}

fn begin(domain: Domain, realm: &RealmName) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    for text in [domain.text(), realm.as_str()] {
        varint::put(&mut out, u64::try_from(text.len()).unwrap_or(u64::MAX));
        out.extend_from_slice(text.as_bytes());
    }
    out
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
/// content type, the count, and the SHA-256 (FIPS 180-4) of [`Entries::encoded`](crate::Entries::encoded).
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
    varint::put(
        &mut out,
        u64::try_from(batch.entries.count()).unwrap_or(u64::MAX),
    );
    out.extend_from_slice(entries_sha256);
    Ok(out)
}
