//! Calls as an application sees them.

mod calling;
mod cancel;
mod flow;
mod invocation;
mod parts;
mod replies;

use std::time::Duration;

use bytes::Bytes;
use macula_realm::Zone;
use macula_wire::{ContentType, Header, NodeId};

pub use self::calling::{Calling, PartSender};
pub(crate) use self::cancel::Cancelled;
pub use self::cancel::Canceller;
pub(crate) use self::flow::{Ends, Flow};
pub(crate) use self::invocation::{Answer, Handler, Serving, serving, serving_at};
pub use self::invocation::{CallFailure, Invocation};
pub(crate) use self::parts::{Giver, Taker};
pub use self::replies::{NodeReply, Replies};

/// Who is asked to run a call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Route {
    /// Whom the policy of the providers chooses.
    #[default]
    Any,
    /// This node, whether it is known to serve the procedure or not. Without a link to it one is dialled.
    Node(NodeId),
    /// One that stands in this zone.
    Zone(Zone),
}

/// How a call is made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallOptions {
    /// How long the caller waits for the end of the call, by default 5 s; at most 49 days. A call that is made while
    /// another one is served ends with that one at the latest.
    pub deadline: Duration,
    /// What the arguments are.
    pub content: ContentType,
    /// Values that travel beside the arguments, at most 32.
    pub headers: Vec<Header>,
    /// Makes it safe to run the call again after its callee was lost; 1 to 64 bytes. None by default.
    pub idempotency_key: Option<Bytes>,
    /// What providers with the policy `hash` are chosen by; 1 to 64 bytes. By default the caller's node.
    pub key: Option<Bytes>,
    /// Who is asked; by default whom the policy chooses.
    pub route: Route,
    /// After how long without an answer another provider is asked as well, and the first answer counts. Only with an
    /// idempotency key. By default never.
    pub hedge_after: Option<Duration>,
    /// What takes the call back while it runs. Dropping the future of the call takes it back without waiting.
    pub canceller: Option<Canceller>,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            content: ContentType::Bytes,
            headers: Vec::new(),
            idempotency_key: None,
            key: None,
            route: Route::Any,
            hedge_after: None,
            canceller: None,
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

    /// To the provider that this key chooses.
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// To this node.
    #[must_use]
    pub fn to_node(mut self, node: NodeId) -> Self {
        self.route = Route::Node(node);
        self
    }

    /// To a provider in this zone.
    #[must_use]
    pub fn to_zone(mut self, zone: Zone) -> Self {
        self.route = Route::Zone(zone);
        self
    }

    /// To another provider as well after so long without an answer.
    #[must_use]
    pub const fn hedge_after(mut self, after: Duration) -> Self {
        self.hedge_after = Some(after);
        self
    }

    /// Taken back by this.
    #[must_use]
    pub fn canceller(mut self, canceller: &Canceller) -> Self {
        self.canceller = Some(canceller.clone());
        self
    }
}

/// What a call ends with when it succeeds, or a part of its arguments or of its result before that.
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
