//! Frames, messages and batches: from values to bytes and back.
#![expect(
    clippy::expect_used,
    reason = "a scenario whose input is wrong measures something else, so it has to stop"
)]

use std::hint::black_box;

use bytes::Bytes;
use macula_wire::frame::FrameHeader;
use macula_wire::limit::DEFAULT_MAX_FRAME_LEN;
use macula_wire::message::{
    Alias, CallResult, Event, Ping, Publish, Qos, RpcCall, SwimAck, SwimPing, Update,
};
use macula_wire::{
    Batch, BatchBuilder, BatchHead, Body, CallId, ContentType, Entries, Epoch, Frame, FrameDecoder,
    Message, ProbeId, Procedure, Sequence, Topic, TopicAlias,
};

use crate::input::{WALL_MS, node, record};
use crate::{Round, Scenario, Size};

/// How often a round does what takes only some nanoseconds.
const OFTEN: usize = 100;
/// The events of a large batch.
const EVENTS: usize = 1_000;
/// A payload of 64 bytes.
const PAYLOAD: [u8; 64] = [0x21; 64];

/// The scenarios of this group.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("frame_header_encode", 100, header_encode),
    Scenario::new("frame_header_decode", 100, header_decode),
    Scenario::new("frames_cut", 100, cut),
    Scenario::new("batch_head_encode", 100, |size| encode(size, batch(1))),
    Scenario::new("batch_head_decode", 100, |size| decode(size, batch(1))),
    Scenario::new("batch_1000_decode", 1_000, batch_decode),
    Scenario::new("batch_1000_build", 1_000, batch_build),
    Scenario::new("alias_encode", 100, |size| encode(size, alias())),
    Scenario::new("call_encode", 100, |size| encode(size, call())),
    Scenario::new("call_decode", 100, |size| decode(size, call())),
    Scenario::new("event_encode", 100, |size| encode(size, event())),
    Scenario::new("event_decode", 100, |size| decode(size, event())),
    Scenario::new("ping_encode", 100, |size| encode(size, Ping { nonce: 7 })),
    Scenario::new("publish_encode", 100, |size| encode(size, publish())),
    Scenario::new("publish_decode", 100, |size| decode(size, publish())),
    Scenario::new("result_encode", 100, |size| encode(size, result())),
    Scenario::new("result_decode", 100, |size| decode(size, result())),
    Scenario::new("swim_ack_encode", 100, |size| encode(size, swim_ack())),
    Scenario::new("swim_ping_4_encode", 100, |size| encode(size, swim_ping())),
    Scenario::new("swim_ping_4_decode", 100, |size| decode(size, swim_ping())),
];

fn header_encode(size: Size) -> Round {
    let repeats = size.of(OFTEN);
    Box::new(move || {
        for length in 0..repeats {
            let header = FrameHeader::new(black_box(0x15), black_box(length));
            black_box(header.map(FrameHeader::to_bytes)).expect("a short body");
        }
    })
}

fn header_decode(size: Size) -> Round {
    let header = FrameHeader::new(0x15, 64).expect("a short body").to_bytes();
    let repeats = size.of(OFTEN);
    Box::new(move || {
        for _ in 0..repeats {
            let header = FrameHeader::from_bytes(black_box(header), DEFAULT_MAX_FRAME_LEN);
            black_box(header).expect("an accepted header");
        }
    })
}

/// Finds the frames in a piece of a stream.
fn cut(size: Size) -> Round {
    let frames = size.of(OFTEN);
    let mut stream = Vec::new();
    for _ in 0..frames {
        Message::from(event())
            .encode(&mut stream)
            .expect("a legal message");
    }
    let stream = Bytes::from(stream);
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_LEN);
    Box::new(move || {
        decoder.push(stream.clone());
        for _ in 0..frames {
            let frame = decoder.next_frame().expect("a legal stream");
            assert!(black_box(frame).is_some(), "a frame is missing");
        }
    })
}

/// Encodes a message again and again into a buffer that has room for it.
fn encode(size: Size, body: impl Into<Body>) -> Round {
    let message = Message::new(body.into(), Default::default());
    let repeats = size.of(OFTEN);
    let mut out = message.to_bytes().expect("a legal message");
    Box::new(move || {
        for _ in 0..repeats {
            out.clear();
            black_box(&message)
                .encode(&mut out)
                .expect("a legal message");
            black_box(&out);
        }
    })
}

/// Decodes a message again and again.
fn decode(size: Size, body: impl Into<Body>) -> Round {
    let frame = frame(&Message::new(body.into(), Default::default()));
    let repeats = size.of(OFTEN);
    Box::new(move || {
        for _ in 0..repeats {
            let message = Message::decode(black_box(&frame));
            black_box(message).expect("a legal message");
        }
    })
}

/// The frame of a message as a stream carries it, with another one behind it.
fn frame(message: &Message) -> Frame {
    let mut bytes = message.to_bytes().expect("a legal message");
    message.encode(&mut bytes).expect("a legal message");
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_LEN);
    decoder.push(bytes.into());
    let frame = decoder.next_frame().expect("a legal stream");
    frame.expect("a whole frame")
}

/// Decodes a batch and looks at each payload.
fn batch_decode(size: Size) -> Round {
    let events = size.of(EVENTS);
    let frame = frame(&Message::new(batch(events).into(), Default::default()));
    Box::new(move || {
        let message = Message::decode(black_box(&frame)).expect("a legal message");
        let Body::Batch(batch) = message.body else {
            return;
        };
        let mut found = 0_usize;
        for payload in &batch.entries {
            found = found.saturating_add(black_box(payload).len());
        }
        assert_eq!(found, events.saturating_mul(PAYLOAD.len()));
    })
}

/// Collects events and seals them.
fn batch_build(size: Size) -> Round {
    let events = size.of(EVENTS);
    let head = head();
    let mut builder = BatchBuilder::new();
    Box::new(move || {
        for _ in 0..events {
            builder.push(black_box(&PAYLOAD));
        }
        let sealed = builder.seal(&head).expect("a legal batch");
        assert_eq!(black_box(sealed).map(|sealed| sealed.events), Some(events));
    })
}

fn head() -> BatchHead {
    BatchHead {
        hops: 8,
        publisher: node(1),
        epoch: Epoch::new(WALL_MS),
        alias: TopicAlias::new(17),
        base: Sequence::new(1_000_000),
        ttl_ms: None,
        content: ContentType::Bytes,
        enveloped: false,
        signature: None,
    }
}

fn batch(events: usize) -> Batch {
    let head = head();
    let payloads = std::iter::repeat_n(&PAYLOAD[..], events);
    Batch {
        hops: head.hops,
        publisher: head.publisher,
        epoch: head.epoch,
        alias: head.alias,
        base: head.base,
        ttl_ms: head.ttl_ms,
        content: head.content,
        enveloped: head.enveloped,
        signature: head.signature,
        entries: Entries::from_payloads(payloads).expect("some events"),
    }
}

fn topic() -> Topic {
    Topic::new("plant.17.line.4.temperature").expect("a topic")
}

fn alias() -> Alias {
    let head = head();
    Alias {
        publisher: head.publisher,
        epoch: head.epoch,
        alias: head.alias,
        topic: topic(),
        next: head.base,
        chain: Vec::new(),
    }
}

fn event() -> Event {
    let head = head();
    Event {
        hops: head.hops,
        publisher: head.publisher,
        epoch: head.epoch,
        topic: topic(),
        sequence: head.base,
        ttl_ms: None,
        content: head.content,
        envelope: None,
        signature: None,
        payload: Bytes::from_static(&PAYLOAD),
    }
}

fn publish() -> Publish {
    Publish {
        request: None,
        topic: topic(),
        qos: Qos::AtMostOnce,
        retain: false,
        ttl_ms: None,
        key: None,
        dedup: None,
        content: ContentType::Bytes,
        headers: Vec::new(),
        audience: None,
        payload: Bytes::from_static(&PAYLOAD),
    }
}

fn call() -> RpcCall {
    RpcCall {
        hops: 2,
        payload: Bytes::from_static(&PAYLOAD),
        ..RpcCall::new(
            CallId::from_bytes([9; 16]),
            node(2),
            Procedure::new("temperature.latest").expect("a procedure"),
            5_000,
        )
    }
}

fn result() -> CallResult {
    CallResult {
        call: CallId::from_bytes([9; 16]),
        content: ContentType::Bytes,
        payload: Bytes::from_static(&PAYLOAD),
    }
}

fn swim_ping() -> SwimPing {
    SwimPing {
        probe: ProbeId::new(70_000),
        updates: (4..8)
            .map(|number| Update::Record(record(number).into()))
            .collect(),
    }
}

fn swim_ack() -> SwimAck {
    SwimAck {
        probe: ProbeId::new(70_000),
        updates: Vec::new(),
    }
}
