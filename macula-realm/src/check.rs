//! The check that the transport asks for in every handshake.

use std::time::Duration;

use macula_wire::limit::{MAX_CERTIFICATE_LEN, MAX_CHAIN};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, VerifiedPath,
};

use crate::{Certificate, CertificateError, TrustBundle};

/// The most intermediates between a node and its root.
const MAX_INTERMEDIATES: usize = 1;
/// 1.3.6.1.5.5.7.3.1 as it stands in a certificate.
const SERVER_AUTH: KeyPurposeId<'static> = KeyPurposeId::new(&[43, 6, 1, 5, 5, 7, 3, 1]);
/// 1.3.6.1.5.5.7.3.2 as it stands in a certificate.
const CLIENT_AUTH: KeyPurposeId<'static> = KeyPurposeId::new(&[43, 6, 1, 5, 5, 7, 3, 2]);

impl TrustBundle {
    /// Who the node with this chain is, if it is of this realm at this time.
    ///
    /// `chain` is in DER, the node's certificate first, at most four of at most 8,192 bytes each; `now_unix_s` is
    /// in seconds since 1970. The node's certificate has to keep the profile and name this realm, and end in one
    /// of the roots over at most one intermediate, all of them valid at that time, signed with Ed25519, and good
    /// for both sides of a handshake. Certificates of the chain that are not needed are ignored.
    ///
    /// Costs a signature check for each certificate on the way to the root, some 0.1 ms.
    ///
    /// # Errors
    ///
    /// One variant for each cause; see [`CertificateError`]. The limits are checked before anything is parsed.
    pub fn check(&self, chain: &[&[u8]], now_unix_s: u64) -> Result<Certificate, CertificateError> {
        if chain.len() > MAX_CHAIN || chain.iter().any(|der| der.len() > MAX_CERTIFICATE_LEN) {
            return Err(CertificateError::ChainTooLong);
        }
        let (leaf, others) = chain.split_first().ok_or(CertificateError::Malformed)?;
        let certificate = Certificate::from_der(leaf)?;
        if certificate.realm() != self.realm() {
            return Err(CertificateError::WrongRealm {
                expected: self.realm().clone(),
                found: certificate.realm().clone(),
            });
        }
        self.check_path(leaf, others, now_unix_s)?;
        Ok(certificate)
    }

    fn check_path(
        &self,
        leaf: &[u8],
        others: &[&[u8]],
        now_unix_s: u64,
    ) -> Result<(), CertificateError> {
        let anchors: Vec<TrustAnchor<'_>> = self
            .roots()
            .iter()
            .map(|root| root.anchor().clone())
            .collect();
        let others: Vec<CertificateDer<'_>> = others
            .iter()
            .map(|der| CertificateDer::from(*der))
            .collect();
        let leaf = CertificateDer::from(leaf);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now_unix_s));
        let judge = |path: &VerifiedPath<'_>| self.judge(path, now);
        EndEntityCert::try_from(&leaf)
            .and_then(|leaf| {
                leaf.verify_for_usage(
                    &[webpki::ring::ED25519],
                    &anchors,
                    &others,
                    now,
                    BothSides,
                    None,
                    Some(&judge),
                )
                .map(|_path| ())
            })
            .map_err(|error| cause(&error))
    }

    /// What webpki leaves open: how many intermediates, and whether the root itself is valid at this time.
    fn judge(&self, path: &VerifiedPath<'_>, now: UnixTime) -> Result<(), Error> {
        if path.intermediate_certificates().count() > MAX_INTERMEDIATES {
            return Err(Error::PathLenConstraintViolated);
        }
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let mut verdict = Err(Error::UnknownIssuer);
        for root in self
            .roots()
            .iter()
            .filter(|root| root.anchor() == path.anchor())
        {
            verdict = if now.as_secs() < root.not_before() {
                Err(Error::CertNotValidYet {
                    time: now,
                    not_before: at(root.not_before()),
                })
            } else if now.as_secs() > root.not_after() {
                Err(Error::CertExpired {
                    time: now,
                    not_after: at(root.not_after()),
                })
            } else {
                return Ok(());
            };
        }
        verdict
    }
}

/// Both purposes, because a node dials and listens with one certificate; an intermediate may leave them out.
struct BothSides;

impl ExtendedKeyUsageValidator for BothSides {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        let (mut any, mut client, mut server) = (false, false, false);
        for purpose in purposes {
            let purpose = purpose?;
            any = true;
            client |= purpose == CLIENT_AUTH;
            server |= purpose == SERVER_AUTH;
        }
        if !any || (client && server) {
            Ok(())
        } else {
            Err(Error::EmptyEkuExtension)
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever else webpki finds, the chain does not lead to a root"
)]
const fn cause(error: &Error) -> CertificateError {
    match error {
        Error::CertExpired { .. } => CertificateError::Expired,
        Error::CertNotValidYet { .. } => CertificateError::NotYetValid,
        Error::CaUsedAsEndEntity => CertificateError::IsCa,
        Error::EmptyEkuExtension => CertificateError::KeyUsage,
        Error::PathLenConstraintViolated | Error::MaximumPathDepthExceeded => {
            CertificateError::ChainTooLong
        }
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => CertificateError::KeyType,
        Error::UnsupportedCriticalExtension => CertificateError::Profile(
            "a certificate of the chain has a critical extension that nobody knows",
        ),
        Error::BadDer
        | Error::BadDerTime
        | Error::InvalidCertValidity
        | Error::ExtensionValueInvalid
        | Error::MalformedExtensions
        | Error::TrailingData(_)
        | Error::UnsupportedCertVersion => CertificateError::Malformed,
        _ => CertificateError::NotTrusted,
    }
}
