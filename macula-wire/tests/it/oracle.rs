//! The layout against an independent implementation of it: bincode in its standard configuration.

mod routing;

use bincode::Encode;
use macula_wire::{Body, Message};
use proptest::prelude::*;

use crate::generate;

/// What bincode makes of `value`.
fn theirs(value: impl Encode) -> Vec<u8> {
    bincode::encode_to_vec(value, bincode::config::standard()).unwrap()
}

/// An enum of bincode: its number as 32 bits, then what it holds.
fn content(content: &macula_wire::ContentType) -> (u32, Plain) {
    use macula_wire::ContentType::{Bincode, Bytes, Cbor, Etf, Json, Named, Text};
    let number = match content {
        Bytes => 0,
        Text => 1,
        Json => 2,
        Cbor => 3,
        Bincode => 4,
        Etf => 5,
        Named(name) => return (6, Plain::Text(name.as_str().to_owned())),
        other => panic!("{other:?} has no number here"),
    };
    (number, Plain::Nothing)
}

fn route(route: &macula_wire::message::CallRoute) -> (u32, Plain) {
    use macula_wire::message::CallRoute::{All, Any, Node, Zone};
    match route {
        Any => (0, Plain::Nothing),
        Node(node) => (1, Plain::Id(*node.as_bytes())),
        Zone(zone) => (2, Plain::Text(zone.clone())),
        All(most) => (3, Plain::Number(*most)),
    }
}

/// What a variant holds, without a number of its own.
enum Plain {
    Nothing,
    Id([u8; 32]),
    Number(u32),
    Text(String),
}

impl Encode for Plain {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        match self {
            Self::Nothing => Ok(()),
            Self::Id(id) => id.encode(encoder),
            Self::Number(number) => number.encode(encoder),
            Self::Text(text) => text.encode(encoder),
        }
    }
}

fn extensions(message: &Message) -> Vec<(u32, Vec<u8>)> {
    let entries = message.extensions.iter();
    entries.map(|(tag, value)| (tag, value.to_vec())).collect()
}

fn headers(headers: &[macula_wire::Header]) -> Vec<(String, Vec<u8>)> {
    let headers = headers.iter();
    headers
        .map(|header| (header.key.clone(), header.value.to_vec()))
        .collect()
}

type Chosen = (Vec<[u8; 32]>, u32, Vec<String>);

fn selection(selection: &macula_wire::Selection) -> Chosen {
    let nodes = selection.nodes.iter().map(|node| *node.as_bytes());
    (
        nodes.collect(),
        selection.roles.bits(),
        selection.tenants.clone(),
    )
}

fn audience(audience: &macula_wire::Audience) -> (bool, Option<Chosen>, Option<Chosen>) {
    (
        audience.exclude_self,
        audience.eligible.as_ref().map(selection),
        audience.exclude.as_ref().map(selection),
    )
}

fn envelope(it: &macula_wire::Envelope) -> impl Encode + use<> {
    (
        headers(&it.headers),
        it.key.as_ref().map(|key| key.to_vec()),
        it.dedup.as_ref().map(|key| key.to_vec()),
        it.audience.as_deref().map(audience),
        it.retain,
    )
}

/// The body as bincode writes it; `None` for a message that is not mirrored here.
fn mirrored(message: &Message) -> Option<Vec<u8>> {
    session(message)
        .or_else(|| data(message))
        .or_else(|| routing::mirrored(message))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a choice of messages is mirrored"
)]
fn session(message: &Message) -> Option<Vec<u8>> {
    let end = extensions(message);
    let bytes = match &message.body {
        Body::Handshake(it) => theirs((
            it.versions.clone(),
            u32::from(it.role.tag()),
            it.realm.as_str(),
            *it.node.as_bytes(),
            it.epoch.get(),
            (it.features, it.required, it.max_frame_len),
            it.agent.as_str(),
            end,
        )),
        Body::Heartbeat(_) => theirs(end),
        Body::Ping(it) => theirs((it.nonce, end)),
        Body::CertUpdate(it) => {
            let chain: Vec<Vec<u8>> = it.chain.iter().map(|one| one.to_vec()).collect();
            theirs((chain, end))
        }
        Body::Error(it) => theirs((
            it.request.map(macula_wire::RequestId::get),
            it.code.number(),
            u32::from(it.retry.tag()),
            it.retry_after_ms,
            it.detail.as_str(),
            end,
        )),
        _ => return None,
    };
    Some(bytes)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a choice of messages is mirrored"
)]
fn data(message: &Message) -> Option<Vec<u8>> {
    let end = extensions(message);
    let bytes = match &message.body {
        Body::Publish(it) => theirs((
            it.request.map(macula_wire::RequestId::get),
            it.topic.as_str(),
            u32::from(it.qos.tag()),
            it.retain,
            it.ttl_ms,
            it.key.as_ref().map(|key| key.to_vec()),
            it.dedup.as_ref().map(|key| key.to_vec()),
            content(&it.content),
            headers(&it.headers),
            (
                it.audience.as_deref().map(audience),
                it.payload.to_vec(),
                end,
            ),
        )),
        Body::Event(it) => theirs((
            it.hops,
            *it.publisher.as_bytes(),
            (it.epoch.get(), it.topic.as_str(), it.sequence.get()),
            it.ttl_ms,
            content(&it.content),
            it.envelope.as_deref().map(envelope),
            it.signature.map(|signature| *signature.as_bytes()),
            (it.payload.to_vec(), end),
        )),
        Body::Batch(it) => theirs((
            it.hops,
            *it.publisher.as_bytes(),
            (it.epoch.get(), it.alias.get(), it.base.get()),
            it.ttl_ms,
            (content(&it.content), it.enveloped),
            it.signature.map(|signature| *signature.as_bytes()),
            it.entries
                .iter()
                .map(|one| one.to_vec())
                .collect::<Vec<_>>(),
            end,
        )),
        Body::RpcCall(it) => theirs((
            (*it.call.as_bytes(), it.hops, it.depth),
            (*it.caller.as_bytes(), it.tenant.as_deref()),
            (it.procedure.as_str(), it.deadline_ms),
            (u32::from(it.mode.tag()), route(&it.route), it.hedge_ms),
            it.idempotency.as_ref().map(|key| key.to_vec()),
            it.key.as_ref().map(|key| key.to_vec()),
            content(&it.content),
            headers(&it.headers),
            it.payload.to_vec(),
            end,
        )),
        Body::RpcPart(it) => theirs((
            (*it.call.as_bytes(), it.sequence, it.end),
            content(&it.content),
            it.payload.to_vec(),
            end,
        )),
        Body::Register(it) => theirs((
            (it.request.get(), it.registration.get()),
            it.pattern.as_str(),
            (it.concurrency, it.weight, u32::from(it.invoke.tag())),
            (it.zone.as_deref(), it.takeover),
            end,
        )),
        Body::Receipt(it) => theirs((
            it.request.get(),
            [it.matched, it.acked, it.expired, it.dropped],
            end,
        )),
        _ => return None,
    };
    Some(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn bincode_writes_the_same_bytes(message in generate::message()) {
        if let Some(theirs) = mirrored(&message) {
            prop_assert_eq!(&message.to_bytes().unwrap()[8..], &theirs[..]);
        }
    }
}
