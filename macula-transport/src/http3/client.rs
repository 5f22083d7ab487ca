//! One request to a node's HTTP/3 face.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, header};
use macula_wire::ErrorCode;
use quinn::crypto::rustls::QuicClientConfig;
use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, PeerIncompatible, SignatureScheme};
use tokio::time::timeout;

use super::{ALPN, HttpReply, MAX_HEADER_BYTES};
use crate::{Config, Credentials, LinkError};

/// How long a request may take, the connection included.
const GET_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest body of a response in bytes.
const MAX_REPLY_BYTES: usize = 16 << 20;
/// The name in SNI of a client that shows no certificate.
const ANY_LABEL: &str = "macula";

/// Asks the server at `address` for `path`, as the holder of `credentials` if there are any.
///
/// The certificate of a node's HTTP/3 face is made by the node itself, so it is accepted whoever made it; its
/// fingerprint stands in the reply, for a caller who knows what it ought to be. What is sent is no secret and what
/// comes back is believed as far as the address is.
///
/// # Errors
///
/// [`LinkError::Refused`] with `INVALID_ARGUMENT` for a path that does not begin with `/` or holds what a path may not,
/// and with `PAYLOAD_TOO_LARGE` for a body over 16 MiB; [`LinkError::Unreachable`] if nothing answers as HTTP/3 does;
/// [`LinkError::TimedOut`] after 10 s.
///
/// # Cancel safety
///
/// Safe: the connection is closed.
pub async fn get(
    address: SocketAddr,
    path: &str,
    credentials: Option<Arc<dyn Credentials>>,
) -> Result<HttpReply, LinkError> {
    let request = request(address, path)?;
    timeout(GET_TIMEOUT, fetch(address, request, credentials))
        .await
        .unwrap_or(Err(LinkError::TimedOut {
            during: "a request by HTTP/3",
        }))
}

fn request(address: SocketAddr, path: &str) -> Result<Request<()>, LinkError> {
    let refused = |detail: &str| LinkError::Refused {
        code: ErrorCode::INVALID_ARGUMENT,
        detail: detail.to_owned(),
    };
    if !path.starts_with('/') {
        return Err(refused("a path begins with a slash"));
    }
    Request::get(format!("https://{address}{path}"))
        .header(header::USER_AGENT, "macula")
        .body(())
        .map_err(|_| refused("the path holds what a path may not"))
}

async fn fetch(
    address: SocketAddr,
    request: Request<()>,
    credentials: Option<Arc<dyn Credentials>>,
) -> Result<HttpReply, LinkError> {
    let any: SocketAddr = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let endpoint = quinn::Endpoint::client(any).map_err(failed(address))?;
    let label = credentials
        .as_ref()
        .map_or_else(|| ANY_LABEL.to_owned(), |own| own.label().to_owned());
    let config = client_config(address, credentials.as_deref())?;
    let connection = endpoint
        .connect_with(config, address, &label)
        .map_err(failed(address))?
        .await
        .map_err(failed(address))?;
    let server_fingerprint = fingerprint(address, &connection)?;
    let quic = h3_quinn::Connection::new(connection);
    let mut builder = h3::client::builder();
    builder
        .max_field_section_size(MAX_HEADER_BYTES)
        .send_grease(false);
    let (mut driver, requests) = builder.build(quic).await.map_err(failed(address))?;
    let reply = tokio::select! {
        reply = exchange(address, requests, request, server_fingerprint) => reply,
        error = driver.wait_idle() => Err(failed(address)(error)),
    };
    drop(driver);
    endpoint.wait_idle().await;
    reply
}

/// Sends `request` and reads the whole response.
async fn exchange(
    address: SocketAddr,
    mut requests: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    request: Request<()>,
    server_fingerprint: [u8; 32],
) -> Result<HttpReply, LinkError> {
    let mut stream = requests
        .send_request(request)
        .await
        .map_err(failed(address))?;
    stream.finish().await.map_err(failed(address))?;
    let response = stream.recv_response().await.map_err(failed(address))?;
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let mut body = Vec::new();
    while let Some(mut data) = stream.recv_data().await.map_err(failed(address))? {
        if body.len().saturating_add(data.remaining()) > MAX_REPLY_BYTES {
            return Err(LinkError::Refused {
                code: ErrorCode::PAYLOAD_TOO_LARGE,
                detail: "the response is over 16 MiB".to_owned(),
            });
        }
        body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    Ok(HttpReply {
        status: response.status().as_u16(),
        content_type,
        body: body.into(),
        server_fingerprint,
    })
}

/// What a request that found no HTTP/3 at `address` failed with.
fn failed<E: ToString>(address: SocketAddr) -> impl Fn(E) -> LinkError {
    move |error| LinkError::Unreachable {
        address,
        why: error.to_string(),
    }
}

/// SHA-256 of the certificate that the server showed.
fn fingerprint(address: SocketAddr, connection: &quinn::Connection) -> Result<[u8; 32], LinkError> {
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
    let leaf = chain.as_deref().and_then(|chain| chain.first());
    let sum = leaf.map(|leaf| digest(&SHA256, leaf));
    sum.and_then(|sum| sum.as_ref().try_into().ok())
        .ok_or_else(|| failed(address)("the server showed no certificate"))
}

fn client_config(
    address: SocketAddr,
    credentials: Option<&dyn Credentials>,
) -> Result<quinn::ClientConfig, LinkError> {
    let unusable = |error: rustls::Error| LinkError::Refused {
        code: ErrorCode::UNAUTHENTICATED,
        detail: error.to_string(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = SignatureOnly {
        provider: Arc::clone(&provider),
    };
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut tls = match credentials {
        None => builder.with_no_client_auth(),
        Some(credentials) => {
            let identity = credentials.identity();
            let chain = identity.chain().iter().cloned().map(CertificateDer::from);
            let key = PrivatePkcs8KeyDer::from(identity.key().to_vec());
            builder
                .with_client_auth_cert(chain.collect(), key.into())
                .map_err(unusable)?
        }
    };
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let crypto = QuicClientConfig::try_from(tls).map_err(failed(address))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(crate::endpoint::transport_config(&Config::default()));
    Ok(config)
}

/// Accepts whoever can sign for the certificate shown.
#[derive(Debug)]
struct SignatureOnly {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for SignatureOnly {
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
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ED25519,
        ]
    }
}
