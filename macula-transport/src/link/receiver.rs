//! What comes in by a link.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use macula_wire::message::{Body, ErrorReport, Message, Pong, Priority, Role, Stream, StreamKind};
use macula_wire::{DecodeError, ErrorCode, Frame, FrameDecoder, Kind};
use tokio::time::Instant;

use super::{Accepted, Shared, closing, hello};
use crate::error::{CloseReason, LinkError};
use crate::outbox::OutFrame;
use crate::stream::{FrameReader, FrameReceiver, FrameSender};

/// How many messages that nobody knows a peer may send on the control stream before the link is closed.
const MAX_UNKNOWN: u32 = 16;

/// How many streams are taken in a row before anything else is looked at.
const MAX_IN_A_ROW: u32 = 16;

/// Something that a link brought.
///
/// PING, PONG, CLOSE and STREAM are dealt with inside and do not come out; nor does HEARTBEAT of clients.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The link has ended. Comes last, and again whenever asked.
    Closed(CloseReason),
    /// A message of the control stream.
    Control(Message),
    /// A frame of a datagram.
    Datagram(Frame),
    /// The peer opened an event stream.
    Events(Priority, FrameReceiver),
    /// The peer broke the protocol. The link is being closed; [`Closed`](Self::Closed) follows.
    Misbehaved(DecodeError),
    /// The peer opened a bidirectional stream.
    Stream(StreamKind, FrameSender, FrameReceiver),
}

/// The events of a link, for one reader. Dropping it closes the link at once.
///
/// Messages of the control stream, streams and datagrams wait in the windows of the carrier until they are taken, so a
/// reader that stops reading makes the peer wait.
#[derive(Debug)]
pub struct LinkReceiver {
    shared: Arc<Shared>,
    control: Option<FrameReader>,
    /// Streams whose STREAM has not come yet; bounded by the number of streams that a peer may open.
    opening: Vec<Opening>,
    /// How many streams were taken since anything else was looked at.
    in_a_row: u32,
    unknown: u32,
    /// When a link that the peer closes is cut off.
    draining: Option<Instant>,
    over: bool,
    /// Whether no datagrams come any more.
    datagrams_over: bool,
}

struct Opening(Pin<Box<dyn Future<Output = Option<LinkEvent>> + Send + Sync>>);

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opening")
    }
}

/// What woke the receiver.
#[expect(clippy::large_enum_variant, reason = "it lives for one step")]
enum Woken {
    Control(Result<Option<Frame>, LinkError>),
    Accepted(Result<Accepted, LinkError>),
    Opened(Option<LinkEvent>),
    Datagram(Result<Bytes, LinkError>),
    Changed,
    Quiet,
}

impl LinkReceiver {
    pub(super) const fn new(shared: Arc<Shared>, control: FrameReader) -> Self {
        Self {
            shared,
            control: Some(control),
            opening: Vec::new(),
            in_a_row: 0,
            unknown: 0,
            draining: None,
            over: false,
            datagrams_over: false,
        }
    }

    /// The next event. After [`LinkEvent::Closed`] it is that event again.
    ///
    /// # Cancel safety
    ///
    /// Safe: no event is lost.
    pub async fn next(&mut self) -> LinkEvent {
        loop {
            if let Some(offence) = self.shared.take_offence() {
                return LinkEvent::Misbehaved(offence);
            }
            if self.over {
                let last = self.shared.carrier.closed().await;
                return LinkEvent::Closed(self.shared.settle(last));
            }
            let woken = match self.another() {
                Some(stream) => Woken::Accepted(Ok(stream)),
                None => self.woken().await,
            };
            let event = match woken {
                Woken::Control(read) => self.on_control(read),
                Woken::Accepted(Ok(stream)) => self.on_accepted(stream),
                Woken::Accepted(Err(_)) => {
                    self.over = true;
                    None
                }
                Woken::Opened(event) => event,
                Woken::Datagram(Ok(datagram)) => self.on_datagram(datagram),
                // The end of the connection is told by `accept`, after all that has arrived.
                Woken::Datagram(Err(_)) => {
                    self.datagrams_over = true;
                    None
                }
                Woken::Changed => None,
                Woken::Quiet => {
                    self.hang_up();
                    None
                }
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// A further stream that has come with the one that was taken last, if there is one: calls come many at a time, and to
    /// look at everything costs more than to take one.
    fn another(&mut self) -> Option<Accepted> {
        if !(1..MAX_IN_A_ROW).contains(&self.in_a_row) {
            self.in_a_row = 0;
            return None;
        }
        let mut accepting = pin!(self.shared.carrier.accept());
        match accepting.as_mut().poll(&mut nobody()) {
            Poll::Ready(Ok(stream)) => Some(stream),
            // That it has ended is told after all that came before.
            Poll::Ready(Err(_)) | Poll::Pending => {
                self.in_a_row = 0;
                None
            }
        }
    }

    async fn woken(&mut self) -> Woken {
        let shared = &self.shared;
        let changed = shared.changed.notified();
        let draining = self.draining;
        let datagrams = !self.over && !self.datagrams_over;
        tokio::select! {
            biased;
            read = next_of(&mut self.control) => Woken::Control(read),
            datagram = shared.carrier.read_datagram(), if datagrams => Woken::Datagram(datagram),
            event = first_ready(&mut self.opening) => Woken::Opened(event),
            accepted = shared.carrier.accept() => Woken::Accepted(accepted),
            () = changed, if draining.is_none() => Woken::Changed,
            () = quiet(shared, draining) => Woken::Quiet,
        }
    }

    /// Reads the first message of a stream, which mostly came with it; otherwise it is waited for.
    fn on_accepted(&mut self, stream: Accepted) -> Option<LinkEvent> {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let (write, read) = match stream {
            Accepted::Uni(read) => (None, read),
            Accepted::Bi(write, read) => (Some(write), read),
        };
        let sender = write.map(|write| FrameSender::new(write, None));
        let reader = FrameReader::new(read, self.shared.own_max_frame_len);
        let mut receiver = FrameReceiver::new(reader, Arc::clone(&self.shared));
        let polled = pin!(receiver.next()).poll(&mut nobody());
        match polled {
            Poll::Ready(first) => opened(&self.shared, sender, receiver, first),
            Poll::Pending => {
                let shared = Arc::clone(&self.shared);
                self.opening.push(Opening(Box::pin(async move {
                    let first = receiver.next().await;
                    opened(&shared, sender, receiver, first)
                })));
                None
            }
        }
    }

    fn on_control(&mut self, read: Result<Option<Frame>, LinkError>) -> Option<LinkEvent> {
        let offence = match read {
            Ok(Some(frame)) => match Message::decode(&frame) {
                Ok(message) => return self.on_message(message),
                Err(
                    error
                    @ (DecodeError::UnknownKind { .. } | DecodeError::UnknownExtension { .. }),
                ) if self.unknown < MAX_UNKNOWN => {
                    self.unknown = self.unknown.saturating_add(1);
                    self.report(&error);
                    return None;
                }
                Err(error) => Some(error),
            },
            Err(LinkError::Protocol(error)) => Some(error),
            // Nothing comes after CLOSE, whoever sent it.
            Ok(None) | Err(LinkError::Reset { .. }) if !self.shared.is_ending() => {
                Some(DecodeError::UnexpectedEnd)
            }
            Ok(None) | Err(_) => None,
        };
        self.control = None;
        if let Some(offence) = offence {
            self.shared.fail(offence);
        }
        None
    }

    fn on_message(&mut self, message: Message) -> Option<LinkEvent> {
        if let Body::Ping(ping) = &message.body {
            self.answer(Pong { nonce: ping.nonce }.into());
            None
        } else if let Body::Close(close) = &message.body {
            self.begin_drain(CloseReason::peer(close.code, &close.detail));
            None
        } else if message.kind() == Kind::Pong || self.is_idle_talk(&message) {
            None
        } else if matches!(
            message.kind(),
            Kind::Handshake | Kind::HandshakeAck | Kind::Stream
        ) {
            self.control = None;
            self.shared.fail(hello::out_of_place(message.kind()));
            None
        } else {
            Some(LinkEvent::Control(message))
        }
    }

    /// Whether a message only keeps the link of a client alive.
    fn is_idle_talk(&self, message: &Message) -> bool {
        message.kind() == Kind::Heartbeat && self.shared.role == Role::Client
    }

    /// Tells the peer that a message was skipped.
    fn report(&self, error: &DecodeError) {
        let code = ErrorCode::UNSUPPORTED_FEATURE;
        self.answer(
            ErrorReport {
                request: None,
                code,
                retry: code.retry(),
                retry_after_ms: None,
                detail: error.to_string(),
            }
            .into(),
        );
    }

    /// Queues an answer. A peer that does not read its answers gets no more of them.
    fn answer(&self, body: Body) {
        if let Ok(frame) = OutFrame::message(&Message::from(body))
            && self.shared.control.try_push(frame).is_err()
        {
            tracing::trace!(link = %self.shared.id, "no room for an answer");
        }
    }

    /// The peer closes: what waits here is still sent, and what has come is still read.
    fn begin_drain(&mut self, reason: CloseReason) {
        self.shared.begin_end(reason);
        for outbox in self.shared.all_events() {
            outbox.end();
        }
        self.shared.control.end();
        self.draining = Instant::now().checked_add(self.shared.drain_timeout);
    }

    fn hang_up(&mut self) {
        let reason = CloseReason::local(ErrorCode::OK, "");
        let reason = self.shared.settle(reason);
        self.shared.carrier.close(reason.code, &reason.detail);
        self.over = true;
    }

    fn on_datagram(&self, datagram: Bytes) -> Option<LinkEvent> {
        let mut decoder = FrameDecoder::new(self.shared.own_max_frame_len);
        decoder.push(datagram);
        match decoder.next_frame() {
            Ok(Some(frame)) if decoder.is_at_boundary() => Some(LinkEvent::Datagram(frame)),
            Ok(_) | Err(_) => {
                self.shared.datagram_dropped();
                None
            }
        }
    }
}

impl Drop for LinkReceiver {
    fn drop(&mut self) {
        if !self.over {
            let reason = CloseReason::local(ErrorCode::OK, "");
            if self.shared.begin_end(reason) {
                self.shared.carrier.close(ErrorCode::OK, "");
            }
        }
    }
}

async fn next_of(control: &mut Option<FrameReader>) -> Result<Option<Frame>, LinkError> {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}

/// The first of `opening` that is done, which is removed; waits for ever if there is none.
async fn first_ready(opening: &mut Vec<Opening>) -> Option<LinkEvent> {
    std::future::poll_fn(|context| {
        let mut done = None;
        for (at, Opening(future)) in opening.iter_mut().enumerate() {
            if let Poll::Ready(event) = future.as_mut().poll(context) {
                done = Some((at, event));
                break;
            }
        }
        match done {
            Some((at, event)) => {
                drop(opening.swap_remove(at));
                Poll::Ready(event)
            }
            None => Poll::Pending,
        }
    })
    .await
}

async fn quiet(shared: &Shared, draining: Option<Instant>) {
    match draining {
        Some(until) => {
            let quiet = tokio::time::timeout_at(until, closing::quiet(shared)).await;
            if quiet.is_err() {
                tracing::debug!(link = %shared.id, "cut off before everything was read");
            }
        }
        None => std::future::pending().await,
    }
}

/// Waits for nothing: what is not there at once is asked for again.
const fn nobody() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// What a stream is whose first frame should be STREAM. One that ends before it began, or with the link, is nothing.
fn opened(
    shared: &Shared,
    sender: Option<FrameSender>,
    receiver: FrameReceiver,
    first: Result<Option<Frame>, LinkError>,
) -> Option<LinkEvent> {
    let kind = match Message::decode(&first.ok().flatten()?) {
        Ok(Message {
            body: Body::Stream(Stream { kind, .. }),
            ..
        }) => Ok(kind),
        Ok(other) => Err(hello::out_of_place(other.kind())),
        Err(error) => Err(error),
    };
    match (kind, sender) {
        (Ok(StreamKind::Events(priority)), None) => Some(LinkEvent::Events(priority, receiver)),
        (Ok(StreamKind::Events(_) | StreamKind::Offered), Some(_)) | (Ok(_), None) => {
            shared.fail(hello::out_of_place(Kind::Stream));
            None
        }
        (Ok(kind), Some(sender)) => Some(LinkEvent::Stream(kind, sender, receiver)),
        (Err(error), _) => {
            shared.fail(error);
            None
        }
    }
}
