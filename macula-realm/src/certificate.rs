//! A node's certificate, read strictly.

mod extension;
mod profile;

use std::fmt;

use macula_wire::message::Roles;
use macula_wire::{NodeId, RealmName};

pub use extension::Attributes;
pub(crate) use extension::OID;
pub(crate) use profile::{BASIC_CONSTRAINTS, KEY_USAGE, public_key, read_x509, uri};

use crate::{CertificateError, Principal, Tenant, Zone};

/// A node's certificate: X.509 version 3 to the profile in this crate's README.
///
/// Reading it says what it claims. Whether the claim is true is for
/// [`TrustBundle::check`](crate::TrustBundle::check), which is what gives a certificate that can be relied on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certificate {
    realm: RealmName,
    node: NodeId,
    attributes: Attributes,
    not_before: u64,
    not_after: u64,
    serial: Vec<u8>,
    sha256: [u8; 32],
}

impl Certificate {
    /// Reads a certificate in DER, at most 8,192 bytes, and checks it against all rules of the profile that need
    /// neither a root nor the time.
    ///
    /// # Errors
    ///
    /// One variant for each cause; see [`CertificateError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        profile::read(der)
    }

    /// The node, whose key the certificate is for.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The realm.
    #[must_use]
    pub const fn realm(&self) -> &RealmName {
        &self.realm
    }

    /// The tenant, if the node belongs to one.
    #[must_use]
    pub const fn tenant(&self) -> Option<&Tenant> {
        self.attributes.tenant.as_ref()
    }

    /// What the node may be.
    #[must_use]
    pub const fn roles(&self) -> Roles {
        self.attributes.roles
    }

    /// Where the node stands, if that was said.
    #[must_use]
    pub const fn zone(&self) -> Option<&Zone> {
        self.attributes.zone.as_ref()
    }

    /// The first second at which it is valid, in seconds since 1970.
    #[must_use]
    pub const fn not_before(&self) -> u64 {
        self.not_before
    }

    /// The last second at which it is valid, in seconds since 1970.
    #[must_use]
    pub const fn not_after(&self) -> u64 {
        self.not_after
    }

    /// The serial number, most significant byte first, as it stands in the certificate.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The SHA-256 of the whole certificate, by which people tell one from another.
    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Who the node is to an [`Authority`](crate::Authority).
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal::new(self.node, self.attributes.roles)
            .with_tenant(self.attributes.tenant.clone())
            .with_zone(self.attributes.zone.clone())
    }
}

impl fmt::Display for Certificate {
    /// The URI.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&uri(&self.realm, self.node))
    }
}
