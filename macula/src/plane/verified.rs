//! Signatures that were checked before: news of a member comes by many ways, and each copy is signed alike.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use macula_realm::{KeyVerifier, sha256};
use macula_wire::{NodeId, Signature, Verifier};

use super::counters::{Counters, add};

/// How many good signatures are remembered; the oldest makes room.
const MAX_REMEMBERED: usize = 16_384;

/// Good signatures, by the SHA-256 of who signed what how.
#[derive(Debug, Default)]
pub(crate) struct Verified(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    known: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

/// Checks signatures by their keys, unless the same one was found good before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrugalVerifier<'a> {
    pub(crate) verified: &'a Verified,
    pub(crate) counters: &'a Counters,
}

impl Verifier for FrugalVerifier<'_> {
    fn verify(&self, signer: NodeId, message: &[u8], signature: &Signature) -> bool {
        let parts = [
            signer.as_bytes().as_slice(),
            signature.as_bytes().as_slice(),
            message,
        ];
        let digest = sha256(&parts.concat());
        if self.verified.contains(&digest) {
            add(&self.counters.signatures_known, 1);
            return true;
        }
        add(&self.counters.signatures_checked, 1);
        let good = KeyVerifier.verify(signer, message, signature);
        if good {
            self.verified.remember(digest);
        }
        good
    }
}

impl Verified {
    fn contains(&self, digest: &[u8; 32]) -> bool {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.known.contains(digest)
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !remembered.known.insert(digest) {
            return;
        }
        remembered.order.push_back(digest);
        if remembered.order.len() > MAX_REMEMBERED
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use macula_realm::{IssueRequest, RealmRoot};
    use macula_wire::Signer;

    use super::*;

    #[test]
    fn a_signature_is_checked_once_and_only_a_good_one_is_remembered() {
        let name = "be.acme.iot".parse().unwrap();
        let root = RealmRoot::create(name, 1_000_000, RealmRoot::DEFAULT_VALIDITY).unwrap();
        let identity = root.issue(&IssueRequest::default(), 1_000_000).unwrap();
        let signer = identity.signer();
        let (node, message) = (signer.node(), b"a record");
        let good = signer.sign(message);
        let (verified, counters) = (Verified::default(), Counters::default());
        let verifier = FrugalVerifier {
            verified: &verified,
            counters: &counters,
        };
        let counts = || {
            let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
            (
                read(&counters.signatures_checked),
                read(&counters.signatures_known),
            )
        };
        for _ in 0..3 {
            assert!(verifier.verify(node, message, &good));
        }
        assert_eq!(counts(), (1, 2));
        for _ in 0..2 {
            assert!(!verifier.verify(node, b"another record", &good));
            assert!(!verifier.verify(NodeId::from_bytes([7; 32]), message, &good));
        }
        assert_eq!(counts(), (5, 2), "what is bad is checked each time");
    }

    #[test]
    fn the_oldest_makes_room() {
        let verified = Verified::default();
        let digest = |number: usize| sha256(&number.to_le_bytes());
        for number in 0..=MAX_REMEMBERED {
            verified.remember(digest(number));
            verified.remember(digest(number));
        }
        assert!(!verified.contains(&digest(0)) && verified.contains(&digest(1)));
        assert!(verified.contains(&digest(MAX_REMEMBERED)));
    }
}
