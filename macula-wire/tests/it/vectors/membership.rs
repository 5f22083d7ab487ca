//! Samples of membership.

use macula_wire::message::{
    Accusation, MemberRecord, MemberStatus, Roles, SignedAccusation, SignedRecord, SwimAck,
    SwimGossip, SwimJoin, SwimNack, SwimPing, SwimPingReq, SwimState, Tag, Update,
};
use macula_wire::{Incarnation, ProbeId};

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

fn signed(record: MemberRecord) -> SignedRecord {
    SignedRecord {
        record,
        signature: signature(0x80),
    }
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

fn accusation() -> SignedAccusation {
    SignedAccusation {
        accusation: Accusation {
            subject: node(0),
            epoch: EPOCH,
            incarnation: Incarnation::new(2),
            accuser: node(0x40),
        },
        signature: signature(0x10),
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
    let ping = |updates| SwimPing {
        probe,
        target,
        updates,
    };
    let ack = SwimAck {
        probe,
        target,
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
    ]
}
