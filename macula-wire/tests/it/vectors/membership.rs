//! Samples of membership.

use std::sync::Arc;

use macula_wire::message::{
    Accusation, BucketVersions, DigestPart, MemberRecord, MemberStatus, MemberVersion, Roles,
    SignedAccusation, SignedRecord, Standing, SwimAck, SwimDigest, SwimGossip, SwimJoin, SwimNack,
    SwimPing, SwimPingReq, SwimState, Tag, Update,
};
use macula_wire::{Epoch, Incarnation, NodeId, ProbeId};

use super::session::{EPOCH, node, signature};
use super::{Sample, sample};

fn record() -> MemberRecord {
    MemberRecord {
        node: node(0),
        epoch: EPOCH,
        incarnation: Incarnation::new(2),
        status: MemberStatus::Alive,
        addresses: vec![
            "192.0.2.7:4433".parse().unwrap(),
            "[2001:db8::7]:443".parse().unwrap(),
        ],
        roles: Roles::MEMBER.with(Roles::RELAY),
        zone: Some("eu-west".into()),
        agent: "macula 0.1.0".into(),
        tags: vec![
            Tag {
                key: "rack".into(),
                value: "7".into(),
            },
            Tag {
                key: "site".into(),
                value: "Gen\u{e8}ve".into(),
            },
        ],
    }
}

fn signed(record: MemberRecord) -> Arc<SignedRecord> {
    Arc::new(SignedRecord {
        record,
        signature: signature(0x80),
    })
}

fn left() -> MemberRecord {
    MemberRecord {
        incarnation: Incarnation::new(3),
        status: MemberStatus::Left,
        addresses: Vec::new(),
        roles: Roles::from_bits(0x8000_0001),
        zone: None,
        agent: String::new(),
        tags: Vec::new(),
        ..record()
    }
}

fn accusation() -> Arc<SignedAccusation> {
    Arc::new(SignedAccusation {
        accusation: Accusation {
            subject: node(0),
            epoch: EPOCH,
            incarnation: Incarnation::new(2),
            accuser: node(0x40),
        },
        signature: signature(0x10),
    })
}

fn digest(part: DigestPart) -> SwimDigest {
    SwimDigest { part }
}

fn versions() -> BucketVersions {
    let known = MemberVersion {
        node: node(0x20),
        epoch: EPOCH,
        incarnation: Incarnation::new(2),
        standing: Standing::Dead,
    };
    let unknown = MemberVersion {
        node: NodeId::from_bytes([0x20; 32]),
        epoch: Epoch::new(0),
        incarnation: Incarnation::new(0),
        standing: Standing::Unknown,
    };
    let mut versions = vec![known, unknown];
    versions.sort_by_key(|version| version.node);
    BucketVersions {
        bucket: 0x20,
        complete: false,
        compare: true,
        versions,
    }
}

pub(super) fn samples() -> Vec<Sample> {
    let probe = ProbeId::new(77);
    let target = node(0x20);
    let updates = || {
        vec![
            Update::Record(signed(left())),
            Update::Suspect(accusation()),
            Update::Dead(accusation()),
        ]
    };
    let ping = |updates| SwimPing { probe, updates };
    let ack = SwimAck {
        probe,
        updates: Vec::new(),
    };
    let request = SwimPingReq {
        probe: ProbeId::new(u64::from(u32::MAX)),
        target,
        updates: vec![Update::Suspect(accusation())],
    };
    let state = |more, updates| SwimState { more, updates };
    vec![
        sample("swim_ping", ping(Vec::new())),
        sample("swim_ping with news", ping(updates())),
        sample("swim_ack", ack),
        sample("swim_ping_req", request),
        sample("swim_nack", SwimNack { probe, target }),
        sample("swim_gossip", SwimGossip { updates: updates() }),
        sample(
            "swim_join",
            SwimJoin {
                record: signed(record()),
            },
        ),
        sample(
            "swim_state, more to come",
            state(true, vec![Update::Record(signed(record()))]),
        ),
        sample("swim_state, the end", state(false, Vec::new())),
        sample(
            "swim_digest of a view",
            digest(DigestPart::View(0x0123_4567_89ab_cdef)),
        ),
        sample(
            "swim_digest of the buckets",
            digest(DigestPart::Buckets((0..256).collect())),
        ),
        sample(
            "swim_digest of a bucket",
            digest(DigestPart::Versions(versions())),
        ),
    ]
}
