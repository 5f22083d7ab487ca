//! Certificates, trust bundles and keys, and who may do what.

use std::sync::OnceLock;

use macula_realm::{
    Action, Authority, Certificate, DefaultRules, NodeKey, Principal, Tenant, TrustBundle, Verdict,
    Zone, sha256,
};
use macula_wire::message::Roles;
use macula_wire::{NodeId, Pattern, Topic};

/// The bundle of a realm that was made for the fuzzer, and whose root key is gone.
const BUNDLE: &str = include_str!("../../fixtures/realm.trust");
/// A certificate of that realm, in DER.
const LEAF: &[u8] = include_bytes!("../../fixtures/node.der");
/// A time at which both are valid, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

/// A certificate is refused, or what it says is within its profile.
pub fn certificate(data: &[u8]) {
    if let Ok(certificate) = Certificate::from_der(data) {
        assert_eq!(certificate.sha256(), &sha256(data));
        assert!(certificate.not_before() <= certificate.not_after());
        if let Some(tenant) = certificate.tenant() {
            assert_eq!(Tenant::new(tenant.as_str()).as_ref(), Ok(tenant));
        }
        if let Some(zone) = certificate.zone() {
            assert_eq!(Zone::new(zone.as_str()).as_ref(), Ok(zone));
        }
        assert_eq!(certificate.principal().node, certificate.node());
    }
}

/// A genuine certificate is accepted, and none that differs from it by a single bit.
///
/// Input: the number of edits (1 byte), edits (place in 2 bytes, bits to turn in 1), then what is
/// appended to the chain as a second certificate.
pub fn chain(data: &[u8]) {
    static PARSED: OnceLock<TrustBundle> = OnceLock::new();
    let bundle = PARSED.get_or_init(|| TrustBundle::parse(BUNDLE).expect("the fixture is sound"));
    let Some((count, mut rest)) = data.split_first() else {
        return;
    };
    let mut leaf = LEAF.to_vec();
    for _edit in 0..*count {
        let [high, low, bits, after @ ..] = rest else {
            break;
        };
        rest = after;
        let place = usize::from(u16::from_be_bytes([*high, *low])) % leaf.len();
        leaf[place] ^= bits;
    }
    let checked = bundle.check(&[&leaf, rest], NOW);
    assert_eq!(checked.is_ok(), leaf == LEAF, "{checked:?}");
}

/// A bundle is refused, or is written as it was read.
pub fn trust_bundle(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Ok(bundle) = TrustBundle::parse(text)
    {
        assert_eq!(bundle.to_text(), text);
        assert!(!bundle.roots().is_empty());
        let label = bundle.label();
        assert_eq!(label.len(), 32);
        assert!(label.starts_with(|first: char| first.is_ascii_lowercase()));
    }
}

/// A key is refused, or is kept as it was read.
pub fn key(data: &[u8]) {
    if let Ok(key) = NodeKey::from_pkcs8(data) {
        assert_eq!(key.pkcs8(), data);
    }
}

/// Who may subscribe to a pattern may use every topic that it matches.
///
/// Input: tenant, line feed, pattern, line feed, topic; an empty tenant is none.
pub fn rules(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (tenant, pattern, topic) = (next(), Pattern::new(next()), Topic::new(next()));
    let (Ok(pattern), Ok(topic)) = (pattern, topic) else {
        return;
    };
    let Ok(tenant) = Some(tenant)
        .filter(|text| !text.is_empty())
        .map(Tenant::new)
        .transpose()
    else {
        return;
    };
    let who =
        Principal::new(NodeId::from_bytes([3; 32]), Roles::CLIENT).with_tenant(tenant.clone());
    let subscribes = DefaultRules.check(&who, Action::Subscribe, pattern.as_str());
    let publishes = DefaultRules.check(&who, Action::Publish, topic.as_str());
    if subscribes == Verdict::Allow && pattern.matches(&topic) {
        assert_eq!(publishes, Verdict::Allow);
    }
    if publishes == Verdict::Allow {
        assert!(!topic.is_reserved());
        let first = topic.as_str().split('.').next();
        assert!(tenant.is_none_or(|tenant| Some(tenant.as_str()) == first));
    }
}
