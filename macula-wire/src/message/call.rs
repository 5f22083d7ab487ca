//! 0x20 to 0x2F: calls.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::printable;
use crate::content::{Header, MAX_HEADERS, check_headers};
use crate::field::{Field, UNLIMITED, record, tagged};
use crate::limit::{DEFAULT_HOPS, MAX_DETAIL_LEN, MAX_KEY_LEN, MAX_ZONE_LEN};
use crate::name::MAX_NAME_LEN;
use crate::{
    CallId, ContentType, DecodeError, EncodeError, ErrorCode, NodeId, Pattern, Procedure, Reader,
    RegistrationId, RequestId, RetryHint, check, varint,
};

tagged! {
    /// What a cancelled call's callee is told (WAMP, advanced profile, call canceling).
    pub enum CancelMode as "cancel mode" {
        /// Nothing: the caller stops waiting.
        Skip = 0,
        /// To stop; the caller waits for it.
        Kill = 1,
        /// To stop; the caller does not wait.
        KillNoWait = 2,
    }
}

tagged! {
    /// Which of the providers of a procedure gets a call. All providers of one pattern have the same.
    pub enum Invoke as "invoke" {
        /// There is one provider only.
        Single = 0,
        /// Each in turn, by the weights.
        RoundRobin = 1,
        /// Any, by the weights.
        Random = 2,
        /// The one that registered first.
        First = 3,
        /// The one that registered last.
        Last = 4,
        /// The one with the fewest calls of this caller's node, for its weight.
        LeastLoaded = 5,
        /// One on the caller's node that has room, else of two that are drawn by the weights the one with fewer calls.
        P2c = 6,
        /// The one that the key of the call chooses, the same at every caller.
        Hash = 7,
        /// One on the caller's node, else one in its zone, else any.
        LocalFirst = 8,
    }
}

impl Invoke {
    /// The word for it in options and output, such as `round-robin`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::First => "first",
            Self::Last => "last",
            Self::LeastLoaded => "least-loaded",
            Self::P2c => "p2c",
            Self::Hash => "hash",
            Self::LocalFirst => "local-first",
        }
    }

    /// The policy of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.word() == word)
    }
}

impl core::fmt::Display for Invoke {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.word())
    }
}

tagged! {
    /// What travels on the stream of a call, and what its answer means.
    pub enum CallMode as "call mode" {
        /// The arguments in RPC_CALL, one answer.
        Plain = 0,
        /// The same, and the caller takes parts of the result before it.
        Progress = 1,
        /// Parts of the arguments follow as RPC_PART, and the caller takes parts of the result.
        Stream = 2,
        /// The answer says that the callee's node has taken the call, not what came of it.
        Cast = 3,
    }
}

/// Whom a client wants its member to ask.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the values are closed within a version of the protocol"
)]
pub enum CallRoute {
    /// Whom the policy of the providers chooses.
    #[default]
    Any,
    /// This node, whether it is known to serve the procedure or not.
    Node(NodeId),
    /// A provider in this zone: 1 to 63 of `[a-z0-9-]`.
    Zone(String),
    /// Every member that serves it, each once; at most so many answers are wanted, 0 for as many as there are.
    All(u32),
}

impl Field for CallRoute {
    fn put(&self, field: &'static str, max: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Any => varint::put(out, 0),
            Self::Node(node) => {
                varint::put(out, 1);
                node.put(field, max, out)?;
            }
            Self::Zone(zone) => {
                check::zone(Some(zone))?;
                varint::put(out, 2);
                zone.put("zone", MAX_ZONE_LEN, out)?;
            }
            Self::All(most) => {
                varint::put(out, 3);
                most.put(field, max, out)?;
            }
        }
        Ok(())
    }

    fn take(field: &'static str, max: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        match input.varint()? {
            0 => Ok(Self::Any),
            1 => NodeId::take(field, max, input).map(Self::Node),
            2 => {
                let zone = String::take("zone", MAX_ZONE_LEN, input)?;
                check::zone(Some(&zone)).map_err(EncodeError::as_refusal)?;
                Ok(Self::Zone(zone))
            }
            3 => u32::take(field, max, input).map(Self::All),
            value => Err(DecodeError::Invalid { field, value }),
        }
    }
}

record! {
    /// RPC_CALL: the first message of a call stream after STREAM.
    pub struct RpcCall {
        /// Names the call. A callee runs one id at most once.
        pub call: CallId,
        /// How many more nodes may pass it on.
        pub hops: u8,
        /// How many calls led to this one, each made by the function that served the one before.
        pub depth: u8,
        /// Who calls; the peer of the link, or a client of it that the peer vouches for.
        pub caller: NodeId,
        /// The tenant of that client, as the peer's certificate check found it; 1 to 63 of `[a-z0-9-]`.
        pub tenant: Option<String> [MAX_ZONE_LEN],
        /// What is called.
        pub procedure: Procedure,
        /// How much time is left, in milliseconds from when the message was sent.
        pub deadline_ms: u32,
        /// What follows, and what the answer means.
        pub mode: CallMode,
        /// Whom a client wants to be asked; from a member it counts no more.
        pub route: CallRoute,
        /// After how many milliseconds without an answer a client wants another provider to be asked as well; 0 for never,
        /// and always without `idempotency`.
        pub hedge_ms: u32,
        /// Makes repeating the call safe; 1 to 64 bytes.
        pub idempotency: Option<Bytes> [MAX_KEY_LEN],
        /// What [`Invoke::Hash`] chooses by; 1 to 64 bytes.
        pub key: Option<Bytes> [MAX_KEY_LEN],
        /// What the arguments are.
        pub content: ContentType,
        /// At most 32, strictly ascending by key.
        pub headers: Vec<Header> [MAX_HEADERS],
        /// The arguments.
        pub payload: Bytes [UNLIMITED],
    }
    check check_call
}

impl RpcCall {
    /// A plain call without arguments, to whomever the policy chooses.
    #[must_use]
    pub const fn new(call: CallId, caller: NodeId, procedure: Procedure, deadline_ms: u32) -> Self {
        Self {
            call,
            hops: DEFAULT_HOPS,
            depth: 0,
            caller,
            tenant: None,
            procedure,
            deadline_ms,
            mode: CallMode::Plain,
            route: CallRoute::Any,
            hedge_ms: 0,
            idempotency: None,
            key: None,
            content: ContentType::Bytes,
            headers: Vec::new(),
            payload: Bytes::new(),
        }
    }
}

fn check_call(call: &RpcCall) -> Result<(), EncodeError> {
    check::zone(call.tenant.as_deref())?;
    check::filled("idempotency", call.idempotency.as_ref())?;
    check::filled("key", call.key.as_ref())?;
    let hedges = call.hedge_ms == 0 || call.idempotency.is_some();
    check::require(hedges, "hedge_ms", u64::from(call.hedge_ms))?;
    check_headers(&call.headers)
}

record! {
    /// RPC_RESULT: ends a call with a result.
    pub struct CallResult {
        /// That of the call.
        pub call: CallId,
        /// What the result is.
        pub content: ContentType,
        /// The result.
        pub payload: Bytes [UNLIMITED],
    }
}

record! {
    /// Why a call failed.
    pub struct Failure {
        /// What went wrong; not [`ErrorCode::OK`].
        pub code: ErrorCode,
        /// What to do about it.
        pub retry: RetryHint,
        /// When to try again at the earliest, in milliseconds; with [`RetryHint::After`] only.
        pub retry_after_ms: Option<u32>,
        /// The application's own name of the error, 1 to 255 bytes; with [`ErrorCode::APPLICATION`] only.
        pub name: Option<String> [MAX_NAME_LEN],
        /// For people; at most 512 bytes.
        pub detail: String [MAX_DETAIL_LEN],
        /// What the payload is.
        pub content: ContentType,
        /// The application's own account of the error.
        pub payload: Bytes [UNLIMITED],
    }
    check check_failure
}

fn check_failure(failure: &Failure) -> Result<(), EncodeError> {
    check::error(failure.code, failure.retry, failure.retry_after_ms)?;
    let Some(name) = &failure.name else {
        return Ok(());
    };
    check::some("name", name.as_bytes())?;
    let code = failure.code;
    let own = code == ErrorCode::APPLICATION;
    check::require(own, "name", u64::from(code.number()))
}

impl Failure {
    /// A failure with the table's hint and no payload. Of `detail` stays what [`printable`] leaves of it.
    #[must_use]
    pub fn new(code: ErrorCode, detail: &str) -> Self {
        Self {
            code,
            retry: code.retry(),
            retry_after_ms: None,
            name: None,
            detail: printable(detail, MAX_DETAIL_LEN),
            content: ContentType::Bytes,
            payload: Bytes::new(),
        }
    }
}

record! {
    /// RPC_ERROR: ends a call with an error.
    pub struct CallError {
        /// That of the call.
        pub call: CallId,
        /// Why.
        pub failure: Failure,
    }
}

record! {
    /// REGISTER: a client offers procedures. Answered by ACK or ERROR; its calls come on streams that the member opens.
    pub struct Register {
        /// Names the answer.
        pub request: RequestId,
        /// Names the registration on this link.
        pub registration: RegistrationId,
        /// What is offered: a procedure, or a pattern of procedures.
        pub pattern: Pattern,
        /// How many calls it takes at a time; 0 for as many as the member's limit.
        pub concurrency: u32,
        /// Its share of the calls beside those of other providers; with 0 it asks for none.
        pub weight: u32,
        /// Who of several providers gets a call.
        pub invoke: Invoke,
        /// Where it stands; 1 to 63 of `[a-z0-9-]`.
        pub zone: Option<String> [MAX_ZONE_LEN],
        /// Whether it takes the place of whoever registered before.
        pub takeover: bool,
    }
    check check_register
}

fn check_register(register: &Register) -> Result<(), EncodeError> {
    check::zone(register.zone.as_deref())
}

record! {
    /// UNREGISTER: a client withdraws a procedure. Answered by ACK or ERROR.
    pub struct Unregister {
        /// Names the answer.
        pub request: RequestId,
        /// That of the REGISTER.
        pub registration: RegistrationId,
    }
}

record! {
    /// RPC_CANCEL: the caller no longer wants the result.
    pub struct CallCancel {
        /// That of the call.
        pub call: CallId,
        /// What the callee is to do.
        pub mode: CancelMode,
    }
}

record! {
    /// RPC_PROGRESS: a part of a result.
    pub struct CallProgress {
        /// That of the call.
        pub call: CallId,
        /// Counts the parts from 0.
        pub sequence: u64,
        /// What the part is.
        pub content: ContentType,
        /// The part.
        pub payload: Bytes [UNLIMITED],
    }
}

record! {
    /// RPC_PART: a part of the arguments.
    pub struct CallPart {
        /// That of the call.
        pub call: CallId,
        /// Counts the parts from 0.
        pub sequence: u64,
        /// Whether there are no more. The payload is empty then.
        pub end: bool,
        /// What the part is.
        pub content: ContentType,
        /// The part.
        pub payload: Bytes [UNLIMITED],
    }
    check check_part
}

fn check_part(part: &CallPart) -> Result<(), EncodeError> {
    let length = u64::try_from(part.payload.len()).unwrap_or(u64::MAX);
    check::require(!part.end || part.payload.is_empty(), "payload", length)
}

record! {
    /// RPC_REPLY: what one of those whom a member asked for its client has answered.
    pub struct CallReply {
        /// That of the call.
        pub call: CallId,
        /// Who answered.
        pub node: NodeId,
        /// Why it failed there, if it did. The payload is empty then.
        pub failure: Option<Box<Failure>>,
        /// What the result is.
        pub content: ContentType,
        /// The result.
        pub payload: Bytes [UNLIMITED],
    }
    check check_reply
}

fn check_reply(reply: &CallReply) -> Result<(), EncodeError> {
    let length = u64::try_from(reply.payload.len()).unwrap_or(u64::MAX);
    let fits = reply.failure.is_none() || reply.payload.is_empty();
    check::require(fits, "payload", length)
}
