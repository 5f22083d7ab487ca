//! What stands in the log, and how.
//!
//! A record is its length and the CRC-32C of length and body, both `u32` little-endian, and then the body.

use macula_wire::NodeId;
use macula_wire::message::Balance;

/// The bytes before a body.
pub(crate) const HEAD: usize = 8;
/// The longest body: a batch of the longest payload, and who is owed it.
pub(crate) const MAX_BODY: usize = 24 << 20;

const KEPT: u8 = 1;
const SETTLED: u8 = 2;
const RESERVE: u8 = 3;
const BEGIN: u8 = 4;

/// A fact that is to be remembered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Record {
    /// Events are owed to other members.
    Kept(Box<KeptRecord>),
    /// Everybody has them, or is not owed them any more.
    Settled {
        /// The id of the first.
        id: u64,
    },
    /// Ids below this one may have been used.
    Reserve { upto: u64 },
    /// The numbering of the ids.
    Begin { run: u64 },
}

/// Events that are owed to other members.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct KeptRecord {
    /// The id of the first.
    pub(crate) id: u64,
    /// When they expire, in milliseconds since 1970; 0 for never.
    pub(crate) expires_ms: u64,
    /// The number of their priority.
    pub(crate) class: u8,
    /// The members that are owed them.
    pub(crate) to: Vec<NodeId>,
    /// The group of which one is owed them.
    pub(crate) group: Option<GroupRecord>,
    /// The frame of an ALIAS: who published them, when and under which topic.
    pub(crate) alias: Vec<u8>,
    /// The frame of their BATCH.
    pub(crate) batch: Vec<u8>,
}

/// A group and its members elsewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct GroupRecord {
    pub(crate) name: String,
    pub(crate) balance: Balance,
    pub(crate) members: Vec<NodeId>,
    /// Who of them was chosen; `None` for somebody on the node itself.
    pub(crate) chosen: Option<NodeId>,
}

impl Record {
    /// Appends the record to `out`.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEAD]);
        match self {
            Self::Kept(kept) => {
                out.push(KEPT);
                kept.put(out);
            }
            Self::Settled { id } => {
                out.push(SETTLED);
                out.extend_from_slice(&id.to_le_bytes());
            }
            Self::Reserve { upto } => {
                out.push(RESERVE);
                out.extend_from_slice(&upto.to_le_bytes());
            }
            Self::Begin { run } => {
                out.push(BEGIN);
                out.extend_from_slice(&run.to_le_bytes());
            }
        }
        let body = start.saturating_add(HEAD);
        let length = out.len().saturating_sub(body);
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        let sum = sum(&length, out.get(body..).unwrap_or_default()).to_le_bytes();
        let head = out.iter_mut().skip(start);
        for (place, byte) in head.zip(length.into_iter().chain(sum)) {
            *place = byte;
        }
    }

    /// The record of a body; `None` if it is none.
    pub(crate) fn take(body: &[u8]) -> Option<Self> {
        let (kind, rest) = body.split_first()?;
        let number = || Some(u64::from_le_bytes(rest.try_into().ok()?));
        Some(match *kind {
            KEPT => Self::Kept(Box::new(KeptRecord::take(rest)?)),
            SETTLED => Self::Settled { id: number()? },
            RESERVE => Self::Reserve { upto: number()? },
            BEGIN => Self::Begin { run: number()? },
            _ => return None,
        })
    }
}

impl KeptRecord {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.expires_ms.to_le_bytes());
        out.push(self.class);
        put_nodes(&self.to, out);
        match &self.group {
            None => out.push(0),
            Some(group) => {
                // A group has a name of 1 to 64 bytes.
                out.push(u8::try_from(group.name.len()).unwrap_or(u8::MAX));
                out.extend_from_slice(group.name.as_bytes());
                out.push(group.balance as u8);
                put_nodes(&group.members, out);
                put_nodes(group.chosen.as_slice(), out);
            }
        }
        let length = u32::try_from(self.alias.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.alias);
        out.extend_from_slice(&self.batch);
    }

    fn take(mut body: &[u8]) -> Option<Self> {
        let body = &mut body;
        let id = u64::from_le_bytes(*take_array(body)?);
        let expires_ms = u64::from_le_bytes(*take_array(body)?);
        let [class] = *take_array(body)?;
        let to = take_nodes(body)?;
        let [length] = *take_array(body)?;
        let group = if length == 0 {
            None
        } else {
            let name = take_bytes(body, usize::from(length))?;
            let [balance] = *take_array(body)?;
            Some(GroupRecord {
                name: String::from_utf8(name.to_vec()).ok()?,
                balance: *Balance::ALL.iter().find(|one| **one as u8 == balance)?,
                members: take_nodes(body)?,
                chosen: take_nodes(body)?.first().copied(),
            })
        };
        let length = u32::from_le_bytes(*take_array(body)?);
        let alias = take_bytes(body, usize::try_from(length).ok()?)?.to_vec();
        Some(Self {
            id,
            expires_ms,
            class,
            to,
            group,
            alias,
            batch: body.to_vec(),
        })
    }
}

fn put_nodes(nodes: &[NodeId], out: &mut Vec<u8>) {
    let count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    nodes
        .iter()
        .for_each(|node| out.extend_from_slice(node.as_bytes()));
}

fn take_nodes(body: &mut &[u8]) -> Option<Vec<NodeId>> {
    let count = u32::from_le_bytes(*take_array(body)?);
    let count = usize::try_from(count).ok()?;
    let bytes = take_bytes(body, count.checked_mul(32)?)?;
    let (nodes, _) = bytes.as_chunks();
    Some(nodes.iter().map(|node| NodeId::from_bytes(*node)).collect())
}

fn take_array<'a, const LEN: usize>(body: &mut &'a [u8]) -> Option<&'a [u8; LEN]> {
    let (array, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(array)
}

fn take_bytes<'a>(body: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (bytes, rest) = body.split_at_checked(length)?;
    *body = rest;
    Some(bytes)
}

/// CRC-32C (Castagnoli) of two pieces.
pub(crate) fn sum(head: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), body)
}
