//! Makes certificates that the crate itself would not make.

use macula_realm::TrustBundle;
use macula_wire::{NodeId, RealmName};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData,
    SanType,
};
use x509_parser::time::ASN1Time;

/// The present of all tests, in seconds since 1970.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const HOUR: u64 = 60 * 60;
pub(crate) const OURS: &str = "be.acme.iot";
pub(crate) const OTHER: &str = "be.other.iot";

/// A root whose key the test has, with the bundle that names it.
pub(crate) struct Forge {
    pub(crate) realm: RealmName,
    pub(crate) root: Vec<u8>,
    pub(crate) issuer: Issuer<'static, KeyPair>,
    pub(crate) bundle: TrustBundle,
}

impl Forge {
    pub(crate) fn new(realm: &str) -> Self {
        let (certificate, issuer) = self_signed(&ca(realm));
        Self {
            realm: RealmName::new(realm).unwrap(),
            root: certificate.der().to_vec(),
            bundle: TrustBundle::parse(&bundle_text(realm, &[&certificate])).unwrap(),
            issuer,
        }
    }

    /// What a good certificate of the realm for `key` says.
    pub(crate) fn good(&self, key: &KeyPair) -> CertificateParams {
        let node = node_of(key);
        let mut params = span(NOW - HOUR, NOW + HOUR);
        params.subject_alt_names = vec![uri(&format!("macula://{}/{node}", self.realm))];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        params
    }

    /// A good certificate for a new key, changed by `change` before it is signed.
    pub(crate) fn forged(&self, change: impl FnOnce(&mut CertificateParams, NodeId)) -> Vec<u8> {
        let key = ed25519();
        let mut params = self.good(&key);
        change(&mut params, node_of(&key));
        self.sign(&params, &key)
    }

    pub(crate) fn sign(&self, params: &CertificateParams, key: &impl PublicKeyData) -> Vec<u8> {
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }

    /// An intermediate of this root, and its issuer.
    pub(crate) fn intermediate(
        &self,
        params: &CertificateParams,
    ) -> (Vec<u8>, Issuer<'static, KeyPair>) {
        let key = ed25519();
        let der = self.sign(params, &key);
        (der, Issuer::new(params.clone(), key))
    }
}

pub(crate) fn ed25519() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

pub(crate) fn node_of(key: &KeyPair) -> NodeId {
    let bytes: [u8; 32] = key.public_key_raw()[..32].try_into().unwrap();
    NodeId::from_bytes(bytes)
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// Nothing but a span of seconds since 1970.
pub(crate) fn span(first: u64, last: u64) -> CertificateParams {
    let time = |at: u64| {
        ASN1Time::from_timestamp(at.try_into().unwrap())
            .unwrap()
            .to_datetime()
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = time(first);
    params.not_after = time(last);
    params
}

/// What a certificate that signs others says.
pub(crate) fn ca(name: &str) -> CertificateParams {
    let mut params = span(NOW - 1_000 * HOUR, NOW + 1_000 * HOUR);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

pub(crate) fn self_signed(params: &CertificateParams) -> (Certificate, Issuer<'static, KeyPair>) {
    let key = ed25519();
    let certificate = params.self_signed(&key).unwrap();
    (certificate, Issuer::new(params.clone(), key))
}

pub(crate) fn bundle_text(realm: &str, roots: &[&Certificate]) -> String {
    let tag = "0123456789abcdef".repeat(2);
    let pems: String = roots.iter().map(|root| root.pem()).collect();
    format!("macula-trust 1\nrealm: {realm}\ntag: {tag}\n\n{pems}")
}

/// An extension of the object identifier 2.5.29.`last` with this value.
pub(crate) fn standard(last: u64, critical: bool, value: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, last], value.to_vec());
    extension.set_criticality(critical);
    extension
}
