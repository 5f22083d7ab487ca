//! A root of trust: the self-signed certificate at the top of a realm.

use macula_wire::NodeId;
use macula_wire::limit::MAX_CERTIFICATE_LEN;
use ring::signature::{ED25519, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, TrustAnchor};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{BasicConstraints, KeyUsage};
use x509_parser::prelude::FromDer;

use crate::certificate::{BASIC_CONSTRAINTS, KEY_USAGE, public_key, read_x509};
use crate::sha256;

/// A root certificate that a [`TrustBundle`](crate::TrustBundle) names.
#[derive(Clone, Eq, PartialEq)]
pub struct RootCertificate {
    der: Vec<u8>,
    key: NodeId,
    anchor: TrustAnchor<'static>,
    not_before: u64,
    not_after: u64,
    sha256: [u8; 32],
}

impl RootCertificate {
    /// Reads a root: self-signed with Ed25519, cA=true, and keyCertSign if a key usage is there.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, &'static str> {
        if der.len() > MAX_CERTIFICATE_LEN {
            return Err("is over 8,192 bytes");
        }
        let (x509, extensions) =
            read_x509(der).map_err(|_| "is not an X.509 version 3 certificate")?;
        let constraints = extensions
            .get(BASIC_CONSTRAINTS.as_slice())
            .and_then(|extension| BasicConstraints::from_der(extension.value).ok());
        if !constraints.is_some_and(|(_rest, constraints)| constraints.ca) {
            return Err("may not sign certificates");
        }
        if let Some(extension) = extensions.get(KEY_USAGE.as_slice()) {
            let usage = KeyUsage::from_der(extension.value).ok();
            if !usage.is_some_and(|(_rest, usage)| usage.key_cert_sign()) {
                return Err("has a key usage without keyCertSign");
            }
        }
        let key = check_self_signed(&x509)?;
        let body = &x509.tbs_certificate;
        let bound = |at: i64| u64::try_from(at).map_err(|_| "is from before 1970");
        let certificate = CertificateDer::from(der);
        let anchor = webpki::anchor_from_trusted_cert(&certificate)
            .map_err(|_| "is not an X.509 version 3 certificate")?
            .to_owned();
        Ok(Self {
            key,
            anchor,
            not_before: bound(body.validity.not_before.timestamp())?,
            not_after: bound(body.validity.not_after.timestamp())?,
            sha256: sha256(der),
            der: der.to_vec(),
        })
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The first second at which it is valid, in seconds since 1970.
    #[must_use]
    pub const fn not_before(&self) -> u64 {
        self.not_before
    }

    /// The last second at which it is valid, in seconds since 1970. What it signed is not valid beyond it.
    #[must_use]
    pub const fn not_after(&self) -> u64 {
        self.not_after
    }

    /// The SHA-256 of the certificate, by which people tell one from another.
    #[must_use]
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Whether the root's key is this one.
    pub(crate) fn has_key(&self, key: NodeId) -> bool {
        self.key == key
    }

    pub(crate) const fn anchor(&self) -> &TrustAnchor<'static> {
        &self.anchor
    }
}

impl std::fmt::Debug for RootCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, ..] = self.sha256;
        write!(f, "RootCertificate({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

/// Checks that the certificate is signed with its own key, which is returned.
fn check_self_signed(x509: &X509Certificate<'_>) -> Result<NodeId, &'static str> {
    let body = &x509.tbs_certificate;
    let key = public_key(body).ok_or("has a key that is not Ed25519")?;
    if body.subject.as_raw() != body.issuer.as_raw() {
        return Err("is not self-signed");
    }
    // The certificate library that issues cannot repeat a name that has an empty part.
    if body.subject.iter().any(|part| part.iter().next().is_none()) {
        return Err("has an empty part in its name");
    }
    UnparsedPublicKey::new(&ED25519, key.as_bytes())
        .verify(body.as_ref(), &x509.signature_value.data)
        .map_err(|_| "is not self-signed")?;
    Ok(key)
}
