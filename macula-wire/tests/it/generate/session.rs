//! HANDSHAKE to ACK, ERROR and CLOSE.

use bytes::Bytes;
use macula_wire::message::{
    Ack, CertUpdate, Close, Drain, ErrorReport, Handshake, HandshakeAck, Heartbeat, Ping, Pong,
    Priority, Role, Stream, StreamKind,
};
use macula_wire::{Body, Epoch, ErrorCode, RequestId};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

use super::{address, node, number, realm, text, trouble, wide};

pub(super) fn bodies() -> BoxedStrategy<Body> {
    prop_oneof![
        handshake().prop_map(Body::from),
        handshake_ack().prop_map(Body::from),
        Just(Body::from(Heartbeat {})),
        wide().prop_map(|nonce| Ping { nonce }.into()),
        wide().prop_map(|nonce| Pong { nonce }.into()),
        stream().prop_map(Body::from),
        chain(1).prop_map(|chain| CertUpdate { chain }.into()),
        any::<u32>().prop_map(|within_ms| Drain { within_ms }.into()),
        number(RequestId::new).prop_map(|request| Ack { request }.into()),
        error().prop_map(Body::from),
        (any::<u8>(), text(512)).prop_map(|(code, detail)| {
            let code = ErrorCode::from_number(code);
            Close { code, detail }.into()
        }),
    ]
    .boxed()
}

fn handshake() -> impl Strategy<Value = Handshake> {
    let versions = prop::collection::btree_set(1..=u8::MAX, 1..=8);
    let features = (wide(), wide());
    let role = select(Role::ALL.to_vec());
    let max = 4_096..=u32::MAX;
    (
        versions,
        role,
        realm(),
        node(),
        number(Epoch::new),
        features,
        max,
        text(64),
    )
        .prop_map(
            |(versions, role, realm, node, epoch, (features, mask), max_frame_len, agent)| {
                Handshake {
                    versions: versions.into_iter().collect(),
                    role,
                    realm,
                    node,
                    epoch,
                    features,
                    required: features & mask,
                    max_frame_len,
                    agent,
                }
            },
        )
}

fn token() -> impl Strategy<Value = Option<Bytes>> {
    any::<Option<[u8; 16]>>().prop_map(|token| token.map(|bytes| Bytes::from(bytes.to_vec())))
}

fn handshake_ack() -> impl Strategy<Value = HandshakeAck> {
    let observed = prop::option::of(address());
    let max = 4_096..=u32::MAX;
    (
        1..=u8::MAX,
        node(),
        number(Epoch::new),
        wide(),
        max,
        text(64),
        token(),
        observed,
    )
        .prop_map(
            |(version, node, epoch, features, max_frame_len, agent, token, observed)| {
                HandshakeAck {
                    version,
                    node,
                    epoch,
                    features,
                    max_frame_len,
                    agent,
                    token,
                    observed,
                }
            },
        )
}

fn stream() -> impl Strategy<Value = Stream> {
    let kind = prop_oneof![
        select(Priority::ALL.to_vec()).prop_map(StreamKind::Events),
        Just(StreamKind::Call),
        Just(StreamKind::Membership),
        Just(StreamKind::Lookup),
        Just(StreamKind::Tunnel),
        Just(StreamKind::Offered),
    ];
    (token(), kind).prop_map(|(token, kind)| Stream { token, kind })
}

/// From `least` to four certificates.
pub(super) fn chain(least: usize) -> impl Strategy<Value = Vec<Bytes>> {
    let certificate = prop::collection::vec(any::<u8>(), 1..300).prop_map(Bytes::from);
    prop::collection::vec(certificate, least..=4)
}

fn error() -> impl Strategy<Value = ErrorReport> {
    let request = prop::option::of(number(RequestId::new));
    (request, trouble(), text(512)).prop_map(|(request, (code, retry, after), detail)| {
        ErrorReport {
            request,
            code,
            retry,
            retry_after_ms: after,
            detail,
        }
    })
}
