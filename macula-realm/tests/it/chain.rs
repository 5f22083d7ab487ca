//! Which chains end in a root of the realm.

use macula_realm::{CertificateError, TrustBundle};
use proptest::prelude::*;
use rcgen::{ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::forge::{
    Forge, HOUR, NOW, OTHER, OURS, bundle_text, ca, ed25519, node_of, self_signed, span, uri,
};

const NOT_TRUSTED: Option<CertificateError> = Some(CertificateError::NotTrusted);

/// A good certificate of the realm that `issuer` signed.
fn leaf(forge: &Forge, issuer: &Issuer<'_, KeyPair>) -> Vec<u8> {
    let key = ed25519();
    let params = forge.good(&key);
    params.signed_by(&key, issuer).unwrap().der().to_vec()
}

#[test]
fn another_authority_cannot_speak_for_the_realm() {
    let (ours, other) = (Forge::new(OURS), Forge::new(OTHER));
    let good = leaf(&ours, &ours.issuer);
    assert!(ours.bundle.check(&[&good], NOW).is_ok());

    let foreign = leaf(&ours, &other.issuer);
    assert_eq!(ours.bundle.check(&[&foreign], NOW).err(), NOT_TRUSTED);
    assert_eq!(
        ours.bundle.check(&[&foreign, &other.root], NOW).err(),
        NOT_TRUSTED
    );
}

#[test]
fn an_authority_of_the_same_name_is_another() {
    let (ours, twin) = (Forge::new(OURS), Forge::new(OURS));
    let forged = leaf(&ours, &twin.issuer);
    assert_eq!(ours.bundle.check(&[&forged], NOW).err(), NOT_TRUSTED);
    assert!(twin.bundle.check(&[&forged], NOW).is_ok());
}

#[test]
fn nobody_vouches_for_itself() {
    let forge = Forge::new(OURS);
    let key = ed25519();
    let own = forge.good(&key).self_signed(&key).unwrap();
    assert_eq!(forge.bundle.check(&[own.der()], NOW).err(), NOT_TRUSTED);
    assert_eq!(
        forge.bundle.check(&[own.der(), own.der()], NOW).err(),
        NOT_TRUSTED
    );
}

#[test]
fn one_intermediate_is_allowed_and_two_are_not() {
    let forge = Forge::new(OURS);
    let (first, first_issuer) = forge.intermediate(&ca("first"));
    let good = leaf(&forge, &first_issuer);
    assert!(forge.bundle.check(&[&good, &first], NOW).is_ok());
    assert!(
        forge
            .bundle
            .check(&[&good, &first, &forge.root], NOW)
            .is_ok()
    );
    assert_eq!(forge.bundle.check(&[&good], NOW).err(), NOT_TRUSTED);
    assert_eq!(
        forge.bundle.check(&[&first, &good], NOW).err(),
        Some(CertificateError::IsCa)
    );

    let params = ca("second");
    let key = ed25519();
    let second = params.signed_by(&key, &first_issuer).unwrap();
    let deep = leaf(&forge, &Issuer::new(params, key));
    assert_eq!(
        forge.bundle.check(&[&deep, second.der(), &first], NOW),
        Err(CertificateError::ChainTooLong)
    );
}

#[test]
fn an_intermediate_has_to_be_one() {
    let forge = Forge::new(OURS);
    let mut plain = ca("plain");
    plain.is_ca = IsCa::NoCa;
    let (der, issuer) = forge.intermediate(&plain);
    let below = leaf(&forge, &issuer);
    assert_eq!(forge.bundle.check(&[&below, &der], NOW).err(), NOT_TRUSTED);

    // A node's own certificate, with its own key, is none either.
    let key = ed25519();
    let mut params = forge.good(&key);
    params.distinguished_name = plain.distinguished_name.clone();
    let node = forge.sign(&params, &key);
    assert!(forge.bundle.check(&[&node], NOW).is_ok());
    let below = leaf(&forge, &Issuer::new(params, key));
    assert_eq!(forge.bundle.check(&[&below, &node], NOW).err(), NOT_TRUSTED);

    let mut one_sided = ca("one-sided");
    one_sided.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (der, issuer) = forge.intermediate(&one_sided);
    let below = leaf(&forge, &issuer);
    assert_eq!(
        forge.bundle.check(&[&below, &der], NOW),
        Err(CertificateError::KeyUsage)
    );
    one_sided
        .extended_key_usages
        .push(ExtendedKeyUsagePurpose::ClientAuth);
    let (der, issuer) = forge.intermediate(&one_sided);
    let below = leaf(&forge, &issuer);
    assert!(forge.bundle.check(&[&below, &der], NOW).is_ok());
}

#[test]
fn everything_up_to_the_root_has_to_be_valid() {
    let forge = Forge::new(OURS);
    for (first, last, expected) in [
        (NOW - HOUR, NOW + HOUR, None),
        (NOW - HOUR, NOW - 1, Some(CertificateError::Expired)),
        (NOW + 1, NOW + HOUR, Some(CertificateError::NotYetValid)),
    ] {
        let mut params = ca("intermediate");
        let dates = span(first, last);
        (params.not_before, params.not_after) = (dates.not_before, dates.not_after);
        let (der, issuer) = forge.intermediate(&params);
        let below = leaf(&forge, &issuer);
        assert_eq!(forge.bundle.check(&[&below, &der], NOW).err(), expected);

        params.distinguished_name = ca(OURS).distinguished_name;
        let (root, issuer) = self_signed(&params);
        let bundle = TrustBundle::parse(&bundle_text(OURS, &[&root])).unwrap();
        let below = leaf(&forge, &issuer);
        assert_eq!(bundle.check(&[&below], NOW).err(), expected);
    }
}

#[test]
fn an_intermediate_with_another_kind_of_key_is_refused() {
    let forge = Forge::new(OURS);
    let params = ca("p-256");
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let der = forge.sign(&params, &key);
    let below = leaf(&forge, &Issuer::new(params, key));
    assert_eq!(
        forge.bundle.check(&[&below, &der], NOW),
        Err(CertificateError::KeyType)
    );
}

#[test]
fn the_limits_come_before_everything_else() {
    let forge = Forge::new(OURS);
    let good = leaf(&forge, &forge.issuer);
    let junk = [0xff; 8_192];
    assert!(
        forge
            .bundle
            .check(&[&good, &junk, &junk, &junk], NOW)
            .is_ok_and(|certificate| certificate.realm().as_str() == OURS)
    );
    assert_eq!(
        forge
            .bundle
            .check(&[&good, &junk, &junk, &junk, &junk], NOW),
        Err(CertificateError::ChainTooLong)
    );
    assert_eq!(
        forge.bundle.check(&[&good, &[0xff; 8_193]], NOW),
        Err(CertificateError::ChainTooLong)
    );
    assert_eq!(
        forge.bundle.check(&[&[0xff; 8_193]], NOW),
        Err(CertificateError::ChainTooLong)
    );
    assert_eq!(
        forge.bundle.check(&vec![good.as_slice(); 100], NOW),
        Err(CertificateError::ChainTooLong)
    );
    assert_eq!(
        forge.bundle.check(&[], NOW),
        Err(CertificateError::Malformed)
    );
}

#[test]
fn what_two_realms_signed_belongs_to_the_realm_in_its_uri() {
    let (ours, other) = (Forge::new(OURS), Forge::new(OTHER));
    // One intermediate, name and key the same, signed by both roots.
    let params = ca("shared");
    let key = ed25519();
    let by_ours = ours.sign(&params, &key);
    let by_other = other.sign(&params, &key);
    let shared = Issuer::new(params, key);
    let node = leaf(&ours, &shared);

    assert!(
        ours.bundle
            .check(&[&node, &by_other, &by_ours], NOW)
            .is_ok()
    );
    assert_eq!(
        ours.bundle.check(&[&node, &by_other], NOW).err(),
        NOT_TRUSTED
    );
    assert_eq!(
        other
            .bundle
            .check(&[&node, &by_other], NOW)
            .map_err(|error| error.reason()),
        Err("wrong_realm")
    );
}

#[test]
fn while_one_root_replaces_another_both_count() {
    let (old, new) = (Forge::new(OURS), Forge::new(OURS));
    let (by_old, by_new) = (leaf(&old, &old.issuer), leaf(&old, &new.issuer));
    assert_eq!(old.bundle.check(&[&by_new], NOW).err(), NOT_TRUSTED);
    let mut both = old.bundle.clone();
    both.add_root(&new.root).unwrap();
    for node in [&by_old, &by_new] {
        assert!(both.check(&[node], NOW).is_ok());
        assert!(both.check(&[node, &old.root, &new.root], NOW).is_ok());
    }
    assert_eq!(both.label(), old.bundle.label());
}

#[test]
fn an_expired_root_does_not_hide_its_successor() {
    let forge = Forge::new(OURS);
    let mut params = ca(OURS);
    params.not_after = span(0, NOW - 1).not_after;
    let key = ed25519();
    let expired = params.self_signed(&key).unwrap();
    let live = ca(OURS).self_signed(&key).unwrap();
    let node = leaf(&forge, &Issuer::new(params, key));

    let text = bundle_text(OURS, &[&expired]);
    let only_old = TrustBundle::parse(&text).unwrap();
    assert_eq!(
        only_old.check(&[&node], NOW),
        Err(CertificateError::Expired)
    );
    let text = bundle_text(OURS, &[&expired, &live]);
    assert!(
        TrustBundle::parse(&text)
            .unwrap()
            .check(&[&node], NOW)
            .is_ok()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Which realm signed and which is named decide alone, whatever else the chain holds.
    #[test]
    fn realm_and_root_decide(
        signed_by_ours in any::<bool>(),
        names_ours in any::<bool>(),
        with_roots in any::<bool>(),
    ) {
        let (ours, other) = (Forge::new(OURS), Forge::new(OTHER));
        let key = ed25519();
        let named = if names_ours { OURS } else { OTHER };
        let mut params = ours.good(&key);
        params.subject_alt_names = vec![uri(&format!("macula://{named}/{}", node_of(&key)))];
        let by = if signed_by_ours { &ours } else { &other };
        let node = by.sign(&params, &key);
        let chain: Vec<&[u8]> = if with_roots {
            vec![&node, &other.root, &ours.root]
        } else {
            vec![&node]
        };
        prop_assert_eq!(ours.bundle.check(&chain, NOW).is_ok(), signed_by_ours && names_ours);
        prop_assert_eq!(other.bundle.check(&chain, NOW).is_ok(), !signed_by_ours && !names_ours);
    }
}
