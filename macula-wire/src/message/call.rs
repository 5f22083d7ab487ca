//! 0x20 to 0x2F: calls.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use super::printable;
use crate::content::{Header, MAX_HEADERS, check_headers};
use crate::field::{UNLIMITED, record, tagged};
use crate::limit::{MAX_DETAIL_LEN, MAX_KEY_LEN};
use crate::name::MAX_NAME_LEN;
use crate::{
    CallId, ContentType, EncodeError, ErrorCode, NodeId, Procedure, RegistrationId, RequestId,
    RetryHint, check,
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

record! {
    /// RPC_CALL: the first message of a call stream after STREAM.
    pub struct RpcCall {
        /// Names the call. A callee runs one id at most once.
        pub call: CallId,
        /// How many more nodes may pass it on.
        pub hops: u8,
        /// Who calls; the peer of the link, or a client of it that the peer vouches for.
        pub caller: NodeId,
        /// What is called.
        pub procedure: Procedure,
        /// How much time is left, in milliseconds from when the message was sent.
        pub deadline_ms: u32,
        /// Makes repeating the call safe; 1 to 64 bytes.
        pub idempotency: Option<Bytes> [MAX_KEY_LEN],
        /// What the arguments are.
        pub content: ContentType,
        /// At most 32, strictly ascending by key.
        pub headers: Vec<Header> [MAX_HEADERS],
        /// The arguments.
        pub payload: Bytes [UNLIMITED],
    }
    check check_call
}

fn check_call(call: &RpcCall) -> Result<(), EncodeError> {
    check::filled("idempotency", call.idempotency.as_ref())?;
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
    /// REGISTER: a client offers a procedure. Answered by ACK or ERROR; its calls come on streams that the member opens.
    pub struct Register {
        /// Names the answer.
        pub request: RequestId,
        /// Names the registration on this link.
        pub registration: RegistrationId,
        /// What is offered.
        pub procedure: Procedure,
        /// How many calls it takes at a time; 0 for as many as the member's limit.
        pub concurrency: u32,
    }
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
