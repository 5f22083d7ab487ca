//! Why a command of this node was refused.

use macula_wire::ErrorCode;
use macula_wire::message::Invoke;
use thiserror::Error;

/// Why a registration was refused. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RegisterError {
    /// Whoever serves it already does so by another policy, and all have to agree on one.
    #[error("it is served by the policy {held} already")]
    Conflict {
        /// The policy that holds.
        held: Invoke,
    },
    /// The rights of the registrant do not allow it.
    #[error("not allowed to provide the procedure")]
    Denied,
    /// The registrant has a registration under this id already.
    #[error("the registration id is in use")]
    Exists,
    /// The session has [`max_session_registrations`](crate::Config::max_session_registrations).
    #[error("the session has {limit} registrations, which is the limit")]
    SessionFull {
        /// The limit.
        limit: usize,
    },
    /// The node has [`max_procedures`](crate::Config::max_procedures) distinct procedures, and this would be a new one.
    #[error("the node provides {limit} procedures, which is the limit")]
    TooManyProcedures {
        /// The limit.
        limit: usize,
    },
    /// The node has [`max_registrations`](crate::Config::max_registrations).
    #[error("the node has {limit} registrations, which is the limit")]
    TooManyRegistrations {
        /// The limit.
        limit: usize,
    },
    /// Somebody else serves it, who is to be the only one or has taken it over.
    #[error("somebody else serves it")]
    Taken,
    /// Whether it is allowed is not known yet.
    #[error("whether the registration is allowed is not known yet")]
    Undecided,
}

impl RegisterError {
    /// The code that says the same to a peer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Conflict { .. } => ErrorCode::POLICY_CONFLICT,
            Self::Denied => ErrorCode::DENIED,
            Self::Exists | Self::Taken => ErrorCode::ALREADY_REGISTERED,
            Self::SessionFull { .. } => ErrorCode::QUOTA_EXCEEDED,
            Self::TooManyProcedures { .. } | Self::TooManyRegistrations { .. } => {
                ErrorCode::OVERLOADED
            }
            Self::Undecided => ErrorCode::AUTHZ_FAILED,
        }
    }
}

/// Why a registration was not ended. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum UnregisterError {
    /// The registrant has no registration under this id.
    #[error("no such registration")]
    Unknown,
}

impl UnregisterError {
    /// The code that says the same to a peer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown => ErrorCode::INVALID_ARGUMENT,
        }
    }
}

/// Why a procedure is not watched. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum WatchError {
    /// The rights of the caller do not allow it to call.
    #[error("not allowed to call the procedure")]
    Denied,
    /// The node watches [`max_watched`](crate::Config::max_watched) procedures, and this would be a new one.
    #[error("the node watches {limit} procedures, which is the limit")]
    TooManyProcedures {
        /// The limit.
        limit: usize,
    },
    /// Whether calling is allowed is not known yet.
    #[error("whether the call is allowed is not known yet")]
    Undecided,
}

impl WatchError {
    /// The code that says the same to a peer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Denied => ErrorCode::DENIED,
            Self::TooManyProcedures { .. } => ErrorCode::OVERLOADED,
            Self::Undecided => ErrorCode::AUTHZ_FAILED,
        }
    }
}

/// Why a watch was not ended. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum UnwatchError {
    /// The procedure is not watched.
    #[error("the procedure is not watched")]
    Unknown,
}
