//! The answers of many.

use macula_wire::NodeId;
use tokio::sync::{mpsc, oneshot};

use super::{Canceller, Reply};
use crate::Error;

/// What one of those that were asked has answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeReply {
    /// Who.
    pub node: NodeId,
    /// What it answered, or why not.
    pub result: Result<Reply, Error>,
}

/// The answers to a call of all providers, as they come. Dropping it takes back what still runs.
#[derive(Debug)]
pub struct Replies {
    pub(crate) replies: mpsc::Receiver<NodeReply>,
    pub(crate) end: Option<oneshot::Receiver<Result<(), Error>>>,
    pub(crate) canceller: Canceller,
}

impl Replies {
    /// The next answer; `None` when all have answered or failed, or as many have answered as were wanted.
    ///
    /// # Errors
    ///
    /// What keeps the call as a whole from being made, once: nobody serves the procedure, for instance.
    ///
    /// # Cancel safety
    ///
    /// Safe: no answer is lost.
    pub async fn next(&mut self) -> Result<Option<NodeReply>, Error> {
        if let Some(reply) = self.replies.recv().await {
            return Ok(Some(reply));
        }
        match self.end.take() {
            None => Ok(None),
            Some(end) => match end.await {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) | Err(_) => Ok(None),
            },
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.canceller
            .cancel(macula_wire::message::CancelMode::KillNoWait);
    }
}
