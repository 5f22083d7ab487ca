//! A member's record in as little memory as it takes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use macula_wire::message::{MemberRecord, MemberStatus, Roles, SignedRecord};
use macula_wire::{EncodeError, Epoch, Incarnation, NODE_ID_LEN, NodeId, Signature, varint};

/// What a member says of itself and its signature, as it stands on the wire: one piece of memory of about 130 bytes, where
/// the fields would take 300 in three or four. Clones share it.
///
/// Who the member is and which version this is are read where they stand; all else is decoded when it is asked for.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Kept(Arc<[u8]>);

impl Kept {
    /// Fails if the record breaks a rule of the wire.
    pub(crate) fn new(signed: &SignedRecord) -> Result<Self, EncodeError> {
        let mut bytes = Vec::with_capacity(256);
        signed.encode(&mut bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The id of the member, with which the encoding begins.
    pub(crate) fn node(&self) -> NodeId {
        let id = self.0.first_chunk::<NODE_ID_LEN>();
        id.copied().map(NodeId::from_bytes).unwrap_or_default()
    }

    /// Whether it is the record of a node.
    pub(crate) fn is_of(&self, node: &NodeId) -> bool {
        self.0.first_chunk::<NODE_ID_LEN>() == Some(node.as_bytes())
    }

    /// Its run and its version within the run, which stand behind the id.
    pub(crate) fn version(&self) -> (Epoch, Incarnation) {
        let behind = self.0.get(NODE_ID_LEN..).unwrap_or_default();
        let (epoch, length) = varint::split(behind).unwrap_or_default();
        let behind = behind.get(length..).unwrap_or_default();
        let (incarnation, _) = varint::split(behind).unwrap_or_default();
        (Epoch::new(epoch), Incarnation::new(incarnation))
    }

    /// The record, decoded.
    pub(crate) fn signed(&self) -> SignedRecord {
        let decoded = SignedRecord::decode(Bytes::copy_from_slice(&self.0));
        debug_assert!(decoded.is_ok(), "what was encoded here can be decoded");
        decoded.unwrap_or_else(|_| self.silent())
    }

    /// A record that says nothing and that nobody takes in.
    fn silent(&self) -> SignedRecord {
        let (epoch, incarnation) = self.version();
        SignedRecord {
            record: MemberRecord {
                node: self.node(),
                epoch,
                incarnation,
                status: MemberStatus::Alive,
                addresses: Vec::new(),
                roles: Roles::MEMBER,
                zone: None,
                agent: String::new(),
                tags: Vec::new(),
            },
            signature: Signature::from_bytes([0; 64]),
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.signed().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;
    use macula_wire::message::Tag;
    use proptest::prelude::*;

    use super::*;

    fn tag(number: usize) -> Tag {
        Tag {
            key: format!("key-{number}"),
            value: "v".repeat(number),
        }
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(
            (node, epoch, incarnation) in (0..9_usize, any::<u64>(), any::<u64>()),
            (left, addresses, tags) in (any::<bool>(), 0..8_u8, 0..9_usize),
            zone in proptest::option::of("[a-z]{1,20}"),
            agent in "[a-z0-9. ]{0,64}",
        ) {
            let signed = SignedRecord {
                record: MemberRecord {
                    node: node_id(node),
                    epoch: Epoch::new(epoch),
                    incarnation: Incarnation::new(incarnation),
                    status: if left { MemberStatus::Left } else { MemberStatus::Alive },
                    addresses: (0..addresses).map(|last| ([192, 0, 2, last], 4_433).into()).collect(),
                    roles: Roles::MEMBER,
                    zone,
                    agent,
                    tags: (0..tags).map(tag).collect(),
                },
                signature: Signature::from_bytes([7; 64]),
            };
            let kept = Kept::new(&signed).unwrap();
            prop_assert_eq!(kept.node(), node_id(node));
            prop_assert!(kept.is_of(&node_id(node)) && !kept.is_of(&node_id(9)));
            prop_assert_eq!(kept.version(), (Epoch::new(epoch), Incarnation::new(incarnation)));
            prop_assert_eq!(kept.signed(), signed);
        }
    }

    #[test]
    fn a_record_that_breaks_a_rule_is_not_kept() {
        let signed = |tags| {
            let mut signed = crate::members::tests::record(1).as_ref().clone();
            signed.record.tags = tags;
            Kept::new(&signed)
        };
        assert!(signed(vec![tag(2), tag(1)]).is_err(), "the order is fixed");
        assert!(signed(vec![tag(1), tag(2)]).is_ok(), "the twin");
    }
}
