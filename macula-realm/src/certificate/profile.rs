//! The rules that a certificate has to keep by itself.

use std::collections::BTreeMap;

use macula_wire::limit::MAX_CERTIFICATE_LEN;
use macula_wire::message::Roles;
use macula_wire::{NodeId, RealmName};
use x509_parser::certificate::{TbsCertificate, X509Certificate, X509CertificateParser};
use x509_parser::extensions::{BasicConstraints, ExtendedKeyUsage, KeyUsage, X509Extension};
use x509_parser::nom::Parser as _;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

use super::extension::OID_BYTES;
use super::{Attributes, Certificate};
use crate::CertificateError::{self, BadUri, IsCa, Malformed, NoUri, Profile, SeveralUris};
use crate::der::{Der, URI};
use crate::sha256;

/// 2.5.29.17 as it stands in a certificate.
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
/// 2.5.29.15 as it stands in a certificate.
pub(crate) const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
/// 2.5.29.19 as it stands in a certificate.
pub(crate) const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1d, 0x13];
/// 2.5.29.37 as it stands in a certificate.
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];

/// What stands before the 32 bytes of an Ed25519 key in a certificate (RFC 8410, section 4).
const KEY_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// The longest serial number in bytes (RFC 5280, section 4.1.2.2), its sign included.
const MAX_SERIAL_LEN: usize = 20;

/// The extensions of a certificate by identifier, each at most once.
pub(crate) type Extensions<'a> = BTreeMap<Vec<u8>, X509Extension<'a>>;

pub(super) fn read(der: &[u8]) -> Result<Certificate, CertificateError> {
    if der.len() > MAX_CERTIFICATE_LEN {
        return Err(CertificateError::ChainTooLong);
    }
    let (x509, extensions) = read_x509(der)?;
    let body = &x509.tbs_certificate;
    check_not_ca(&extensions)?;
    let key = public_key(body).ok_or(CertificateError::KeyType)?;
    let (realm, node) = subject(&extensions)?;
    if key != node {
        return Err(CertificateError::KeyIsNotNode);
    }
    check_usage(&extensions)?;
    check_criticality(&extensions)?;
    let attributes = match extensions.get(OID_BYTES.as_slice()) {
        Some(extension) => Attributes::from_der(extension.value)?,
        None => Attributes::new(Roles::CLIENT),
    };
    let serial = body.raw_serial();
    if serial.is_empty() || serial.len() > MAX_SERIAL_LEN {
        return Err(Profile("the serial number is not 1 to 20 bytes"));
    }
    let (not_before, not_after) = validity(body).ok_or(Malformed)?;
    Ok(Certificate {
        realm,
        node,
        attributes,
        not_before,
        not_after,
        serial: serial.to_vec(),
        sha256: sha256(der),
    })
}

/// The certificate in all of `der`, and its extensions.
///
/// Extensions are read one by one where they are needed, so that those which nobody needs are not parsed at all.
pub(crate) fn read_x509(
    der: &[u8],
) -> Result<(X509Certificate<'_>, Extensions<'_>), CertificateError> {
    let (rest, x509) = X509CertificateParser::new()
        .with_deep_parse_extensions(false)
        .parse(der)
        .map_err(|_| Malformed)?;
    if !rest.is_empty() || x509.version() != X509Version::V3 {
        return Err(Malformed);
    }
    let mut extensions = Extensions::new();
    for extension in x509.extensions() {
        let oid = extension.oid.as_bytes().to_vec();
        if extensions.insert(oid, extension.clone()).is_some() {
            return Err(match extension.oid.as_bytes() == SUBJECT_ALT_NAME {
                true => SeveralUris,
                false => Profile("an extension stands in the certificate twice"),
            });
        }
    }
    Ok((x509, extensions))
}

/// The key, if it is Ed25519.
pub(crate) fn public_key(body: &TbsCertificate<'_>) -> Option<NodeId> {
    let key = body.subject_pki.raw.strip_prefix(&KEY_PREFIX)?;
    Some(NodeId::from_bytes(key.try_into().ok()?))
}

/// The first and the last second of validity since 1970.
fn validity(body: &TbsCertificate<'_>) -> Option<(u64, u64)> {
    let not_before = u64::try_from(body.validity.not_before.timestamp()).ok()?;
    let not_after = u64::try_from(body.validity.not_after.timestamp()).ok()?;
    (not_before <= not_after).then_some((not_before, not_after))
}

/// The whole of `value`, which is one `T`.
fn all<'a, T: FromDer<'a, x509_parser::error::X509Error>>(value: &'a [u8]) -> Option<T> {
    match T::from_der(value) {
        Ok(([], whole)) => Some(whole),
        Ok(_) | Err(_) => None,
    }
}

fn check_not_ca(extensions: &Extensions<'_>) -> Result<(), CertificateError> {
    let Some(extension) = extensions.get(BASIC_CONSTRAINTS.as_slice()) else {
        return Ok(());
    };
    let constraints: BasicConstraints = all(extension.value).ok_or(Malformed)?;
    if constraints.ca { Err(IsCa) } else { Ok(()) }
}

/// Realm and node of the one URI that is the whole subject alternative name.
fn subject(extensions: &Extensions<'_>) -> Result<(RealmName, NodeId), CertificateError> {
    let extension = extensions.get(SUBJECT_ALT_NAME.as_slice()).ok_or(NoUri)?;
    let mut outer = Der::new(extension.value);
    let mut names = outer.sequence().ok_or(Malformed)?;
    let mut uris = Vec::new();
    let mut others = false;
    while let Some(tag) = names.tag() {
        let content = names.take(tag).ok_or(Malformed)?;
        if tag == URI {
            uris.push(content);
        } else {
            others = true;
        }
    }
    match uris.as_slice() {
        [] => Err(NoUri),
        [_] if others => Err(Profile("the certificate has a name besides its URI")),
        [_] if !outer.is_empty() => Err(Malformed),
        [uri] => read_uri(uri).ok_or(BadUri),
        _ => Err(SeveralUris),
    }
}

/// Reads `macula://<realm>/<node id>`, which has one legal spelling.
fn read_uri(bytes: &[u8]) -> Option<(RealmName, NodeId)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (realm, node) = text.strip_prefix("macula://")?.split_once('/')?;
    let (realm, node) = (RealmName::new(realm).ok()?, node.parse().ok()?);
    // Both are refused unless canonical; should one ever not be, the name is still compared byte for byte.
    (uri(&realm, node) == text).then_some((realm, node))
}

/// The URI of a node in a realm.
pub(crate) fn uri(realm: &RealmName, node: NodeId) -> String {
    format!("macula://{realm}/{node}")
}

fn check_usage(extensions: &Extensions<'_>) -> Result<(), CertificateError> {
    const BAD: CertificateError = CertificateError::KeyUsage;
    let extension = extensions.get(KEY_USAGE.as_slice()).ok_or(BAD)?;
    let usage: KeyUsage = all(extension.value).ok_or(Malformed)?;
    if !extension.critical
        || !usage.digital_signature()
        || usage.key_cert_sign()
        || usage.crl_sign()
    {
        return Err(BAD);
    }
    let extension = extensions.get(EXTENDED_KEY_USAGE.as_slice()).ok_or(BAD)?;
    let usage: ExtendedKeyUsage<'_> = all(extension.value).ok_or(Malformed)?;
    if usage.client_auth && usage.server_auth {
        Ok(())
    } else {
        Err(BAD)
    }
}

fn check_criticality(extensions: &Extensions<'_>) -> Result<(), CertificateError> {
    let known: [&[u8]; 4] = [
        &SUBJECT_ALT_NAME,
        &KEY_USAGE,
        &BASIC_CONSTRAINTS,
        &EXTENDED_KEY_USAGE,
    ];
    let strange = extensions
        .iter()
        .any(|(oid, extension)| extension.critical && !known.contains(&oid.as_slice()));
    if strange {
        return Err(Profile(
            "the certificate has a critical extension that is not of the profile",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_has_one_spelling() {
        let id = "0123456789abcdef".repeat(4);
        let good = format!("macula://be.acme.iot/{id}");
        let (realm, node) = read_uri(good.as_bytes()).unwrap();
        assert_eq!(
            (realm.as_str(), node.to_string()),
            ("be.acme.iot", id.clone())
        );
        for bad in [
            String::new(),
            format!("macula:/be.acme.iot/{id}"),
            format!("Macula://be.acme.iot/{id}"),
            format!("macula://Be.acme.iot/{id}"),
            format!("macula://be.acme.iot/{}", id.to_uppercase()),
            format!("macula://be.acme.iot/{id}/"),
            format!("macula://be.acme.iot//{id}"),
            format!("macula://be.acme.iot/../{id}"),
            format!("macula://be.acme.iot/./{id}"),
            format!("macula://be.acme%2eiot/{id}"),
            format!("macula://be.acme.iot/%30{}", &id[1..]),
            format!("macula://be.acme.iot/{id}?a"),
            format!("macula://be.acme.iot/{id}#a"),
            format!("macula://be.acme.iot/{id} "),
            format!(" macula://be.acme.iot/{id}"),
            format!("macula://be.acme.iot./{id}"),
            format!("macula://be.acme.iot:4433/{id}"),
            format!("macula://x@be.acme.iot/{id}"),
            format!("macula://iot/{id}"),
            format!("macula://be.acme.iot/{}", &id[1..]),
            format!("macula://be.acme.iot/{id}\0"),
            format!("https://be.acme.iot/{id}"),
        ] {
            assert_eq!(read_uri(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(read_uri(b"macula://be.acme.iot/\xff"), None);
    }
}
