//! 0x50 to 0x57: membership.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Roles;
use crate::field::{Field, UNLIMITED, record, tagged, whole};
use crate::limit::{
    DIGEST_BUCKETS, MAX_ADDRESSES, MAX_TAGS, MAX_TEXT_LEN, MAX_UPDATES, MAX_VERSIONS_LISTED,
    MAX_ZONE_LEN,
};
use crate::{
    DecodeError, EncodeError, Epoch, Incarnation, NodeId, ProbeId, Reader, Signature, check, varint,
};

tagged! {
    /// What a member says of itself.
    pub enum MemberStatus as "member status" {
        /// It takes part.
        Alive = 0,
        /// It has left on purpose.
        Left = 1,
    }
}

record! {
    /// An application's own mark on a member.
    pub struct Tag {
        /// 1 to 64 visible ASCII characters.
        pub key: String [MAX_TEXT_LEN],
        /// At most 64 bytes.
        pub value: String [MAX_TEXT_LEN],
    }
    check check_tag
}

fn check_tag(tag: &Tag) -> Result<(), EncodeError> {
    check::word("key", &tag.key)
}

record! {
    /// What a member says of itself. A later (epoch, incarnation) replaces an earlier one.
    pub struct MemberRecord {
        /// The member.
        pub node: NodeId,
        /// Its run.
        pub epoch: Epoch,
        /// The version of the record within the run.
        pub incarnation: Incarnation,
        /// Whether it takes part.
        pub status: MemberStatus,
        /// Where it can be dialled, best first; at most 8, none twice. None has port 0, and none is unspecified,
        /// multicast or broadcast.
        pub addresses: Vec<SocketAddr> [MAX_ADDRESSES],
        /// The roles of its certificate.
        pub roles: Roles,
        /// The zone of its certificate: 1 to 63 of `[a-z0-9-]`.
        pub zone: Option<String> [MAX_ZONE_LEN],
        /// The program and its version; at most 64 bytes.
        pub agent: String [MAX_TEXT_LEN],
        /// At most 16, strictly ascending by key.
        pub tags: Vec<Tag> [MAX_TAGS],
    }
    check check_member
}

fn check_member(member: &MemberRecord) -> Result<(), EncodeError> {
    check::addresses(&member.addresses)?;
    check::zone(member.zone.as_deref())?;
    check::ascending(member.tags.iter().map(|tag| &tag.key))
}

record! {
    /// A record and its owner's signature.
    pub struct SignedRecord {
        /// What was signed.
        pub record: MemberRecord,
        /// The signature of `record.node` over [`signed`](crate::signed) with the domain `Member`.
        pub signature: Signature,
    }
}
whole!(SignedRecord);

record! {
    /// A claim that a member does not answer.
    pub struct Accusation {
        /// The accused.
        pub subject: NodeId,
        /// The run that does not answer.
        pub epoch: Epoch,
        /// The version of the record that the accuser knew.
        pub incarnation: Incarnation,
        /// Who claims it.
        pub accuser: NodeId,
    }
}

record! {
    /// An accusation and the accuser's signature.
    pub struct SignedAccusation {
        /// What was signed.
        pub accusation: Accusation,
        /// The signature of `accusation.accuser` with the domain `Suspect` or `Dead`, by the update it stands in.
        pub signature: Signature,
    }
}

/// One piece of news about a member. Clones share it, because it is told to many.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Update {
    /// What the member says of itself: alive, or left.
    Record(Arc<SignedRecord>),
    /// An accuser has had no answer.
    Suspect(Arc<SignedAccusation>),
    /// An accuser has waited long enough.
    Dead(Arc<SignedAccusation>),
}

impl Field for Update {
    fn put(&self, field: &'static str, _: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Record(record) => {
                varint::put(out, 0);
                record.put(field, UNLIMITED, out)
            }
            Self::Suspect(accusation) => {
                varint::put(out, 1);
                accusation.put(field, UNLIMITED, out)
            }
            Self::Dead(accusation) => {
                varint::put(out, 2);
                accusation.put(field, UNLIMITED, out)
            }
        }
    }

    fn take(field: &'static str, _: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        match input.varint()? {
            0 => Arc::take(field, UNLIMITED, input).map(Self::Record),
            1 => Arc::take(field, UNLIMITED, input).map(Self::Suspect),
            2 => Arc::take(field, UNLIMITED, input).map(Self::Dead),
            value => Err(DecodeError::Invalid {
                field: "update",
                value,
            }),
        }
    }
}

record! {
    /// SWIM_PING: asks the receiver whether it is there.
    pub struct SwimPing {
        /// Names the acknowledgement.
        pub probe: ProbeId,
        /// News, at most 64.
        pub updates: Vec<Update> [MAX_UPDATES],
    }
}

record! {
    /// SWIM_ACK: answers SWIM_PING, or passes on the answer to a SWIM_PING_REQ.
    pub struct SwimAck {
        /// That of the probe or of the request, which tells whom it is about.
        pub probe: ProbeId,
        /// News, at most 64.
        pub updates: Vec<Update> [MAX_UPDATES],
    }
}

record! {
    /// SWIM_PING_REQ: asks the receiver to probe `target`.
    pub struct SwimPingReq {
        /// Names the acknowledgement.
        pub probe: ProbeId,
        /// Who is to be probed.
        pub target: NodeId,
        /// News, at most 64.
        pub updates: Vec<Update> [MAX_UPDATES],
    }
}

record! {
    /// SWIM_NACK: the receiver of a SWIM_PING_REQ is there, and `target` has not answered it yet (Lifeguard).
    pub struct SwimNack {
        /// That of the request.
        pub probe: ProbeId,
        /// Who has not answered.
        pub target: NodeId,
    }
}

record! {
    /// SWIM_GOSSIP: news without a probe.
    pub struct SwimGossip {
        /// News, 1 to 64.
        pub updates: Vec<Update> [MAX_UPDATES],
    }
    check check_gossip
}

fn check_gossip(gossip: &SwimGossip) -> Result<(), EncodeError> {
    check::some("updates", &gossip.updates)
}

record! {
    /// SWIM_JOIN: the sender's own record, and the wish to hear of everybody. Reliable. Answered by SWIM_STATE.
    pub struct SwimJoin {
        /// The sender.
        pub record: Arc<SignedRecord>,
    }
}

record! {
    /// SWIM_STATE: all that the sender knows of the membership, in one or more messages. Reliable.
    pub struct SwimState {
        /// Whether another SWIM_STATE follows.
        pub more: bool,
        /// News, at most 64.
        pub updates: Vec<Update> [MAX_UPDATES],
    }
}

tagged! {
    /// What a node holds a member for, when it compares its view with another's.
    pub enum Standing as "standing" {
        /// It takes part; a suspected one does, too.
        Present = 0,
        /// It has left on purpose.
        Left = 1,
        /// It was declared dead.
        Dead = 2,
        /// It is not known.
        Unknown = 3,
    }
}

record! {
    /// What a node knows of one member, without what the member says of itself.
    pub struct MemberVersion {
        /// The member.
        pub node: NodeId,
        /// Its run; 0 if it is not known.
        pub epoch: Epoch,
        /// The version of its record within the run; 0 if it is not known.
        pub incarnation: Incarnation,
        /// What it is held for.
        pub standing: Standing,
    }
}

record! {
    /// The members of one bucket: those whose id begins with one byte.
    pub struct BucketVersions {
        /// The byte.
        pub bucket: u8,
        /// Whether every member of the bucket that the sender knows is listed.
        pub complete: bool,
        /// Whether the receiver is asked for what it lacks of them, besides telling what it knows better.
        pub compare: bool,
        /// The members, at most 128, strictly ascending by id, all of this bucket.
        pub versions: Vec<MemberVersion> [MAX_VERSIONS_LISTED],
    }
    check check_bucket
}

fn check_bucket(listed: &BucketVersions) -> Result<(), EncodeError> {
    let nodes = listed.versions.iter().map(|version| &version.node);
    let bucket = |node: &NodeId| node.as_bytes().first() == Some(&listed.bucket);
    if !nodes.clone().all(bucket) {
        return Err(EncodeError::NotCanonical);
    }
    check::ascending(nodes)
}

/// How much of a view is compared.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DigestPart {
    /// The hash of the whole view. Who has another answers with its buckets.
    View(u64),
    /// The hashes of the 256 buckets, by the first byte of the ids. Answered by the versions of those that differ.
    Buckets(Vec<u64>),
    /// The members of one bucket.
    Versions(BucketVersions),
}

impl Field for DigestPart {
    fn put(&self, field: &'static str, _: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::View(hash) => {
                varint::put(out, 0);
                hash.put(field, UNLIMITED, out)
            }
            Self::Buckets(hashes) => {
                check_buckets(hashes)?;
                varint::put(out, 1);
                hashes.put(field, DIGEST_BUCKETS, out)
            }
            Self::Versions(versions) => {
                varint::put(out, 2);
                versions.put(field, UNLIMITED, out)
            }
        }
    }

    fn take(field: &'static str, _: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        match input.varint()? {
            0 => u64::take(field, UNLIMITED, input).map(Self::View),
            1 => {
                let hashes = Vec::take("buckets", DIGEST_BUCKETS, input)?;
                check_buckets(&hashes).map_err(EncodeError::as_refusal)?;
                Ok(Self::Buckets(hashes))
            }
            2 => BucketVersions::take(field, UNLIMITED, input).map(Self::Versions),
            value => Err(DecodeError::Invalid {
                field: "digest",
                value,
            }),
        }
    }
}

fn check_buckets(hashes: &[u64]) -> Result<(), EncodeError> {
    if hashes.len() == DIGEST_BUCKETS {
        Ok(())
    } else {
        Err(EncodeError::NotCanonical)
    }
}

record! {
    /// SWIM_DIGEST: compares the sender's view of the membership with the receiver's.
    pub struct SwimDigest {
        /// What is compared.
        pub part: DigestPart,
    }
}
