//! Signatures and digests, for the cores that ask for them.

use std::fmt;
use std::sync::Arc;

use macula_wire::{NodeId, SIGNATURE_LEN, Signature, Signer, Verifier};
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

/// The SHA-256 of `bytes` (FIPS 180-4).
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    out
}

/// Signs with a node's key (Ed25519, RFC 8032). Cloning shares the key.
#[derive(Clone)]
pub struct NodeSigner {
    node: NodeId,
    pair: Arc<Ed25519KeyPair>,
}

impl NodeSigner {
    pub(crate) const fn new(node: NodeId, pair: Arc<Ed25519KeyPair>) -> Self {
        Self { node, pair }
    }
}

impl Signer for NodeSigner {
    fn node(&self) -> NodeId {
        self.node
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; SIGNATURE_LEN];
        for (to, from) in bytes.iter_mut().zip(self.pair.sign(message).as_ref()) {
            *to = *from;
        }
        Signature::from_bytes(bytes)
    }
}

impl fmt::Debug for NodeSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeSigner({})", self.node.short())
    }
}

/// Checks signatures of nodes (Ed25519, RFC 8032), whose ids are their public keys.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a node id is all that a check needs"
)]
pub struct KeyVerifier;

impl Verifier for KeyVerifier {
    fn verify(&self, signer: NodeId, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ED25519, signer.as_bytes())
            .verify(message, signature.as_bytes())
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::NodeKey;

    #[test]
    fn the_digest_is_sha_256() {
        let hex: String = sha256(b"abc")
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_signature_holds_for_its_signer_and_its_message_only() {
        let signer = NodeKey::generate().unwrap().signer();
        let other = NodeKey::generate().unwrap().signer();
        let signature = signer.sign(b"message");
        assert!(KeyVerifier.verify(signer.node(), b"message", &signature));
        assert!(!KeyVerifier.verify(signer.node(), b"messagf", &signature));
        assert!(!KeyVerifier.verify(signer.node(), b"", &signature));
        assert!(!KeyVerifier.verify(other.node(), b"message", &signature));
        assert!(!KeyVerifier.verify(signer.node(), b"message", &other.sign(b"message")));
    }

    /// The order of the group, little-endian: S and S plus the order would be two signatures for one message.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];

    #[test]
    fn a_signature_has_one_form() {
        let signer = NodeKey::generate().unwrap().signer();
        let signature = signer.sign(b"message");
        let mut bytes = *signature.as_bytes();
        let mut carry = 0;
        for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        assert!(!KeyVerifier.verify(signer.node(), b"message", &Signature::from_bytes(bytes)));
        assert!(KeyVerifier.verify(signer.node(), b"message", &signature));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_bit_of_a_signature_counts(
            message in proptest::collection::vec(any::<u8>(), 0..200),
            bit in 0..SIGNATURE_LEN * 8,
        ) {
            let signer = NodeKey::generate().unwrap().signer();
            let mut bytes = *signer.sign(&message).as_bytes();
            prop_assert!(KeyVerifier.verify(signer.node(), &message, &Signature::from_bytes(bytes)));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!KeyVerifier.verify(signer.node(), &message, &Signature::from_bytes(bytes)));
        }
    }
}
