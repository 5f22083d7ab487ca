//! Samples of the life of a link.

use bytes::Bytes;
use macula_wire::message::{
    Ack, CertUpdate, Close, Drain, ErrorReport, Handshake, HandshakeAck, Heartbeat, Ping, Pong,
    Priority, Role, Stream, StreamKind,
};
use macula_wire::{Epoch, ErrorCode, RealmName, RequestId, RetryHint};

use super::{Sample, sample, with_extension};

/// The node whose bytes count up from `first`.
pub(super) fn node(first: u8) -> macula_wire::NodeId {
    let mut bytes = [0; 32];
    for (byte, value) in bytes.iter_mut().zip(first..) {
        *byte = value;
    }
    macula_wire::NodeId::from_bytes(bytes)
}

/// The signature whose bytes count up from `first`.
pub(super) fn signature(first: u8) -> macula_wire::Signature {
    let mut bytes = [0; 64];
    for (byte, value) in bytes.iter_mut().zip(first..) {
        *byte = value;
    }
    macula_wire::Signature::from_bytes(bytes)
}

pub(super) const EPOCH: Epoch = Epoch::new(1_795_000_000_000);

fn handshake() -> Handshake {
    Handshake {
        versions: vec![1],
        role: Role::Member,
        realm: RealmName::new("be.acme.iot").unwrap(),
        node: node(0),
        epoch: EPOCH,
        features: 3,
        required: 0,
        max_frame_len: 1_114_112,
        agent: "macula 0.1.0".into(),
    }
}

fn ack() -> HandshakeAck {
    HandshakeAck {
        version: 1,
        node: node(0x40),
        epoch: EPOCH.plus(1_234),
        features: 3,
        max_frame_len: 1_114_112,
        agent: "macula 0.1.0".into(),
        token: None,
        observed: Some("192.0.2.7:4433".parse().unwrap()),
    }
}

pub(super) fn samples() -> Vec<Sample> {
    [handshakes(), streams(), rest()]
        .into_iter()
        .flatten()
        .collect()
}

fn handshakes() -> Vec<Sample> {
    let client = Handshake {
        versions: vec![1, 2, 7],
        role: Role::Client,
        features: u64::MAX,
        required: 1 << 63,
        max_frame_len: 4_096,
        agent: String::new(),
        ..handshake()
    };
    let socket = HandshakeAck {
        token: Some(Bytes::from((0xa0..0xb0).collect::<Vec<u8>>())),
        observed: None,
        ..ack()
    };
    let v6 = HandshakeAck {
        observed: Some("[2001:db8::7]:443".parse().unwrap()),
        ..ack()
    };
    vec![
        sample("handshake of a member", handshake()),
        sample("handshake of a client", client),
        sample("handshake_ack with the address seen", ack()),
        sample("handshake_ack with an ipv6 address", v6),
        sample("handshake_ack on a unix socket", socket),
    ]
}

fn streams() -> Vec<Sample> {
    let stream = |kind| Stream { token: None, kind };
    let mut samples: Vec<Sample> = Priority::ALL
        .iter()
        .map(|priority| {
            let name = format!("stream of events, priority {}", priority.tag());
            sample(&name, stream(StreamKind::Events(*priority)))
        })
        .collect();
    samples.extend([
        sample("stream of a call", stream(StreamKind::Call)),
        sample("stream of membership", stream(StreamKind::Membership)),
        sample("stream of a lookup", stream(StreamKind::Lookup)),
        sample("stream of a tunnel", stream(StreamKind::Tunnel)),
        sample(
            "stream offered on a unix socket",
            Stream {
                token: Some(Bytes::from((0xa0..0xb0).collect::<Vec<u8>>())),
                kind: StreamKind::Offered,
            },
        ),
        sample(
            "stream on a unix socket",
            Stream {
                token: Some(Bytes::from((0xa0..0xb0).collect::<Vec<u8>>())),
                kind: StreamKind::Call,
            },
        ),
    ]);
    samples
}

fn pings() -> Vec<Sample> {
    let mut samples = Vec::new();
    for nonce in [
        0,
        7,
        250,
        251,
        0xffff,
        0x1_0000,
        0xffff_ffff,
        0x1_0000_0000,
        u64::MAX,
    ] {
        samples.push(sample(&format!("ping {nonce}"), Ping { nonce }));
    }
    samples
}

fn rest() -> Vec<Sample> {
    let error = ErrorReport {
        request: Some(RequestId::new(9)),
        code: ErrorCode::RATE_LIMITED,
        retry: RetryHint::After,
        retry_after_ms: Some(1_500),
        detail: "100 requests a second are allowed".into(),
    };
    let unknown = ErrorReport {
        request: None,
        code: ErrorCode::from_number(0xee),
        retry: RetryHint::Backoff,
        retry_after_ms: None,
        detail: String::new(),
    };
    let mut samples = pings();
    samples.extend([
        sample("pong", Pong { nonce: 7 }),
        sample("heartbeat", Heartbeat {}),
        sample(
            "heartbeat with an extension",
            with_extension(Heartbeat {}, 2, b"kept"),
        ),
        sample(
            "heartbeat with two extensions",
            with_extension(with_extension(Heartbeat {}, 300, b""), 0, b"\x00"),
        ),
        sample(
            "cert_update",
            CertUpdate {
                chain: vec![Bytes::from_static(b"leaf"), Bytes::from_static(b"root")],
            },
        ),
        sample("drain", Drain { within_ms: 30_000 }),
        sample(
            "ack",
            Ack {
                request: RequestId::new(9),
            },
        ),
        sample("error of a request, with a time", error),
        sample(
            "error of a link",
            ErrorReport::new(None, ErrorCode::DENIED, "no"),
        ),
        sample("error with a code of a later version", unknown),
        sample("close, ordinary", Close::new(ErrorCode::OK, "")),
        sample(
            "close, shutting down",
            Close::new(ErrorCode::SHUTTING_DOWN, "restart \u{2192} soon"),
        ),
    ]);
    samples
}
