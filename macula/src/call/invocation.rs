//! A call as it reaches the function that serves it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_realm::Tenant;
use macula_wire::message::Failure;
use macula_wire::{CallId, ContentType, ErrorCode, Header, Instant, NodeId, Procedure, RealmName};

use super::{Flow, Reply};
use crate::plane::topic::check_len;

/// A call as it reaches the function that serves it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invocation {
    /// Names the call.
    pub call: CallId,
    /// What was called.
    pub procedure: Procedure,
    /// The realm in which it was called.
    pub realm: RealmName,
    /// Who calls.
    pub caller: NodeId,
    /// The tenant of the caller, as a certificate says.
    pub tenant: Option<Tenant>,
    /// The member that vouches for the caller, where the caller is a client of another node.
    pub via: Option<NodeId>,
    /// How many calls led to this one, each made by the function that served the one before.
    pub depth: u8,
    /// How much time is left when the function starts.
    pub deadline: Duration,
    /// What the arguments are.
    pub content: ContentType,
    /// Values that travel beside the arguments.
    pub headers: Vec<Header>,
    /// The arguments; with more to come, their first part.
    pub payload: Bytes,
    pub(crate) flow: Flow,
    pub(crate) max_payload_len: usize,
}

impl Invocation {
    /// Whether the caller takes parts of the result before its end.
    #[must_use]
    pub fn takes_progress(&self) -> bool {
        self.flow.takes_progress()
    }

    /// Whether parts of the arguments may follow.
    #[must_use]
    pub fn has_parts(&self) -> bool {
        self.flow.has_parts()
    }

    /// Sends a part of the result before its end, and waits while the caller does not keep up. Where the caller takes
    /// none ([`takes_progress`](Self::takes_progress)) the part is dropped.
    ///
    /// # Errors
    ///
    /// [`PAYLOAD_TOO_LARGE`](ErrorCode::PAYLOAD_TOO_LARGE) for a part over the node's limit, which is not sent; the call goes
    /// on. [`CANCELED`](ErrorCode::CANCELED) if the caller is gone, as the function will be.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, the part was not sent.
    pub async fn progress(&self, part: Reply) -> Result<(), CallFailure> {
        check_len(part.payload.len(), self.max_payload_len)?;
        if self.flow.progress(part).await {
            return Ok(());
        }
        let detail = "the caller is gone";
        Err(CallFailure::code(ErrorCode::CANCELED, detail))
    }

    /// The next part of the arguments; `None` after the last, and where the caller sends none.
    ///
    /// # Cancel safety
    ///
    /// Safe: no part is lost.
    pub async fn next_part(&self) -> Option<Reply> {
        self.flow.next_part().await
    }
}

/// Why a served call fails, in the application's words.
#[derive(Clone, Debug)]
pub struct CallFailure(pub(crate) Failure);

impl CallFailure {
    /// A failure of the application itself: [`ErrorCode::APPLICATION`] with a name of its own and words for people.
    #[must_use]
    pub fn application(name: &str, detail: &str) -> Self {
        let mut failure = Failure::new(ErrorCode::APPLICATION, detail);
        failure.name = Some(name.chars().filter(|c| !c.is_control()).take(60).collect());
        Self(failure)
    }

    /// A failure with a code of the table, for instance [`ErrorCode::INVALID_ARGUMENT`] or
    /// [`ErrorCode::UNAVAILABLE`], with which the caller tries another provider.
    #[must_use]
    pub fn code(code: ErrorCode, detail: &str) -> Self {
        Self(Failure::new(code, detail))
    }
}

impl From<CallFailure> for Failure {
    fn from(failure: CallFailure) -> Self {
        failure.0
    }
}

impl From<crate::Error> for CallFailure {
    /// A call that failed while another one was served fails that one as well.
    fn from(error: crate::Error) -> Self {
        Self(Failure::from(&error))
    }
}

/// What a function answers, when it does.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Reply, CallFailure>> + Send>>;

/// What serves a procedure.
#[derive(Clone)]
pub(crate) struct Handler(Arc<dyn Fn(Invocation) -> Answer + Send + Sync>);

impl Handler {
    pub(crate) fn new<F, A>(function: F) -> Self
    where
        F: Fn(Invocation) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Reply, CallFailure>> + Send + 'static,
    {
        Self(Arc::new(move |invocation| Box::pin(function(invocation))))
    }

    pub(crate) fn run(&self, invocation: Invocation) -> Answer {
        (self.0)(invocation)
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// The call that a function serves: calls that it makes meanwhile are a part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Serving {
    pub(crate) deadline: Instant,
    pub(crate) depth: u8,
}

tokio::task_local! {
    static SERVING: Serving;
}

/// Runs a step of a function as what serves a call.
pub(crate) fn serving_at<T>(call: Serving, step: impl FnOnce() -> T) -> T {
    SERVING.sync_scope(call, step)
}

/// The call that the present task serves, if any.
pub(crate) fn serving() -> Option<Serving> {
    SERVING.try_with(|call| *call).ok()
}
