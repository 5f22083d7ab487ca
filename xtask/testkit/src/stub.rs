//! Stand-ins for what needs cryptography: ids, signatures that cost nothing, and their counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use macula_wire::{NODE_ID_LEN, NodeId, Random, SIGNATURE_LEN, Signature, Signer, Verifier};

use crate::net::Digest;

/// The id of the node that was added to a simulated network as number `index`; the same in every run.
#[must_use]
pub fn node_id(index: usize) -> NodeId {
    let mut bytes = [0; NODE_ID_LEN];
    let seed = u64::try_from(index).unwrap_or(u64::MAX);
    Random::new(seed.wrapping_add(0x6e6f_6465)).fill(&mut bytes);
    NodeId::from_bytes(bytes)
}

fn stub_signature(signer: NodeId, message: &[u8]) -> Signature {
    let mut digest = Digest::new();
    digest.bytes(signer.as_bytes());
    digest.bytes(message);
    let mut bytes = [0; SIGNATURE_LEN];
    Random::new(digest.value()).fill(&mut bytes);
    Signature::from_bytes(bytes)
}

/// Signs without a key: a signature is a digest of the node and the message. Clones share the counter.
///
/// Everybody could make it, so it proves nothing; it tells a right signature from a wrong one, which is what the tests
/// of a protocol need.
#[derive(Clone, Debug)]
pub struct StubSigner {
    node: NodeId,
    count: Arc<AtomicU64>,
}

impl StubSigner {
    /// Signs as `node`.
    #[must_use]
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            count: Arc::default(),
        }
    }

    /// How many signatures were made.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Signer for StubSigner {
    fn node(&self) -> NodeId {
        self.node
    }

    fn sign(&self, message: &[u8]) -> Signature {
        self.count.fetch_add(1, Ordering::Relaxed);
        stub_signature(self.node, message)
    }
}

/// Checks the signatures of [`StubSigner`]. Clones share the counters.
#[derive(Clone, Debug, Default)]
pub struct StubVerifier {
    count: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
}

impl StubVerifier {
    /// A verifier whose counters stand at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many signatures were checked.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How many of them were wrong.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Verifier for StubVerifier {
    fn verify(&self, signer: NodeId, message: &[u8], signature: &Signature) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        let right = stub_signature(signer, message) == *signature;
        if !right {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_counts_for_its_signer_and_its_message_only() {
        let signer = StubSigner::new(node_id(1));
        let signature = signer.sign(b"news");
        let verifier = StubVerifier::new();
        assert!(verifier.verify(node_id(1), b"news", &signature));
        assert!(!verifier.verify(node_id(2), b"news", &signature));
        assert!(!verifier.verify(node_id(1), b"olds", &signature));
        assert_eq!(
            (signer.count(), verifier.count(), verifier.refused()),
            (1, 3, 2)
        );
    }

    #[test]
    fn ids_differ() {
        assert_ne!(node_id(0), node_id(1));
        assert_eq!(node_id(7), node_id(7));
    }
}
