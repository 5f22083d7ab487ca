//! What a node stores in the routing table of its realm, signed by its owner.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;

use super::{Balance, Invoke, Tag};
use crate::field::{Field, UNLIMITED, record, tagged};
use crate::limit::{
    MAX_ADDRESSES, MAX_GROUP_LEN, MAX_GROUPS, MAX_NEIGHBOURS, MAX_TAGS, MAX_VALUE_LEN, MAX_ZONE_LEN,
};
use crate::{
    ContentType, DecodeError, EncodeError, NodeId, Pattern, Reader, Signature, Topic, check, varint,
};

tagged! {
    /// What a record is about.
    pub enum RecordKind as "record kind" {
        /// Where a node can be reached.
        Node = 0,
        /// Who serves a procedure.
        Provider = 1,
        /// Who wants the events of a pattern.
        Interest = 2,
        /// A small value under a name.
        Value = 3,
    }
}

record! {
    /// Where the owner of the record can be reached.
    pub struct NodeContent {
        /// Best first; at most 8, none twice, each as in a [`MemberRecord`](super::MemberRecord).
        pub addresses: Vec<SocketAddr> [MAX_ADDRESSES],
        /// At most 16, strictly ascending by key.
        pub tags: Vec<Tag> [MAX_TAGS],
        /// Its neighbours in the overlay, by which it is reached if no address works; at most 32, strictly ascending.
        pub neighbours: Vec<NodeId> [MAX_NEIGHBOURS],
    }
    check check_node
}

fn check_node(node: &NodeContent) -> Result<(), EncodeError> {
    check::addresses(&node.addresses)?;
    check::ascending(node.tags.iter().map(|tag| &tag.key))?;
    check::ascending(&node.neighbours)
}

record! {
    /// Procedures that the owner of the record serves.
    pub struct ProviderContent {
        /// Which: a procedure, or a pattern of procedures.
        pub pattern: Pattern,
        /// Its share of the calls beside those of other providers; with 0 it asks for no new calls.
        pub weight: u32,
        /// How many calls it takes at a time.
        pub concurrency: u32,
        /// Who of several providers gets a call.
        pub invoke: Invoke,
        /// Where it stands; 1 to 63 of `[a-z0-9-]`.
        pub zone: Option<String> [MAX_ZONE_LEN],
        /// Since when it has served them, in milliseconds since 1970.
        pub since_ms: u64,
        /// Whether it takes the place of whoever served them before.
        pub takeover: bool,
    }
    check check_provider
}

fn check_provider(provider: &ProviderContent) -> Result<(), EncodeError> {
    check::zone(provider.zone.as_deref())
}

record! {
    /// A group of subscribers that share events: each event goes to one of them.
    pub struct GroupInterest {
        /// Its name: 1 to 64 bytes of visible ASCII.
        pub name: String [MAX_GROUP_LEN],
        /// How the one is chosen.
        pub balance: Balance,
    }
    check check_group
}

fn check_group(group: &GroupInterest) -> Result<(), EncodeError> {
    check::word("name", &group.name)
}

record! {
    /// A pattern whose events the owner of the record wants.
    pub struct InterestContent {
        /// Which.
        pub pattern: Pattern,
        /// Whether it wants each of them; otherwise only its groups do.
        pub each: bool,
        /// The groups of the owner that want a share of them: at most 16, strictly ascending by name.
        pub groups: Vec<GroupInterest> [MAX_GROUPS],
    }
    check check_interest
}

fn check_interest(interest: &InterestContent) -> Result<(), EncodeError> {
    check::require(interest.each || !interest.groups.is_empty(), "each", 0)?;
    check::ascending(interest.groups.iter().map(|group| &group.name))
}

impl InterestContent {
    /// That its owner wants each event, and has no groups.
    #[must_use]
    pub const fn each(pattern: Pattern) -> Self {
        Self {
            pattern,
            each: true,
            groups: Vec::new(),
        }
    }
}

record! {
    /// A value that the owner of the record keeps under a name.
    pub struct ValueContent {
        /// The name.
        pub name: Topic,
        /// What the bytes are.
        pub content: ContentType,
        /// The value; at most 65,536 bytes.
        pub value: Bytes [MAX_VALUE_LEN],
    }
}

/// What a record says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RecordContent {
    /// Where its owner can be reached.
    Node(NodeContent),
    /// That its owner serves a procedure.
    Provider(ProviderContent),
    /// That its owner wants events.
    Interest(InterestContent),
    /// A value of its owner.
    Value(ValueContent),
}

impl RecordContent {
    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Node(_) => RecordKind::Node,
            Self::Provider(_) => RecordKind::Provider,
            Self::Interest(_) => RecordKind::Interest,
            Self::Value(_) => RecordKind::Value,
        }
    }

    /// What tells it from others of its owner and kind: the procedure, the pattern, the name; empty for a node.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Node(_) => "",
            Self::Provider(provider) => provider.pattern.as_str(),
            Self::Interest(interest) => interest.pattern.as_str(),
            Self::Value(value) => value.name.as_str(),
        }
    }
}

impl Field for RecordContent {
    fn put(&self, field: &'static str, _: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        varint::put(out, u64::from(self.kind().tag()));
        match self {
            Self::Node(node) => node.put(field, UNLIMITED, out),
            Self::Provider(provider) => provider.put(field, UNLIMITED, out),
            Self::Interest(interest) => interest.put(field, UNLIMITED, out),
            Self::Value(value) => value.put(field, UNLIMITED, out),
        }
    }

    fn take(field: &'static str, max: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        match RecordKind::take(field, max, input)? {
            RecordKind::Node => Field::take(field, UNLIMITED, input).map(Self::Node),
            RecordKind::Provider => Field::take(field, UNLIMITED, input).map(Self::Provider),
            RecordKind::Interest => Field::take(field, UNLIMITED, input).map(Self::Interest),
            RecordKind::Value => Field::take(field, UNLIMITED, input).map(Self::Value),
        }
    }
}

record! {
    /// A record as its owner signs it. Of two with the same owner, kind and name the one with the higher sequence holds.
    pub struct RoutingRecord {
        /// Who made it, and who alone may replace it.
        pub owner: NodeId,
        /// Counts its versions: the wall clock of the owner in milliseconds since 1970, raised until it is above the
        /// last one.
        pub sequence: u64,
        /// Until when it holds, in milliseconds since 1970.
        pub expires_ms: u64,
        /// Whether its owner takes it back. It is kept until it expires then, so that an earlier one does not return.
        pub withdrawn: bool,
        /// What it says. A withdrawn value is empty.
        pub content: RecordContent,
    }
    check check_record
}

fn check_record(record: &RoutingRecord) -> Result<(), EncodeError> {
    if let (true, RecordContent::Value(value)) = (record.withdrawn, &record.content) {
        let length = u64::try_from(value.value.len()).unwrap_or(u64::MAX);
        return check::require(value.value.is_empty(), "value", length);
    }
    Ok(())
}

record! {
    /// A record and its owner's signature.
    pub struct SignedRoutingRecord {
        /// What was signed.
        pub record: RoutingRecord,
        /// The signature of `record.owner` over [`signed`](crate::signed) with the domain `Record`.
        pub signature: Signature,
    }
}

/// Records that travel together; clones of a record share it.
pub(crate) type Records = Vec<Arc<SignedRoutingRecord>>;

impl core::fmt::Display for RecordKind {
    /// The word for it in output: `node`, `provider`, `interest` or `value`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let word = match self {
            Self::Node => "node",
            Self::Provider => "provider",
            Self::Interest => "interest",
            Self::Value => "value",
        };
        f.pad(word)
    }
}
