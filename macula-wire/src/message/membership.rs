//! 0x50 to 0x5F: membership.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Roles;
use crate::field::{Field, UNLIMITED, record, tagged};
use crate::limit::{MAX_ADDRESSES, MAX_TAGS, MAX_TEXT_LEN, MAX_UPDATES, MAX_ZONE_LEN};
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
    for (index, address) in member.addresses.iter().enumerate() {
        check::address("addresses", address)?;
        let plain = |address: &SocketAddr| (address.ip().to_canonical(), address.port());
        let mut before = member.addresses.iter().take(index).map(plain);
        if before.any(|earlier| earlier == plain(address)) {
            return Err(EncodeError::NotCanonical);
        }
    }
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

/// One piece of news about a member.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Update {
    /// What the member says of itself: alive, or left.
    Record(SignedRecord),
    /// An accuser has had no answer.
    Suspect(SignedAccusation),
    /// An accuser has waited long enough.
    Dead(SignedAccusation),
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
            0 => SignedRecord::take(field, UNLIMITED, input).map(Self::Record),
            1 => SignedAccusation::take(field, UNLIMITED, input).map(Self::Suspect),
            2 => SignedAccusation::take(field, UNLIMITED, input).map(Self::Dead),
            value => Err(DecodeError::Invalid {
                field: "update",
                value,
            }),
        }
    }
}

record! {
    /// SWIM_PING: asks `target` whether it is there.
    pub struct SwimPing {
        /// Names the acknowledgement.
        pub probe: ProbeId,
        /// Who is meant; another node does not answer.
        pub target: NodeId,
        /// News, at most 64.
        pub updates: Vec<Update> [MAX_UPDATES],
    }
}

record! {
    /// SWIM_ACK: answers SWIM_PING, or passes on the answer to a SWIM_PING_REQ.
    pub struct SwimAck {
        /// That of the probe.
        pub probe: ProbeId,
        /// Who answers.
        pub target: NodeId,
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
        pub record: SignedRecord,
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
