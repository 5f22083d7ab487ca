//! The HTTP/3 face.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes};
use http::{Method, Request, Response, StatusCode, header};
use macula_transport::http3::{HttpHandler, HttpMethod, HttpReply, HttpRequest, HttpResponse, get};
use macula_transport::{Config, Endpoint, Incoming, LinkError, PeerIdentity, TlsIdentity};
use macula_wire::ErrorCode;
use macula_wire::message::Role;
use quinn::crypto::rustls::QuicClientConfig;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::support::{BOTH, Node, Realm, endpoint, within};

/// Serves one document and remembers who asked.
#[derive(Debug, Default)]
struct Documents {
    asked: Mutex<Vec<(HttpMethod, String, Option<PeerIdentity>)>>,
}

impl HttpHandler for Documents {
    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        assert!(request.remote.ip().is_loopback());
        let mut path = request.path.clone();
        if let Some(query) = &request.query {
            path = format!("{path} asked {query}");
        }
        let known = request.path == "/healthz";
        let peer = request.peer.clone();
        self.asked
            .lock()
            .unwrap()
            .push((request.method, path, peer));
        match known {
            true => HttpResponse::new(200, "application/json", "{\"ok\":true}"),
            false => HttpResponse::text(404, "nothing here\n"),
        }
    }
}

struct Face {
    realm: Realm,
    endpoint: Endpoint,
    incoming: Incoming,
    documents: Arc<Documents>,
    certificate: Vec<u8>,
}

impl Face {
    fn new() -> Self {
        let realm = Realm::new("be.acme.iot");
        let documents = Arc::new(Documents::default());
        let (web, certificate) = web_identity();
        let mut config = Config::default();
        config.web_identity = Some(web);
        config.http = Some(documents.clone());
        let (endpoint, incoming) = endpoint(&realm.node(BOTH), Role::Member, config);
        Self {
            realm,
            endpoint,
            incoming,
            documents,
            certificate,
        }
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    async fn get(&self, path: &str, as_node: Option<&Node>) -> Result<HttpReply, LinkError> {
        within(get(self.address(), path, as_node.map(Node::shared))).await
    }

    fn asked(&self) -> Vec<(HttpMethod, String, Option<PeerIdentity>)> {
        std::mem::take(&mut *self.documents.asked.lock().unwrap())
    }
}

fn web_identity() -> (TlsIdentity, Vec<u8>) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().to_vec();
    let identity = TlsIdentity::new(vec![certificate.clone()], key.serialize_der());
    (identity, certificate)
}

#[tokio::test]
async fn a_document_is_given_to_whoever_asks() {
    let face = Face::new();
    let reply = face.get("/healthz?verbose=1", None).await.unwrap();
    assert_eq!(
        (reply.status, reply.content_type.as_str()),
        (200, "application/json")
    );
    assert_eq!(reply.body, "{\"ok\":true}");
    let sum = ring::digest::digest(&ring::digest::SHA256, &face.certificate);
    assert_eq!(reply.server_fingerprint, sum.as_ref());
    let asked = (HttpMethod::Get, "/healthz asked verbose=1".to_owned(), None);
    assert_eq!(face.asked(), [asked]);
}

#[tokio::test]
async fn a_path_that_the_handler_does_not_know_is_its_own_to_refuse() {
    let face = Face::new();
    let reply = face.get("/nothing", None).await.unwrap();
    assert_eq!(
        (reply.status, reply.body.as_ref()),
        (404, &b"nothing here\n"[..])
    );
    assert_eq!(face.get("/healthz", None).await.unwrap().status, 200);
}

#[tokio::test]
async fn the_handler_learns_who_shows_a_certificate_of_the_realm() {
    let face = Face::new();
    let node = face.realm.node(BOTH);
    face.get("/healthz", Some(&node)).await.unwrap();
    face.get("/healthz", None).await.unwrap();
    let asked = face.asked();
    let peers: Vec<_> = asked.iter().map(|(_, _, peer)| peer.as_ref()).collect();
    assert_eq!(peers[0].unwrap().node, node.node);
    assert_eq!(peers[0].unwrap().roles, BOTH);
    assert_eq!(peers[1], None);
}

#[tokio::test]
async fn a_certificate_that_the_realm_did_not_issue_opens_nothing() {
    let face = Face::new();
    let stranger = face.get("/healthz", Some(&face.realm.self_made())).await;
    match stranger {
        // Refused in the handshake, or served as nobody.
        Err(error) => assert!(matches!(error, LinkError::Unreachable { .. }), "{error}"),
        Ok(_) => assert_eq!(face.asked().pop().unwrap().2, None),
    }
    let known = face.realm.node(BOTH);
    assert!(face.get("/healthz", Some(&known)).await.is_ok());
    assert!(face.asked().pop().unwrap().2.is_some());
}

#[tokio::test]
async fn a_path_that_is_none_is_refused_before_anything_is_sent() {
    let face = Face::new();
    for path in ["healthz", "", "/a b", "/\u{7f}"] {
        let Err(LinkError::Refused { code, .. }) = face.get(path, None).await else {
            panic!("{path:?} was sent");
        };
        assert_eq!(code, ErrorCode::INVALID_ARGUMENT);
    }
    assert_eq!(face.asked(), []);
}

#[tokio::test]
async fn an_endpoint_without_a_handler_speaks_no_http() {
    let realm = Realm::new("be.acme.iot");
    let (plain, _incoming) = endpoint(&realm.node(BOTH), Role::Member, Config::default());
    let refused = within(get(plain.local_addr(), "/healthz", None)).await;
    assert!(matches!(refused, Err(LinkError::Unreachable { .. })));
}

#[tokio::test]
async fn links_come_about_on_the_port_that_serves_http() {
    let mut face = Face::new();
    let node = face.realm.node(BOTH);
    let (dialler, _) = endpoint(&node, Role::Member, Config::default());
    let dial = dialler.dial(face.realm.name(), face.address(), None);
    let (near, _near_events) = within(dial).await.unwrap();
    let (far, _far_events) = within(face.incoming.accept()).await.unwrap();
    assert_eq!(face.get("/healthz", None).await.unwrap().status, 200);
    assert_eq!(far.peer().node, node.node);
    assert_eq!(near.close_reason(), None);
    assert_eq!(face.endpoint.stats().http_total, 1);
}

/// A client that sends what it likes.
struct Raw {
    requests: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    _driver: tokio::task::JoinSet<()>,
    _endpoint: quinn::Endpoint,
}

impl Raw {
    async fn new(face: &Face) -> Self {
        let (endpoint, connection) = by_hand(face).await;
        let quic = h3_quinn::Connection::new(connection);
        let (mut driver, requests) = within(h3::client::new(quic)).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            driver.wait_idle().await;
        });
        Self {
            requests,
            _driver: tasks,
            _endpoint: endpoint,
        }
    }

    /// Sends a request and gives the head and the body of the response.
    async fn send(
        &mut self,
        method: Method,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> Option<(Response<()>, Vec<u8>)> {
        let mut request = Request::builder()
            .method(method)
            .uri("https://localhost/healthz");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(()).unwrap();
        let mut stream = within(self.requests.send_request(request)).await.ok()?;
        for piece in body.chunks(10_000) {
            // The server may have said that it wants no more.
            if stream
                .send_data(Bytes::copy_from_slice(piece))
                .await
                .is_err()
            {
                break;
            }
        }
        drop(stream.finish().await);
        let response = within(stream.recv_response()).await.ok()?;
        let mut answer = Vec::new();
        while let Some(mut data) = within(stream.recv_data()).await.ok()? {
            let length = data.remaining();
            answer.extend_from_slice(&data.copy_to_bytes(length));
        }
        Some((response, answer))
    }
}

#[tokio::test]
async fn a_head_is_a_get_without_the_body() {
    let face = Face::new();
    let mut raw = Raw::new(&face).await;
    let (head, body) = raw.send(Method::HEAD, &[], &[]).await.unwrap();
    assert_eq!((head.status(), body.len()), (StatusCode::OK, 0));
    assert_eq!(head.headers()[header::CONTENT_LENGTH], "11");
    let (get, body) = raw.send(Method::GET, &[], &[]).await.unwrap();
    assert_eq!((get.status(), body.len()), (StatusCode::OK, 11));
    assert_eq!(get.headers()[header::CONTENT_LENGTH], "11");
    let methods: Vec<_> = face.asked().iter().map(|(method, ..)| *method).collect();
    assert_eq!(methods, [HttpMethod::Head, HttpMethod::Get]);
}

#[tokio::test]
async fn other_methods_do_not_reach_the_handler() {
    let face = Face::new();
    let mut raw = Raw::new(&face).await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let (refused, _) = raw.send(method, &[], b"some").await.unwrap();
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()[header::ALLOW], "GET, HEAD");
    }
    assert_eq!(face.asked(), []);
    let (get, _) = raw.send(Method::GET, &[], &[]).await.unwrap();
    assert_eq!(get.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_is_thrown_away_up_to_its_limit_and_refused_over_it() {
    let face = Face::new();
    let mut raw = Raw::new(&face).await;
    let (small, _) = raw.send(Method::GET, &[], &[0; 64 << 10]).await.unwrap();
    assert_eq!(small.status(), StatusCode::OK);
    let (large, _) = raw
        .send(Method::GET, &[], &[0; (64 << 10) + 1])
        .await
        .unwrap();
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let announced = [("content-length", "1000000".to_owned())];
    let (announced, _) = raw.send(Method::GET, &announced, &[]).await.unwrap();
    assert_eq!(announced.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(face.asked().len(), 1);
}

#[tokio::test]
async fn a_header_section_over_its_limit_is_refused_and_a_large_one_is_not() {
    let face = Face::new();
    let mut raw = Raw::new(&face).await;
    let header = |length: usize| [("x-filler", "a".repeat(length))];
    let (large, _) = raw.send(Method::GET, &header(15_000), &[]).await.unwrap();
    assert_eq!(large.status(), StatusCode::OK);
    // The client of the tests keeps to what the server announces, so it sends nothing.
    assert!(raw.send(Method::GET, &header(17_000), &[]).await.is_none());
    assert_eq!(face.asked().len(), 1);
}

fn client_config(face: &Face) -> quinn::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(face.certificate.clone().into()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let tls = QuicClientConfig::try_from(tls).unwrap();
    quinn::ClientConfig::new(Arc::new(tls))
}

/// A connection on which everything is written by hand.
async fn by_hand(face: &Face) -> (quinn::Endpoint, quinn::Connection) {
    let endpoint = quinn::Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let connecting = endpoint.connect_with(client_config(face), face.address(), "localhost");
    let connection = within(connecting.unwrap()).await.unwrap();
    (endpoint, connection)
}

/// A HEADERS frame: GET of `/` with a field of `length` bytes, by the static table of RFC 9204.
fn headers(length: u16) -> Vec<u8> {
    let mut fields = vec![0, 0, 0xd1, 0xd7, 0xc1, 0x50, 9];
    fields.extend_from_slice(b"localhost");
    fields.extend_from_slice(&[0x21, b'x', 0x7f]);
    // An integer with a prefix of 7 bits: what is over 127, in groups of 7 bits.
    let rest = length - 127;
    let group = |shift: u16| u8::try_from(rest >> shift & 0x7f).unwrap();
    fields.extend_from_slice(&[group(0) | 0x80, group(7) | 0x80, group(14)]);
    fields.resize(fields.len() + usize::from(length), b'a');
    let mut frame = vec![1];
    frame.extend_from_slice(&(0x8000_0000 | u32::try_from(fields.len()).unwrap()).to_be_bytes());
    frame.extend_from_slice(&fields);
    frame
}

#[tokio::test]
async fn a_client_that_ignores_the_limit_of_headers_is_answered_without_the_handler() {
    let face = Face::new();
    let (_endpoint, connection) = by_hand(&face).await;
    for (length, asked) in [(17_000, 0), (15_000, 1), (17_000, 0)] {
        let (mut to, mut from) = within(connection.open_bi()).await.unwrap();
        to.write_all(&headers(length)).await.unwrap();
        to.finish().unwrap();
        let answer = within(from.read_to_end(1 << 20)).await.unwrap();
        assert_eq!(answer.first(), Some(&1), "an answer begins with HEADERS");
        assert_eq!(face.asked().len(), asked, "a field of {length} bytes");
    }
}

#[tokio::test]
async fn a_frame_is_not_gathered_without_a_bound() {
    let face = Face::new();
    let (_endpoint, connection) = by_hand(&face).await;
    let (mut to, _from) = within(connection.open_bi()).await.unwrap();
    // HEADERS of 16 MiB.
    let mut frame = vec![1];
    frame.extend_from_slice(&(0x8000_0000_u32 | 16 << 20).to_be_bytes());
    frame.resize(1 << 20, 0);
    let writing = async { while to.write_all(&frame).await.is_ok() {} };
    within(writing).await;
    within(connection.closed()).await;
    assert_eq!(face.get("/healthz", None).await.unwrap().status, 200);
}

#[tokio::test]
async fn many_requests_of_one_connection_are_all_answered() {
    let face = Face::new();
    let raw = Raw::new(&face).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut requests = raw.requests.clone();
        asking.spawn(async move {
            let request = Request::get("https://localhost/healthz").body(()).unwrap();
            let mut stream = requests.send_request(request).await.unwrap();
            stream.finish().await.unwrap();
            stream.recv_response().await.unwrap().status()
        });
    }
    let statuses = within(asking.join_all()).await;
    assert_eq!(statuses.len(), 100);
    assert!(statuses.iter().all(|status| *status == StatusCode::OK));
}
