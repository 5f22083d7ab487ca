//! Sockets and TLS of the baseline: the cost of a link's, without its checks of who the peer is.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme};

use super::BaselineError;
use crate::{Config, TlsIdentity};

const ALPN: &[u8] = b"macula-baseline/1";

pub(super) fn bind_error(address: SocketAddr, error: &std::io::Error) -> BaselineError {
    BaselineError::Bind {
        address,
        detail: error.to_string(),
    }
}

/// An endpoint with the socket and packet sizes of a link's.
pub(super) fn endpoint(
    address: SocketAddr,
    server: Option<quinn::ServerConfig>,
    config: &Config,
) -> Result<quinn::Endpoint, BaselineError> {
    let (socket, _) = crate::endpoint::bind(address).map_err(|error| BaselineError::Bind {
        address,
        detail: error.to_string(),
    })?;
    quinn::Endpoint::new(
        crate::endpoint::endpoint_config(config),
        server,
        socket,
        Arc::new(quinn::TokioRuntime),
    )
    .map_err(|error| bind_error(address, &error))
}

pub(super) fn server(
    identity: &TlsIdentity,
    config: &Config,
) -> Result<quinn::ServerConfig, BaselineError> {
    let (chain, key) = chain_and_key(identity);
    let provider = provider();
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(BaselineError::tls)?
        .with_client_cert_verifier(Arc::new(AnyEd25519 { provider }))
        .with_single_cert(chain, key)
        .map_err(BaselineError::tls)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.send_tls13_tickets = 0;
    let crypto = QuicServerConfig::try_from(tls).map_err(BaselineError::tls)?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    server.transport_config(crate::endpoint::transport_config(config));
    Ok(server)
}

pub(super) fn client(
    identity: &TlsIdentity,
    config: &Config,
) -> Result<quinn::ClientConfig, BaselineError> {
    let (chain, key) = chain_and_key(identity);
    let provider = provider();
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(BaselineError::tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyEd25519 { provider }))
        .with_client_auth_cert(chain, key)
        .map_err(BaselineError::tls)?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let crypto = QuicClientConfig::try_from(tls).map_err(BaselineError::tls)?;
    let mut client = quinn::ClientConfig::new(Arc::new(crypto));
    client.transport_config(crate::endpoint::transport_config(config));
    Ok(client)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn chain_and_key(identity: &TlsIdentity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = identity.chain().iter().cloned().map(CertificateDer::from);
    let key = PrivatePkcs8KeyDer::from(identity.key().to_vec());
    (chain.collect(), key.into())
}

/// Accepts whoever can sign for the certificate shown.
#[derive(Debug)]
struct AnyEd25519 {
    provider: Arc<CryptoProvider>,
}

impl AnyEd25519 {
    fn check(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }
}

const TLS12: rustls::Error =
    rustls::Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic);

impl ServerCertVerifier for AnyEd25519 {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for AnyEd25519 {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(TLS12)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
