//! KAD_FIND to KAD_WANT.

use std::sync::Arc;

use bytes::Bytes;
use macula_wire::message::{
    InterestContent, Invoke, KadAnswer, KadChanges, KadDigest, KadFind, KadFound, KadStore,
    KadWant, KadWatch, NodeContent, ProviderContent, RecordContent, RecordKind, RecordVersion,
    RoutingRecord, SignedRoutingRecord, Tag, ValueContent,
};
use macula_wire::{Body, ErrorCode, Key, RecordId, RequestId};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

use super::{
    address, content, node, number, overlay, pattern, payload, signature, text, topic, wide, word,
};

pub(super) fn bodies() -> BoxedStrategy<Body> {
    prop_oneof![lookups(), keeping(), watches(), replication()].boxed()
}

fn lookups() -> BoxedStrategy<Body> {
    let find = (request(), place(), prop::option::of(kind()))
        .prop_map(|(request, key, kind)| KadFind { request, key, kind }.into());
    let contacts = prop::collection::vec(overlay::peer().prop_map(Arc::new), 0..4);
    let found = (request(), contacts, records(0), any::<bool>()).prop_map(
        |(request, contacts, records, more)| {
            KadFound {
                request,
                contacts,
                records,
                more,
            }
            .into()
        },
    );
    prop_oneof![find, found].boxed()
}

fn keeping() -> BoxedStrategy<Body> {
    let store =
        (request(), records(1)).prop_map(|(request, records)| KadStore { request, records }.into());
    let codes = prop::collection::vec(any::<u8>().prop_map(ErrorCode::from_number), 0..5);
    let answer =
        (request(), codes).prop_map(|(request, codes)| KadAnswer { request, codes }.into());
    prop_oneof![store, answer].boxed()
}

fn watches() -> BoxedStrategy<Body> {
    let watch = (request(), place(), kind(), any::<u32>(), wide()).prop_map(
        |(request, key, kind, lease_ms, version)| {
            KadWatch {
                request,
                key,
                kind,
                lease_ms,
                version,
            }
            .into()
        },
    );
    let part = (any::<bool>(), any::<bool>());
    let changes = (place(), kind(), wide(), part, records(0)).prop_map(
        |(key, kind, version, (full, more), records)| {
            KadChanges {
                key,
                kind,
                version,
                full,
                more,
                records,
            }
            .into()
        },
    );
    prop_oneof![watch, changes].boxed()
}

fn replication() -> BoxedStrategy<Body> {
    let versions = prop::collection::btree_map(record_id(), wide(), 1..5);
    let digest = (request(), versions).prop_map(|(request, versions)| {
        let versions = versions.into_iter();
        KadDigest {
            request,
            versions: versions
                .map(|(id, sequence)| RecordVersion { id, sequence })
                .collect(),
        }
        .into()
    });
    let ids = prop::collection::btree_set(record_id(), 0..5);
    let want = (request(), ids).prop_map(|(request, ids)| {
        let ids = ids.into_iter().collect();
        KadWant { request, ids }.into()
    });
    prop_oneof![digest, want].boxed()
}

pub(super) fn request() -> impl Strategy<Value = RequestId> {
    number(RequestId::new)
}

fn place() -> impl Strategy<Value = Key> {
    any::<[u8; 32]>().prop_map(Key::from_bytes)
}

fn record_id() -> impl Strategy<Value = RecordId> {
    any::<[u8; 16]>().prop_map(RecordId::from_bytes)
}

fn kind() -> impl Strategy<Value = RecordKind> {
    select(RecordKind::ALL.to_vec())
}

fn records(least: usize) -> impl Strategy<Value = Vec<Arc<SignedRoutingRecord>>> {
    prop::collection::vec(signed_record().prop_map(Arc::new), least..4)
}

fn signed_record() -> impl Strategy<Value = SignedRoutingRecord> {
    (record(), signature())
        .prop_map(|(record, signature)| SignedRoutingRecord { record, signature })
}

fn record() -> impl Strategy<Value = RoutingRecord> {
    let times = (wide(), wide());
    (node(), times, any::<bool>(), record_content()).prop_map(
        |(owner, (sequence, expires_ms), withdrawn, mut content)| {
            if let (true, RecordContent::Value(value)) = (withdrawn, &mut content) {
                value.value = Bytes::new();
            }
            RoutingRecord {
                owner,
                sequence,
                expires_ms,
                withdrawn,
                content,
            }
        },
    )
}

fn record_content() -> BoxedStrategy<RecordContent> {
    let invoke = select(Invoke::ALL.to_vec());
    let zone = prop::option::of("[a-z0-9-]{1,63}");
    let how = (any::<u32>(), any::<u32>(), invoke, zone);
    let provider = (pattern(), how, wide(), any::<bool>()).prop_map(
        |(pattern, (weight, concurrency, invoke, zone), since_ms, takeover)| ProviderContent {
            pattern,
            weight,
            concurrency,
            invoke,
            zone,
            since_ms,
            takeover,
        },
    );
    let value = (topic(), content(), payload()).prop_map(|(name, content, value)| ValueContent {
        name,
        content,
        value,
    });
    prop_oneof![
        node_content().prop_map(RecordContent::Node),
        provider.prop_map(RecordContent::Provider),
        interest().prop_map(RecordContent::Interest),
        value.prop_map(RecordContent::Value),
    ]
    .boxed()
}

fn interest() -> impl Strategy<Value = InterestContent> {
    let groups = prop::collection::vec(super::event::group(), 0..3);
    (pattern(), any::<bool>(), groups).prop_map(|(pattern, each, mut groups)| {
        groups.sort_by(|one, other| one.name.cmp(&other.name));
        groups.dedup_by(|one, other| one.name == other.name);
        InterestContent {
            pattern,
            each: each || groups.is_empty(),
            groups,
        }
    })
}

fn node_content() -> impl Strategy<Value = NodeContent> {
    let addresses = prop::collection::btree_set(address(), 0..4);
    let tags = prop::collection::btree_map(word(), text(64), 0..3);
    let neighbours = prop::collection::btree_set(node(), 0..4);
    (addresses, tags, neighbours).prop_map(|(addresses, tags, neighbours)| {
        let tags = tags.into_iter();
        NodeContent {
            // Best first, so not in their order.
            addresses: addresses.into_iter().rev().collect(),
            tags: tags.map(|(key, value)| Tag { key, value }).collect(),
            neighbours: neighbours.into_iter().collect(),
        }
    })
}
