//! Samples of routing: records, lookups, watches, and what reaches a node by others.

use std::sync::Arc;

use bytes::Bytes;
use macula_wire::message::{
    Balance, Contact, Forward, ForwardError, GroupInterest, InterestContent, Invoke, KadAnswer,
    KadChanges, KadDigest, KadFind, KadFound, KadStore, KadWant, KadWatch, NodeContent,
    ProviderContent, RecordContent, RecordKind, RecordVersion, RoutingRecord, SignedRoutingRecord,
    Tag, Trace, Traced, TracedHop, ValueContent, Way,
};
use macula_wire::{ContentType, ErrorCode, Key, NodeMark, Pattern, RecordId, RequestId, Topic};

use super::session::{node, signature};
use super::{Sample, sample};
use crate::from_hex;

const REQUEST: RequestId = RequestId::new(7);

/// SHA-256 of the bytes for providers of `temperature.latest` in `be.acme.iot`.
fn provider_key() -> Key {
    let hex = "31800bd514316f7b5f2885805d6009785c8776b6973af30d4721e2a907db3619";
    Key::from_bytes(from_hex(hex).try_into().unwrap())
}

/// Where the node whose bytes count up from 0 stands.
fn position() -> Key {
    let hex = "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd";
    Key::from_bytes(from_hex(hex).try_into().unwrap())
}

fn record_id(first: u8) -> RecordId {
    let mut bytes = [first; 16];
    bytes[15] = 1;
    RecordId::from_bytes(bytes)
}

fn record(content: RecordContent) -> RoutingRecord {
    RoutingRecord {
        owner: node(0),
        sequence: 1_795_000_000_000,
        expires_ms: 1_795_003_600_000,
        withdrawn: false,
        content,
    }
}

fn withdrawn(content: RecordContent) -> RoutingRecord {
    RoutingRecord {
        sequence: 1_795_000_000_001,
        withdrawn: true,
        ..record(content)
    }
}

fn signed(record: RoutingRecord) -> Arc<SignedRoutingRecord> {
    Arc::new(SignedRoutingRecord {
        record,
        signature: signature(0x80),
    })
}

fn place(neighbours: &[u8]) -> RecordContent {
    RecordContent::Node(NodeContent {
        addresses: contact(0).addresses,
        tags: vec![Tag {
            key: "rack".into(),
            value: "7".into(),
        }],
        neighbours: neighbours.iter().map(|first| node(*first)).collect(),
    })
}

fn provider(weight: u32) -> RecordContent {
    RecordContent::Provider(ProviderContent {
        pattern: Pattern::new("temperature.latest").unwrap(),
        weight,
        concurrency: 8,
        invoke: Invoke::P2c,
        zone: None,
        since_ms: 1,
        takeover: false,
    })
}

fn interest(pattern: &str) -> RecordContent {
    RecordContent::Interest(InterestContent::each(Pattern::new(pattern).unwrap()))
}

fn shared(pattern: &str) -> RecordContent {
    let group = |name: &str, balance| GroupInterest {
        name: name.into(),
        balance,
    };
    RecordContent::Interest(InterestContent {
        pattern: Pattern::new(pattern).unwrap(),
        each: false,
        groups: vec![
            group("audit", Balance::Failover),
            group("billing", Balance::Hash),
        ],
    })
}

fn value(value: &'static [u8]) -> RecordContent {
    RecordContent::Value(ValueContent {
        name: Topic::new("home.42.plan").unwrap(),
        content: ContentType::Json,
        value: Bytes::from_static(value),
    })
}

fn contact(first: u8) -> Contact {
    Contact {
        node: node(first),
        addresses: vec![
            "192.0.2.7:4433".parse().unwrap(),
            "[2001:db8::7]:443".parse().unwrap(),
        ],
    }
}

fn mark(first: u8) -> NodeMark {
    node(first).mark()
}

fn way(hops: u8, via: &[u8], trail: &[u8]) -> Way {
    Way {
        target: node(0x20),
        origin: node(0),
        hops,
        via: via.iter().map(|first| mark(*first)).collect(),
        trail: trail.iter().map(|first| mark(*first)).collect(),
    }
}

fn steps(nodes: &[(u8, u32)]) -> Vec<TracedHop> {
    let step = |(first, rtt_us): &(u8, u32)| TracedHop {
        node: node(*first),
        rtt_us: *rtt_us,
    };
    nodes.iter().map(step).collect()
}

pub(super) fn samples() -> Vec<Sample> {
    [lookups(), keeping(), watches(), replication(), forwarding()]
        .into_iter()
        .flatten()
        .collect()
}

fn lookups() -> Vec<Sample> {
    let find = |key, kind| KadFind {
        request: REQUEST,
        key,
        kind,
    };
    let unreachable = Contact {
        node: node(0x40),
        addresses: Vec::new(),
    };
    let found = |contacts: Vec<Contact>, records, more| KadFound {
        request: REQUEST,
        contacts: contacts.into_iter().map(Arc::new).collect(),
        records,
        more,
    };
    let most = (0..20).map(|first| Contact {
        node: node(first),
        addresses: Vec::new(),
    });
    let providers = vec![signed(record(provider(1)))];
    vec![
        sample(
            "kad_find, providers",
            find(provider_key(), Some(RecordKind::Provider)),
        ),
        sample("kad_find, contacts alone", find(position(), None)),
        sample("kad_find, a node", find(position(), Some(RecordKind::Node))),
        sample("kad_found, nothing", found(Vec::new(), Vec::new(), false)),
        sample(
            "kad_found, contacts",
            found(vec![contact(0x20), unreachable], Vec::new(), false),
        ),
        sample(
            "kad_found, twenty contacts",
            found(most.collect(), Vec::new(), false),
        ),
        sample(
            "kad_found, records and more",
            found(vec![contact(0x20)], providers, true),
        ),
    ]
}

fn keeping() -> Vec<Sample> {
    let store = |record| KadStore {
        request: REQUEST,
        records: vec![signed(record)],
    };
    let answer = |codes: &[ErrorCode]| KadAnswer {
        request: REQUEST,
        codes: codes.to_vec(),
    };
    let all = [
        place(&[0x20, 0x40]),
        provider(1),
        interest("home.**"),
        value(br#"{"rooms":4}"#),
    ];
    vec![
        sample("kad_store, a node", store(record(place(&[0x20, 0x40])))),
        sample(
            "kad_store, a node without neighbours",
            store(record(place(&[]))),
        ),
        sample("kad_store, a provider", store(record(provider(1)))),
        sample("kad_store, interest", store(record(interest("home.**")))),
        sample("kad_store, interest in all", store(record(interest("**")))),
        sample(
            "kad_store, interest of groups",
            store(record(shared("orders.**"))),
        ),
        sample("kad_store, a value", store(record(value(b"{}")))),
        sample("kad_store, an empty value", store(record(value(b"")))),
        sample("kad_store, a withdrawn value", store(withdrawn(value(b"")))),
        sample(
            "kad_store, a withdrawn provider",
            store(withdrawn(provider(0))),
        ),
        sample(
            "kad_store, one of each kind",
            KadStore {
                request: RequestId::new(u64::MAX),
                records: all.map(|content| signed(record(content))).to_vec(),
            },
        ),
        sample("kad_answer, kept", answer(&[ErrorCode::OK])),
        sample(
            "kad_answer, one of each outcome",
            answer(&[
                ErrorCode::OK,
                ErrorCode::UNAUTHENTICATED,
                ErrorCode::EXPIRED,
                ErrorCode::PAYLOAD_TOO_LARGE,
                ErrorCode::QUOTA_EXCEEDED,
                ErrorCode::INVALID_ARGUMENT,
            ]),
        ),
    ]
}

fn watches() -> Vec<Sample> {
    let watch = |lease_ms, version| KadWatch {
        request: REQUEST,
        key: provider_key(),
        kind: RecordKind::Provider,
        lease_ms,
        version,
    };
    let changes = |version, (full, more), records: Vec<RoutingRecord>| KadChanges {
        key: provider_key(),
        kind: RecordKind::Provider,
        version,
        full,
        more,
        records: records.into_iter().map(signed).collect(),
    };
    let one = || record(provider(1));
    vec![
        sample("kad_watch, begun", watch(3_600_000, 0)),
        sample("kad_watch, renewed", watch(3_600_000, 300)),
        sample("kad_watch, ended", watch(0, 300)),
        sample(
            "kad_changes, nothing there",
            changes(1, (true, false), Vec::new()),
        ),
        sample(
            "kad_changes, a first part",
            changes(300, (true, true), vec![one()]),
        ),
        sample(
            "kad_changes, the last part",
            changes(300, (false, false), vec![one()]),
        ),
        sample(
            "kad_changes, one withdrawn",
            changes(301, (false, false), vec![withdrawn(provider(1))]),
        ),
    ]
}

fn replication() -> Vec<Sample> {
    let version = |first, sequence| RecordVersion {
        id: record_id(first),
        sequence,
    };
    let digest = |versions: &[RecordVersion]| KadDigest {
        request: REQUEST,
        versions: versions.to_vec(),
    };
    let want = |firsts: &[u8]| KadWant {
        request: REQUEST,
        ids: firsts.iter().map(|first| record_id(*first)).collect(),
    };
    vec![
        sample("kad_digest", digest(&[version(0x11, 1_795_000_000_000)])),
        sample(
            "kad_digest, ascending",
            digest(&[version(0x11, 2), version(0x22, 1)]),
        ),
        sample("kad_want, nothing", want(&[])),
        sample("kad_want, ascending", want(&[0x11, 0x22])),
    ]
}

fn forwarding() -> Vec<Sample> {
    let forward = |way, packet| Forward {
        way,
        packet: Bytes::from(packet),
    };
    let error = |code, back: &[u8]| ForwardError {
        target: node(0x20),
        origin: node(0),
        code,
        back: back.iter().map(|first| mark(*first)).collect(),
    };
    let trace = |way, path: &[(u8, u32)]| Trace {
        request: REQUEST,
        way,
        path: steps(path),
    };
    let traced = |code, path: &[(u8, u32)], back: &[u8]| Traced {
        request: REQUEST,
        target: node(0x20),
        code,
        path: steps(path),
        back: back.iter().map(|first| mark(*first)).collect(),
    };
    let long: Vec<u8> = (0..16).map(|index| index * 8).collect();
    let stamped: Vec<(u8, u32)> = long.iter().map(|first| (*first, 900)).collect();
    let arrived = [&stamped[..], &[(0xc0, u32::MAX)]].concat();
    vec![
        sample(
            "forward from its origin",
            forward(way(15, &[0x60, 0x80], &[0]), vec![0x40, 1, 2]),
        ),
        sample(
            "forward on its way",
            forward(way(13, &[0x60], &[0, 0x40, 0x60]), vec![0xc0; 1_200]),
        ),
        sample(
            "forward at its end",
            forward(way(0, &[], &long), vec![0xff]),
        ),
        sample(
            "forward_error, hops used up",
            error(ErrorCode::HOP_LIMIT, &long[..15]),
        ),
        sample(
            "forward_error at the origin",
            error(ErrorCode::UNREACHABLE, &[]),
        ),
        sample(
            "trace from its origin",
            trace(way(15, &[0x60], &[0]), &[(0, 0)]),
        ),
        sample(
            "trace on its way",
            trace(way(14, &[], &[0, 0x40]), &[(0, 0), (0x40, 21_000)]),
        ),
        sample(
            "traced, arrived",
            traced(ErrorCode::OK, &[(0, 0), (0x40, 21_000), (0x20, 350)], &[0]),
        ),
        sample(
            "traced, a loop",
            traced(ErrorCode::LOOP_DETECTED, &[(0, 0), (0x40, 9)], &[]),
        ),
        sample(
            "traced, the longest way",
            traced(ErrorCode::OK, &arrived, &long[..15]),
        ),
    ]
}
