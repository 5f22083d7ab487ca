//! A connection of a Unix socket, and the end of the link that it belongs to.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use macula_wire::ErrorCode;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::ending::closing_frame;
use crate::error::{CloseReason, LinkError};

/// What a connection is used for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Use {
    /// The control stream.
    Control,
    /// A stream of both.
    Bi,
    /// A stream of one side; the other one says with a CLOSE of its own that it has read all, or wants no more.
    Uni,
}

/// A connection, shared by its two directions. It is closed when both are dropped.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: UnixStream,
    pub(super) link: OnceLock<Arc<LinkEnd>>,
    /// The places among the connections and the streams that it takes.
    permits: Mutex<Vec<OwnedSemaphorePermit>>,
}

/// Why a link ended, once it has; shared by all its connections.
#[derive(Debug, Default)]
pub(super) struct LinkEnd(watch::Sender<Option<CloseReason>>);

impl LinkEnd {
    /// Ends the link, once.
    pub(super) fn set(&self, reason: CloseReason) {
        self.0.send_if_modified(|end| {
            let first = end.is_none();
            if first {
                *end = Some(reason);
            }
            first
        });
    }

    pub(super) fn get(&self) -> Option<CloseReason> {
        self.0.borrow().clone()
    }

    /// Waits for the end. Cancel safe.
    pub(super) async fn wait(&self) -> CloseReason {
        let mut end = self.0.subscribe();
        loop {
            if let Some(reason) = end.borrow_and_update().clone() {
                return reason;
            }
            if end.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

impl Socket {
    pub(super) fn new(stream: UnixStream) -> Arc<Self> {
        Arc::new(Self {
            stream,
            link: OnceLock::new(),
            permits: Mutex::default(),
        })
    }

    /// Says whose connection it is.
    pub(super) fn belongs_to(&self, link: &Arc<LinkEnd>) {
        self.link.get_or_init(|| Arc::clone(link));
    }

    /// Holds `permit` as long as the connection lasts.
    pub(super) fn hold(&self, permit: OwnedSemaphorePermit) {
        let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        permits.push(permit);
    }

    /// Ends one direction or both at once, for all who hold the socket.
    pub(super) fn shutdown(&self, how: Shutdown) {
        if let Some(second) = self.second() {
            // Fails if the peer is gone, which is as well.
            drop(second.shutdown(how));
        }
    }

    /// A second descriptor of the same socket.
    fn second(&self) -> Option<StdUnixStream> {
        let second = self.stream.as_fd().try_clone_to_owned().ok()?;
        Some(second.into())
    }

    /// Says the last word of one direction. It is short, so it finds room unless the peer does not read.
    pub(super) fn say_close(&self, code: ErrorCode) {
        drop(self.write_now(&closing_frame(code)));
    }

    /// Writes what finds room, whatever the runtime knows about that.
    pub(super) fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let second = self.second().ok_or(io::ErrorKind::NotConnected)?;
        (&second).write(bytes)
    }

    /// Waits until nothing can be written any more, because the peer is gone or has ended both directions.
    pub(super) async fn hung_up(&self) -> io::Result<()> {
        // Readiness of a descriptor of its own can be waited for anew without misleading a writer.
        let second = self.second().ok_or(io::ErrorKind::NotConnected)?;
        let second = UnixStream::from_std(second)?;
        loop {
            if second.ready(Interest::WRITABLE).await?.is_write_closed() {
                return Ok(());
            }
            let again: io::Result<()> =
                second.try_io(Interest::WRITABLE, || Err(io::ErrorKind::WouldBlock.into()));
            drop(again);
        }
    }

    /// The error of a direction that the peer has ended: that of the link if it is over.
    pub(super) fn error(&self, of_stream: LinkError) -> LinkError {
        let ended = self.link.get().and_then(|link| link.get());
        ended.map_or(of_stream, LinkError::Closed)
    }
}
