//! Answering the requests of one connection.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use h3::server::{RequestResolver, RequestStream};
use http::{Method, Request, Response, StatusCode, header};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bounded::{Bounded, BoundedStream};
use super::{
    HttpHandler, HttpMethod, HttpRequest, HttpResponse, IDLE_TIMEOUT, MAX_BODY_BYTES,
    MAX_HEADER_BYTES, MAX_REQUESTS, REQUEST_TIMEOUT,
};
use crate::PeerIdentity;

type Connection = Bounded<h3_quinn::Connection>;
type Stream = RequestStream<BoundedStream<h3_quinn::BidiStream<Bytes>>, Bytes>;

/// Answers what comes on `connection` until it ends, by whichever side.
///
/// `peer` is who showed a certificate of one of the endpoint's realms.
pub(crate) async fn serve(
    connection: quinn::Connection,
    peer: Option<PeerIdentity>,
    handler: Arc<dyn HttpHandler>,
) {
    connection.set_max_concurrent_bi_streams(quinn::VarInt::from_u32(MAX_REQUESTS));
    let from = HttpRequest {
        peer,
        ..HttpRequest::new(HttpMethod::Get, "/", connection.remote_address())
    };
    let mut builder = h3::server::builder();
    builder
        .max_field_section_size(MAX_HEADER_BYTES)
        .send_grease(false);
    let quic = Bounded(h3_quinn::Connection::new(connection));
    let mut http = match builder.build(quic).await {
        Ok(http) => http,
        Err(error) => {
            tracing::debug!(%error, "no HTTP/3 connection");
            return;
        }
    };
    let mut running = JoinSet::new();
    let most = usize::try_from(MAX_REQUESTS).unwrap_or(usize::MAX);
    loop {
        while running.try_join_next().is_some() {}
        if running.len() >= most {
            drop(running.join_next().await);
            continue;
        }
        match timeout(IDLE_TIMEOUT, http.accept()).await {
            Ok(Ok(Some(resolver))) => {
                let (from, handler) = (from.clone(), Arc::clone(&handler));
                running.spawn(async move {
                    // Streams that are dropped unread are stopped by QUIC.
                    match timeout(REQUEST_TIMEOUT, answer(resolver, from, &*handler)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%error, "request not answered"),
                        Err(_) => tracing::debug!("request took too long"),
                    }
                });
            }
            Ok(Ok(None)) => break,
            Ok(Err(error)) => {
                tracing::debug!(%error, "HTTP/3 connection ended");
                break;
            }
            Err(_) if running.is_empty() => break,
            Err(_) => {}
        }
    }
    while running.join_next().await.is_some() {}
}

async fn answer(
    resolver: RequestResolver<Connection, Bytes>,
    from: HttpRequest,
    handler: &dyn HttpHandler,
) -> Result<(), StreamError> {
    let (request, mut stream) = resolver.resolve_request().await?;
    let method = match *request.method() {
        Method::GET => HttpMethod::Get,
        Method::HEAD => HttpMethod::Head,
        _ => return refuse(stream, StatusCode::METHOD_NOT_ALLOWED).await,
    };
    match read_body(&request, &mut stream).await? {
        Body::Read => {}
        Body::TooLarge => return refuse(stream, StatusCode::PAYLOAD_TOO_LARGE).await,
    }
    let request = HttpRequest {
        method,
        path: request.uri().path().to_owned(),
        query: request.uri().query().map(ToOwned::to_owned),
        ..from
    };
    let response = handler.handle(&request);
    send(stream, method, response).await
}

enum Body {
    Read,
    TooLarge,
}

/// Reads the body and throws it away.
async fn read_body(request: &Request<()>, stream: &mut Stream) -> Result<Body, StreamError> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok())
        .and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Ok(Body::TooLarge);
    }
    let mut length = 0_usize;
    while let Some(data) = stream.recv_data().await? {
        length = length.saturating_add(data.remaining());
        if length > MAX_BODY_BYTES {
            return Ok(Body::TooLarge);
        }
    }
    Ok(Body::Read)
}

/// Answers without a handler, and wants nothing more of the request.
async fn refuse(mut stream: Stream, status: StatusCode) -> Result<(), StreamError> {
    stream.stop_sending(Code::H3_NO_ERROR);
    let body = status.canonical_reason().unwrap_or_default();
    let response = HttpResponse::text(status.as_u16(), format!("{body}\n"));
    send(stream, HttpMethod::Get, response).await
}

async fn send(
    mut stream: Stream,
    method: HttpMethod,
    response: HttpResponse,
) -> Result<(), StreamError> {
    let status = StatusCode::from_u16(response.status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut head = Response::new(());
    *head.status_mut() = status;
    let headers = head.headers_mut();
    headers.insert(header::CONTENT_LENGTH, response.body.len().into());
    if let Ok(value) = response.content_type.parse() {
        headers.insert(header::CONTENT_TYPE, value);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let allowed = header::HeaderValue::from_static("GET, HEAD");
        headers.insert(header::ALLOW, allowed);
    }
    stream.send_response(head).await?;
    if method == HttpMethod::Get && !response.body.is_empty() {
        stream.send_data(response.body).await?;
    }
    stream.finish().await
}
