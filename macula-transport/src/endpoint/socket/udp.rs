//! The UDP socket below an endpoint, whose port can be given back while quinn still has handles.
//!
//! quinn keeps a socket for as long as a handle of the endpoint or of a connection lives, which may be in the hands of the
//! application.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// A poller of the socket, until that is given back.
type Inner = Mutex<Option<Pin<Box<dyn UdpPoller>>>>;

/// A socket that can be given back.
pub(super) struct Udp {
    socket: RwLock<Option<Arc<dyn AsyncUdpSocket>>>,
    /// One for each connection. Each holds the socket as well.
    pollers: Mutex<Vec<Weak<Inner>>>,
}

impl Udp {
    pub(super) const fn new(socket: Arc<dyn AsyncUdpSocket>) -> Self {
        Self {
            socket: RwLock::new(Some(socket)),
            pollers: Mutex::new(Vec::new()),
        }
    }

    /// Gives the socket back: its port is free when this returns.
    pub(super) fn release(&self) {
        let socket = self
            .socket
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(socket);
        for poller in lock(&self.pollers).drain(..) {
            if let Some(poller) = poller.upgrade() {
                lock(&poller).take();
            }
        }
    }

    pub(super) fn poller(&self) -> Pin<Box<dyn UdpPoller>> {
        // Held meanwhile, so that what is made now is given back as well.
        let mut pollers = lock(&self.pollers);
        let inner = self.with(|socket| Arc::clone(socket).create_io_poller());
        let inner = Arc::new(Mutex::new(inner));
        pollers.retain(|poller| poller.strong_count() > 0);
        pollers.push(Arc::downgrade(&inner));
        Box::pin(Poller(inner))
    }

    pub(super) fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        // What is sent after the end is lost, as packets are.
        self.with(|socket| socket.try_send(transmit))
            .unwrap_or(Ok(()))
    }

    pub(super) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.with(|socket| socket.poll_recv(cx, bufs, meta))
            .unwrap_or(Poll::Pending)
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.with(|socket| socket.local_addr())
            .unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }

    pub(super) fn max_transmit_segments(&self) -> usize {
        self.with(|socket| socket.max_transmit_segments())
            .unwrap_or(1)
    }

    pub(super) fn max_receive_segments(&self) -> usize {
        self.with(|socket| socket.max_receive_segments())
            .unwrap_or(1)
    }

    pub(super) fn may_fragment(&self) -> bool {
        self.with(|socket| socket.may_fragment()).unwrap_or(true)
    }

    fn with<T>(&self, ask: impl FnOnce(&Arc<dyn AsyncUdpSocket>) -> T) -> Option<T> {
        let socket = self.socket.read().unwrap_or_else(PoisonError::into_inner);
        socket.as_ref().map(ask)
    }
}

impl fmt::Debug for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.with(|_| ()).is_some();
        f.debug_struct("Udp")
            .field("is_open", &is_open)
            .finish_non_exhaustive()
    }
}

/// Tells one connection when it may send.
struct Poller(Arc<Inner>);

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        let writable = inner
            .as_mut()
            .map(|poller| poller.as_mut().poll_writable(cx));
        writable.unwrap_or(Poll::Ready(Ok(())))
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Poller").finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
