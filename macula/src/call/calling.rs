//! A call that runs, as its caller holds it.

use macula_wire::ErrorCode;
use macula_wire::message::CancelMode;
use tokio::sync::oneshot;

use super::parts::{Giver, Taker};
use super::{Canceller, Reply};
use crate::Error;
use crate::plane::topic::check_len;

/// Sends parts of the arguments of a call. Dropping it ends them.
#[derive(Debug)]
pub struct PartSender {
    pub(crate) to: Giver,
    pub(crate) max_payload_len: usize,
}

impl PartSender {
    /// Sends a part of the arguments, and waits while the callee does not keep up.
    ///
    /// # Errors
    ///
    /// [`PAYLOAD_TOO_LARGE`](ErrorCode::PAYLOAD_TOO_LARGE) for a part over the node's limit, which is not sent; the call goes
    /// on. [`CALL_GONE`](ErrorCode::CALL_GONE) when the call has ended, as [`Calling::result`] tells.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the part was not sent.
    pub async fn send(&self, part: Reply) -> Result<(), Error> {
        check_len(part.payload.len(), self.max_payload_len)?;
        if self.to.send(part).await {
            return Ok(());
        }
        Err(gone())
    }
}

fn gone() -> Error {
    Error::new(ErrorCode::CALL_GONE, "the call takes no more arguments")
}

/// A call that runs: parts of its arguments go to the callee, and parts of its result come back. Dropping it takes the
/// call back.
#[derive(Debug)]
pub struct Calling {
    pub(crate) parts: Option<PartSender>,
    pub(crate) progress: Taker,
    pub(crate) end: oneshot::Receiver<Result<Reply, Error>>,
    pub(crate) ended: Option<Result<Reply, Error>>,
    pub(crate) canceller: Canceller,
}

impl Calling {
    /// Sends a part of the arguments, and waits while the callee does not keep up.
    ///
    /// # Errors
    ///
    /// [`PAYLOAD_TOO_LARGE`](ErrorCode::PAYLOAD_TOO_LARGE) for a part over the node's limit, which is not sent; the call goes
    /// on. [`CALL_GONE`](ErrorCode::CALL_GONE) when the call has ended, as [`result`](Self::result) tells, or after
    /// [`finish`](Self::finish).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the part was not sent.
    pub async fn send(&self, part: Reply) -> Result<(), Error> {
        self.parts.as_ref().ok_or_else(gone)?.send(part).await
    }

    /// Takes out what sends parts of the arguments, for whoever sends while others read. `None` after
    /// [`finish`](Self::finish), and the second time.
    pub const fn take_sender(&mut self) -> Option<PartSender> {
        self.parts.take()
    }

    /// Says that there are no more parts of the arguments.
    pub fn finish(&mut self) {
        self.parts = None;
    }

    /// The next part of the result; `None` when there are no more. What is not taken holds the callee up.
    ///
    /// # Cancel safety
    ///
    /// Safe: no part is lost.
    pub async fn next(&mut self) -> Option<Reply> {
        if self.ended.is_none() {
            tokio::select! {
                biased;
                part = self.progress.recv() => return part,
                end = &mut self.end => self.has_ended(end.ok()),
            }
        }
        self.progress.recv().await
    }

    /// What came before the end can still be taken.
    fn has_ended(&mut self, end: Option<Result<Reply, Error>>) {
        let stopped = || Err(Error::new(ErrorCode::SHUTTING_DOWN, "the node has stopped"));
        self.ended = Some(end.unwrap_or_else(stopped));
        self.progress.close();
    }

    /// Takes the call back; [`result`](Self::result) tells how it ended.
    pub fn cancel(&self, mode: CancelMode) {
        self.canceller.cancel(mode);
    }

    /// The end of the call. The arguments end with it, and parts of the result that were not taken are dropped.
    ///
    /// # Errors
    ///
    /// As [`Node::call`](crate::Node::call).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the call is taken back.
    pub async fn result(mut self) -> Result<Reply, Error> {
        self.finish();
        while self.next().await.is_some() {}
        match self.ended.take() {
            Some(end) => end,
            // There were no more parts before the end.
            None => (&mut self.end).await.unwrap_or_else(|_| {
                Err(Error::new(ErrorCode::SHUTTING_DOWN, "the node has stopped"))
            }),
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.canceller.cancel(CancelMode::KillNoWait);
    }
}
