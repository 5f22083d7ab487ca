//! 0x60 to 0x67: lookups and records.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::record::Records;
use super::{Contact, RecordKind};
use crate::field::record;
use crate::limit::{MAX_CONTACTS, MAX_RECORD_VERSIONS, MAX_RECORDS};
use crate::{EncodeError, ErrorCode, Key, RecordId, RequestId, check};

record! {
    /// KAD_FIND: asks for the contacts closest to a key, and for the records under it.
    pub struct KadFind {
        /// Names the answer.
        pub request: RequestId,
        /// The key.
        pub key: Key,
        /// Of what kind the records are that are wanted; none if only contacts are.
        pub kind: Option<RecordKind>,
    }
}

record! {
    /// KAD_FOUND: answers KAD_FIND.
    pub struct KadFound {
        /// That of the question.
        pub request: RequestId,
        /// Those that the sender knows closest to the key, closest first, itself not among them; at most 20.
        pub contacts: Vec<Arc<Contact>> [MAX_CONTACTS],
        /// Records of the wanted kind under the key; at most 64.
        pub records: Records [MAX_RECORDS],
        /// Whether the sender holds more of them than it told.
        pub more: bool,
    }
}

record! {
    /// KAD_STORE: asks the receiver to keep records, because it is among the closest to their keys.
    pub struct KadStore {
        /// Names the answer.
        pub request: RequestId,
        /// The records; 1 to 64.
        pub records: Records [MAX_RECORDS],
    }
    check check_store
}

fn check_store(store: &KadStore) -> Result<(), EncodeError> {
    check::some("records", &store.records)
}

record! {
    /// KAD_ANSWER: what became of a KAD_STORE or a KAD_WATCH.
    pub struct KadAnswer {
        /// That of the request.
        pub request: RequestId,
        /// For each record in its order, or for the watch: `OK`, or why it was refused. At most 64.
        pub codes: Vec<ErrorCode> [MAX_RECORDS],
    }
}

record! {
    /// KAD_WATCH: asks to be told what changes under a key. Answered by KAD_ANSWER, and KAD_CHANGES if there is
    /// something to tell.
    pub struct KadWatch {
        /// Names the answer.
        pub request: RequestId,
        /// The key.
        pub key: Key,
        /// The kind of records.
        pub kind: RecordKind,
        /// How long the watch is kept unless it is renewed, in milliseconds; 0 ends it.
        pub lease_ms: u32,
        /// The version up to which the sender was told, 0 for none. If it is not the latest, everything is told anew.
        pub version: u64,
    }
}

record! {
    /// KAD_CHANGES: tells of records under a watched key.
    pub struct KadChanges {
        /// The key.
        pub key: Key,
        /// The kind of records.
        pub kind: RecordKind,
        /// Counts the changes that this watch was told of, from 1. All parts of a full statement share one.
        pub version: u64,
        /// Whether this is the first part of a full statement: what it does not name is not there.
        pub full: bool,
        /// Whether another part of the full statement follows.
        pub more: bool,
        /// The records, withdrawn ones among them; at most 64.
        pub records: Records [MAX_RECORDS],
    }
}

record! {
    /// A record without its content.
    pub struct RecordVersion {
        /// Which record.
        pub id: RecordId,
        /// Its version.
        pub sequence: u64,
    }
}

record! {
    /// KAD_DIGEST: records that the receiver ought to hold, for it to say which of them it lacks.
    pub struct KadDigest {
        /// Names the answer.
        pub request: RequestId,
        /// The records; 1 to 1,024, strictly ascending by id.
        pub versions: Vec<RecordVersion> [MAX_RECORD_VERSIONS],
    }
    check check_digest
}

fn check_digest(digest: &KadDigest) -> Result<(), EncodeError> {
    check::some("versions", &digest.versions)?;
    check::ascending(digest.versions.iter().map(|version| &version.id))
}

record! {
    /// KAD_WANT: answers KAD_DIGEST.
    pub struct KadWant {
        /// That of the digest.
        pub request: RequestId,
        /// What the sender lacks; at most 1,024, strictly ascending.
        pub ids: Vec<RecordId> [MAX_RECORD_VERSIONS],
    }
    check check_want
}

fn check_want(want: &KadWant) -> Result<(), EncodeError> {
    check::ascending(&want.ids)
}
