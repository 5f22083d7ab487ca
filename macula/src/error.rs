//! What can go wrong for an application.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use macula_wire::message::{ErrorReport, Failure};
use macula_wire::{ErrorCode, NameError, RequestId, RetryHint};

/// Why a command of this node or client failed.
///
/// Every error carries a code of the protocol's table, so that one value answers who is at fault and whether to try
/// again. The state of the node is unchanged unless the command says otherwise.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    code: ErrorCode,
    retry: RetryHint,
    retry_after_ms: Option<u32>,
    detail: String,
    failure: Option<Failure>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `code`, with what to tell people.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            code,
            retry: code.retry(),
            retry_after_ms: None,
            detail: detail.into(),
            failure: None,
            source: None,
        }))
    }

    /// An error of `code` that another one caused.
    pub(crate) fn caused(
        code: ErrorCode,
        detail: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            code,
            retry: code.retry(),
            retry_after_ms: None,
            detail: detail.into(),
            failure: None,
            source: Some(Box::new(source)),
        }))
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// What to do about it; from the peer where a peer answered, otherwise from the table.
    #[must_use]
    pub fn retry(&self) -> RetryHint {
        self.0.retry
    }

    /// When to try again at the earliest, in milliseconds, where the peer said so.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u32> {
        self.0.retry_after_ms
    }

    /// What to tell people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What the callee said, if the error is the answer to a call.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.0.failure.as_ref()
    }

    /// The same as a peer is told it, in answer to a request.
    pub(crate) fn report(&self, request: Option<RequestId>) -> ErrorReport {
        ErrorReport {
            request,
            code: self.code(),
            retry: self.retry(),
            retry_after_ms: self.retry_after_ms(),
            detail: self
                .detail()
                .chars()
                .filter(|c| !c.is_control())
                .take(120)
                .collect(),
        }
    }

    /// Whether a deadline passed.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.code == ErrorCode::DEADLINE_EXCEEDED
    }

    /// Whether the identity or its rights were refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(
            self.0.code,
            ErrorCode::DENIED
                | ErrorCode::UNAUTHENTICATED
                | ErrorCode::NO_SUCH_REALM
                | ErrorCode::REALM_MISMATCH
                | ErrorCode::CERT_EXPIRED
                | ErrorCode::CERT_REVOKED
                | ErrorCode::GATEWAY_DENIED
        )
    }

    /// Whether nothing answered at the other end.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.0.code == ErrorCode::UNREACHABLE
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self(Arc::new(Inner {
            code: failure.code,
            retry: failure.retry,
            retry_after_ms: failure.retry_after_ms,
            detail: failure.detail.clone(),
            failure: Some(failure),
            source: None,
        }))
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        match &error.0.failure {
            Some(failure) => failure.clone(),
            None => Self::new(error.0.code, &error.0.detail),
        }
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::new(ErrorCode::INVALID_NAME, error.to_string())
    }
}

impl From<macula_transport::LinkError> for Error {
    fn from(error: macula_transport::LinkError) -> Self {
        Self::caused(error.code(), error.to_string(), error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.detail.is_empty() {
            f.write_str(self.0.code.advice())
        } else {
            f.write_str(&self.0.detail)
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.code, self.0.detail)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
