//! QUIC streams as HTTP/3 sees them, with a bound on what it may gather from each.
//!
//! A frame of HTTP/3 names its own length, and its reader gathers a header section whole before it looks at it. Reading
//! gives new flow-control credit, so without a bound of its own a peer could fill the memory with one frame.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{
    self, ConnectionErrorIncoming, OpenStreams, RecvStream, SendStream, StreamErrorIncoming,
    StreamId, WriteBuf,
};

/// What may come on one stream in bytes: a header section, a body, and what one read may bring beyond them.
const MAX_STREAM_BYTES: usize = (16 + 64 + 64) << 10;

/// A connection whose incoming streams are bounded.
pub(super) struct Bounded<C>(pub(super) C);

/// A stream of which at most [`MAX_STREAM_BYTES`] are read.
pub(super) struct BoundedStream<S> {
    inner: S,
    left: usize,
}

impl<S> BoundedStream<S> {
    const fn new(inner: S) -> Self {
        Self {
            inner,
            left: MAX_STREAM_BYTES,
        }
    }
}

impl<C: quic::Connection<Bytes>> quic::Connection<Bytes> for Bounded<C> {
    type RecvStream = BoundedStream<C::RecvStream>;
    type OpenStreams = Bounded<C::OpenStreams>;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::RecvStream, ConnectionErrorIncoming>> {
        self.0
            .poll_accept_recv(cx)
            .map(|stream| stream.map(BoundedStream::new))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, ConnectionErrorIncoming>> {
        self.0
            .poll_accept_bidi(cx)
            .map(|stream| stream.map(BoundedStream::new))
    }

    fn opener(&self) -> Self::OpenStreams {
        Bounded(self.0.opener())
    }
}

impl<C: OpenStreams<Bytes>> OpenStreams<Bytes> for Bounded<C> {
    type BidiStream = BoundedStream<C::BidiStream>;
    type SendStream = C::SendStream;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, StreamErrorIncoming>> {
        self.0
            .poll_open_bidi(cx)
            .map(|stream| stream.map(BoundedStream::new))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        self.0.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.0.close(code, reason);
    }
}

impl<S: RecvStream> RecvStream for BoundedStream<S> {
    type Buf = S::Buf;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Self::Buf>, StreamErrorIncoming>> {
        let Some(data) = ready!(self.inner.poll_data(cx))? else {
            return Poll::Ready(Ok(None));
        };
        Poll::Ready(match self.left.checked_sub(data.remaining()) {
            Some(left) => {
                self.left = left;
                Ok(Some(data))
            }
            None => Err(StreamErrorIncoming::ConnectionErrorIncoming {
                connection_error: ConnectionErrorIncoming::InternalError(
                    "a stream is over its limit".to_owned(),
                ),
            }),
        })
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.inner.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.inner.recv_id()
    }
}

impl<S: SendStream<Bytes>> SendStream<Bytes> for BoundedStream<S> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.inner.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.inner.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.inner.poll_finish(cx)
    }

    fn reset(&mut self, reset_code: u64) {
        self.inner.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.inner.send_id()
    }
}
