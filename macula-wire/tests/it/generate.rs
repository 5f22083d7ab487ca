//! Values of every type that the wire carries, each legal by construction.

mod call;
mod event;
mod forward;
mod membership;
mod overlay;
mod routing;
mod session;
mod tree;

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use macula_wire::{
    CallId, ContentType, ErrorCode, Extensions, Header, MediaType, Message, NodeId, Pattern,
    Procedure, RealmName, RetryHint, Signature, Topic,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

/// Any message, with and without extensions.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    let bodies = prop_oneof![
        session::bodies(),
        event::bodies(),
        tree::bodies(),
        call::bodies(),
        membership::bodies(),
        overlay::bodies(),
        routing::bodies(),
        forward::bodies(),
    ];
    (bodies, extensions()).prop_map(|(body, extensions)| Message::new(body, extensions))
}

fn extensions() -> impl Strategy<Value = Extensions> {
    let some = prop::collection::vec((0..1_000_u32, bytes(40)), 1..4);
    prop_oneof![4 => Just(Vec::new()), 1 => some].prop_map(|entries| {
        let mut extensions = Extensions::new();
        for (half, value) in entries {
            extensions.insert(half * 2, value).unwrap();
        }
        extensions
    })
}

/// Any 64 bits, the edges of each form of an integer above all.
pub(crate) fn wide() -> impl Strategy<Value = u64> {
    let edges = [0, 250, 251, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000];
    prop_oneof![
        0..300_u64,
        select(edges.to_vec()),
        any::<u32>().prop_map(u64::from),
        any::<u64>()
    ]
}

/// Any newtype of 64 bits.
fn number<T: std::fmt::Debug>(new: fn(u64) -> T) -> impl Strategy<Value = T> {
    wide().prop_map(new)
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<[u8; 32]>().prop_map(NodeId::from_bytes)
}

fn call_id() -> impl Strategy<Value = CallId> {
    any::<[u8; 16]>().prop_map(CallId::from_bytes)
}

fn signature() -> impl Strategy<Value = Signature> {
    prop::collection::vec(any::<u8>(), 64)
        .prop_map(|bytes| Signature::from_bytes(bytes.try_into().unwrap()))
}

pub(crate) fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..=max).prop_map(Bytes::from)
}

/// A key that is not empty.
fn key() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 1..=64).prop_map(Bytes::from)
}

fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![4 => bytes(30), 1 => bytes(700)]
}

/// A text without control characters, of `max` bytes at most.
fn text(max: usize) -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::char::range(' ', '~'),
        1 => any::<char>().prop_filter("no control character", |one| !one.is_control()),
    ];
    prop::collection::vec(character, 0..=max / 4).prop_map(String::from_iter)
}

/// Visible ASCII, 1 to 64 characters.
fn word() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::char::range('!', '~'), 1..=64).prop_map(String::from_iter)
}

fn of(
    alphabet: &'static str,
    length: std::ops::RangeInclusive<usize>,
) -> impl Strategy<Value = String> {
    let characters: Vec<char> = alphabet.chars().collect();
    prop::collection::vec(select(characters), length).prop_map(String::from_iter)
}

fn concrete() -> impl Strategy<Value = String> {
    let segment = of("abcXYZ019_-", 1..=8);
    let segments = prop::collection::vec(segment, 1..=5);
    (prop::bool::weighted(0.2), segments).prop_map(|(reserved, segments)| {
        let mark = if reserved { "$" } else { "" };
        format!("{mark}{}", segments.join("."))
    })
}

pub(crate) fn topic() -> impl Strategy<Value = Topic> {
    concrete().prop_map(|text| Topic::new(&text).unwrap())
}

fn procedure() -> impl Strategy<Value = Procedure> {
    concrete().prop_map(|text| Procedure::new(&text).unwrap())
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let segment = prop_oneof![3 => of("ab", 1..=2), 1 => Just("*".to_owned())];
    let segments = prop::collection::vec(segment, 1..=4);
    (segments, any::<bool>()).prop_map(|(segments, tail)| {
        let end = if tail { ".**" } else { "" };
        Pattern::new(&format!("{}{end}", segments.join("."))).unwrap()
    })
}

fn realm() -> impl Strategy<Value = RealmName> {
    prop::collection::vec(of("abcz019", 1..=6), 2..=4)
        .prop_map(|labels| RealmName::new(&labels.join(".")).unwrap())
}

fn content() -> BoxedStrategy<ContentType> {
    let numbered = select(vec![
        ContentType::Bytes,
        ContentType::Text,
        ContentType::Json,
        ContentType::Cbor,
        ContentType::Bincode,
        ContentType::Etf,
    ]);
    let named = of("abc.+-", 1..=20)
        .prop_map(|subtype| ContentType::Named(MediaType::new(&format!("x/{subtype}")).unwrap()));
    prop_oneof![2 => numbered, 1 => named].boxed()
}

fn headers() -> impl Strategy<Value = Vec<Header>> {
    prop::collection::btree_map(word(), bytes(50), 0..4).prop_map(|headers| {
        let headers = headers.into_iter();
        headers.map(|(key, value)| Header { key, value }).collect()
    })
}

/// An address that can be dialled.
fn address() -> impl Strategy<Value = SocketAddr> {
    let v4 = (1..224_u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| IpAddr::from([a, b, c, d]));
    let v6 = any::<[u16; 7]>()
        .prop_map(|[b, c, d, e, f, g, h]| IpAddr::from([0x2001, b, c, d, e, f, g, h]));
    (prop_oneof![v4, v6], 1..=u16::MAX).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// A code other than `OK`, a hint, and a time where the hint allows one.
fn trouble() -> impl Strategy<Value = (ErrorCode, RetryHint, Option<u32>)> {
    let hint = select(RetryHint::ALL.to_vec());
    (1..=u8::MAX, hint, any::<Option<u32>>()).prop_map(|(code, hint, after)| {
        let after = after.filter(|_| hint == RetryHint::After);
        (ErrorCode::from_number(code), hint, after)
    })
}
