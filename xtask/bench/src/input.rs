//! Inputs that several scenarios share.

use macula_wire::message::{MemberRecord, MemberStatus, Roles, SignedRecord};
use macula_wire::{Epoch, Incarnation, NodeId, Random, Signature};

/// The wall clock at the start of a scenario, in milliseconds since 1970.
pub(crate) const WALL_MS: u64 = 1_800_000_000_000;

/// The node of this number.
pub(crate) fn node(number: usize) -> NodeId {
    let mut bytes = [0; 32];
    Random::new(u64::try_from(number).unwrap_or(u64::MAX)).fill(&mut bytes);
    NodeId::from_bytes(bytes)
}

/// A signature that nobody checks.
pub(crate) const SIGNATURE: Signature = Signature::from_bytes([0x5a; 64]);

/// What the node of this number says of itself.
pub(crate) fn record(number: usize) -> SignedRecord {
    let [a, b, ..] = *node(number).as_bytes();
    SignedRecord {
        record: MemberRecord {
            node: node(number),
            epoch: Epoch::new(WALL_MS),
            incarnation: Incarnation::default(),
            status: MemberStatus::Alive,
            addresses: vec![std::net::SocketAddr::from(([192, 0, a, b], 4433))],
            roles: Roles::MEMBER,
            zone: None,
            agent: "macula 0.1".into(),
            tags: Vec::new(),
        },
        signature: SIGNATURE,
    }
}
