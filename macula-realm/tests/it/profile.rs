//! Certificates that are wrong in every way but one are refused, each beside one that is right.

use macula_realm::{Attributes, Certificate, CertificateError, Tenant};
use macula_wire::NodeId;
use macula_wire::message::Roles;
use proptest::prelude::*;
use rcgen::{
    CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};

use crate::forge::{Forge, HOUR, NOW, OTHER, OURS, ca, ed25519, node_of, standard, uri};

/// The private extension, as the README gives it.
const MACULA: [u64; 3] = [2, 25, 7_881_690_178_855_698_433];

type Change = fn(&mut CertificateParams, NodeId);

#[track_caller]
fn accepted(change: Change) -> Certificate {
    let forge = Forge::new(OURS);
    let der = forge.forged(change);
    forge.bundle.check(&[&der], NOW).unwrap()
}

#[track_caller]
fn refused(expected: &CertificateError, change: Change) {
    let forge = Forge::new(OURS);
    let der = forge.forged(change);
    assert_eq!(forge.bundle.check(&[&der], NOW), Err(expected.clone()));
    let good = forge.forged(|_params, _node| {});
    assert!(forge.bundle.check(&[&good], NOW).is_ok());
}

/// For causes with a text of their own.
#[track_caller]
fn breaks_the_profile(change: Change) {
    let forge = Forge::new(OURS);
    let der = forge.forged(change);
    let error = forge.bundle.check(&[&der], NOW).unwrap_err();
    assert_eq!(error.reason(), "profile", "{error}");
    assert_eq!(Certificate::from_der(&der), Err(error));
}

fn macula(attributes: &[u8]) -> CustomExtension {
    CustomExtension::from_oid_content(&MACULA, attributes.to_vec())
}

#[test]
fn a_good_certificate_says_who_the_node_is() {
    let forge = Forge::new(OURS);
    let key = ed25519();
    let der = forge.sign(&forge.good(&key), &key);
    let certificate = forge.bundle.check(&[&der], NOW).unwrap();
    assert_eq!(certificate.node(), node_of(&key));
    assert_eq!(certificate.realm().as_str(), OURS);
    assert_eq!(certificate.not_before(), NOW - HOUR);
    assert_eq!(certificate.not_after(), NOW + HOUR);
    assert_eq!(
        certificate.to_string(),
        format!("macula://{OURS}/{}", node_of(&key))
    );
    assert_eq!(Certificate::from_der(&der), Ok(certificate));
}

#[test]
fn without_the_private_extension_a_node_is_a_client_of_no_tenant() {
    let certificate = accepted(|_params, _node| {});
    assert_eq!(certificate.roles(), Roles::CLIENT);
    assert_eq!(certificate.tenant(), None);
    assert_eq!(certificate.zone(), None);
}

#[test]
fn the_private_extension_says_roles_tenant_and_zone() {
    let certificate = accepted(|params, _node| {
        params.custom_extensions = vec![macula(
            b"\x30\x14\x02\x01\x01\x02\x01\x03\x80\x05solar\x81\x05ghent",
        )];
    });
    assert_eq!(certificate.roles(), Roles::MEMBER.with(Roles::CLIENT));
    let principal = certificate.principal();
    assert_eq!(principal.node, certificate.node());
    assert_eq!(principal.roles, certificate.roles());
    assert_eq!(principal.tenant, Some(Tenant::new("solar").unwrap()));
    assert_eq!(principal.zone.unwrap().as_str(), "ghent");
}

#[test]
fn a_private_extension_that_is_not_right_is_refused() {
    breaks_the_profile(|params, _node| {
        params.custom_extensions = vec![macula(b"\x30\x06\x02\x01\x02\x02\x01\x03")];
    });
    breaks_the_profile(|params, _node| {
        params.custom_extensions = vec![macula(b"\x30\x06\x02\x01\x01\x02\x01\x00")];
    });
    breaks_the_profile(|params, _node| {
        let roles = Attributes::new(Roles::MEMBER).to_der();
        params.custom_extensions = vec![macula(&roles), macula(&roles)];
    });
    breaks_the_profile(|params, _node| {
        let mut critical = macula(&Attributes::new(Roles::MEMBER).to_der());
        critical.set_criticality(true);
        params.custom_extensions = vec![critical];
    });
}

#[test]
fn the_realm_is_the_one_in_the_uri_and_it_is_the_one_asked_for() {
    let forge = Forge::new(OURS);
    let der = forge.forged(|params, node| {
        params.subject_alt_names = vec![uri(&format!("macula://{OTHER}/{node}"))];
    });
    assert_eq!(
        forge.bundle.check(&[&der], NOW),
        Err(CertificateError::WrongRealm {
            expected: OURS.parse().unwrap(),
            found: OTHER.parse().unwrap(),
        })
    );
    assert_eq!(
        Certificate::from_der(&der).map(|read| read.realm().to_string()),
        Ok(OTHER.to_owned())
    );
}

#[test]
fn a_uri_in_another_spelling_is_refused() {
    for change in [
        |text: String| text.to_uppercase(),
        |text: String| text.replace("be.acme", "be.Acme"),
        |text: String| text.replace("be.acme", "be%2eacme"),
        |text: String| format!("{text}/"),
        |text: String| text.replace(".iot/", ".iot/../"),
        |text: String| text.replace(".iot/", ".iot//"),
        |text: String| text.replace("macula://", "macula:"),
        |text: String| text.replace("macula://", "https://"),
        |text: String| text.replace(".iot/", ".iot:4433/"),
        |text: String| format!("{text}#x"),
        |text: String| format!("{text}0"),
        |_text: String| "macula://".to_owned(),
        |_text: String| String::new(),
    ] {
        let forge = Forge::new(OURS);
        let der = forge.forged(|params, node| {
            let good = format!("macula://{OURS}/{node}");
            params.subject_alt_names = vec![uri(&change(good))];
        });
        assert_eq!(
            forge.bundle.check(&[&der], NOW),
            Err(CertificateError::BadUri)
        );
    }
}

#[test]
fn exactly_one_uri_and_nothing_else_names_a_node() {
    refused(&CertificateError::SeveralUris, |params, _node| {
        params.subject_alt_names.push(uri("macula://be.acme.iot/x"));
    });
    refused(&CertificateError::SeveralUris, |params, _node| {
        let same = params.subject_alt_names.clone();
        params.subject_alt_names.extend(same);
    });
    refused(&CertificateError::SeveralUris, |params, node| {
        let text = format!("macula://{OURS}/{node}");
        let len = u8::try_from(text.len()).unwrap();
        let value = [&[0x30, len + 2, 0x86, len], text.as_bytes()].concat();
        params.custom_extensions = vec![standard(17, false, &value)];
    });
    refused(&CertificateError::NoUri, |params, _node| {
        params.subject_alt_names.clear();
    });
    refused(&CertificateError::NoUri, |params, node| {
        params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
        let name = format!("macula://{OURS}/{node}");
        params.distinguished_name.push(DnType::CommonName, name);
    });
    breaks_the_profile(|params, _node| {
        let name = SanType::DnsName("localhost".try_into().unwrap());
        params.subject_alt_names.push(name);
    });
    let named = accepted(|params, _node| {
        let name = "macula://be.other.iot/x";
        params.distinguished_name.push(DnType::CommonName, name);
    });
    assert_eq!(named.realm().as_str(), OURS);
}

#[test]
fn the_key_is_ed25519_and_is_the_node() {
    refused(&CertificateError::KeyIsNotNode, |params, _node| {
        let other = node_of(&ed25519());
        params.subject_alt_names = vec![uri(&format!("macula://{OURS}/{other}"))];
    });
    let forge = Forge::new(OURS);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let der = forge.sign(&forge.good(&key), &key);
    assert_eq!(
        forge.bundle.check(&[&der], NOW),
        Err(CertificateError::KeyType)
    );
}

#[test]
fn a_node_signs_and_does_so_on_both_sides() {
    const BAD: CertificateError = CertificateError::KeyUsage;
    refused(&BAD, |params, _node| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    refused(&BAD, |params, _node| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    refused(&BAD, |params, _node| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
    });
    refused(&BAD, |params, _node| params.extended_key_usages.clear());
    refused(&BAD, |params, _node| params.key_usages.clear());
    refused(&BAD, |params, _node| {
        params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    });
    refused(&BAD, |params, _node| {
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    });
    refused(&BAD, |params, _node| {
        params.key_usages.push(KeyUsagePurpose::CrlSign);
    });
    refused(&BAD, |params, _node| {
        params.key_usages.clear();
        params.custom_extensions = vec![standard(15, false, b"\x03\x02\x07\x80")];
    });
    accepted(|params, _node| {
        params.key_usages.clear();
        params.custom_extensions = vec![standard(15, true, b"\x03\x02\x07\x80")];
    });
    accepted(|params, _node| {
        let more = ExtendedKeyUsagePurpose::CodeSigning;
        params.extended_key_usages.push(more);
    });
}

#[test]
fn a_certificate_that_signs_others_is_not_a_node() {
    refused(&CertificateError::IsCa, |params, _node| {
        params.is_ca = ca(OURS).is_ca;
    });
    let explicit = accepted(|params, _node| params.is_ca = IsCa::ExplicitNoCa);
    assert_eq!(explicit.realm().as_str(), OURS);
    let forge = Forge::new(OURS);
    assert_eq!(
        forge.bundle.check(&[&forge.root], NOW),
        Err(CertificateError::IsCa)
    );
}

#[test]
fn an_unknown_extension_is_ignored_unless_it_is_critical() {
    let strange = |critical| {
        let mut extension = CustomExtension::from_oid_content(&[2, 25, 1], vec![5, 0]);
        extension.set_criticality(critical);
        extension
    };
    let forge = Forge::new(OURS);
    for (critical, reason) in [(false, None), (true, Some("profile"))] {
        let der = forge.forged(|params, _node| {
            params.custom_extensions = vec![strange(critical)];
        });
        for checked in [
            forge.bundle.check(&[&der], NOW),
            Certificate::from_der(&der),
        ] {
            assert_eq!(checked.err().map(|error| error.reason()), reason);
        }
    }
    breaks_the_profile(|params, _node| {
        let twice = CustomExtension::from_oid_content(&[2, 25, 1], vec![5, 0]);
        params.custom_extensions = vec![twice.clone(), twice];
    });
}

#[test]
fn validity_includes_both_its_ends() {
    let forge = Forge::new(OURS);
    let der = forge.forged(|_params, _node| {});
    for (now, expected) in [
        (NOW - HOUR - 1, Some(CertificateError::NotYetValid)),
        (NOW - HOUR, None),
        (NOW + HOUR, None),
        (NOW + HOUR + 1, Some(CertificateError::Expired)),
        (0, Some(CertificateError::NotYetValid)),
        (u64::MAX, Some(CertificateError::Expired)),
    ] {
        assert_eq!(forge.bundle.check(&[&der], now).err(), expected, "{now}");
    }
}

#[test]
fn only_the_bytes_of_one_certificate_are_one() {
    let forge = Forge::new(OURS);
    let good = forge.forged(|_params, _node| {});
    assert!(Certificate::from_der(&good).is_ok());
    for len in 0..good.len() {
        assert!(Certificate::from_der(&good[..len]).is_err(), "{len}");
    }
    assert_eq!(
        Certificate::from_der(&[good.as_slice(), &[0]].concat()),
        Err(CertificateError::Malformed)
    );
    assert_eq!(
        Certificate::from_der(b"-----BEGIN CERTIFICATE-----"),
        Err(CertificateError::Malformed)
    );
}

#[test]
fn the_subject_alternative_name_ends_with_its_uri() {
    let forge = Forge::new(OURS);
    for (tail, expected) in [
        (&b""[..], None),
        (b"\x05\x00", Some(CertificateError::Malformed)),
    ] {
        let der = forge.forged(|params, node| {
            let text = format!("macula://{OURS}/{node}");
            let len = u8::try_from(text.len()).unwrap();
            let value = [&[0x30, len + 2, 0x86, len], text.as_bytes(), tail].concat();
            params.subject_alt_names.clear();
            params.custom_extensions = vec![standard(17, false, &value)];
        });
        assert_eq!(Certificate::from_der(&der).err(), expected);
        assert_eq!(forge.bundle.check(&[&der], NOW).err(), expected);
    }
}

#[test]
fn a_serial_number_has_at_most_twenty_bytes() {
    for (len, reason) in [(1, None), (20, None), (21, Some("profile"))] {
        let der = Forge::new(OURS).forged(|params, _node| {
            params.serial_number = Some(SerialNumber::from_slice(&vec![1; len]));
        });
        let read = Certificate::from_der(&der);
        assert_eq!(read.err().map(|error| error.reason()), reason);
    }
}

#[test]
fn only_version_3_of_at_most_8192_bytes_is_read() {
    let padded = |len: usize| {
        Forge::new(OURS).forged(|params, _node| {
            let value = [
                &[0x04, 0x82],
                &u16::try_from(len).unwrap().to_be_bytes()[..],
            ]
            .concat();
            let value = [value, vec![0; len]].concat();
            let padding = CustomExtension::from_oid_content(&[2, 25, 1], value);
            params.custom_extensions = vec![padding];
        })
    };
    let around = padded(1_000).len() - 1_000;
    let largest = padded(8_192 - around);
    assert_eq!(largest.len(), 8_192);
    assert!(Certificate::from_der(&largest).is_ok());
    assert_eq!(
        Certificate::from_der(&padded(8_193 - around)),
        Err(CertificateError::ChainTooLong)
    );

    let mut der = Forge::new(OURS).forged(|_params, _node| {});
    let version = [0xa0, 3, 2, 1, 2];
    let at = der.windows(5).position(|bytes| bytes == version).unwrap();
    assert!(Certificate::from_der(&der).is_ok());
    der[at + 4] = 1;
    assert_eq!(
        Certificate::from_der(&der),
        Err(CertificateError::Malformed)
    );
}

#[test]
fn every_refusal_says_what_to_do() {
    let realm = |text: &str| text.parse().unwrap();
    let all = [
        CertificateError::BadUri,
        CertificateError::ChainTooLong,
        CertificateError::Expired,
        CertificateError::IsCa,
        CertificateError::KeyIsNotNode,
        CertificateError::KeyType,
        CertificateError::KeyUsage,
        CertificateError::Malformed,
        CertificateError::NoUri,
        CertificateError::NotTrusted,
        CertificateError::NotYetValid,
        CertificateError::OtherKey,
        CertificateError::Profile("the certificate allows no role"),
        CertificateError::SeveralUris,
        CertificateError::WrongRealm {
            expected: realm(OURS),
            found: realm(OTHER),
        },
    ];
    let mut reasons = std::collections::BTreeSet::new();
    for error in all {
        let text = error.to_string();
        assert!(text.contains(": "), "{text}");
        assert!(reasons.insert(error.reason()), "{text}");
    }
}

proptest! {
    /// Whatever is changed, the certificate is refused: by what it says, or by its signature.
    #[test]
    fn a_changed_byte_is_always_noticed(at in any::<prop::sample::Index>(), by in 1..=255_u8) {
        let forge = Forge::new(OURS);
        let mut der = forge.forged(|_params, _node| {});
        prop_assert!(forge.bundle.check(&[&der], NOW).is_ok());
        let at = at.index(der.len());
        der[at] ^= by;
        prop_assert!(forge.bundle.check(&[&der], NOW).is_err());
    }

    #[test]
    fn no_bytes_panic(der in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Certificate::from_der(&der).is_err());
    }
}
