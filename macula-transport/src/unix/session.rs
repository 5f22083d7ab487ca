//! The connections that make up one link.

use std::collections::VecDeque;
use std::io;
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use macula_wire::message::{Body, Message, Role, Stream, StreamKind};
use macula_wire::{DecodeError, ErrorCode, FrameDecoder};
use tokio::net::UnixStream;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::half::{UnixReader, UnixWriter};
use super::socket::{LinkEnd, Socket, Use};
use crate::config::{Config, Hello};
use crate::credentials::PeerIdentity;
use crate::error::{CloseReason, LinkError};
use crate::link::{
    Accepted, Carrier, Link, LinkParts, LinkReceiver, Side, Terms, dial_hello, stream_frame,
};
use crate::stream::{FrameReader, ReadHalf, WriteHalf};
use crate::task::TaskSet;

/// How many connections a client keeps offered.
const OFFERS: usize = 4;
/// How many offered connections a node keeps of a client.
const MAX_OFFERED: usize = 16;
/// How many streams wait to be taken.
const MAX_WAITING: usize = 16;
/// The longest first frame of a connection.
const MAX_FIRST_FRAME: usize = 64 << 10;
/// How many connections are counted before those that are gone are forgotten.
const SWEEP_FROM: usize = 64;

/// Attaches to the node that listens at `path`, as the client that its owner is.
///
/// `node` is the node, with its realm, as the files beside the socket describe it. The role in `hello` is taken to be
/// client.
///
/// # Errors
///
/// [`LinkError::Io`] if nobody listens there or the file may not be opened, [`LinkError::Refused`] if the node declines,
/// [`LinkError::TimedOut`] after [`Config::hello_timeout`].
///
/// # Cancel safety
///
/// Safe: the attempt ends.
pub async fn connect(
    path: &Path,
    node: PeerIdentity,
    config: Config,
    hello: Hello,
) -> Result<(Link, LinkReceiver), LinkError> {
    let config = Arc::new(config);
    let tasks = TaskSet::new();
    let end = Arc::new(LinkEnd::default());
    let hello = Hello {
        role: Role::Client,
        ..hello
    };
    let terms = Terms {
        hello: &hello,
        realm: &node.realm,
        node: node.node,
        max_frame_len: config.max_frame_len,
    };
    let attempt = async {
        let socket = dial(path, &end).await?;
        let write = UnixWriter::new(Arc::clone(&socket), Use::Control, tasks.clone());
        let read = UnixReader::new(Arc::clone(&socket)).used_as(Use::Control, VecDeque::new());
        let mut write = WriteHalf::Unix(write);
        let mut read = FrameReader::new(reader(read), config.max_frame_len);
        let agreed = dial_hello(&terms, &mut write, &mut read, node.node).await?;
        Ok((socket, write, read, agreed))
    };
    let limit = config.hello_timeout;
    let (socket, write, read, agreed) =
        timeout(limit, attempt)
            .await
            .unwrap_or(Err(LinkError::TimedOut {
                during: "HANDSHAKE",
            }))?;
    let token = agreed.token.clone().ok_or(LinkError::Protocol(
        // HANDSHAKE_ACK of a Unix socket has a token.
        DecodeError::UnexpectedEnd,
    ))?;
    let session = UnixSession::new(Some(path.to_owned()), token, end, &config, tasks.clone());
    session.shared.register(&socket);
    for _ in 0..OFFERS {
        let offering = offer(Arc::clone(&session.shared));
        tasks.spawn("unix offer", offering);
    }
    Ok(Link::start(LinkParts {
        carrier: Carrier::Unix(session),
        write,
        read,
        peer: node,
        agreed,
        side: Side::Dialler,
        local: true,
        config,
        tasks,
        permit: None,
    }))
}

/// The connections of a link, as its carrier.
#[derive(Debug)]
pub(crate) struct UnixSession {
    pub(super) shared: Arc<Session>,
    incoming: AsyncMutex<mpsc::Receiver<Accepted>>,
}

/// What the connections of a link share.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) token: Bytes,
    pub(super) end: Arc<LinkEnd>,
    /// Where the node listens; of a client only.
    path: Option<PathBuf>,
    accepted: mpsc::Sender<Accepted>,
    state: Mutex<State>,
    offered: Notify,
    /// How many streams the peer may have.
    event_streams: Arc<Semaphore>,
    call_streams: Arc<Semaphore>,
    tasks: TaskSet,
}

#[derive(Debug, Default)]
struct State {
    /// What the link's end has to end.
    sockets: Vec<Weak<Socket>>,
    sweep_at: usize,
    offered: VecDeque<Arc<Socket>>,
}

impl UnixSession {
    pub(super) fn new(
        path: Option<PathBuf>,
        token: Bytes,
        end: Arc<LinkEnd>,
        config: &Config,
        tasks: TaskSet,
    ) -> Self {
        let (accepted, incoming) = mpsc::channel(MAX_WAITING);
        let credit = |streams: u32| {
            let streams = usize::try_from(streams).unwrap_or(Semaphore::MAX_PERMITS);
            Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS)))
        };
        Self {
            shared: Arc::new(Session {
                token,
                end,
                path,
                accepted,
                state: Mutex::default(),
                offered: Notify::new(),
                event_streams: credit(config.max_event_streams),
                call_streams: credit(config.max_call_streams),
                tasks,
            }),
            incoming: AsyncMutex::new(incoming),
        }
    }

    pub(crate) async fn open_uni(&self) -> Result<WriteHalf, LinkError> {
        let socket = self.shared.socket().await?;
        Ok(self.shared.writer(socket, Use::Uni))
    }

    pub(crate) async fn open_bi(&self) -> Result<(WriteHalf, ReadHalf), LinkError> {
        let socket = self.shared.socket().await?;
        let read = UnixReader::new(Arc::clone(&socket));
        Ok((self.shared.writer(socket, Use::Bi), reader(read)))
    }

    pub(crate) async fn accept(&self) -> Result<Accepted, LinkError> {
        let mut incoming = self.incoming.lock().await;
        tokio::select! {
            biased;
            Some(accepted) = incoming.recv() => Ok(accepted),
            reason = self.shared.end.wait() => Err(LinkError::Closed(reason)),
        }
    }

    pub(crate) fn close(&self, code: ErrorCode, detail: &str) {
        self.shared.end.set(CloseReason::local(code, detail));
        let state = std::mem::take(&mut *self.shared.lock());
        for socket in state.sockets.iter().filter_map(Weak::upgrade) {
            socket.shutdown(Shutdown::Both);
        }
    }

    pub(crate) async fn closed(&self) -> CloseReason {
        self.shared.end.wait().await
    }

    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.shared.end.get()
    }
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the end of the link the end of `socket`.
    pub(super) fn register(&self, socket: &Arc<Socket>) {
        socket.belongs_to(&self.end);
        {
            let mut state = self.lock();
            if state.sockets.len() >= state.sweep_at.max(SWEEP_FROM) {
                state.sockets.retain(|socket| socket.strong_count() > 0);
                state.sweep_at = state.sockets.len().saturating_mul(2);
            }
            state.sockets.push(Arc::downgrade(socket));
        }
        if self.end.get().is_some() {
            socket.shutdown(Shutdown::Both);
        }
    }

    fn writer(&self, socket: Arc<Socket>, used_as: Use) -> WriteHalf {
        WriteHalf::Unix(UnixWriter::new(socket, used_as, self.tasks.clone()))
    }

    /// A connection for a stream of this side: a new one, or one that the client offers. Cancel safe.
    async fn socket(&self) -> Result<Arc<Socket>, LinkError> {
        tokio::select! {
            biased;
            reason = self.end.wait() => Err(LinkError::Closed(reason)),
            socket = self.new_socket() => socket,
        }
    }

    async fn new_socket(&self) -> Result<Arc<Socket>, LinkError> {
        if let Some(path) = &self.path {
            let socket = dial(path, &self.end).await?;
            self.register(&socket);
            return Ok(socket);
        }
        loop {
            let offered = self.offered.notified();
            if let Some(socket) = self.lock().offered.pop_front() {
                return Ok(socket);
            }
            offered.await;
        }
    }

    /// Takes a connection that began with STREAM and the token of this link. `first` is what was read of it.
    pub(super) async fn take(&self, kind: StreamKind, read: UnixReader, first: VecDeque<Bytes>) {
        self.register(read.socket());
        if kind == StreamKind::Offered {
            self.keep(read.release());
            return;
        }
        let streams = if matches!(kind, StreamKind::Events(_)) {
            &self.event_streams
        } else {
            &self.call_streams
        };
        // Beyond what the peer may have, it waits as it would for the credit of QUIC.
        let credit = tokio::select! {
            biased;
            _ = self.end.wait() => return,
            credit = Arc::clone(streams).acquire_owned() => credit,
        };
        if let Ok(credit) = credit {
            self.deliver(kind, read, first, credit).await;
        }
    }

    /// Keeps a connection for a stream of this side.
    fn keep(&self, socket: Arc<Socket>) {
        {
            let mut state = self.lock();
            if self.path.is_none() && state.offered.len() < MAX_OFFERED {
                state.offered.push_back(socket);
                drop(state);
                self.offered.notify_waiters();
                return;
            }
        }
        socket.say_close(ErrorCode::OVERLOADED);
    }

    async fn deliver(
        &self,
        kind: StreamKind,
        read: UnixReader,
        first: VecDeque<Bytes>,
        credit: OwnedSemaphorePermit,
    ) {
        let socket = Arc::clone(read.socket());
        socket.hold(credit);
        let accepted = if matches!(kind, StreamKind::Events(_)) {
            Accepted::Uni(reader(read.used_as(Use::Uni, first)))
        } else {
            let write = self.writer(socket, Use::Bi);
            Accepted::Bi(write, reader(read.used_as(Use::Bi, first)))
        };
        // Fails if the link has ended.
        drop(self.accepted.send(accepted).await);
    }
}

/// Connects to `path`, for the link that ends with `end`.
async fn dial(path: &Path, end: &Arc<LinkEnd>) -> Result<Arc<Socket>, LinkError> {
    let stream = UnixStream::connect(path).await;
    let socket = Socket::new(stream.map_err(|error| failed("connecting to a Unix socket", error))?);
    socket.belongs_to(end);
    Ok(socket)
}

fn failed(during: &'static str, error: io::Error) -> LinkError {
    LinkError::Io {
        during,
        source: Arc::new(error),
    }
}

/// Keeps one connection offered to the node, until the link ends or the node wants none.
async fn offer(session: Arc<Session>) {
    let offering = async {
        // What the stream will be is not known yet, so streams of both kinds share the places of calls.
        while let Ok(credit) = Arc::clone(&session.call_streams).acquire_owned().await {
            if offer_once(&session, credit).await.is_none() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        _ = session.end.wait() => {}
        () = offering => {}
    }
}

/// Offers a connection and takes the stream that the node makes of it; `None` if it makes none.
async fn offer_once(session: &Arc<Session>, credit: OwnedSemaphorePermit) -> Option<()> {
    let path = session.path.as_ref()?;
    let socket = dial(path, &session.end).await.ok()?;
    session.register(&socket);
    let mut write = UnixWriter::new(Arc::clone(&socket), Use::Control, session.tasks.clone());
    let opening = stream_frame(Some(session.token.clone()), StreamKind::Offered);
    write.write_chunks(&mut [opening]).await.ok()?;
    write.forget();
    let mut read = UnixReader::new(socket);
    let (message, first) = first_message(&mut read).await.ok()?;
    let Body::Stream(Stream { token, kind }) = message.body else {
        return None;
    };
    if token.as_ref() != Some(&session.token) || kind == StreamKind::Offered {
        return None;
    }
    session.deliver(kind, read, first, credit).await;
    Some(())
}

pub(super) fn reader(read: UnixReader) -> ReadHalf {
    ReadHalf::Unix(Box::new(read))
}

/// The first message of a connection, and all that was read for it.
pub(super) async fn first_message(
    read: &mut UnixReader,
) -> Result<(Message, VecDeque<Bytes>), LinkError> {
    let mut decoder = FrameDecoder::new(MAX_FIRST_FRAME);
    let mut pieces = VecDeque::new();
    loop {
        if let Some(frame) = decoder.next_frame().map_err(LinkError::Protocol)? {
            let message = Message::decode(&frame).map_err(LinkError::Protocol)?;
            return Ok((message, pieces));
        }
        let piece = read.read_raw().await?;
        let piece = piece.ok_or(LinkError::Protocol(DecodeError::UnexpectedEnd))?;
        decoder.push(piece.clone());
        pieces.push_back(piece);
    }
}
