//! The messages of routing as bincode writes them.

use std::net::SocketAddr;

use bincode::Encode;
use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use macula_wire::message::{Contact, RecordContent, SignedRoutingRecord, Tag, TracedHop, Way};
use macula_wire::{Body, ErrorCode, Message, NodeMark};

use super::{content, extensions, theirs};

/// What bincode wrote before, as a part of something larger.
struct Part(Vec<u8>);

impl Encode for Part {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encoder.writer().write(&self.0)
    }
}

/// The bodies of 0x60 to 0x6B; `None` for any other.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other messages are mirrored elsewhere"
)]
pub(super) fn mirrored(message: &Message) -> Option<Vec<u8>> {
    let end = extensions(message);
    let bytes = match &message.body {
        Body::KadFind(it) => {
            let kind = it.kind.map(|kind| u32::from(kind.tag()));
            theirs((it.request.get(), *it.key.as_bytes(), kind, end))
        }
        Body::KadFound(it) => theirs((
            it.request.get(),
            list(&it.contacts, |one| contact(one)),
            list(&it.records, |one| record(one)),
            it.more,
            end,
        )),
        Body::KadStore(it) => theirs((it.request.get(), list(&it.records, |one| record(one)), end)),
        Body::KadAnswer(it) => theirs((it.request.get(), list(&it.codes, code), end)),
        Body::KadWatch(it) => theirs((
            it.request.get(),
            *it.key.as_bytes(),
            u32::from(it.kind.tag()),
            it.lease_ms,
            it.version,
            end,
        )),
        Body::KadChanges(it) => theirs((
            *it.key.as_bytes(),
            u32::from(it.kind.tag()),
            it.version,
            (it.full, it.more),
            list(&it.records, |one| record(one)),
            end,
        )),
        Body::KadDigest(it) => {
            let versions = list(&it.versions, |one| (*one.id.as_bytes(), one.sequence));
            theirs((it.request.get(), versions, end))
        }
        Body::KadWant(it) => {
            let ids = list(&it.ids, |id| *id.as_bytes());
            theirs((it.request.get(), ids, end))
        }
        Body::Forward(it) => theirs((way(&it.way), it.packet.to_vec(), end)),
        Body::ForwardError(it) => theirs((
            *it.target.as_bytes(),
            *it.origin.as_bytes(),
            code(&it.code),
            list(&it.back, mark),
            end,
        )),
        Body::Trace(it) => theirs((it.request.get(), way(&it.way), list(&it.path, hop), end)),
        Body::Traced(it) => theirs((
            it.request.get(),
            *it.target.as_bytes(),
            code(&it.code),
            list(&it.path, hop),
            list(&it.back, mark),
            end,
        )),
        _ => return None,
    };
    Some(bytes)
}

fn list<T, U>(items: &[T], one: impl Fn(&T) -> U) -> Vec<U> {
    items.iter().map(one).collect()
}

fn code(code: &ErrorCode) -> u8 {
    code.number()
}

fn mark(mark: &NodeMark) -> [u8; 8] {
    *mark.as_bytes()
}

fn hop(hop: &TracedHop) -> ([u8; 32], u32) {
    (*hop.node.as_bytes(), hop.rtt_us)
}

fn way(way: &Way) -> Part {
    Part(theirs((
        *way.target.as_bytes(),
        *way.origin.as_bytes(),
        way.hops,
        list(&way.via, mark),
        list(&way.trail, mark),
    )))
}

fn address(address: &SocketAddr) -> Part {
    Part(match address {
        SocketAddr::V4(v4) => theirs((0_u32, v4.ip().octets(), v4.port())),
        SocketAddr::V6(v6) => theirs((1_u32, v6.ip().octets(), v6.port())),
    })
}

fn contact(contact: &Contact) -> Part {
    let addresses = list(&contact.addresses, address);
    Part(theirs((*contact.node.as_bytes(), addresses)))
}

fn tag(tag: &Tag) -> (String, String) {
    (tag.key.clone(), tag.value.clone())
}

fn said(said: &RecordContent) -> Part {
    Part(match said {
        RecordContent::Node(it) => theirs((
            0_u32,
            list(&it.addresses, address),
            list(&it.tags, tag),
            list(&it.neighbours, |node| *node.as_bytes()),
        )),
        RecordContent::Provider(it) => theirs((
            1_u32,
            it.pattern.as_str(),
            (it.weight, it.concurrency, u32::from(it.invoke.tag())),
            it.zone.as_deref(),
            (it.since_ms, it.takeover),
        )),
        RecordContent::Interest(it) => theirs((
            2_u32,
            it.pattern.as_str(),
            it.each,
            list(&it.groups, |group| {
                (group.name.clone(), u32::from(group.balance.tag()))
            }),
        )),
        RecordContent::Value(it) => theirs((
            3_u32,
            it.name.as_str(),
            content(&it.content),
            it.value.to_vec(),
        )),
        other => panic!("{other:?} has no number here"),
    })
}

fn record(signed: &SignedRoutingRecord) -> Part {
    let record = &signed.record;
    Part(theirs((
        *record.owner.as_bytes(),
        record.sequence,
        record.expires_ms,
        record.withdrawn,
        said(&record.content),
        *signed.signature.as_bytes(),
    )))
}
