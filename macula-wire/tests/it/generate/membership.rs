//! SWIM_PING to SWIM_DIGEST.

use macula_wire::message::{
    Accusation, BucketVersions, DigestPart, MemberRecord, MemberStatus, MemberVersion, Roles,
    SignedAccusation, SignedRecord, Standing, SwimAck, SwimDigest, SwimGossip, SwimJoin, SwimNack,
    SwimPing, SwimPingReq, SwimState, Tag, Update,
};
use macula_wire::{Body, Epoch, Incarnation, NodeId, ProbeId};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

use super::{address, node, number, of, signature, text, word};

pub(super) fn bodies() -> BoxedStrategy<Body> {
    prop_oneof![
        probe().prop_map(|(probe, _, updates)| { SwimPing { probe, updates }.into() }),
        probe().prop_map(|(probe, _, updates)| { SwimAck { probe, updates }.into() }),
        probe().prop_map(|(probe, target, updates)| {
            SwimPingReq {
                probe,
                target,
                updates,
            }
            .into()
        }),
        probe().prop_map(|(probe, target, _)| SwimNack { probe, target }.into()),
        prop::collection::vec(update(), 1..4).prop_map(|updates| SwimGossip { updates }.into()),
        signed_record().prop_map(|record| {
            let record = record.into();
            SwimJoin { record }.into()
        }),
        (any::<bool>(), updates()).prop_map(|(more, updates)| SwimState { more, updates }.into()),
        digest_part().prop_map(|part| SwimDigest { part }.into()),
    ]
    .boxed()
}

fn probe() -> impl Strategy<Value = (ProbeId, NodeId, Vec<Update>)> {
    (number(ProbeId::new), node(), updates())
}

fn digest_part() -> BoxedStrategy<DigestPart> {
    let hashes = prop::collection::vec(any::<u64>(), 256);
    prop_oneof![
        any::<u64>().prop_map(DigestPart::View),
        hashes.prop_map(DigestPart::Buckets),
        bucket().prop_map(DigestPart::Versions),
    ]
    .boxed()
}

fn bucket() -> impl Strategy<Value = BucketVersions> {
    let tail = prop::array::uniform31(any::<u8>());
    let standing = select(Standing::ALL.to_vec());
    let known = (number(Epoch::new), number(Incarnation::new), standing);
    let members = prop::collection::btree_map(tail, known, 0..5);
    (any::<u8>(), any::<bool>(), any::<bool>(), members).prop_map(
        |(bucket, complete, compare, members)| BucketVersions {
            bucket,
            complete,
            compare,
            versions: members
                .into_iter()
                .map(|(tail, (epoch, incarnation, standing))| {
                    let mut bytes = [bucket; 32];
                    bytes[1..].copy_from_slice(&tail);
                    MemberVersion {
                        node: NodeId::from_bytes(bytes),
                        epoch,
                        incarnation,
                        standing,
                    }
                })
                .collect(),
        },
    )
}

fn updates() -> impl Strategy<Value = Vec<Update>> {
    prop::collection::vec(update(), 0..3)
}

fn update() -> BoxedStrategy<Update> {
    prop_oneof![
        signed_record().prop_map(|record| Update::Record(record.into())),
        signed_accusation().prop_map(|said| Update::Suspect(said.into())),
        signed_accusation().prop_map(|said| Update::Dead(said.into())),
    ]
    .boxed()
}

fn signed_record() -> impl Strategy<Value = SignedRecord> {
    (record(), signature()).prop_map(|(record, signature)| SignedRecord { record, signature })
}

fn signed_accusation() -> impl Strategy<Value = SignedAccusation> {
    let run = (number(Epoch::new), number(Incarnation::new));
    (node(), run, node(), signature()).prop_map(
        |(subject, (epoch, incarnation), accuser, signature)| SignedAccusation {
            accusation: Accusation {
                subject,
                epoch,
                incarnation,
                accuser,
            },
            signature,
        },
    )
}

fn record() -> impl Strategy<Value = MemberRecord> {
    let version = (number(Epoch::new), number(Incarnation::new));
    let addresses = prop::collection::btree_set(address(), 0..4);
    let zone = prop::option::of(of("abcz019-", 1..=63));
    let tags = prop::collection::btree_map(word(), text(64), 0..3);
    let status = select(MemberStatus::ALL.to_vec());
    let certificate = (any::<u32>(), zone);
    (
        node(),
        version,
        status,
        addresses,
        certificate,
        text(64),
        tags,
    )
        .prop_map(
            |(node, (epoch, incarnation), status, addresses, (roles, zone), agent, tags)| {
                let tags = tags.into_iter();
                MemberRecord {
                    node,
                    epoch,
                    incarnation,
                    status,
                    // Best first, so not in their order.
                    addresses: addresses.into_iter().rev().collect(),
                    roles: Roles::from_bits(roles),
                    zone,
                    agent,
                    tags: tags.map(|(key, value)| Tag { key, value }).collect(),
                }
            },
        )
}
