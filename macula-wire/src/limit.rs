//! The limits of version 1 in one place; each is also named at the field that it bounds.

pub use crate::batch::MAX_BATCH_EVENTS;
pub use crate::content::{
    MAX_CONTENT_NAME_LEN, MAX_HEADER_KEY_LEN, MAX_HEADER_VALUE_LEN, MAX_HEADERS,
};
pub use crate::earlier::{INDEX_SEGMENT, INDEX_TYPE, MAX_EARLIER, MAX_INDEXED, RETAINED_TYPE};
pub use crate::envelope::{MAX_SELECTED, RESERVED_HEADER};
pub use crate::extension::{MAX_EXTENSION_LEN, MAX_EXTENSIONS};
pub use crate::frame::{DEFAULT_MAX_FRAME_LEN, FORMAT_MAX_FRAME_LEN, HEADER_LEN};
pub use crate::name::{MAX_NAME_LEN, MAX_SEGMENTS};
pub use crate::testament::{MAX_TESTAMENTS, TESTAMENT_SEGMENT, TESTAMENT_TYPE};

/// The largest payload of an event or a call in bytes by default: 1 MiB.
///
/// A frame may be larger by what stands around the payload; see [`DEFAULT_MAX_FRAME_LEN`].
pub const DEFAULT_MAX_PAYLOAD_LEN: usize = 1 << 20;
/// The largest payload that any configuration allows: what a frame of the format's limit can hold.
pub const FORMAT_MAX_PAYLOAD_LEN: usize = FORMAT_MAX_FRAME_LEN - 65_536;
/// The most addresses of a member.
pub const MAX_ADDRESSES: usize = 8;
/// The most application tags of a member.
pub const MAX_TAGS: usize = 16;
/// The longest key or value of a tag, and the longest agent text, in bytes.
pub const MAX_TEXT_LEN: usize = 64;
/// The longest explanation in an error in bytes. It is for people and never parsed.
pub const MAX_DETAIL_LEN: usize = 512;
/// The longest ordering key, deduplication id or idempotency key in bytes.
pub const MAX_KEY_LEN: usize = 64;
/// The most certificates of a chain.
pub const MAX_CHAIN: usize = 4;
/// The longest certificate in bytes.
pub const MAX_CERTIFICATE_LEN: usize = crate::field::MAX_LISTED_BYTES;
/// The most groups that one record of interest names.
pub const MAX_GROUPS: usize = 16;
/// The longest name of a group, in bytes.
pub const MAX_GROUP_LEN: usize = 64;
/// The most ranges of ids that one EVENT_ACK lists as acknowledged, and as refused.
pub const MAX_ACK_RANGES: usize = 32;
/// The most members that one DEBTS names, and of one group.
pub const MAX_DEBTORS: usize = 1_024;
/// The most groups that one DEBTS names.
pub const MAX_DEBT_GROUPS: usize = 64;
/// The most members that are told who is owed an event.
pub const MAX_STORES: usize = 16;
/// The most members that one ARREARS names.
pub const MAX_ARREARS: usize = 512;
/// The most ranges of ids that one member is listed with there.
pub const MAX_OPEN_RANGES: usize = 2_048;
/// The longest zone in bytes.
pub const MAX_ZONE_LEN: usize = 63;
/// The least that a HANDSHAKE or HANDSHAKE_ACK may name as the largest body its sender accepts, in bytes.
///
/// Every message without payload, certificates or announcements fits it.
pub const MIN_MAX_FRAME_LEN: usize = 4_096;
/// The length of the token that binds a connection to a session where the transport has no streams.
pub const TOKEN_LEN: usize = 16;
/// The most updates that one membership message carries.
pub const MAX_UPDATES: usize = 64;
/// How many buckets a view of the membership is compared by.
pub const DIGEST_BUCKETS: usize = 256;
/// The most members that one SWIM_DIGEST lists.
pub const MAX_VERSIONS_LISTED: usize = 128;
/// The most neighbours that an overlay message names.
pub const MAX_NEIGHBOURS: usize = 32;
/// The most nodes that one OVERLAY_PEERS names.
pub const MAX_SHUFFLED: usize = 8;
/// The most frame versions that a HANDSHAKE offers.
pub const MAX_VERSIONS: usize = 8;
/// How many calls may lead to a call, each made while the one before was served. One beyond is refused with `HOP_LIMIT`.
pub const MAX_CALL_DEPTH: u8 = 32;
/// The hop limit that a publisher or a caller starts with.
pub const DEFAULT_HOPS: u8 = 8;
/// The hop limit that a publisher starts with where a batch goes along a tree. A batch with more than
/// [`DEFAULT_HOPS`] left is on its way along one.
pub const TREE_HOPS: u8 = 64;
/// The hop limit of a batch that comes to a client ahead of its turn.
pub const EARLY_HOPS: u8 = 255;
/// What the topic of dead letters has before the topic of the event.
pub const DEAD_LETTER_PREFIX: &str = "$sys.dlq.";
/// The most publishers that one IHAVE lists.
pub const MAX_HELD_LISTED: usize = 64;
/// The most contacts that one KAD_FOUND names: k of Kademlia.
pub const MAX_CONTACTS: usize = 20;
/// The most records that one message carries.
pub const MAX_RECORDS: usize = 64;
/// The most records that one KAD_DIGEST or KAD_WANT lists.
pub const MAX_RECORD_VERSIONS: usize = 1_024;
/// The longest value of a record in bytes.
pub const MAX_VALUE_LEN: usize = 65_536;
/// The longest packet that FORWARD carries in bytes.
pub const MAX_FORWARDED_LEN: usize = 1_452;
/// The most nodes that something forwarded passes, its origin among them.
pub const MAX_TRAIL: usize = 16;
/// The most neighbours of the target that something forwarded names.
pub const MAX_VIA: usize = 8;
