//! A certificate that belongs to nothing.

use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::sign::CertifiedKey;

use super::{certified, unusable};
use crate::credentials::TlsIdentity;
use crate::error::BindError;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The tag of the version of a certificate.
const VERSION: u8 = 0xa0;
/// The tag of the extensions of a certificate.
const EXTENSIONS: u8 = 0xa3;
/// The tag of a DNS name among alternative names.
const DNS_NAME: u8 = 0x82;

/// id-Ed25519, 1.3.101.112.
const ED25519: &[u8] = &[0x06, 3, 0x2b, 0x65, 0x70];
/// commonName, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 0x04, 0x03];
/// subjectAltName, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x06, 3, 0x55, 0x1d, 0x11];

/// A self-made certificate with a new key, for the dialler of a label that nobody here has.
pub(super) fn certificate() -> Result<Arc<CertifiedKey>, BindError> {
    let owner = "an unknown label";
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|error| unusable(owner, &error))?;
    let key =
        Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|error| unusable(owner, &error))?;
    let identity = TlsIdentity::new(vec![self_signed(&key)], document.as_ref().to_vec());
    certified(owner, &identity)
}

/// An X.509 v3 certificate for `localhost` (RFC 5280, RFC 8410).
fn self_signed(key: &Ed25519KeyPair) -> Vec<u8> {
    let algorithm = der(SEQUENCE, &[ED25519]);
    let common_name = der(SEQUENCE, &[COMMON_NAME, &der(UTF8_STRING, &[b"localhost"])]);
    let name = der(SEQUENCE, &[&der(SET, &[&common_name])]);
    let validity = der(
        SEQUENCE,
        &[
            &der(UTC_TIME, &[b"240101000000Z"]),
            &der(UTC_TIME, &[b"491231235959Z"]),
        ],
    );
    let public = key.public_key().as_ref();
    let subject_key = der(SEQUENCE, &[&algorithm, &der(BIT_STRING, &[&[0], public])]);
    // The first bytes of the key, as a positive number.
    let serial = der(INTEGER, &[&[1], public.get(..8).unwrap_or_default()]);
    let names = der(SEQUENCE, &[&der(DNS_NAME, &[b"localhost"])]);
    let extension = der(SEQUENCE, &[SUBJECT_ALT_NAME, &der(OCTET_STRING, &[&names])]);
    let body = der(
        SEQUENCE,
        &[
            &der(VERSION, &[&der(INTEGER, &[&[2]])]),
            &serial,
            &algorithm,
            &name,
            &validity,
            &name,
            &subject_key,
            &der(EXTENSIONS, &[&der(SEQUENCE, &[&extension])]),
        ],
    );
    let signature = key.sign(&body);
    let signature = der(BIT_STRING, &[&[0], signature.as_ref()]);
    der(SEQUENCE, &[&body, &algorithm, &signature])
}

/// One element of DER with `parts` as its content, which has less than 64 KiB.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let [.., high, low] = length.to_be_bytes();
    let mut out = vec![tag];
    match (high, low) {
        (0, 0..=0x7f) => out.push(low),
        (0, _) => out.extend_from_slice(&[0x81, low]),
        _ => out.extend_from_slice(&[0x82, high, low]),
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decoy_is_a_certificate_whose_key_is_at_hand() {
        let decoy = certificate().unwrap();
        assert!(decoy.keys_match().is_ok());
        assert!(rustls::server::ParsedCertificate::try_from(&decoy.cert[0]).is_ok());
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(der(SET, &[&[7; 3]])[..2], [SET, 3]);
        assert_eq!(der(SET, &[&[7; 200]])[..3], [SET, 0x81, 200]);
        assert_eq!(der(SET, &[&[7; 300]])[..4], [SET, 0x82, 1, 44]);
    }
}
