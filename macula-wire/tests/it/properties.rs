//! What holds for every message and for any bytes.

use bytes::Bytes;
use macula_wire::message::{Body, Failure, Handshake, Message, Publish, Role};
use macula_wire::{
    ContentType, Epoch, ErrorCode, FrameDecoder, Kind, NodeId, RealmName, RetryHint, Topic,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::{decode, framed, generate};

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Double(Index, usize),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match self {
            Self::Set(at, value) => bytes[at.index(length)] = *value,
            Self::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Self::Insert(at, value) => bytes.insert(at.index(length), *value),
            Self::Remove(at) => drop(bytes.remove(at.index(length))),
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Double(at, count) => {
                let from = at.index(length);
                let to = (from + count).min(length);
                let part = bytes[from..to].to_vec();
                bytes.splice(to..to, part);
            }
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let markers = select(vec![0, 1, 2, 31, 65, 127, 250, 251, 252, 253, 254, 255]);
    prop_oneof![
        (at(), markers).prop_map(|(at, value)| Mutation::Set(at, value)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, value)| Mutation::Insert(at, value)),
        at().prop_map(Mutation::Remove),
        at().prop_map(Mutation::Cut),
        (at(), 1..40_usize).prop_map(|(at, count)| Mutation::Double(at, count)),
    ]
}

/// A body is refused, or its message is written with the same bytes.
#[track_caller]
fn refused_or_same(number: u8, body: &[u8]) {
    let bytes = framed(number, body);
    if let Ok(message) = decode(&bytes) {
        assert_eq!(message.to_bytes().unwrap(), bytes, "{message:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn every_message_is_read_as_it_was_written(message in generate::message()) {
        let bytes = message.to_bytes().unwrap();
        prop_assert_eq!(decode(&bytes), Ok(message));
    }

    #[test]
    fn a_body_alone_is_written_as_a_message_without_extensions(message in generate::message()) {
        let mut bytes = Vec::new();
        message.body.encode(&mut bytes).unwrap();
        if let Body::RpcCall(call) = &message.body {
            prop_assert_eq!(call.to_frame().unwrap(), &bytes[..]);
        }
        let plain = Message::from(message.body);
        prop_assert_eq!(bytes, plain.to_bytes().unwrap());
    }

    #[test]
    fn a_stream_of_messages_is_read_however_it_is_cut(
        messages in prop::collection::vec(generate::message(), 1..5),
        cuts in prop::collection::vec(1..200_usize, 1..20),
    ) {
        let mut stream = Vec::new();
        for message in &messages {
            message.encode(&mut stream).unwrap();
        }
        let mut rest = Bytes::from(stream);
        let mut decoder = FrameDecoder::new(1 << 20);
        let mut found = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            decoder.push(rest.split_to((*cut).min(rest.len())));
            while let Some(frame) = decoder.next_frame().unwrap() {
                found.push(Message::decode(&frame).unwrap());
            }
        }
        prop_assert!(decoder.is_at_boundary());
        prop_assert_eq!(found, messages);
    }

    #[test]
    fn any_bytes_are_refused_or_written_the_same(
        kind in select(Kind::ALL.to_vec()),
        body in prop::collection::vec(prop_oneof![Just(0_u8), 0..5_u8, any::<u8>()], 0..200),
    ) {
        refused_or_same(kind.number(), &body);
    }

    #[test]
    fn a_changed_message_is_refused_or_written_the_same(
        message in generate::message(),
        mutations in prop::collection::vec(mutation(), 1..4),
    ) {
        let bytes = message.to_bytes().unwrap();
        let mut body = bytes[8..].to_vec();
        mutations.iter().for_each(|mutation| mutation.apply(&mut body));
        refused_or_same(message.kind().number(), &body);
    }

    #[test]
    fn a_message_without_its_end_is_refused(message in generate::message(), at: Index) {
        let bytes = message.to_bytes().unwrap();
        let body = &bytes[8..];
        let short = &body[..at.index(body.len())];
        prop_assert!(decode(&framed(message.kind().number(), short)).is_err());
        let long = [body, &[0]].concat();
        prop_assert!(decode(&framed(message.kind().number(), &long)).is_err());
    }

    /// Encoding judges as decoding does: it refuses, or what it writes is read as the same message.
    #[test]
    fn careless_messages_are_refused_or_read_again(message in careless()) {
        if let Ok(bytes) = message.to_bytes() {
            prop_assert_eq!(decode(&bytes), Ok(message));
        }
    }
}

/// Messages whose fields do not keep their rules.
fn careless() -> impl Strategy<Value = Message> {
    let text = prop::collection::vec(select(vec!['a', '\n', ' ', '\u{e9}', '\u{7f}']), 0..3)
        .prop_map(String::from_iter);
    let versions = prop::collection::vec(0..4_u8, 0..3);
    let handshake = (versions, 0..4_u64, 0..4_u64, 4_090..4_100_u32, text.clone()).prop_map(
        |(versions, features, required, max_frame_len, agent)| {
            Message::from(Handshake {
                versions,
                role: Role::Client,
                realm: RealmName::new("be.acme").unwrap(),
                node: NodeId::default(),
                epoch: Epoch::new(1),
                features,
                required,
                max_frame_len,
                agent,
            })
        },
    );
    let codes = select(vec![ErrorCode::OK, ErrorCode::BUSY, ErrorCode::APPLICATION]);
    let hints = select(vec![RetryHint::App, RetryHint::After]);
    let failure = (
        codes,
        hints,
        any::<Option<u32>>(),
        prop::option::of(text.clone()),
        text,
    )
        .prop_map(|(code, retry, retry_after_ms, name, detail)| {
            Message::from(macula_wire::message::CallError {
                call: macula_wire::CallId::from_bytes([1; 16]),
                failure: Failure {
                    retry,
                    retry_after_ms,
                    name,
                    detail,
                    ..Failure::new(code, "")
                },
            })
        });
    let key = || prop::option::of(generate::bytes(1));
    let publish =
        (key(), key(), generate::topic()).prop_map(|(key, dedup, topic): (_, _, Topic)| {
            Message::from(Publish {
                request: None,
                topic,
                qos: macula_wire::message::Qos::AtMostOnce,
                retain: false,
                ttl_ms: None,
                key,
                dedup,
                content: ContentType::Bytes,
                headers: Vec::new(),
                audience: None,
                payload: Bytes::new(),
            })
        });
    prop_oneof![handshake, failure, publish]
}
