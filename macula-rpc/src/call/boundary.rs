//! What a call is made of, what it is told, and what it wants done.

use std::time::Duration;

use macula_realm::Zone;
use macula_wire::message::{CallResult, CancelMode, Failure};
use macula_wire::{CallId, Instant, NodeId, Procedure};

use super::choice::hash;
use crate::Provider;

/// Which of the candidates may get the call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are no other candidates")]
pub enum Scope {
    /// All of them.
    #[default]
    Any,
    /// Those on this node: it came from another member, and must not go on to a third.
    Here,
    /// Those in a zone.
    Zone(Zone),
}

/// What is called, and until when.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CallRequest {
    /// Names the call; the same at every provider that it is sent to.
    pub id: CallId,
    /// What is called.
    pub procedure: Procedure,
    /// When it ends at the latest.
    pub deadline: Instant,
    /// Whether running it twice does no harm, so that another provider may get it when one is lost.
    pub idempotent: bool,
    /// How long it waits for one provider before it asks another as well. Counts only if it is idempotent.
    pub hedge_after: Option<Duration>,
    /// Who may get it.
    pub scope: Scope,
    /// Where the caller stands, for [`Invoke::LocalFirst`](macula_wire::message::Invoke::LocalFirst).
    pub zone: Option<Zone>,
    /// What [`Invoke::Hash`](macula_wire::message::Invoke::Hash) chooses by, hashed.
    pub(super) key: u64,
}

impl CallRequest {
    /// A call that must not run twice, by a caller in no zone, to any of the candidates.
    #[must_use]
    pub const fn new(id: CallId, procedure: Procedure, deadline: Instant) -> Self {
        Self {
            id,
            procedure,
            deadline,
            idempotent: false,
            hedge_after: None,
            scope: Scope::Any,
            zone: None,
            key: 0,
        }
    }

    /// The same, and running it twice does no harm.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// The same, for the provider that `key` chooses where they are chosen so; without a key, the caller's id does.
    #[must_use]
    pub fn keyed(mut self, key: Option<&[u8]>, caller: &NodeId) -> Self {
        self.key = hash(key.unwrap_or(caller.as_bytes()));
        self
    }
}

/// What happened to the call.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever feeds the machine constructs them"
)]
pub enum CallInput {
    /// A callee answered. It is ignored from one that does not have the call any more.
    Answer {
        /// That of the [`CallOutput::Send`].
        attempt: u32,
        /// What it says.
        answer: Result<CallResult, Failure>,
    },
    /// The caller no longer wants the result.
    Cancel(CancelMode),
    /// The stream or the link broke after something of the call had left this node: it may have run.
    Lost {
        /// That of the [`CallOutput::Send`].
        attempt: u32,
    },
    /// Nothing of the call has left this node for this provider, and nothing will: it has not run there.
    NotSent {
        /// That of the [`CallOutput::Send`].
        attempt: u32,
    },
}

/// What the caller has to do.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever owns the stream has to act on each"
)]
pub enum CallOutput {
    /// Tell the provider that the call is over for the caller, as `mode` says ([`CancelMode::Skip`]: nothing), and do not
    /// wait for it. Only [`CancelMode::Kill`] still wants the answer.
    Abandon {
        /// Who.
        to: Provider,
        /// That of the [`Send`](Self::Send).
        attempt: u32,
        /// How.
        mode: CancelMode,
    },
    /// The end of the call.
    Done(Result<CallResult, Failure>),
    /// Open a stream to the provider and send the call.
    Send {
        /// To whom.
        to: Provider,
        /// Counts the providers from 1.
        attempt: u32,
        /// How much time is left, in milliseconds; at least 1.
        deadline_ms: u32,
    },
}
