//! The certificate of the HTTP/3 face.

use macula_realm::{Certificate, CertificateError, IssueError, web_identity};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::forge::NOW;

fn names(der: &[u8]) -> Vec<String> {
    let (_rest, x509) = X509Certificate::from_der(der).unwrap();
    let names = x509.subject_alternative_name().unwrap().unwrap();
    names
        .value
        .general_names
        .iter()
        .map(|name| match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn browsers_can_pin_it() {
    let web = web_identity(&[], NOW).unwrap();
    let [der] = web.chain() else {
        panic!("one certificate")
    };
    let (_rest, x509) = X509Certificate::from_der(der).unwrap();
    let validity = x509.validity();
    let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
    assert!(seconds < 14 * 24 * 60 * 60, "{seconds}");
    assert!(seconds > 12 * 24 * 60 * 60, "{seconds}");
    // ecPublicKey on P-256.
    let key = &x509.tbs_certificate.subject_pki;
    assert_eq!(key.algorithm.algorithm.to_id_string(), "1.2.840.10045.2.1");
    assert_eq!(key.subject_public_key.data.len(), 65);
    assert!(!web.key_pkcs8().is_empty());
    assert_eq!(names(der), ["localhost"]);
}

#[test]
fn it_names_what_it_was_asked_to() {
    let web = web_identity(
        &["node.example", "127.0.0.1", "localhost", "node.example"],
        NOW,
    )
    .unwrap();
    assert_eq!(
        names(&web.chain()[0]),
        ["localhost", "node.example", "[127, 0, 0, 1]"]
    );
    for bad in ["", "a b", "a/b", "caf\u{e9}.example", "x..y"] {
        assert_eq!(
            web_identity(&[bad], NOW).err(),
            Some(IssueError::BadName {
                name: bad.to_owned()
            })
        );
    }
}

#[test]
fn it_is_nobody_in_a_realm() {
    let web = web_identity(&[], NOW).unwrap();
    assert_eq!(
        Certificate::from_der(&web.chain()[0]),
        Err(CertificateError::KeyType)
    );
}
