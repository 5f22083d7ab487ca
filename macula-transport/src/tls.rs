//! TLS 1.3 on both sides: mutual, without resumption, and silent about why it refuses.

mod decoy;
mod resolve;
mod verify;

pub(crate) use verify::{Failures, Judgement, ServerVerifier};

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;

use crate::credentials::{Credentials, TlsIdentity};
use crate::error::BindError;
use resolve::Resolver;
use verify::ClientVerifier;

/// The protocol of links.
pub(crate) const ALPN_LINK: &[u8] = b"macula/1";
/// The protocol of the web face.
pub(crate) const ALPN_HTTP: &[u8] = b"h3";

/// The provider of every configuration. The default of the process is never asked for.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The configuration of an endpoint that accepts: one for all realms and protocols.
pub(crate) fn server(
    realms: &[Arc<dyn Credentials>],
    web: Option<&TlsIdentity>,
    failures: &Arc<Failures>,
) -> Result<quinn::crypto::rustls::QuicServerConfig, BindError> {
    let resolver = Resolver::new(realms, web)?;
    let verifier = ClientVerifier::new(realms.to_vec(), Arc::clone(failures));
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable("the endpoint", &error))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN_LINK.to_vec()];
    if web.is_some() {
        config.alpn_protocols.push(ALPN_HTTP.to_vec());
    }
    // A resumed session would skip the check of the client's certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    quinn::crypto::rustls::QuicServerConfig::try_from(config)
        .map_err(|error| unusable("the endpoint", &error))
}

/// The configuration of one dialled link.
pub(crate) fn client(
    identity: &TlsIdentity,
    verifier: Arc<ServerVerifier>,
) -> Result<quinn::crypto::rustls::QuicClientConfig, String> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key().to_vec()));
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(chain(identity), key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![ALPN_LINK.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_early_data = false;
    quinn::crypto::rustls::QuicClientConfig::try_from(config).map_err(|error| error.to_string())
}

/// Whether `label` can stand in SNI.
pub(crate) fn is_label(label: &str) -> bool {
    matches!(ServerName::try_from(label), Ok(ServerName::DnsName(_)))
}

fn certified(owner: &str, identity: &TlsIdentity) -> Result<Arc<CertifiedKey>, BindError> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key().to_vec()));
    CertifiedKey::from_der(chain(identity), key, &provider())
        .map(Arc::new)
        .map_err(|error| unusable(owner, &error))
}

fn chain(identity: &TlsIdentity) -> Vec<CertificateDer<'static>> {
    let certificates = identity.chain().iter();
    certificates
        .map(|der| CertificateDer::from(der.clone()))
        .collect()
}

fn unusable(owner: &str, why: &dyn ToString) -> BindError {
    BindError::Tls {
        owner: owner.to_owned(),
        why: why.to_string(),
    }
}
