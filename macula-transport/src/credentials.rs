//! Who this side is, and who a peer may be.

use std::fmt;

use bytes::Bytes;
use macula_wire::message::Roles;
use macula_wire::{NodeId, RealmName};
use thiserror::Error;

/// What an endpoint presents and demands in one realm.
///
/// All methods answer from memory. They are asked anew for every link, so an implementation may renew its
/// certificate or its trust at any time; live links are not affected by that.
pub trait Credentials: fmt::Debug + Send + Sync + 'static {
    /// The realm.
    fn realm(&self) -> &RealmName;

    /// This node.
    fn node(&self) -> NodeId;

    /// What the realm is called in SNI: a DNS label of at most 63 of `[a-z0-9-]` that does not tell the name.
    fn label(&self) -> &str;

    /// The certificate chain of this node and its Ed25519 key.
    fn identity(&self) -> TlsIdentity;

    /// Judges the certificate chain of a peer (DER, leaf first) at `now_unix_s`, in seconds since 1970.
    ///
    /// The proof that the peer holds the key of the leaf is made by the caller.
    ///
    /// # Errors
    ///
    /// [`PeerRefused`] with a cause for the local log. The peer never learns it.
    fn check(&self, chain: &[&[u8]], now_unix_s: u64) -> Result<PeerIdentity, PeerRefused>;
}

/// A peer as its certificate describes it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PeerIdentity {
    /// The key of the certificate.
    pub node: NodeId,
    /// The realm that issued it.
    pub realm: RealmName,
    /// What it may be.
    pub roles: Roles,
    /// The tenant within the realm; `None` for none.
    pub tenant: Option<String>,
    /// Where the node stands; `None` if unsaid.
    pub zone: Option<String>,
    /// When the certificate ends, in seconds since 1970.
    pub expires: u64,
    /// The certificates that were shown (DER, leaf first), for whoever passes on what the peer signed; empty where
    /// none were.
    pub chain: Vec<Bytes>,
}

impl PeerIdentity {
    /// A peer without tenant and zone whose certificate never ends.
    #[must_use]
    pub const fn new(node: NodeId, realm: RealmName, roles: Roles) -> Self {
        Self {
            node,
            realm,
            roles,
            tenant: None,
            zone: None,
            expires: u64::MAX,
            chain: Vec::new(),
        }
    }
}

/// A certificate was not accepted. The reason is for the local log and for counters only.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("certificate refused: {0}")]
#[expect(clippy::exhaustive_structs, reason = "a newtype")]
pub struct PeerRefused(
    /// A short constant, fit for the label of a counter.
    pub &'static str,
);

/// A certificate chain and the key of its leaf. `Debug` shows no key.
#[derive(Clone, Eq, PartialEq)]
pub struct TlsIdentity {
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
}

impl TlsIdentity {
    /// The chain as DER, leaf first, and the key as PKCS#8 DER.
    #[must_use]
    pub const fn new(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Self {
        Self { chain, key }
    }

    /// The certificates as DER, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The private key as PKCS#8 DER.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}
