//! Judging the certificate of a peer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use macula_wire::NodeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::credentials::{Credentials, PeerIdentity};

/// The one error that a peer is shown. Its text travels in CONNECTION_CLOSE, so it must not tell the cause.
const fn refusal() -> Error {
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

/// How many peers were not accepted, by cause.
#[derive(Debug, Default)]
pub(crate) struct Failures(Mutex<BTreeMap<&'static str, u64>>);

impl Failures {
    /// Counts and logs one.
    pub(crate) fn count(&self, cause: &'static str) {
        tracing::info!(cause, "a peer's identity was not accepted");
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(cause).or_default();
        *count = count.saturating_add(1);
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.clone()
    }
}

/// Accepts a client that any realm of the endpoint accepts. Which realm it has to be is seen from the label only
/// after the handshake, and compared there.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    realms: Vec<Arc<dyn Credentials>>,
    failures: Arc<Failures>,
    provider: Arc<CryptoProvider>,
}

impl ClientVerifier {
    pub(super) fn new(realms: Vec<Arc<dyn Credentials>>, failures: Arc<Failures>) -> Self {
        Self {
            realms,
            failures,
            provider: super::provider(),
        }
    }
}

impl ClientCertVerifier for ClientVerifier {
    /// None: the hints would name every realm.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    /// A client of the web face may have none. A link without one is closed after the handshake.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = joined(leaf, above);
        let mut cause = "no realm";
        for realm in &self.realms {
            match realm.check(&chain, now.as_secs()) {
                Ok(_) => return Ok(ClientCertVerified::assertion()),
                Err(refused) => cause = refused.0,
            }
        }
        self.failures.count(cause);
        Err(refusal())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(refusal())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_signature(&self.provider, message, leaf, signature, &self.failures)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// What a dialler found out about the acceptor.
#[derive(Clone, Debug)]
pub(crate) enum Judgement {
    /// It is who was dialled.
    Accepted(PeerIdentity),
    /// It is another node of the realm.
    WrongNode(NodeId),
    /// Its certificate was refused.
    Refused,
}

/// Accepts the node that was dialled, in the realm that was dialled. For one handshake.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    realm: Arc<dyn Credentials>,
    expected: Option<NodeId>,
    failures: Arc<Failures>,
    provider: Arc<CryptoProvider>,
    judgement: Mutex<Option<Judgement>>,
}

impl ServerVerifier {
    pub(crate) fn new(
        realm: Arc<dyn Credentials>,
        expected: Option<NodeId>,
        failures: Arc<Failures>,
    ) -> Self {
        Self {
            realm,
            expected,
            failures,
            provider: super::provider(),
            judgement: Mutex::new(None),
        }
    }

    /// What was found out; `None` if the acceptor has shown nothing.
    pub(crate) fn judgement(&self) -> Option<Judgement> {
        let judgement = self
            .judgement
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        judgement.clone()
    }

    fn judge(&self, chain: &[&[u8]], now: UnixTime) -> Judgement {
        let peer = match self.realm.check(chain, now.as_secs()) {
            Ok(peer) => peer,
            Err(refused) => {
                self.failures.count(refused.0);
                return Judgement::Refused;
            }
        };
        if peer.realm != *self.realm.realm() {
            self.failures.count("another realm");
            return Judgement::Refused;
        }
        if self.expected.is_some_and(|expected| expected != peer.node) {
            self.failures.count("another node");
            return Judgement::WrongNode(peer.node);
        }
        Judgement::Accepted(peer)
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judgement = self.judge(&joined(leaf, above), now);
        let accepted = matches!(judgement, Judgement::Accepted(_));
        *self
            .judgement
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(judgement);
        if accepted {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(refusal())
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(refusal())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_signature(&self.provider, message, leaf, signature, &self.failures)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Whether whoever showed `leaf` holds its key.
fn check_signature(
    provider: &CryptoProvider,
    message: &[u8],
    leaf: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    failures: &Failures,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = &provider.signature_verification_algorithms;
    verify_tls13_signature(message, leaf, signature, algorithms).map_err(|error| {
        tracing::debug!(%error, "signature of a handshake");
        failures.count("signature");
        refusal()
    })
}

fn joined<'a>(leaf: &'a CertificateDer<'_>, above: &'a [CertificateDer<'_>]) -> Vec<&'a [u8]> {
    std::iter::once(leaf)
        .chain(above)
        .map(AsRef::as_ref)
        .collect()
}
