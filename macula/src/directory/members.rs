//! The list of members that a node keeps on disk, to find its realm again without a seed.

use std::sync::Arc;

use bytes::Bytes;
use macula_realm::{KeyVerifier, sha256};
use macula_wire::frame::FrameDecoder;
use macula_wire::limit::MAX_UPDATES;
use macula_wire::message::{Body, Message, SignedRecord, SwimState, Update};
use macula_wire::{RealmName, limit};
use thiserror::Error;

const NAME: &str = "macula-members";
const VERSION: &str = "1";
/// More than the first line can be long.
const MAX_HEAD_LEN: usize = 512;

/// The signed records of members, as a node keeps them between runs.
///
/// A line of text says what it is, of which version and realm, how many records there are, and the SHA-256 of what
/// follows: the records as in SWIM_STATE. Each record carries the signature of its member, so a list can be incomplete
/// or old, and not false.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberList {
    realm: RealmName,
    records: Vec<Arc<SignedRecord>>,
}

/// Why bytes are no list of members of a realm.
#[derive(Clone, Debug, Error, Eq, PartialEq)]
#[non_exhaustive]
pub enum MemberListError {
    /// Something else, or what remains of a list.
    #[error("it is no list of members")]
    NotAList,
    /// Another program wrote it.
    #[error("it has version {found:?}, and this program reads {VERSION}")]
    Version {
        /// What it says of itself.
        found: String,
    },
    /// Bytes are missing or have changed.
    #[error("its checksum is wrong: it was cut off or changed")]
    Checksum,
    /// It was made by a node of another realm.
    #[error("it is of the realm {found:?}")]
    Realm {
        /// The realm that it names.
        found: String,
    },
    /// Over [`MemberList::MAX_RECORDS`] or [`MemberList::MAX_LEN`].
    #[error("it is larger than a list can be")]
    TooLarge,
    /// A record is not what its member signed.
    #[error("a record in it is not its member's: {0}")]
    Record(macula_swim::Offence),
}

impl MemberList {
    /// The most records that are kept; further ones are left out.
    pub const MAX_RECORDS: usize = 1_024;
    /// The most bytes of a list: as many of the largest records fit.
    pub const MAX_LEN: usize = 1 << 20;

    /// A list of these records, of which the first ones are kept if they are too many.
    #[must_use]
    pub fn new(realm: RealmName, mut records: Vec<Arc<SignedRecord>>) -> Self {
        records.truncate(Self::MAX_RECORDS);
        Self { realm, records }
    }

    /// The records, in their order.
    #[must_use]
    pub fn records(&self) -> &[Arc<SignedRecord>] {
        &self.records
    }

    /// What is written to disk.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        let mut parts = self.records.chunks(MAX_UPDATES).peekable();
        while let Some(part) = parts.next() {
            let state = SwimState {
                more: parts.peek().is_some(),
                updates: part.iter().cloned().map(Update::Record).collect(),
            };
            // A record that came by the wire, or is about to go by it, is within its limits.
            let encoded = Message::from(state).encode(&mut body);
            debug_assert!(encoded.is_ok(), "{encoded:?}");
        }
        let mut bytes = head(VERSION, self.realm.as_str(), self.records.len(), &body).into_bytes();
        bytes.append(&mut body);
        bytes
    }

    /// Reads what is on disk, and checks every signature.
    ///
    /// # Errors
    ///
    /// [`MemberListError`] for everything but a whole list of this realm that this version wrote.
    pub fn from_bytes(realm: &RealmName, bytes: &[u8]) -> Result<Self, MemberListError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(MemberListError::TooLarge);
        }
        let start = bytes.get(..bytes.len().min(MAX_HEAD_LEN)).unwrap_or(bytes);
        let end = start.iter().position(|byte| *byte == b'\n');
        let (line, body) = end
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or(MemberListError::NotAList)?;
        let line = str::from_utf8(line).map_err(|_| MemberListError::NotAList)?;
        let body = body.get(1..).unwrap_or_default();
        let mut words = line.split(' ');
        if words.next() != Some(NAME) {
            return Err(MemberListError::NotAList);
        }
        let mut word = || words.next().ok_or(MemberListError::NotAList);
        let (version, of, count) = (word()?, word()?, word()?);
        if version != VERSION {
            let found = version.to_owned();
            return Err(MemberListError::Version { found });
        }
        let count: usize = count.parse().map_err(|_| MemberListError::NotAList)?;
        if format!("{line}\n") != head(version, of, count, body) {
            return Err(MemberListError::Checksum);
        }
        if of != realm.as_str() {
            let found = of.to_owned();
            return Err(MemberListError::Realm { found });
        }
        let list = Self {
            realm: realm.clone(),
            records: records(realm, body)?,
        };
        // One list has one spelling.
        if list.records.len() == count && list.to_bytes() == bytes {
            Ok(list)
        } else {
            Err(MemberListError::NotAList)
        }
    }
}

fn head(version: &str, realm: &str, count: usize, body: &[u8]) -> String {
    let mut line = format!("{NAME} {version} {realm} {count} ");
    for byte in sha256(body) {
        for digit in [byte >> 4, byte & 15] {
            line.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    line.push('\n');
    line
}

fn records(realm: &RealmName, body: &[u8]) -> Result<Vec<Arc<SignedRecord>>, MemberListError> {
    let mut decoder = FrameDecoder::new(limit::DEFAULT_MAX_FRAME_LEN);
    decoder.push(Bytes::copy_from_slice(body));
    let mut records = Vec::new();
    while let Some(frame) = decoder
        .next_frame()
        .map_err(|_| MemberListError::NotAList)?
    {
        let message = Message::decode(&frame).map_err(|_| MemberListError::NotAList)?;
        macula_swim::verify(realm, &message.body, &KeyVerifier).map_err(MemberListError::Record)?;
        let Body::SwimState(state) = message.body else {
            return Err(MemberListError::NotAList);
        };
        for update in state.updates {
            let Update::Record(record) = update else {
                return Err(MemberListError::NotAList);
            };
            records.push(record);
        }
        if records.len() > MemberList::MAX_RECORDS {
            return Err(MemberListError::TooLarge);
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use macula_realm::{IssueRequest, NodeIdentity, RealmRoot};
    use macula_swim::{OwnRecord, Swim};
    use macula_wire::{Epoch, Instant, Random};

    use super::*;

    fn realm() -> RealmName {
        "be.acme.iot".parse().unwrap()
    }

    fn identity() -> NodeIdentity {
        let root = RealmRoot::create(realm(), 1_000_000, RealmRoot::DEFAULT_VALIDITY).unwrap();
        root.issue(&IssueRequest::default(), 1_000_000).unwrap()
    }

    /// A record of a new node, signed for `realm`.
    fn record(realm: &RealmName) -> Arc<SignedRecord> {
        let swim = Swim::new(
            macula_swim::Config::default(),
            realm.clone(),
            Arc::new(identity().signer()),
            OwnRecord::new(Epoch::new(1)),
            Random::new(1),
            Instant::ZERO,
            1,
        );
        Arc::clone(swim.unwrap().own_record())
    }

    fn list(count: usize) -> MemberList {
        let realm = realm();
        let records = (0..count).map(|_| record(&realm)).collect();
        MemberList::new(realm, records)
    }

    #[test]
    fn what_is_written_is_read_again() {
        for count in [0, 1, 64, 65] {
            let list = list(count);
            let bytes = list.to_bytes();
            assert_eq!(
                MemberList::from_bytes(&realm(), &bytes),
                Ok(list),
                "{count}"
            );
        }
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let bytes = list(2).to_bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(MemberList::from_bytes(&realm(), &damaged).is_err(), "{at}");
            let cut = &bytes[..at];
            assert!(MemberList::from_bytes(&realm(), cut).is_err(), "{at}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(
            MemberList::from_bytes(&realm(), &longer),
            Err(MemberListError::Checksum)
        );
        assert!(MemberList::from_bytes(&realm(), &bytes).is_ok());
    }

    #[test]
    fn another_version_realm_or_signature_is_named() {
        let whole = list(1);
        let text = String::from_utf8_lossy(&whole.to_bytes()).into_owned();
        assert!(
            text.starts_with("macula-members 1 be.acme.iot 1 "),
            "{text}"
        );
        let mut later = whole.to_bytes();
        later["macula-members ".len()] = b'2';
        let error = MemberList::from_bytes(&realm(), &later).unwrap_err();
        assert_eq!(error, MemberListError::Version { found: "2".into() });
        let other = "be.other.iot".parse().unwrap();
        let error = MemberList::from_bytes(&other, &whole.to_bytes()).unwrap_err();
        let found = "be.acme.iot".into();
        assert_eq!(error, MemberListError::Realm { found });
        // Signed for another realm, and put into a list of this one.
        let forged = MemberList::new(realm(), vec![record(&other)]);
        let error = MemberList::from_bytes(&realm(), &forged.to_bytes()).unwrap_err();
        let offence = macula_swim::Offence::BadSignature;
        assert_eq!(error, MemberListError::Record(offence));
    }

    #[test]
    fn a_list_has_a_largest_size() {
        let one = record(&realm());
        let many = vec![Arc::clone(&one); MemberList::MAX_RECORDS + 1];
        let list = MemberList::new(realm(), many.clone());
        assert_eq!(list.records().len(), MemberList::MAX_RECORDS);
        assert!(list.to_bytes().len() <= MemberList::MAX_LEN);
        let over = MemberList {
            realm: realm(),
            records: many,
        };
        let read = MemberList::from_bytes(&realm(), &over.to_bytes());
        assert_eq!(read, Err(MemberListError::TooLarge));
        let read = MemberList::from_bytes(&realm(), &vec![0; MemberList::MAX_LEN + 1]);
        assert_eq!(read, Err(MemberListError::TooLarge));
    }
}
