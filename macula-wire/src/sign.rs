//! Signing and checking, as questions that a core can ask without knowing any cryptography.

use crate::NodeId;

/// The length of an Ed25519 signature in bytes (RFC 8032).
pub const SIGNATURE_LEN: usize = 64;

/// An Ed25519 signature (RFC 8032) over the bytes that [`signed`](crate::signed) builds.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Signature([u8; SIGNATURE_LEN]);

impl Signature {
    /// The signature with these bytes; whether it is right is a question for a [`Verifier`].
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SIGNATURE_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes as they stand on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE_LEN] {
        &self.0
    }
}

impl core::fmt::Debug for Signature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Signature({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// Signs with the key of this node.
///
/// The caller passes the whole message, domain string and realm included ([`signed`](crate::signed)
/// builds it), so that a signature made for one purpose is worth nothing for another.
pub trait Signer {
    /// The node whose key signs.
    fn node(&self) -> NodeId;

    /// The signature of `message`. Answers from memory.
    fn sign(&self, message: &[u8]) -> Signature;
}

/// Checks signatures. A node id is its public key, so nothing else is needed.
pub trait Verifier {
    /// Whether `signature` is `signer`'s over `message`. Answers from memory.
    fn verify(&self, signer: NodeId, message: &[u8], signature: &Signature) -> bool;
}
