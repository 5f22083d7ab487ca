//! The node's side of the socket.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use macula_wire::ErrorCode;
use macula_wire::limit::TOKEN_LEN;
use macula_wire::message::{Body, Roles, Stream};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::half::{UnixReader, UnixWriter};
use super::place::{self, Place};
use super::session::{Session, UnixSession, first_message, reader};
use super::socket::{LinkEnd, Socket, Use};
use crate::config::{Config, Hello};
use crate::credentials::PeerIdentity;
use crate::error::{BindError, LinkError};
use crate::link::{
    Carrier, Link, LinkParts, LinkReceiver, Side, Terms, answer_hello, read_hello, refuse,
};
use crate::stream::{FrameReader, WriteHalf};
use crate::task::TaskSet;

/// How long to wait when the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The links that clients of the same machine make.
///
/// Dropping it stops listening and removes the file. Links that are up keep the streams that they have; because each
/// stream is a connection, no further ones come about. So close the links first.
#[derive(Debug)]
pub struct UnixIncoming {
    links: mpsc::Receiver<(Link, LinkReceiver)>,
    path: PathBuf,
    _place: Place,
    _stop: oneshot::Sender<()>,
}

impl UnixIncoming {
    /// The next link whose HANDSHAKE is done; `None` if listening failed for good.
    ///
    /// # Cancel safety
    ///
    /// Safe: no link is lost.
    pub async fn accept(&mut self) -> Option<(Link, LinkReceiver)> {
        self.links.recv().await
    }

    /// The file of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Listens at the file `path`, which gets mode 0600, for clients of `node`.
///
/// The file of a process that is gone is replaced. Clients have the identity of `node`, with the role client only.
///
/// # Errors
///
/// [`BindError::SocketInUse`] if a process listens there, [`BindError::Socket`] if something else stands there, the
/// directory cannot be written, or the path is longer than the system allows (about 100 bytes).
///
/// # Cancel safety
///
/// Safe: nothing stays behind.
pub async fn listen(
    path: &Path,
    node: PeerIdentity,
    config: Config,
    hello: Hello,
) -> Result<UnixIncoming, BindError> {
    let (listener, place) = place::bind(path).await?;
    let (accepted, links) = mpsc::channel(config.max_waiting_links.max(1));
    let (stop, stopped) = oneshot::channel();
    let node = PeerIdentity {
        roles: Roles::CLIENT,
        ..node
    };
    let tasks = TaskSet::new();
    let reception = Arc::new(Reception {
        node,
        config: Arc::new(config),
        hello,
        sessions: Mutex::default(),
        accepted,
        tasks: tasks.clone(),
    });
    tasks.spawn("unix listener", async move {
        tokio::select! {
            _ = stopped => {}
            () = reception.run(listener) => {}
        }
    });
    Ok(UnixIncoming {
        links,
        path: path.to_owned(),
        _place: place,
        _stop: stop,
    })
}

/// What every connection is received with.
#[derive(Debug)]
struct Reception {
    node: PeerIdentity,
    config: Arc<Config>,
    hello: Hello,
    /// The links that are up, by their token.
    sessions: Mutex<BTreeMap<Bytes, Weak<Session>>>,
    accepted: mpsc::Sender<(Link, LinkReceiver)>,
    tasks: TaskSet,
}

impl Reception {
    async fn run(self: Arc<Self>, listener: UnixListener) {
        let places = Arc::new(Semaphore::new(
            self.config.max_connections.min(Semaphore::MAX_PERMITS),
        ));
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the Unix socket");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!("too many connections to the Unix socket");
                continue;
            };
            let socket = Socket::new(stream);
            socket.hold(permit);
            let reception = Arc::clone(&self);
            self.tasks.spawn("unix connection", async move {
                reception.receive(socket).await;
            });
        }
    }

    /// Finds out what a connection is for.
    async fn receive(&self, socket: Arc<Socket>) {
        let mut read = UnixReader::new(Arc::clone(&socket));
        let limit = self.config.hello_timeout;
        let Ok(first) = timeout(limit, first_message(&mut read)).await else {
            return;
        };
        let refused = match first {
            Ok((message, pieces)) => self.dispatch(message.body, read, pieces).await,
            Err(_) => Err(ErrorCode::PROTOCOL_VIOLATION),
        };
        if let Err(code) = refused {
            tracing::debug!(%code, "connection to the Unix socket refused");
            socket.say_close(code);
        }
    }

    /// Makes of a connection what its first message says.
    async fn dispatch(
        &self,
        first: Body,
        read: UnixReader,
        pieces: VecDeque<Bytes>,
    ) -> Result<(), ErrorCode> {
        if let Body::Handshake(_) = first {
            self.attach(read, pieces).await;
            return Ok(());
        }
        let Body::Stream(Stream { token, kind }) = first else {
            return Err(ErrorCode::PROTOCOL_VIOLATION);
        };
        let session = self.session(token.as_ref());
        let session = session.ok_or(ErrorCode::UNAUTHENTICATED)?;
        session.take(kind, read, pieces).await;
        Ok(())
    }

    /// Makes a link.
    async fn attach(&self, read: UnixReader, first: VecDeque<Bytes>) {
        let limit = self.config.hello_timeout;
        let made = timeout(limit, self.shake_hands(read, first)).await;
        let made = made.unwrap_or(Err(LinkError::TimedOut {
            during: "HANDSHAKE",
        }));
        match made {
            Ok(link) => drop(self.accepted.send(link).await),
            Err(error) => tracing::debug!(%error, "no link over the Unix socket"),
        }
    }

    /// The link of a token.
    fn session(&self, token: Option<&Bytes>) -> Option<Arc<Session>> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get(token?).and_then(Weak::upgrade)?;
        session.end.get().is_none().then_some(session)
    }

    async fn shake_hands(
        &self,
        read: UnixReader,
        first: VecDeque<Bytes>,
    ) -> Result<(Link, LinkReceiver), LinkError> {
        let socket = Arc::clone(read.socket());
        let end = Arc::new(LinkEnd::default());
        socket.belongs_to(&end);
        let write = UnixWriter::new(Arc::clone(&socket), Use::Control, self.tasks.clone());
        let mut write = WriteHalf::Unix(write);
        let read = reader(read.used_as(Use::Control, first));
        let mut read = FrameReader::new(read, self.config.max_frame_len);
        let terms = Terms {
            hello: &self.hello,
            realm: &self.node.realm,
            node: self.node.node,
            max_frame_len: self.config.max_frame_len,
        };
        let agreed = read_hello(&terms, &mut read, &self.node, self.node.roles).await;
        let mut agreed = match agreed {
            Ok(agreed) => agreed,
            Err(error) => {
                if let LinkError::Refused { code, detail } = &error {
                    refuse(&mut write, *code, detail).await;
                }
                return Err(error);
            }
        };
        let token = token()?;
        agreed.token = Some(token.clone());
        let tasks = self.tasks.clone();
        let session = UnixSession::new(None, token.clone(), end, &self.config, tasks);
        session.shared.register(&socket);
        self.remember(token, &session.shared);
        answer_hello(&terms, &mut write, &agreed).await?;
        Ok(Link::start(LinkParts {
            carrier: Carrier::Unix(session),
            write,
            read,
            peer: self.node.clone(),
            agreed,
            side: Side::Acceptor,
            local: true,
            config: Arc::clone(&self.config),
            tasks: self.tasks.clone(),
            permit: None,
        }))
    }

    fn remember(&self, token: Bytes, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.strong_count() > 0);
        sessions.insert(token, Arc::downgrade(session));
    }
}

/// A name for a link that nobody can guess.
fn token() -> Result<Bytes, LinkError> {
    let mut token = [0; TOKEN_LEN];
    SystemRandom::new().fill(&mut token).map_err(|_| {
        let error = std::io::Error::other("no randomness");
        LinkError::Io {
            during: "making a token",
            source: Arc::new(error),
        }
    })?;
    Ok(Bytes::copy_from_slice(&token))
}
