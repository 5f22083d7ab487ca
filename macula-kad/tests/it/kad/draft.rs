//! Nodes, keys and records by hand.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_kad::{key, key_of, record_id};
use macula_testkit::{StubSigner, node_id};
use macula_wire::message::{
    Contact, InterestContent, Invoke, NodeContent, ProviderContent, RecordContent, RecordKind,
    RoutingRecord, SignedRoutingRecord, ValueContent,
};
use macula_wire::{
    ContentType, Instant, Key, NodeId, Pattern, RealmName, RecordId, Signer, Topic, signed,
};

/// The wall clock when a bench begins.
pub(crate) const WALL_MS: u64 = 1_700_000_000_000;
/// When a bench begins.
pub(crate) const START: Instant = Instant::from_millis(10_000);
pub(crate) const HOUR_MS: u64 = 3_600_000;

pub(crate) fn realm() -> RealmName {
    RealmName::new("be.acme.iot").unwrap()
}

pub(crate) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A node of a private network.
pub(crate) fn contact(number: usize) -> Arc<Contact> {
    at(number, "10.1.2.3:4433")
}

pub(crate) fn at(number: usize, address: &str) -> Arc<Contact> {
    let (node, addresses) = (node_id(number), vec![address.parse().unwrap()]);
    Arc::new(Contact { node, addresses })
}

pub(crate) fn provider(name: &str) -> RecordContent {
    RecordContent::Provider(ProviderContent {
        pattern: Pattern::new(name).unwrap(),
        weight: 1,
        concurrency: 8,
        invoke: Invoke::P2c,
        zone: None,
        since_ms: 1,
        takeover: false,
    })
}

pub(crate) fn interest(pattern: &str) -> RecordContent {
    let pattern = Pattern::new(pattern).unwrap();
    RecordContent::Interest(InterestContent::each(pattern))
}

pub(crate) fn value_of(name: &str, value: &[u8]) -> RecordContent {
    RecordContent::Value(ValueContent {
        name: Topic::new(name).unwrap(),
        content: ContentType::Text,
        value: Bytes::copy_from_slice(value),
    })
}

pub(crate) fn value(name: &str) -> RecordContent {
    value_of(name, b"a value")
}

pub(crate) fn node_content() -> RecordContent {
    RecordContent::Node(NodeContent {
        addresses: vec!["10.1.2.3:4433".parse().unwrap()],
        tags: Vec::new(),
        neighbours: Vec::new(),
    })
}

pub(crate) fn key_value(name: &str) -> Key {
    key(&realm(), RecordKind::Value, name)
}

pub(crate) fn key_provider(name: &str) -> Key {
    key(&realm(), RecordKind::Provider, name)
}

/// A record about to be signed.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) record: RoutingRecord,
    realm: RealmName,
    signer: NodeId,
}

/// A record of node `owner` that holds for an hour from the start.
pub(crate) fn draft(owner: usize, content: RecordContent) -> Draft {
    let owner = node_id(owner);
    Draft {
        record: RoutingRecord {
            owner,
            sequence: WALL_MS,
            expires_ms: WALL_MS + HOUR_MS,
            withdrawn: false,
            content,
        },
        realm: realm(),
        signer: owner,
    }
}

impl Draft {
    /// The version that is `number` versions later.
    pub(crate) fn version(mut self, number: u64) -> Self {
        self.record.sequence += number;
        self
    }

    /// Lets it expire so long after the start.
    pub(crate) fn for_ms(mut self, lease_ms: u64) -> Self {
        self.record.expires_ms = WALL_MS + lease_ms;
        self
    }

    pub(crate) fn withdrawn(mut self) -> Self {
        self.record.withdrawn = true;
        if let RecordContent::Value(value) = &mut self.record.content {
            value.value = Bytes::new();
        }
        self
    }

    pub(crate) fn signed_by(mut self, number: usize) -> Self {
        self.signer = node_id(number);
        self
    }

    pub(crate) fn in_realm(mut self, name: &str) -> Self {
        self.realm = RealmName::new(name).unwrap();
        self
    }

    /// The id of its record.
    pub(crate) fn id(&self) -> RecordId {
        record_id(&self.record.owner, &self.record.content)
    }

    pub(crate) fn key(&self) -> Key {
        key_of(&realm(), &self.record.owner, &self.record.content)
    }

    pub(crate) fn sign(self) -> Arc<SignedRoutingRecord> {
        let bytes = signed::record_bytes(&self.realm, &self.record).unwrap();
        let signature = StubSigner::new(self.signer).sign(&bytes);
        let record = self.record;
        Arc::new(SignedRoutingRecord { record, signature })
    }
}
