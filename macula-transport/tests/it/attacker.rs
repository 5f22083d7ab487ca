//! A peer that speaks QUIC and keeps to no rule of ours.

use std::net::SocketAddr;
use std::sync::Arc;

use macula_transport::TlsIdentity;
use macula_wire::frame::FRAME_VERSION;
use macula_wire::handshake::feature;
use macula_wire::message::{Handshake, Message, Role};
use macula_wire::{Epoch, FrameDecoder};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use crate::support::{Node, loopback, within};

/// Believes whoever answers.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// A connection with the endpoint that holds it.
pub(crate) struct Attack {
    pub(crate) connection: quinn::Connection,
    _endpoint: quinn::Endpoint,
}

/// Connects with any label and any identity, or none. Succeeds before the other side has judged.
pub(crate) async fn attack(
    address: SocketAddr,
    label: &str,
    identity: Option<(&TlsIdentity, &[u8])>,
) -> Result<Attack, quinn::ConnectionError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut tls = match identity {
        None => builder.with_no_client_auth(),
        Some((identity, key)) => {
            let chain = identity.chain().iter();
            let chain = chain.map(|der| CertificateDer::from(der.clone())).collect();
            let key = PrivatePkcs8KeyDer::from(key.to_vec());
            builder.with_client_auth_cert(chain, key.into()).unwrap()
        }
    };
    tls.alpn_protocols = vec![b"macula/1".to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::client(loopback()).unwrap();
    let connecting = endpoint.connect_with(config, address, label).unwrap();
    let connection = within(connecting).await?;
    Ok(Attack {
        connection,
        _endpoint: endpoint,
    })
}

impl Attack {
    /// Sends bytes on a stream of the two sides, and gives the first message that comes back.
    pub(crate) async fn say(&self, bytes: &[u8]) -> Option<Message> {
        let (mut write, mut read) = self.connection.open_bi().await.ok()?;
        write.write_all(bytes).await.ok()?;
        let mut decoder = FrameDecoder::new(1 << 20);
        loop {
            let chunk = within(read.read_chunk(1 << 20, true)).await.ok()??;
            decoder.push(chunk.bytes);
            if let Some(frame) = decoder.next_frame().unwrap() {
                return Some(Message::decode(&frame).unwrap());
            }
        }
    }

    /// How the other side ended the connection.
    pub(crate) async fn end(&self) -> quinn::ConnectionError {
        within(self.connection.closed()).await
    }
}

/// The HANDSHAKE that `node` would send.
pub(crate) fn handshake(node: &Node) -> Handshake {
    Handshake {
        versions: vec![FRAME_VERSION],
        role: Role::Member,
        realm: node.realm.clone(),
        node: node.node,
        epoch: Epoch::new(1),
        features: feature::DEFAULT,
        required: 0,
        max_frame_len: 1 << 20,
        agent: "attacker".into(),
    }
}
