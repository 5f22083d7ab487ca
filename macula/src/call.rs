//! Calls as an application sees them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_wire::message::Failure;
use macula_wire::{CallId, ContentType, ErrorCode, Header, NodeId, Procedure};

/// How a call is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallOptions {
    /// How long the caller waits for the end of the call, by default 5 s; at most 49 days.
    pub deadline: Duration,
    /// What the arguments are.
    pub content: ContentType,
    /// Values that travel beside the arguments, at most 32.
    pub headers: Vec<Header>,
    /// Makes it safe to run the call again after its callee was lost; at most 64 bytes.
    pub idempotency_key: Option<Bytes>,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            content: ContentType::Bytes,
            headers: Vec::new(),
            idempotency_key: None,
        }
    }
}

impl CallOptions {
    /// With this deadline.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// With arguments of this type.
    #[must_use]
    pub fn content(mut self, content: ContentType) -> Self {
        self.content = content;
        self
    }

    /// Safe to repeat under this key.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<Bytes>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}

/// What a call ends with when it succeeds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Reply {
    /// What the payload is.
    pub content: ContentType,
    /// The result.
    pub payload: Bytes,
}

impl Reply {
    /// A reply of this type.
    #[must_use]
    pub fn new(content: ContentType, payload: impl Into<Bytes>) -> Self {
        Self {
            content,
            payload: payload.into(),
        }
    }

    /// Opaque bytes.
    #[must_use]
    pub fn bytes(payload: impl Into<Bytes>) -> Self {
        Self::new(ContentType::Bytes, payload)
    }

    /// Text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(ContentType::Text, text.into().into_bytes())
    }

    /// JSON, as the caller wrote it.
    #[must_use]
    pub fn json(text: impl Into<String>) -> Self {
        Self::new(ContentType::Json, text.into().into_bytes())
    }
}

/// A call as it reaches the function that serves it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invocation {
    /// Names the call.
    pub call: CallId,
    /// What was called.
    pub procedure: Procedure,
    /// Who calls.
    pub caller: NodeId,
    /// The member that vouches for the caller, where the caller is a client of another node.
    pub via: Option<NodeId>,
    /// How much time is left when the function starts.
    pub deadline: Duration,
    /// What the arguments are.
    pub content: ContentType,
    /// Values that travel beside the arguments.
    pub headers: Vec<Header>,
    /// The arguments.
    pub payload: Bytes,
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

type Answer = Pin<Box<dyn Future<Output = Result<Reply, CallFailure>> + Send>>;

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
