//! A thin HTTP/3 face on the port of the QUIC endpoint, for people, probes and scrapers.
//!
//! A connection with ALPN `h3` is handed to an [`HttpHandler`] instead of becoming a [`Link`](crate::Link). The face
//! answers `GET` and `HEAD` from memory and nothing else; HTTP itself stays behind this boundary. What a peer may cost is
//! bounded: a header section of 16 KiB, a request body of 64 KiB that is thrown away, 32 requests at a time on a
//! connection, 10 s for each, and a minute without any.
//!
//! [`get`] is the client to it.

mod bounded;
mod client;
mod server;

pub use client::get;
pub(crate) use server::serve;

use std::borrow::Cow;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::PeerIdentity;

/// The ALPN of HTTP/3.
pub(crate) const ALPN: &[u8] = b"h3";
/// The largest header section in bytes, as RFC 9114 counts it (name, value and 32 for each field).
const MAX_HEADER_BYTES: u64 = 16 << 10;
/// The largest request body in bytes that is read, and thrown away.
const MAX_BODY_BYTES: usize = 64 << 10;
/// The most requests of a connection that are answered at a time.
const MAX_REQUESTS: u32 = 32;
/// How long a request may take from its first byte to its last.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may stay without a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers the requests of every connection of an endpoint.
pub trait HttpHandler: Debug + Send + Sync + 'static {
    /// Answers `request`.
    ///
    /// Answers from memory and does not wait: it runs on the task of the connection. A path that it does not know is
    /// [`HttpResponse::text`] with status 404.
    fn handle(&self, request: &HttpRequest) -> HttpResponse;
}

/// The methods that reach a handler; others are answered with status 405.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum HttpMethod {
    /// Asks for a document.
    Get,
    /// Asks for all of a document but its body, which is left out of the response by the caller of the handler.
    Head,
}

/// A request, with what is known of who asks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpRequest {
    /// What is asked for.
    pub method: HttpMethod,
    /// The path as it was sent, from its `/`, without the query.
    pub path: String,
    /// What stands behind the first `?`, if there is one.
    pub query: Option<String>,
    /// Who asks, if a certificate of one of the endpoint's realms was shown.
    pub peer: Option<PeerIdentity>,
    /// Where the request comes from.
    pub remote: SocketAddr,
}

impl HttpRequest {
    /// A request from nobody in particular.
    #[must_use]
    pub fn new(method: HttpMethod, path: impl Into<String>, remote: SocketAddr) -> Self {
        Self {
            method,
            path: path.into(),
            query: None,
            peer: None,
            remote,
        }
    }
}

/// The answer to a request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HttpResponse {
    /// The status code, 200 to 599; anything else is sent as 500.
    pub status: u16,
    /// The media type of `body`.
    pub content_type: Cow<'static, str>,
    /// The document.
    pub body: Bytes,
}

impl HttpResponse {
    /// An answer with a body of the media type `content_type`.
    #[must_use]
    pub fn new(
        status: u16,
        content_type: impl Into<Cow<'static, str>>,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            status,
            content_type: content_type.into(),
            body: body.into(),
        }
    }

    /// An answer in plain text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body.into())
    }
}

/// What a server answered.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HttpReply {
    /// The status code.
    pub status: u16,
    /// The media type of `body`; empty if the server named none.
    pub content_type: String,
    /// The document.
    pub body: Bytes,
    /// SHA-256 of the certificate that the server showed, in DER.
    pub server_fingerprint: [u8; 32],
}
