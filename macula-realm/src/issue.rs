//! What a certificate is issued for, and how it is made.

use std::time::Duration;

use macula_wire::message::Roles;
use macula_wire::{NodeId, RealmName};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber, SigningKey,
};
use x509_parser::time::ASN1Time;

use crate::certificate::{Attributes, OID, uri};
use crate::key::random;
use crate::{IssueError, Tenant, Zone};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a node's certificate is valid unless it was asked otherwise.
///
/// Long enough to renew by hand once a month, short enough that a stolen one is of no use for ever.
const NODE_VALIDITY: Duration = DAY.saturating_mul(30);
/// How far before the present a certificate starts, for clocks that are behind the issuer's.
const BACKDATED_S: u64 = 5 * 60;
/// The last second of the year 9999, the end of time in X.509.
const LAST_SECOND: u64 = 253_402_300_799;
/// The longest common name (RFC 5280, appendix A.1, `ub-common-name`).
const MAX_COMMON_NAME_LEN: usize = 64;
const SERIAL_LEN: usize = 16;

/// What a node's certificate is to say.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IssueRequest {
    /// What the node may be; at least one role. Default: member and client.
    pub roles: Roles,
    /// The tenant that the node belongs to. Default: none, so it may use every name of the realm.
    pub tenant: Option<Tenant>,
    /// Where the node stands. Default: not said.
    pub zone: Option<Zone>,
    /// How long the certificate is valid, at least a second. Default: 30 days. It ends with the root at the latest.
    pub validity: Duration,
}

impl IssueRequest {
    /// These roles for 30 days, of no tenant and in no zone.
    #[must_use]
    pub const fn new(roles: Roles) -> Self {
        Self {
            roles,
            tenant: None,
            zone: None,
            validity: NODE_VALIDITY,
        }
    }

    /// The same in `tenant`.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Option<Tenant>>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// The same in `zone`.
    #[must_use]
    pub fn with_zone(mut self, zone: impl Into<Option<Zone>>) -> Self {
        self.zone = zone.into();
        self
    }

    /// The same for `validity`.
    #[must_use]
    pub const fn with_validity(mut self, validity: Duration) -> Self {
        self.validity = validity;
        self
    }
}

impl Default for IssueRequest {
    fn default() -> Self {
        Self::new(Roles::MEMBER.with(Roles::CLIENT))
    }
}

/// A span of seconds since 1970, both ends included.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Span {
    /// From a little before `now` until `validity` after it.
    pub(crate) fn starting(now: u64, validity: Duration) -> Result<Self, IssueError> {
        if validity.as_secs() == 0 {
            return Err(IssueError::Validity);
        }
        Ok(Self {
            first: now.saturating_sub(BACKDATED_S),
            last: now.saturating_add(validity.as_secs()).min(LAST_SECOND),
        })
    }

    /// The part of it that lies within `outer`; `now` has to be in it.
    pub(crate) fn within(self, outer: Self, now: u64) -> Result<Self, IssueError> {
        let inner = Self {
            first: self.first.max(outer.first),
            last: self.last.min(outer.last),
        };
        if inner.first <= now && now <= inner.last {
            Ok(inner)
        } else {
            Err(IssueError::RootNotValid)
        }
    }
}

/// The certificate of a realm's root, which signs itself.
pub(crate) fn root_certificate(
    realm: &RealmName,
    key: &impl SigningKey,
    span: Span,
) -> Result<Vec<u8>, IssueError> {
    let mut params = params(span)?;
    let name = realm.as_str();
    let common_name = name.get(..MAX_COMMON_NAME_LEN).unwrap_or(name);
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params
        .self_signed(key)
        .map_err(|_| IssueError::Failed("the root was refused"))?;
    Ok(certificate.der().to_vec())
}

/// What a node's certificate says, all but its key and its signature.
pub(crate) fn node_params(
    realm: &RealmName,
    node: NodeId,
    request: &IssueRequest,
    span: Span,
) -> Result<CertificateParams, IssueError> {
    if request.roles == Roles::NONE {
        return Err(IssueError::NoRole);
    }
    let mut attributes = Attributes::new(request.roles);
    attributes.tenant.clone_from(&request.tenant);
    attributes.zone.clone_from(&request.zone);
    let mut params = params(span)?;
    let uri = uri(realm, node)
        .try_into()
        .map_err(|_| IssueError::Failed("the URI was refused"))?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    // RFC 5280, section 4.2.1.1, asks for it; strict readers elsewhere do, too.
    params.use_authority_key_identifier_extension = true;
    params.custom_extensions = vec![CustomExtension::from_oid_content(&OID, attributes.to_der())];
    Ok(params)
}

/// Nothing but a serial number and the span; no subject.
pub(crate) fn params(span: Span) -> Result<CertificateParams, IssueError> {
    let time = |at: u64| {
        let at = i64::try_from(at.min(LAST_SECOND)).unwrap_or(i64::MAX);
        ASN1Time::from_timestamp(at)
            .map(|time| time.to_datetime())
            .map_err(|_| IssueError::Failed("the time is not one of X.509"))
    };
    let mut serial = [0; SERIAL_LEN];
    random(&mut serial)?;
    // Positive, and never shorter by a leading zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = time(span.first)?;
    params.not_after = time(span.last)?;
    Ok(params)
}
