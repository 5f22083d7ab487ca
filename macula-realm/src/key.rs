//! The key of a node or of a root.

use std::fmt;
use std::sync::Arc;

use macula_wire::NodeId;
use rcgen::{PKCS_ED25519, PublicKeyData, SignatureAlgorithm, SigningKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use crate::{IssueError, KeyError, NodeSigner};

/// What stands before the 32 secret bytes in the PKCS#8 form of an Ed25519 key (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const SEED_LEN: usize = 32;

/// An Ed25519 private key.
///
/// The bytes that are handed out are cleared when the last owner drops them; the expanded key inside the
/// cryptographic library is not. Neither is ever printed.
#[derive(Clone)]
pub struct NodeKey {
    node: NodeId,
    pkcs8: Arc<Zeroizing<Vec<u8>>>,
    pair: Arc<Ed25519KeyPair>,
}

impl NodeKey {
    /// A new key from the randomness of the operating system.
    ///
    /// # Errors
    ///
    /// [`IssueError::Failed`] if the operating system gives none.
    pub fn generate() -> Result<Self, IssueError> {
        let mut pkcs8 = Zeroizing::new(vec![0; PKCS8_PREFIX.len().saturating_add(SEED_LEN)]);
        if let Some((prefix, seed)) = pkcs8.split_at_mut_checked(PKCS8_PREFIX.len()) {
            prefix.copy_from_slice(&PKCS8_PREFIX);
            random(seed)?;
        }
        Self::from_pkcs8(&pkcs8).map_err(|_| IssueError::Failed("the new key was refused"))
    }

    /// Reads a key in PKCS#8 DER, version 1 (as openssl writes it) or 2 (with the public key, which has to fit).
    ///
    /// # Errors
    ///
    /// [`KeyError`] for everything else.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| KeyError)?;
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| KeyError)?;
        Ok(Self {
            node: NodeId::from_bytes(public),
            pkcs8: Arc::new(Zeroizing::new(pkcs8.to_vec())),
            pair: Arc::new(pair),
        })
    }

    /// The public key, which is the id of the node that has the key.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The private key in PKCS#8 DER. Keep no copy that is not cleared.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// What signs with the key.
    #[must_use]
    pub fn signer(&self) -> NodeSigner {
        NodeSigner::new(self.node, Arc::clone(&self.pair))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.node.short())
    }
}

impl PublicKeyData for NodeKey {
    fn der_bytes(&self) -> &[u8] {
        self.node.as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for NodeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.pair.sign(message).as_ref().to_vec())
    }
}

/// A public key to issue for.
pub(crate) struct PublicKey(pub(crate) NodeId);

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// Fills `bytes` with the randomness of the operating system.
pub(crate) fn random(bytes: &mut [u8]) -> Result<(), IssueError> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_| IssueError::Failed("the operating system gives no randomness"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_bytes() {
        let key = NodeKey::generate().unwrap();
        let again = NodeKey::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(again.node(), key.node());
        assert_ne!(NodeKey::generate().unwrap().node(), key.node());
    }

    #[test]
    fn the_other_version_of_pkcs8_is_read_and_its_public_key_checked() {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let mut bytes = document.as_ref().to_vec();
        assert!(NodeKey::from_pkcs8(&bytes).is_ok());
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(NodeKey::from_pkcs8(&bytes).err(), Some(KeyError));
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let key = NodeKey::generate().unwrap();
        let good = key.pkcs8();
        for len in 0..good.len() {
            assert!(NodeKey::from_pkcs8(&good[..len]).is_err());
        }
        assert!(NodeKey::from_pkcs8(&[good, &[0]].concat()).is_err());
        assert!(NodeKey::from_pkcs8(good).is_ok());
    }
}
