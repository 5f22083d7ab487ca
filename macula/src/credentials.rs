//! What the transport asks of a realm, answered by the realm.

use bytes::Bytes;
use macula_realm::{Certificate, NodeIdentity, TrustBundle};
use macula_transport::{Credentials, PeerIdentity, PeerRefused, TlsIdentity};
use macula_wire::{NodeId, RealmName};

/// A node's certificate and key, and whom it trusts: what the transport's own functions ask for.
#[derive(Debug)]
pub struct RealmCredentials {
    own: Certificate,
    trust: TrustBundle,
    label: String,
    identity: TlsIdentity,
}

impl RealmCredentials {
    /// Credentials with the key of `identity`, for peers that end in a root of `trust`.
    #[must_use]
    pub fn new(identity: &NodeIdentity, trust: TrustBundle) -> Self {
        Self {
            own: identity.certificate().clone(),
            label: trust.label(),
            identity: TlsIdentity::new(identity.chain().to_vec(), identity.key_pkcs8().to_vec()),
            trust,
        }
    }
}

impl RealmCredentials {
    /// What this node is, as its local clients see it.
    pub(crate) fn own_identity(&self) -> PeerIdentity {
        peer_identity(&self.own)
    }
}

/// A certificate as the transport knows a peer.
pub(crate) fn peer_identity(certificate: &Certificate) -> PeerIdentity {
    let mut peer = PeerIdentity::new(
        certificate.node(),
        certificate.realm().clone(),
        certificate.roles(),
    );
    peer.tenant = certificate.tenant().map(ToString::to_string);
    peer.zone = certificate.zone().map(ToString::to_string);
    peer.expires = certificate.not_after();
    peer
}

impl Credentials for RealmCredentials {
    fn realm(&self) -> &RealmName {
        self.trust.realm()
    }

    fn node(&self) -> NodeId {
        self.own.node()
    }

    fn label(&self) -> &str {
        &self.label
    }

    fn identity(&self) -> TlsIdentity {
        self.identity.clone()
    }

    fn check(&self, chain: &[&[u8]], now_unix_s: u64) -> Result<PeerIdentity, PeerRefused> {
        let certificate = self
            .trust
            .check(chain, now_unix_s)
            .map_err(|error| PeerRefused(error.reason()))?;
        let mut peer = peer_identity(&certificate);
        peer.chain = chain
            .iter()
            .map(|der| Bytes::copy_from_slice(der))
            .collect();
        Ok(peer)
    }
}
