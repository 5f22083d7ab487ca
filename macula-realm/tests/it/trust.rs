//! The text of a trust bundle.

use macula_realm::{TrustBundle, TrustError};
use macula_wire::NameError;
use proptest::prelude::*;
use rcgen::{IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};

use crate::forge::{Forge, NOW, OURS, bundle_text, ca, ed25519, self_signed};

fn good() -> String {
    let (root, _issuer) = self_signed(&ca(OURS));
    bundle_text(OURS, &[&root])
}

#[track_caller]
fn refused(text: &str, expected: &TrustError) {
    assert_eq!(TrustBundle::parse(text).as_ref(), Err(expected));
}

#[test]
fn a_bundle_reads_what_it_writes() {
    let text = good();
    let bundle = TrustBundle::parse(&text).unwrap();
    assert_eq!(bundle.to_text(), text);
    assert_eq!(bundle.realm().as_str(), OURS);
    assert_eq!(bundle.roots().len(), 1);
}

#[test]
fn the_header_is_line_by_line_what_it_has_to_be() {
    let text = good();
    let header = |line, expected| TrustError::Header { line, expected };
    let tag = "tag: <32 lower-case hex digits>";
    for (from, to, error) in [
        (
            "macula-trust 1",
            "macula-trust 2",
            header(1, "macula-trust 1"),
        ),
        (
            "macula-trust 1",
            " macula-trust 1",
            header(1, "macula-trust 1"),
        ),
        (
            "macula-trust 1",
            "macula-trust 1\r",
            header(1, "macula-trust 1"),
        ),
        ("realm: ", "Realm: ", header(2, "realm: <name>")),
        ("realm: ", "realm:", header(2, "realm: <name>")),
        ("tag: 0", "tag: ", header(3, tag)),
        ("tag: 0", "tag: 00", header(3, tag)),
        ("tag: 0", "tag: +", header(3, tag)),
        ("abcdef", "abcdeF", header(3, tag)),
        ("\n\n", "\n", header(4, "an empty line")),
        ("\n\n", "\n \n", header(4, "an empty line")),
        (
            "be.acme",
            "Be.acme",
            TrustError::Realm(NameError::Character { at: 0 }),
        ),
        (
            "be.acme",
            "be..acme",
            TrustError::Realm(NameError::EmptySegment { at: 3 }),
        ),
    ] {
        refused(&text.replacen(from, to, 1), &error);
    }
    refused("", &header(1, "macula-trust 1"));
    refused("macula-trust 1", &header(2, "realm: <name>"));
    assert!(TrustBundle::parse(&text).is_ok());
}

#[test]
fn there_is_one_spelling() {
    let text = good();
    for bad in [
        text.trim_end().to_owned(),
        format!("{text}\n"),
        format!("{text}# a note\n"),
        text.replacen("\n\n", "\n\n\n", 1),
        text.replacen("\n\n-----", "\n\nnote\n-----", 1),
        text.replace("-----\n", "-----\r\n"),
        text.replacen("END", "FIN", 1),
        text.replacen("-----END", "=\n-----END", 1),
        format!("{text}-----BEGIN CERTIFICATE-----\n"),
        format!("{text}-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"),
    ] {
        refused(&bad, &TrustError::NotCanonical);
    }
    assert!(TrustBundle::parse(&text).is_ok());
}

#[test]
fn there_are_one_to_eight_different_roots() {
    let roots: Vec<_> = (0..9).map(|_| self_signed(&ca(OURS)).0).collect();
    let all: Vec<_> = roots.iter().collect();
    refused(&bundle_text(OURS, &[]), &TrustError::RootCount { count: 0 });
    refused(
        &bundle_text(OURS, &[all[0], all[1], all[0]]),
        &TrustError::DuplicateRoot,
    );
    refused(&bundle_text(OURS, &all), &TrustError::NotCanonical);
    let mut full = TrustBundle::parse(&bundle_text(OURS, &all[..8])).unwrap();
    assert_eq!(full.roots().len(), 8);
    assert_eq!(
        full.add_root(all[8].der()),
        Err(TrustError::RootCount { count: 9 })
    );
    assert_eq!(full.add_root(all[0].der()), Err(TrustError::DuplicateRoot));
    assert_eq!(full.roots().len(), 8);
}

#[test]
fn a_root_has_to_be_one() {
    let root = |why| Err(TrustError::Root { number: 2, why });
    let forge = Forge::new(OURS);
    let mut bundle = forge.bundle.clone();

    let mut params = ca(OURS);
    params.is_ca = IsCa::NoCa;
    let (plain, _issuer) = self_signed(&params);
    assert_eq!(
        bundle.add_root(plain.der()),
        root("may not sign certificates")
    );

    let mut params = ca(OURS);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let (mute, _issuer) = self_signed(&params);
    assert_eq!(
        bundle.add_root(mute.der()),
        root("has a key usage without keyCertSign")
    );

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let p256 = ca(OURS).self_signed(&key).unwrap();
    assert_eq!(
        bundle.add_root(p256.der()),
        root("has a key that is not Ed25519")
    );

    let (other, _issuer) = forge.intermediate(&ca("intermediate"));
    assert_eq!(bundle.add_root(&other), root("is not self-signed"));
    // The name of the root, with another key.
    let (named_alike, _issuer) = forge.intermediate(&ca(OURS));
    assert_eq!(bundle.add_root(&named_alike), root("is not self-signed"));

    let mut changed = forge.root.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(bundle.add_root(&changed), root("is not self-signed"));
    assert_eq!(
        bundle.add_root(&forge.root[1..]),
        root("is not an X.509 version 3 certificate")
    );
    assert_eq!(bundle.add_root(&[0; 8_193]), root("is over 8,192 bytes"));

    assert_eq!(bundle.add_root(&forge.root), Err(TrustError::DuplicateRoot));
    let good = ca(OURS).self_signed(&ed25519()).unwrap();
    assert_eq!(bundle.add_root(good.der()), Ok(()));
    assert_eq!(bundle.roots()[1].der(), good.der().as_ref());
    assert!(bundle.roots()[1].not_after() > NOW);
    assert_ne!(bundle.roots()[0].sha256(), bundle.roots()[1].sha256());
}

#[test]
fn the_label_is_the_one_in_the_readme() {
    let label = TrustBundle::parse(&good()).unwrap().label();
    let tag = [
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd,
        0xef,
    ];
    let mut whole = macula_realm::sha256(&[&b"macula/1 realm label"[..], &tag].concat());
    whole[0] |= 0xa0;
    let expected: String = whole[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(label, expected);
}

proptest! {
    /// The label depends on the tag and is a DNS label that starts with a letter.
    #[test]
    fn a_label_is_opaque(one in any::<u128>(), other in any::<u128>()) {
        let text = good();
        let with = |tag: u128| {
            let text = text.replace(&"0123456789abcdef".repeat(2), &format!("{tag:032x}"));
            TrustBundle::parse(&text).unwrap().label()
        };
        let label = with(one);
        prop_assert_eq!(label.len(), 32);
        prop_assert!(label.starts_with(|first: char| first.is_ascii_lowercase()));
        prop_assert!(label.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
        prop_assert_eq!(label == with(other), one == other);
    }

    #[test]
    fn a_changed_text_is_refused_or_comes_back(
        at in any::<prop::sample::Index>(),
        insert in "[ -~\n\r]{0,3}",
        remove in 0..4_usize,
    ) {
        let text = good();
        let at = at.index(text.len());
        let end = (at + remove).min(text.len());
        let changed = format!("{}{insert}{}", &text[..at], &text[end..]);
        if let Ok(bundle) = TrustBundle::parse(&changed) {
            prop_assert_eq!(bundle.to_text(), changed);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        prop_assert!(TrustBundle::parse(&text).is_err());
    }
}
