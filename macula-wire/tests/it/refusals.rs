//! What a receiver would refuse is not written; each refusal has a twin that is.

mod reliable;
mod routing;

use std::sync::Arc;

use bytes::Bytes;
use macula_wire::batch::Entries;
use macula_wire::limit::{
    MAX_ADDRESSES, MAX_BATCH_EVENTS, MAX_CERTIFICATE_LEN, MAX_DETAIL_LEN, MAX_EXTENSION_LEN,
    MAX_EXTENSIONS, MAX_HEADERS, MAX_TAGS, MAX_UPDATES,
};
use macula_wire::message::{
    BucketVersions, CertUpdate, Close, DigestPart, ErrorReport, HandshakeAck, MemberRecord,
    MemberStatus, MemberVersion, Receipt, Roles, SignedRecord, Standing, Stream, StreamKind,
    SwimDigest, SwimGossip, SwimJoin, SwimState, Tag, Update, printable,
};
use macula_wire::{
    ContentType, EncodeError, Epoch, ErrorCode, Extensions, Header, Incarnation, MediaType,
    Message, NodeId, Procedure, RequestId, RetryHint, Signature,
};

use crate::decode;

/// `accepted` is written and read; `refused` is not written, for this reason.
#[track_caller]
fn twins(accepted: impl Into<Message>, refused: impl Into<Message>, error: EncodeError) {
    let accepted = accepted.into();
    let bytes = accepted.to_bytes().unwrap();
    assert_eq!(decode(&bytes), Ok(accepted));
    let mut out = vec![1, 2, 3];
    assert_eq!(refused.into().encode(&mut out), Err(error));
    assert_eq!(out, [1, 2, 3], "the output is as it was");
}

const fn invalid(field: &'static str, value: u64) -> EncodeError {
    EncodeError::Invalid { field, value }
}

const fn too_large(field: &'static str, max: usize) -> EncodeError {
    EncodeError::TooLarge { field, max }
}

fn record(change: impl FnOnce(&mut MemberRecord)) -> SwimJoin {
    let mut record = MemberRecord {
        node: NodeId::default(),
        epoch: Epoch::new(1),
        incarnation: Incarnation::new(0),
        status: MemberStatus::Alive,
        addresses: Vec::new(),
        roles: Roles::MEMBER,
        zone: None,
        agent: String::new(),
        tags: Vec::new(),
    };
    change(&mut record);
    SwimJoin {
        record: Arc::new(SignedRecord {
            record,
            signature: Signature::from_bytes([1; 64]),
        }),
    }
}

fn at(addresses: &[&str]) -> SwimJoin {
    let parsed = addresses.iter().map(|text| text.parse().unwrap());
    record(|record| record.addresses = parsed.collect())
}

#[test]
fn members_announce_only_what_can_be_used() {
    let unusable = invalid("addresses", 0);
    twins(at(&["192.0.2.1:1"]), at(&["192.0.2.1:0"]), unusable);
    twins(at(&["[2001:db8::1]:1"]), at(&["[::]:1"]), unusable);
    let doubled = at(&["192.0.2.1:1", "192.0.2.1:1"]);
    twins(
        at(&["192.0.2.1:1", "192.0.2.1:2"]),
        doubled,
        EncodeError::NotCanonical,
    );
    let mapped = at(&["192.0.2.1:1", "[::ffff:192.0.2.1]:1"]);
    twins(at(&["192.0.2.1:1"]), mapped, EncodeError::NotCanonical);
    let many: Vec<String> = (0..=MAX_ADDRESSES)
        .map(|last| format!("192.0.2.{last}:1"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = too_large("addresses", MAX_ADDRESSES);
    twins(at(&many[1..]), at(&many), error);
    let zone = |zone: &str| record(|record| record.zone = Some(zone.to_owned()));
    twins(zone("eu-1"), zone("EU-1"), invalid("zone", u64::from(b'E')));
    let tags = |keys: &[&str]| {
        let tag = |key: &&str| Tag {
            key: (*key).to_owned(),
            value: String::new(),
        };
        record(|record| record.tags = keys.iter().map(tag).collect())
    };
    twins(
        tags(&["a", "b"]),
        tags(&["b", "a"]),
        EncodeError::NotCanonical,
    );
    twins(tags(&["a"]), tags(&["a", "a"]), EncodeError::NotCanonical);
    twins(tags(&["a"]), tags(&[""]), invalid("key", 0));
    let keys: Vec<String> = (10..=10 + MAX_TAGS).map(|key| key.to_string()).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    twins(tags(&keys[1..]), tags(&keys), too_large("tags", MAX_TAGS));
}

#[test]
fn a_mapped_address_is_written_as_the_ipv4_address_that_it_is() {
    let mapped = Message::from(at(&["[::ffff:192.0.2.1]:1"]));
    assert_eq!(
        decode(&mapped.to_bytes().unwrap()),
        Ok(at(&["192.0.2.1:1"]).into())
    );
}

#[test]
fn a_bucket_lists_its_own_members_in_order_and_not_too_many() {
    let listed = |firsts: &[(u8, u8)]| SwimDigest {
        part: DigestPart::Versions(BucketVersions {
            bucket: 7,
            complete: true,
            compare: false,
            versions: firsts
                .iter()
                .map(|(first, last)| {
                    let mut bytes = [0; 32];
                    (bytes[0], bytes[31]) = (*first, *last);
                    MemberVersion {
                        node: NodeId::from_bytes(bytes),
                        epoch: Epoch::new(1),
                        incarnation: Incarnation::new(1),
                        standing: Standing::Present,
                    }
                })
                .collect(),
        }),
    };
    let right = || listed(&[(7, 1), (7, 2)]);
    for wrong in [&[(7, 1), (8, 2)][..], &[(7, 2), (7, 1)], &[(7, 1), (7, 1)]] {
        twins(right(), listed(wrong), EncodeError::NotCanonical);
    }
    let many = |count: u8| listed(&(0..count).map(|last| (7, last)).collect::<Vec<_>>());
    twins(many(128), many(129), too_large("versions", 128));
}

#[test]
fn lists_have_their_least_and_their_most() {
    let update = || Update::Record(record(|_| {}).record);
    let gossip = |count| SwimGossip {
        updates: std::iter::repeat_with(update).take(count).collect(),
    };
    twins(gossip(1), gossip(0), invalid("updates", 0));
    twins(
        gossip(MAX_UPDATES),
        gossip(MAX_UPDATES + 1),
        too_large("updates", MAX_UPDATES),
    );
    let empty = SwimState {
        more: false,
        updates: Vec::new(),
    };
    twins(empty, gossip(0), invalid("updates", 0));
    let buckets = |count| SwimDigest {
        part: DigestPart::Buckets(vec![1; count]),
    };
    twins(buckets(256), buckets(255), EncodeError::NotCanonical);
    let chain = |lengths: &[usize]| CertUpdate {
        chain: lengths
            .iter()
            .map(|length| Bytes::from(vec![7; *length]))
            .collect(),
    };
    twins(chain(&[1]), chain(&[]), invalid("chain", 0));
    twins(chain(&[1, 1]), chain(&[1, 0]), invalid("chain", 0));
    let most = MAX_CERTIFICATE_LEN;
    twins(chain(&[most]), chain(&[most + 1]), too_large("chain", most));
    twins(chain(&[1; 4]), chain(&[1; 5]), too_large("chain", 4));
    let headers = |count: usize| macula_wire::message::RpcCall {
        headers: (10..10 + count)
            .map(|key| Header {
                key: key.to_string(),
                value: Bytes::new(),
            })
            .collect(),
        ..call()
    };
    let error = too_large("headers", MAX_HEADERS);
    twins(headers(MAX_HEADERS), headers(MAX_HEADERS + 1), error);
}

#[test]
fn batches_hold_one_to_4_096_events() {
    let entries = |count| Entries::from_payloads(std::iter::repeat_n(&b"x"[..], count));
    assert_eq!(entries(1).unwrap().count(), 1);
    assert_eq!(
        entries(MAX_BATCH_EVENTS).unwrap().iter().len(),
        MAX_BATCH_EVENTS
    );
    assert_eq!(entries(0), Err(invalid("entries", 0)));
    let error = too_large("entries", MAX_BATCH_EVENTS);
    assert_eq!(entries(MAX_BATCH_EVENTS + 1), Err(error));
}

#[test]
fn tokens_have_sixteen_bytes() {
    let stream = |length: usize| Stream {
        token: Some(vec![1; length].into()),
        kind: StreamKind::Call,
    };
    for length in [0, 15, 17] {
        let wrong = u64::try_from(length).unwrap();
        twins(stream(16), stream(length), invalid("token", wrong));
    }
    let ack = |version, port| HandshakeAck {
        version,
        node: NodeId::default(),
        epoch: Epoch::new(1),
        features: 0,
        max_frame_len: 4_096,
        agent: String::new(),
        token: None,
        observed: Some(([192, 0, 2, 1], port).into()),
    };
    twins(ack(1, 1), ack(1, 0), invalid("observed", 0));
    twins(ack(1, 1), ack(0, 1), invalid("version", 0));
}

#[test]
fn errors_are_errors_and_fit_for_a_log() {
    let report = |code, retry, retry_after_ms, detail: &str| ErrorReport {
        request: Some(RequestId::new(1)),
        code,
        retry,
        retry_after_ms,
        detail: detail.to_owned(),
    };
    let limited = report(
        ErrorCode::RATE_LIMITED,
        RetryHint::After,
        Some(5),
        "caf\u{e9}",
    );
    let backoff = report(ErrorCode::BUSY, RetryHint::Backoff, Some(5), "");
    twins(limited.clone(), backoff, invalid("retry_after_ms", 5));
    let nothing = report(ErrorCode::OK, RetryHint::No, None, "");
    twins(limited.clone(), nothing, invalid("code", 0));
    let forged = report(ErrorCode::BUSY, RetryHint::Backoff, None, "a\nERROR b");
    twins(limited, forged, invalid("detail", 10));
    let raw = |detail: String| Close {
        code: ErrorCode::OK,
        detail,
    };
    let error = too_large("detail", MAX_DETAIL_LEN);
    twins(
        raw("x".repeat(MAX_DETAIL_LEN)),
        raw("x".repeat(MAX_DETAIL_LEN + 1)),
        error,
    );
    let long = format!("a\nb\u{1b}{}", "\u{e9}".repeat(MAX_DETAIL_LEN));
    let close = Close::new(ErrorCode::INTERNAL, &long);
    assert!(close.detail.starts_with("a b \u{e9}"));
    assert_eq!(close.detail.len(), MAX_DETAIL_LEN);
    assert!(Message::from(close).to_bytes().is_ok());
    assert_eq!(printable("\u{e9}\u{e9}", 3), "\u{e9}");
}

#[test]
fn a_receipt_tells_of_each_session_once() {
    let receipt = |matched| Receipt {
        request: RequestId::new(1),
        matched,
        acked: 1,
        expired: 1,
        dropped: u32::MAX - 2,
    };
    twins(
        receipt(u32::MAX),
        receipt(5),
        invalid("matched", u64::from(u32::MAX)),
    );
}

#[test]
fn content_types_have_one_spelling() {
    let result = |content| macula_wire::message::CallResult {
        call: macula_wire::CallId::from_bytes([1; 16]),
        content,
        payload: Bytes::new(),
    };
    let named = |text| ContentType::Named(MediaType::new(text).unwrap());
    let refused = result(named("application/json"));
    twins(
        result(named("application/xml")),
        refused,
        EncodeError::NotCanonical,
    );
    assert_eq!(MediaType::new("a b"), None);
    assert_eq!(MediaType::new(""), None);
    assert!(MediaType::new(&"x".repeat(127)).is_some());
    assert_eq!(MediaType::new(&"x".repeat(128)), None);
}

#[test]
fn extensions_are_bounded_and_even() {
    let mut extensions = Extensions::new();
    for half in 0..16 {
        extensions
            .insert(half * 2, Bytes::from(vec![1; MAX_EXTENSION_LEN]))
            .unwrap();
    }
    let before = extensions.clone();
    let error = too_large("extensions", MAX_EXTENSIONS);
    assert_eq!(extensions.insert(100, Bytes::new()), Err(error));
    let error = invalid("extension tag", 3);
    assert_eq!(extensions.insert(3, Bytes::new()), Err(error));
    let error = too_large("extension", MAX_EXTENSION_LEN);
    let long = Bytes::from(vec![1; MAX_EXTENSION_LEN + 1]);
    assert_eq!(extensions.insert(0, long), Err(error));
    assert_eq!(extensions, before);
    extensions.insert(0, Bytes::from_static(b"new")).unwrap();
    assert_eq!(extensions.get(0), Some(&Bytes::from_static(b"new")));
    let message = Message::new(macula_wire::message::Heartbeat {}.into(), extensions);
    assert_eq!(decode(&message.to_bytes().unwrap()), Ok(message));
}

fn call() -> macula_wire::message::RpcCall {
    let id = macula_wire::CallId::from_bytes([1; 16]);
    let procedure = Procedure::new("a").unwrap();
    macula_wire::message::RpcCall::new(id, NodeId::default(), procedure, 1)
}

#[test]
fn a_call_says_nothing_that_contradicts_itself() {
    use macula_wire::message::{CallPart, CallReply, CallRoute, Failure, RpcCall};
    let key = Some(Bytes::from_static(b"k"));
    let hedged = |hedge_ms, idempotency| RpcCall {
        hedge_ms,
        idempotency,
        ..call()
    };
    twins(
        hedged(9, key.clone()),
        hedged(9, None),
        invalid("hedge_ms", 9),
    );
    let keyed = |key| RpcCall { key, ..call() };
    twins(keyed(key), keyed(Some(Bytes::new())), invalid("key", 0));
    let route = |zone: &str| RpcCall {
        route: CallRoute::Zone(zone.into()),
        ..call()
    };
    twins(route("eu-1"), route("EU"), invalid("zone", 0x45));
    let tenant = |tenant: &str| RpcCall {
        tenant: Some(tenant.into()),
        ..call()
    };
    twins(tenant("acme"), tenant(""), invalid("zone", 0));
    let part = |end, payload| CallPart {
        call: call().call,
        sequence: 0,
        end,
        content: ContentType::Bytes,
        payload: Bytes::from_static(payload),
    };
    twins(part(true, b""), part(true, b"x"), invalid("payload", 1));
    twins(part(false, b"x"), part(true, b"x"), invalid("payload", 1));
    let reply = |failure, payload| CallReply {
        call: call().call,
        node: NodeId::default(),
        failure,
        content: ContentType::Bytes,
        payload: Bytes::from_static(payload),
    };
    let failure = || Some(Box::new(Failure::new(ErrorCode::BUSY, "")));
    twins(
        reply(failure(), b""),
        reply(failure(), b"x"),
        invalid("payload", 1),
    );
}
