//! Records, lookups and what is forwarded.

use std::sync::Arc;

use bytes::Bytes;
use macula_wire::limit::{
    MAX_CONTACTS, MAX_FORWARDED_LEN, MAX_NEIGHBOURS, MAX_RECORD_VERSIONS, MAX_RECORDS, MAX_TAGS,
    MAX_TRAIL, MAX_VALUE_LEN, MAX_VIA,
};
use macula_wire::message::{
    Contact, Forward, ForwardError, Invoke, KadAnswer, KadChanges, KadDigest, KadFound, KadStore,
    KadWant, NodeContent, ProviderContent, RecordContent, RecordKind, RecordVersion, RoutingRecord,
    SignedRoutingRecord, Tag, Trace, Traced, TracedHop, ValueContent, Way,
};
use macula_wire::{
    ContentType, EncodeError, ErrorCode, Key, NodeId, NodeMark, Pattern, RecordId, RequestId,
    Signature, Topic,
};

use super::{invalid, too_large, twins};

const REQUEST: RequestId = RequestId::new(1);

fn signed(withdrawn: bool, content: RecordContent) -> Arc<SignedRoutingRecord> {
    Arc::new(SignedRoutingRecord {
        record: RoutingRecord {
            owner: NodeId::default(),
            sequence: 1,
            expires_ms: 2,
            withdrawn,
            content,
        },
        signature: Signature::from_bytes([1; 64]),
    })
}

fn store(records: Vec<Arc<SignedRoutingRecord>>) -> KadStore {
    KadStore {
        request: REQUEST,
        records,
    }
}

fn provider() -> RecordContent {
    RecordContent::Provider(ProviderContent {
        pattern: Pattern::new("a").unwrap(),
        weight: 1,
        concurrency: 8,
        invoke: Invoke::P2c,
        zone: None,
        since_ms: 1,
        takeover: false,
    })
}

fn value(length: usize) -> RecordContent {
    RecordContent::Value(ValueContent {
        name: Topic::new("a").unwrap(),
        content: ContentType::Bytes,
        value: Bytes::from(vec![7; length]),
    })
}

fn node(number: usize) -> NodeId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
    NodeId::from_bytes(bytes)
}

fn marks(count: usize) -> Vec<NodeMark> {
    (0..count).map(|number| node(number).mark()).collect()
}

fn steps(count: usize) -> Vec<TracedHop> {
    let step = |number| TracedHop {
        node: node(number),
        rtt_us: 1,
    };
    (0..count).map(step).collect()
}

fn way(via: usize, trail: usize) -> Way {
    Way {
        target: node(100),
        origin: node(0),
        hops: 1,
        via: marks(via),
        trail: marks(trail),
    }
}

#[test]
fn a_value_is_short_and_a_withdrawn_one_is_empty() {
    let keep = |withdrawn, length| store(vec![signed(withdrawn, value(length))]);
    let most = MAX_VALUE_LEN;
    twins(
        keep(false, most),
        keep(false, most + 1),
        too_large("value", most),
    );
    twins(keep(true, 0), keep(true, 1), invalid("value", 1));
    twins(keep(false, 1), keep(true, 1), invalid("value", 1));
    // What else is withdrawn says what it said.
    let both = |withdrawn| store(vec![signed(withdrawn, provider())]);
    twins(both(true), keep(true, most), invalid("value", 65_536));
    twins(both(false), keep(true, 2), invalid("value", 2));
}

#[test]
fn a_record_of_a_node_names_what_can_be_used_and_in_order() {
    let place = |addresses: &[&str], tags: &[&str], neighbours: &[usize]| {
        let tag = |key: &&str| Tag {
            key: (*key).to_owned(),
            value: String::new(),
        };
        let content = RecordContent::Node(NodeContent {
            addresses: addresses.iter().map(|one| one.parse().unwrap()).collect(),
            tags: tags.iter().map(tag).collect(),
            neighbours: neighbours.iter().map(|number| node(*number)).collect(),
        });
        store(vec![signed(false, content)])
    };
    let right = || place(&["192.0.2.1:1", "192.0.2.1:2"], &["a", "b"], &[1, 2]);
    twins(
        right(),
        place(&["192.0.2.1:0"], &[], &[]),
        invalid("addresses", 0),
    );
    let disordered = [
        place(&["192.0.2.1:1", "192.0.2.1:1"], &[], &[]),
        place(&[], &["b", "a"], &[]),
        place(&[], &["a", "a"], &[]),
        place(&[], &[], &[2, 1]),
        place(&[], &[], &[1, 1]),
    ];
    for wrong in disordered {
        twins(right(), wrong, EncodeError::NotCanonical);
    }
    let near: Vec<usize> = (0..=MAX_NEIGHBOURS).collect();
    twins(
        place(&[], &[], &near[1..]),
        place(&[], &[], &near),
        too_large("neighbours", MAX_NEIGHBOURS),
    );
    let keys: Vec<String> = (10..=10 + MAX_TAGS).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let error = too_large("tags", MAX_TAGS);
    twins(place(&[], &keys[1..], &[]), place(&[], &keys, &[]), error);
}

#[test]
fn records_and_contacts_have_their_least_and_their_most() {
    let records = |count| vec![signed(false, provider()); count];
    let error = || too_large("records", MAX_RECORDS);
    twins(store(records(1)), store(records(0)), invalid("records", 0));
    twins(
        store(records(MAX_RECORDS)),
        store(records(MAX_RECORDS + 1)),
        error(),
    );
    let found = |contacts, records| KadFound {
        request: REQUEST,
        contacts: (0..contacts)
            .map(|number| Contact {
                node: node(number),
                addresses: Vec::new(),
            })
            .map(Arc::new)
            .collect(),
        records,
        more: true,
    };
    twins(
        found(MAX_CONTACTS, Vec::new()),
        found(MAX_CONTACTS + 1, Vec::new()),
        too_large("contacts", MAX_CONTACTS),
    );
    twins(
        found(0, records(MAX_RECORDS)),
        found(0, records(MAX_RECORDS + 1)),
        error(),
    );
    let changes = |count| KadChanges {
        key: Key::default(),
        kind: RecordKind::Provider,
        version: 1,
        full: true,
        more: false,
        records: records(count),
    };
    twins(changes(MAX_RECORDS), changes(MAX_RECORDS + 1), error());
    twins(changes(0), changes(MAX_RECORDS + 1), error());
    let answer = |count| KadAnswer {
        request: REQUEST,
        codes: vec![ErrorCode::OK; count],
    };
    let error = too_large("codes", MAX_RECORDS);
    twins(answer(MAX_RECORDS), answer(MAX_RECORDS + 1), error);
}

#[test]
fn digests_name_each_record_once_and_in_order() {
    let id = |number: usize| {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
        RecordId::from_bytes(bytes)
    };
    let digest = |numbers: &[usize]| KadDigest {
        request: REQUEST,
        versions: numbers
            .iter()
            .map(|number| RecordVersion {
                id: id(*number),
                sequence: 9,
            })
            .collect(),
    };
    let want = |numbers: &[usize]| KadWant {
        request: REQUEST,
        ids: numbers.iter().map(|number| id(*number)).collect(),
    };
    for wrong in [[2, 1], [1, 1]] {
        twins(digest(&[1, 2]), digest(&wrong), EncodeError::NotCanonical);
        twins(want(&[1, 2]), want(&wrong), EncodeError::NotCanonical);
    }
    twins(digest(&[1]), digest(&[]), invalid("versions", 0));
    let many: Vec<usize> = (0..=MAX_RECORD_VERSIONS).collect();
    let most = MAX_RECORD_VERSIONS;
    twins(
        digest(&many[1..]),
        digest(&many),
        too_large("versions", most),
    );
    twins(want(&many[1..]), want(&many), too_large("ids", most));
    twins(want(&[]), want(&many), too_large("ids", most));
}

#[test]
fn what_is_forwarded_has_a_packet_and_a_bounded_way() {
    let forward = |length, way| Forward {
        way,
        packet: Bytes::from(vec![7; length]),
    };
    let most = MAX_FORWARDED_LEN;
    twins(
        forward(1, way(0, 1)),
        forward(0, way(0, 1)),
        invalid("packet", 0),
    );
    twins(
        forward(most, way(0, 1)),
        forward(most + 1, way(0, 1)),
        too_large("packet", most),
    );
    twins(
        forward(1, way(MAX_VIA, 1)),
        forward(1, way(MAX_VIA + 1, 1)),
        too_large("via", MAX_VIA),
    );
    twins(
        forward(1, way(0, MAX_TRAIL)),
        forward(1, way(0, MAX_TRAIL + 1)),
        too_large("trail", MAX_TRAIL),
    );
    let error = |count| ForwardError {
        target: node(100),
        origin: node(0),
        code: ErrorCode::HOP_LIMIT,
        back: marks(count),
    };
    let long = too_large("back", MAX_TRAIL);
    twins(error(MAX_TRAIL), error(MAX_TRAIL + 1), long);
}

#[test]
fn a_trace_has_a_step_for_each_node_of_its_trail() {
    let trace = |trail, path| Trace {
        request: REQUEST,
        way: way(0, trail),
        path: steps(path),
    };
    twins(trace(2, 2), trace(2, 1), invalid("path", 1));
    twins(trace(2, 2), trace(2, 3), invalid("path", 3));
    twins(trace(0, 0), trace(1, 0), invalid("path", 0));
    twins(
        trace(MAX_TRAIL, MAX_TRAIL),
        trace(MAX_TRAIL + 1, MAX_TRAIL + 1),
        too_large("trail", MAX_TRAIL),
    );
    let traced = |path, back| Traced {
        request: REQUEST,
        target: node(100),
        code: ErrorCode::OK,
        path: steps(path),
        back: marks(back),
    };
    // The trail and the node that answers.
    let most = MAX_TRAIL + 1;
    twins(traced(1, 0), traced(0, 0), invalid("path", 0));
    twins(
        traced(most, 0),
        traced(most + 1, 0),
        too_large("path", most),
    );
    let error = too_large("back", MAX_TRAIL);
    twins(traced(1, MAX_TRAIL), traced(1, MAX_TRAIL + 1), error);
}
