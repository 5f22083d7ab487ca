//! The certificate of the HTTP/3 face, which browsers can pin by its hash.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use zeroize::Zeroizing;

use crate::IssueError;
use crate::issue::{Span, params};

/// Browsers accept a pinned certificate only if it is valid for at most 14 days, and only ECDSA P-256.
const VALIDITY: Duration = Duration::from_secs(13 * 24 * 60 * 60);

/// A self-signed ECDSA P-256 certificate for the HTTP/3 face. It says nothing about node or realm.
pub struct WebIdentity {
    chain: Vec<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

impl WebIdentity {
    /// The certificate, alone, in DER.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The private key in PKCS#8 DER. Keep no copy that is not cleared.
    #[must_use]
    pub fn key_pkcs8(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Debug for WebIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebIdentity").finish_non_exhaustive()
    }
}

/// A new web identity for `localhost` and `names` (DNS names or IP addresses), valid for 13 days from
/// `now_unix_s`, less five minutes.
///
/// # Errors
///
/// [`IssueError::BadName`] if a name is neither, [`IssueError::Failed`] without randomness.
pub fn web_identity(names: &[&str], now_unix_s: u64) -> Result<WebIdentity, IssueError> {
    let mut params = params(Span::starting(now_unix_s, VALIDITY)?)?;
    params.distinguished_name.push(DnType::CommonName, "macula");
    for name in std::iter::once(&"localhost").chain(names) {
        let name = alternative_name(name)?;
        if !params.subject_alt_names.contains(&name) {
            params.subject_alt_names.push(name);
        }
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let failed = |_| IssueError::Failed("the web certificate was refused");
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(WebIdentity {
        chain: vec![certificate.der().to_vec()],
        key: Zeroizing::new(key.serialize_der()),
    })
}

fn alternative_name(name: &str) -> Result<SanType, IssueError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let bad = || IssueError::BadName {
        name: name.to_owned(),
    };
    rustls_pki_types::DnsName::try_from(name).map_err(|_| bad())?;
    name.try_into().map(SanType::DnsName).map_err(|_| bad())
}
