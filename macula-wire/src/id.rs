//! Identifiers that are numbers or keys.

use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;

use crate::NameError;

/// The length of a node id in bytes.
pub const NODE_ID_LEN: usize = 32;

/// A node: its Ed25519 public key (32 bytes), shown as 64 lower-case hexadecimal digits.
///
/// Whoever knows the id can check a signature of the node; ids order by their bytes.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct NodeId([u8; NODE_ID_LEN]);

impl NodeId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; NODE_ID_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, which are the public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; NODE_ID_LEN] {
        &self.0
    }

    /// The first eight hexadecimal digits, for logs and tables read by people. Not unique.
    #[must_use]
    pub fn short(&self) -> ShortId {
        let [a, b, c, d, ..] = self.0;
        ShortId([a, b, c, d])
    }

    /// The first eight bytes, by which a node is told from others where its whole id would take too much room.
    #[must_use]
    pub const fn mark(&self) -> NodeMark {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        NodeMark([a, b, c, d, e, f, g, h])
    }

    /// The first eight bytes as a number that orders as they do.
    const fn head(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Ord for NodeId {
    /// By the bytes. Keys differ in the first eight, but for a chance of none, and two numbers are compared at once.
    fn cmp(&self, other: &Self) -> Ordering {
        let heads = self.head().cmp(&other.head());
        heads.then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for NodeId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.short())
    }
}

impl FromStr for NodeId {
    type Err = NameError;

    /// Reads the one text form: 64 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let digits = text.as_bytes();
        if digits.len() != NODE_ID_LEN.saturating_mul(2) {
            return Err(NameError::Length {
                max: NODE_ID_LEN.saturating_mul(2),
            });
        }
        let mut bytes = [0; NODE_ID_LEN];
        for ((at, pair), byte) in digits.chunks_exact(2).enumerate().zip(bytes.iter_mut()) {
            let bad = |offset| NameError::Character {
                at: at.saturating_mul(2).saturating_add(offset),
            };
            let [high, low] = pair else {
                return Err(bad(0));
            };
            let high = hex_digit(*high).ok_or_else(|| bad(0))?;
            let low = hex_digit(*low).ok_or_else(|| bad(1))?;
            *byte = (high << 4) | low;
        }
        Ok(Self(bytes))
    }
}

/// The first eight bytes of a [`NodeId`]: a hint where a packet has been or may go, never a proof of who somebody is.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodeMark([u8; 8]);

impl NodeMark {
    /// The mark with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// The length of a [`Key`] in bytes.
pub const KEY_LEN: usize = 32;

/// A place in the key space of routing (Kademlia): where a record is kept, or where a node stands. A SHA-256 hash, shown
/// as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key([u8; KEY_LEN]);

impl Key {
    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

/// A record, told from all others: the first 16 bytes of a SHA-256 hash of its owner, kind and name.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecordId([u8; 16]);

impl RecordId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

const fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}

/// The first four bytes of a [`NodeId`] as eight hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ShortId([u8; 4]);

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(u64);

        impl $name {
            /// The value `number`.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The value `count` places further on, saturating.
            #[must_use]
            pub const fn plus(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }

            /// The next value, saturating.
            #[must_use]
            pub const fn next(self) -> Self {
                self.plus(1)
            }

            /// How many places `self` lies after `earlier`; 0 if it does not.
            #[must_use]
            pub const fn since(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// One run of a node: the wall clock at its start in milliseconds since 1970, raised until it is above every
    /// epoch that the node used before. Tells a restarted publisher from a replay.
    Epoch
}
number! {
    /// The place of an event among those of one publisher, epoch and topic; the first is 0.
    Sequence
}
number! {
    /// The version of a member's record within one [`Epoch`]; only its owner raises it (SWIM, section 4.2).
    Incarnation
}
number! {
    /// The number that stands for a topic in the batches of one publisher and epoch.
    TopicAlias
}
number! {
    /// A numbering of what a node sends reliably: a greater one begins anew.
    ChannelRun
}
number! {
    /// An event that a node keeps until its receivers have it, in the numbering of a [`ChannelRun`]. The first is 1.
    DeliveryId
}
number! {
    /// A subscription of a client on one link, chosen by the client.
    SubscriptionId
}
number! {
    /// A registration of a client on one link, chosen by the client.
    RegistrationId
}
number! {
    /// A request on the control stream and its answer, chosen by who asks.
    RequestId
}
number! {
    /// A probe of membership and its acknowledgement, chosen by who probes.
    ProbeId
}
number! {
    /// An exchange of edges of the overlay, chosen by chance by who begins it.
    EdgeToken
}

/// The length of a [`CallId`] in bytes.
pub const CALL_ID_LEN: usize = 16;

/// A call: 16 random bytes chosen by the caller's node. A callee runs one id at most once.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallId([u8; CALL_ID_LEN]);

impl CallId {
    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; CALL_ID_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; CALL_ID_LEN] {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_node_id_has_one_text_form() {
        let id = NodeId::from_bytes([0xab; 32]);
        assert_eq!(id.to_string().parse::<NodeId>(), Ok(id));
        assert_eq!(
            "AB".repeat(32).parse::<NodeId>(),
            Err(NameError::Character { at: 0 })
        );
        assert_eq!("ab".parse::<NodeId>(), Err(NameError::Length { max: 64 }));
        assert_eq!(id.short().to_string(), "abababab");
    }
}
