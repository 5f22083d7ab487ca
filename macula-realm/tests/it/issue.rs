//! What a realm's root issues.

use std::collections::BTreeSet;
use std::time::Duration;

use macula_realm::{
    CertificateError, IssueError, IssueRequest, KeyVerifier, NodeIdentity, NodeKey, RealmRoot,
    Tenant, Zone,
};
use macula_wire::message::Roles;
use macula_wire::{RealmName, Signer, Verifier};
use proptest::prelude::*;

use crate::forge::{HOUR, NOW, OURS};

const DAY: u64 = 24 * HOUR;
const BACKDATED: u64 = 300;

fn root() -> RealmRoot {
    let realm = RealmName::new(OURS).unwrap();
    RealmRoot::create(realm, NOW, RealmRoot::DEFAULT_VALIDITY).unwrap()
}

#[test]
fn a_node_is_who_its_certificate_says() {
    let root = root();
    let node = root.issue(&IssueRequest::default(), NOW).unwrap();
    let certificate = root.bundle().check(&[&node.chain()[0]], NOW).unwrap();
    assert_eq!(&certificate, node.certificate());
    assert_eq!(node.chain().len(), 1);
    assert_eq!(node.realm(), root.realm());
    assert_eq!(certificate.node(), node.node());
    assert_eq!(certificate.roles(), Roles::MEMBER.with(Roles::CLIENT));
    assert_eq!(certificate.not_before(), NOW - BACKDATED);
    assert_eq!(certificate.not_after(), NOW + 30 * DAY);

    let signature = node.signer().sign(b"message");
    assert_eq!(node.signer().node(), node.node());
    assert!(KeyVerifier.verify(certificate.node(), b"message", &signature));
}

#[test]
fn a_root_says_nothing_but_that_it_is_one() {
    let root = root();
    assert_eq!(root.certificate().not_before(), NOW - BACKDATED);
    assert_eq!(root.certificate().not_after(), NOW + 3_650 * DAY);
    assert_eq!(
        root.bundle().check(&[root.certificate().der()], NOW),
        Err(CertificateError::IsCa)
    );
}

#[test]
fn a_certificate_does_not_outlive_its_root() {
    let realm = RealmName::new(OURS).unwrap();
    let root = RealmRoot::create(realm, NOW, Duration::from_secs(HOUR)).unwrap();
    let node = root.issue(&IssueRequest::default(), NOW).unwrap();
    assert_eq!(node.certificate().not_after(), NOW + HOUR);
    assert_eq!(node.certificate().not_before(), NOW - BACKDATED);

    let request = IssueRequest::default().with_validity(Duration::from_secs(60));
    let node = root.issue(&request, NOW + 10).unwrap();
    assert_eq!(node.certificate().not_after(), NOW + 70);
    assert!(root.issue(&request, NOW + HOUR).is_ok());
    for now in [0, NOW - BACKDATED - 1, NOW + HOUR + 1, u64::MAX] {
        assert_eq!(
            root.issue(&request, now).err(),
            Some(IssueError::RootNotValid)
        );
    }
}

#[test]
fn a_request_that_makes_no_sense_is_refused() {
    let root = root();
    let nothing = IssueRequest::new(Roles::NONE);
    assert_eq!(root.issue(&nothing, NOW).err(), Some(IssueError::NoRole));
    let never = IssueRequest::default().with_validity(Duration::from_millis(999));
    assert_eq!(root.issue(&never, NOW).err(), Some(IssueError::Validity));
    assert_eq!(
        RealmRoot::create(root.realm().clone(), NOW, Duration::ZERO).err(),
        Some(IssueError::Validity)
    );
    let shortest = IssueRequest::new(Roles::STORE).with_validity(Duration::from_secs(1));
    assert!(root.issue(&shortest, NOW).is_ok());
    let longest = IssueRequest::default().with_validity(Duration::MAX);
    let node = root.issue(&longest, NOW).unwrap();
    assert_eq!(
        node.certificate().not_after(),
        root.certificate().not_after()
    );
}

#[test]
fn the_longest_realm_and_the_end_of_time_are_possible() {
    let name = [
        &["x".repeat(63).as_str(); 3][..],
        &["y".repeat(62).as_str()],
    ]
    .concat()
    .join(".");
    assert_eq!(name.len(), 254);
    let realm = RealmName::new(&name).unwrap();
    let root = RealmRoot::create(realm.clone(), NOW, Duration::MAX).unwrap();
    let node = root.issue(&IssueRequest::default(), NOW).unwrap();
    assert_eq!(node.realm(), &realm);
    assert!(root.certificate().not_after() > NOW + 1_000_000 * HOUR);
}

#[test]
fn serial_numbers_are_sixteen_bytes_and_differ() {
    let root = root();
    let serials: BTreeSet<Vec<u8>> = (0..32)
        .map(|_| root.issue(&IssueRequest::default(), NOW).unwrap())
        .map(|node| node.certificate().serial().to_vec())
        .collect();
    assert_eq!(serials.len(), 32);
    assert!(serials.iter().all(|serial| serial.len() == 16));
}

#[test]
fn a_node_can_keep_its_key_to_itself() {
    let root = root();
    let key = NodeKey::generate().unwrap();
    let chain = root
        .issue_for(key.node(), &IssueRequest::default(), NOW)
        .unwrap();
    let identity = NodeIdentity::new(key.clone(), chain.clone()).unwrap();
    assert_eq!(identity.node(), key.node());

    let other = NodeKey::generate().unwrap();
    assert_eq!(
        NodeIdentity::new(other, chain.clone()).err(),
        Some(CertificateError::OtherKey)
    );
    assert_eq!(
        NodeIdentity::new(key.clone(), Vec::new()).err(),
        Some(CertificateError::Malformed)
    );
    assert_eq!(
        NodeIdentity::new(key, vec![chain[0].clone(); 5]).err(),
        Some(CertificateError::ChainTooLong)
    );
}

#[test]
fn two_realms_do_not_know_each_other() {
    let (ours, twin) = (root(), root());
    let node = ours.issue(&IssueRequest::default(), NOW).unwrap();
    assert_eq!(
        twin.bundle().check(&[&node.chain()[0]], NOW),
        Err(CertificateError::NotTrusted)
    );
    assert_ne!(ours.bundle().label(), twin.bundle().label());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_asked_for_is_what_the_certificate_says(
        bits in 1..=u32::MAX,
        tenant in proptest::option::of("[a-z0-9-]{1,63}"),
        zone in proptest::option::of("[a-z0-9-]{1,63}"),
        seconds in 1..40 * DAY,
        now in NOW..NOW + 100 * DAY,
    ) {
        let root = root();
        let tenant = tenant.map(|text| Tenant::new(&text).unwrap());
        let zone = zone.map(|text| Zone::new(&text).unwrap());
        let request = IssueRequest::new(Roles::from_bits(bits))
            .with_tenant(tenant.clone())
            .with_zone(zone.clone())
            .with_validity(Duration::from_secs(seconds));
        let node = root.issue(&request, now).unwrap();
        let certificate = root.bundle().check(&[&node.chain()[0]], now).unwrap();
        prop_assert_eq!(certificate.roles().bits(), bits);
        prop_assert_eq!(certificate.tenant(), tenant.as_ref());
        prop_assert_eq!(certificate.zone(), zone.as_ref());
        prop_assert_eq!(certificate.not_after(), now + seconds);
    }
}
