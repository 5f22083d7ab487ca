//! Nodes and their records.

use std::sync::Arc;

use bytes::Bytes;
use macula_kad::key_of;
use macula_rpc::Offer;
use macula_wire::message::{
    Contact, InterestContent, Invoke, NodeContent, RecordContent, RecordKind, RoutingRecord,
    SignedRoutingRecord, ValueContent,
};
use macula_wire::{
    ContentType, Key, NodeId, Pattern, RealmName, SIGNATURE_LEN, Signature, Signer, Topic,
    Verifier, signed,
};

use super::{HOUR_MS, WALL_MS};

pub(super) fn content(which: u8) -> RecordContent {
    let name = ["a.b", "c", "$own"][usize::from(which >> 2) % 3];
    match which & 3 {
        0 => RecordContent::Node(NodeContent {
            addresses: vec![([192, 0, 2, 7], 4433).into()],
            tags: Vec::new(),
            neighbours: Vec::new(),
        }),
        1 => {
            let offer = Offer::new(u32::from(which >> 4), Invoke::P2c);
            RecordContent::Provider(offer.content(Pattern::new(name).expect("a pattern")))
        }
        2 => RecordContent::Interest(InterestContent::each(
            Pattern::new(name).expect("a pattern"),
        )),
        _ => RecordContent::Value(ValueContent {
            name: Topic::new(name).expect("a topic"),
            content: ContentType::Bytes,
            value: Bytes::from(vec![7; usize::from(which >> 4) * 50]),
        }),
    }
}

/// A record: whose and what in the first byte, its version, its time, and what is wrong with it in the second.
pub(super) fn record(what: u8, how: u8) -> Arc<SignedRoutingRecord> {
    let owner = node(what & 7);
    let mut content = content(what >> 3 | what << 5);
    let withdrawn = how & 1 == 1;
    if let (true, RecordContent::Value(value)) = (withdrawn, &mut content) {
        value.value = Bytes::new();
    }
    let lease = [4_000, 15_000, HOUR_MS, 49 * HOUR_MS][usize::from(how >> 1 & 3)];
    let record = RoutingRecord {
        owner,
        sequence: match how >> 3 & 7 {
            7 => u64::MAX,
            sequence => WALL_MS + u64::from(sequence),
        },
        expires_ms: WALL_MS + lease,
        withdrawn,
        content,
    };
    let (realm, signer) = match how >> 6 {
        3 => (realm(), node((what & 7) ^ 1)),
        2 => (RealmName::new("be.acme.other").expect("a realm"), owner),
        _ => (realm(), owner),
    };
    let bytes = signed::record_bytes(&realm, &record).expect("a legal record");
    let signature = Pen(signer).sign(&bytes);
    Arc::new(SignedRoutingRecord { record, signature })
}

pub(super) fn place(which: u8) -> (Key, RecordKind) {
    let content = content(which & 15);
    let key = key_of(&realm(), &node(which >> 4), &content);
    (key, content.kind())
}

/// Signs as a node, and checks as anybody, without a key: the signature is made of a digest of the message.
pub(super) struct Pen(pub(super) NodeId);

impl Pen {
    fn signature(signer: NodeId, message: &[u8]) -> Signature {
        let digest = macula_realm::sha256(message);
        let mut bytes = [0; SIGNATURE_LEN];
        bytes[..32].copy_from_slice(&digest);
        bytes[32..].copy_from_slice(signer.as_bytes());
        Signature::from_bytes(bytes)
    }
}

impl Signer for Pen {
    fn node(&self) -> NodeId {
        self.0
    }

    fn sign(&self, message: &[u8]) -> Signature {
        Self::signature(self.0, message)
    }
}

impl Verifier for Pen {
    fn verify(&self, signer: NodeId, message: &[u8], signature: &Signature) -> bool {
        Self::signature(signer, message) == *signature
    }
}

pub(super) fn realm() -> RealmName {
    RealmName::new("be.acme.iot").expect("a realm")
}

/// One of sixteen nodes.
pub(super) const fn node(number: u8) -> NodeId {
    NodeId::from_bytes([(number & 15) + 1; 32])
}

/// A node and its address: some of one public network, the others of a private one.
pub(super) fn contact(number: u8) -> Arc<Contact> {
    let ip = if number & 8 == 8 {
        [8, 8, 8, number]
    } else {
        [10, 0, 0, number]
    };
    Arc::new(Contact {
        node: node(number),
        addresses: vec![(ip, 4433).into()],
    })
}
