//! What is told of lookups, records and a node's own table.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use macula_kad::{Kad, Outcome, Step, StepEnd};
use macula_wire::message::{Contact, RecordContent, SignedRoutingRecord, Tag};
use macula_wire::{Instant, Key, Pattern, Topic};

use crate::node::view::as_micros;
use crate::plane::outgoing::milliseconds;

/// What a lookup found.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Findings {
    /// The key that was looked up, 64 hexadecimal digits.
    pub key: String,
    /// Whether the lookup came to its end within its time.
    pub complete: bool,
    /// The records that were found, by owner.
    pub records: Vec<RecordInfo>,
    /// The nodes closest to the key that answered, closest first.
    pub closest: Vec<ContactInfo>,
    /// How many requests in a row led to the closest; 0 if this node answered from memory.
    pub hops: u32,
    /// How many requests were made.
    pub requests: u32,
    /// How many answers were late.
    pub late: u32,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// The requests, in the order in which they were made.
    pub steps: Vec<StepInfo>,
}

/// A node and its addresses.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct ContactInfo {
    /// The node's id, 64 hexadecimal digits.
    pub node: String,
    /// Where it can be dialled, best first.
    pub addresses: Vec<SocketAddr>,
}

/// A record of the realm's routing.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct RecordInfo {
    /// Who signed it, 64 hexadecimal digits.
    pub owner: String,
    /// `node`, `provider`, `interest` or `value`.
    pub kind: String,
    /// The procedure, the pattern or the name; empty for a node.
    pub name: String,
    /// The version; the highest holds.
    pub sequence: u64,
    /// Until when it holds, in milliseconds since 1970.
    pub expires_at_ms: u64,
    /// Of a node: where it can be dialled, best first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<SocketAddr>>,
    /// Of a node: the marks that its application gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Of a node: its neighbours in the overlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neighbours: Option<Vec<String>>,
    /// Of a provider: its share of the calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Of a value: what its bytes are, as a media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Of a value: the bytes as text, if they are UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Of a value: the bytes as hexadecimal digits, if they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
}

/// A request of a lookup.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct StepInfo {
    /// Who was asked.
    pub node: String,
    /// How many requests led there, this one among them.
    pub hops: u32,
    /// `answered`, `late`, `failed` or `waiting`.
    pub end: &'static str,
    /// How long after the first request it was made, in microseconds.
    pub after_us: u64,
    /// How long it took until then, in microseconds.
    pub took_us: u64,
}

/// A node's own part of the realm's routing.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct RoutingInfo {
    /// The node's id, 64 hexadecimal digits.
    pub node: String,
    /// Where it stands: the SHA-256 of its id.
    pub position: String,
    /// How many nodes the realm has, as membership knows or distances let guess.
    pub nodes: u64,
    /// Its contacts, nearest first.
    pub contacts: Vec<TableEntry>,
    /// How many records it keeps for others and itself.
    pub records: usize,
    /// How many bytes they take.
    pub record_bytes: usize,
    /// How many records it owns.
    pub own_records: usize,
    /// How many keys it watches.
    pub watches: usize,
    /// How many watches of others it serves.
    pub watched: usize,
}

/// A contact of a node.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct TableEntry {
    /// The contact's id, 64 hexadecimal digits.
    pub node: String,
    /// The bucket: how many leading bits its position shares with that of this node.
    pub shared_bits: usize,
    /// Where it can be dialled, best first.
    pub addresses: Vec<SocketAddr>,
    /// How long an answer takes, in microseconds; absent before the first.
    pub rtt_us: Option<u64>,
    /// How long ago it was heard, in milliseconds.
    pub heard_ms: u64,
    /// How many requests in a row it has left unanswered.
    pub failures: u8,
}

pub(super) fn routing_info(kad: &Kad, now: Instant) -> RoutingInfo {
    let (records, record_bytes) = kad.kept();
    let contacts = kad.contacts().map(|contact| TableEntry {
        node: contact.node.to_string(),
        shared_bits: contact.shared_bits,
        addresses: contact.addresses.to_vec(),
        rtt_us: contact.rtt.map(as_micros),
        heard_ms: u64::from(milliseconds(now.saturating_since(contact.heard))),
        failures: contact.failures,
    });
    RoutingInfo {
        node: kad.node().to_string(),
        position: kad.position().to_string(),
        nodes: kad.size_estimate(),
        contacts: contacts.collect(),
        records,
        record_bytes,
        own_records: kad.own_records().count(),
        watches: kad.watches(),
        watched: kad.watched(),
    }
}

impl Findings {
    pub(super) fn new(key: &Key, outcome: &Outcome) -> Self {
        let first = outcome.steps.iter().map(|step| step.asked).min();
        let step = |step: &Step| StepInfo {
            node: step.node.to_string(),
            hops: step.hops,
            end: match step.end {
                StepEnd::Answered => "answered",
                StepEnd::Late => "late",
                StepEnd::Failed => "failed",
                _ => "waiting",
            },
            after_us: as_micros(step.asked.saturating_since(first.unwrap_or(step.asked))),
            took_us: as_micros(step.took),
        };
        Self {
            key: key.to_string(),
            complete: outcome.complete,
            records: outcome
                .records
                .iter()
                .map(|record| record_info(record))
                .collect(),
            closest: outcome
                .closest
                .iter()
                .map(|contact| contact_info(contact))
                .collect(),
            hops: outcome.hops,
            requests: outcome.requests,
            late: outcome.late,
            took_us: as_micros(outcome.took),
            steps: outcome.steps.iter().map(step).collect(),
        }
    }

    /// Takes in what a second lookup for the same question found.
    pub(super) fn add(&mut self, other: Self) {
        self.complete &= other.complete;
        self.records.extend(other.records);
        self.hops = self.hops.max(other.hops);
        self.requests = self.requests.saturating_add(other.requests);
        self.late = self.late.saturating_add(other.late);
        self.took_us = self.took_us.saturating_add(other.took_us);
        self.steps.extend(other.steps);
    }
}

impl RecordInfo {
    /// Whether it is interest in a topic.
    pub(super) fn wants(&self, topic: &Topic) -> bool {
        Pattern::new(&self.name).is_ok_and(|pattern| pattern.matches(topic))
    }
}

fn contact_info(contact: &Contact) -> ContactInfo {
    ContactInfo {
        node: contact.node.to_string(),
        addresses: contact.addresses.clone(),
    }
}

fn record_info(signed: &SignedRoutingRecord) -> RecordInfo {
    let record = &signed.record;
    let mut info = RecordInfo {
        owner: record.owner.to_string(),
        kind: record.content.kind().to_string(),
        name: record.content.name().to_owned(),
        sequence: record.sequence,
        expires_at_ms: record.expires_ms,
        addresses: None,
        tags: None,
        neighbours: None,
        weight: None,
        content: None,
        text: None,
        hex: None,
    };
    match &record.content {
        RecordContent::Node(node) => {
            info.addresses = Some(node.addresses.clone());
            let pair = |tag: &Tag| (tag.key.clone(), tag.value.clone());
            info.tags = Some(node.tags.iter().map(pair).collect());
            info.neighbours = Some(node.neighbours.iter().map(ToString::to_string).collect());
        }
        RecordContent::Provider(provider) => info.weight = Some(provider.weight),
        RecordContent::Value(value) => {
            info.content = Some(value.content.media_type().to_owned());
            match std::str::from_utf8(&value.value) {
                Ok(text) => info.text = Some(text.to_owned()),
                Err(_) => info.hex = Some(hex(&value.value)),
            }
        }
        _ => {}
    }
    info
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
