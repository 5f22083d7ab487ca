//! Why a command of this node was refused.

use macula_wire::ErrorCode;
use thiserror::Error;

/// Why a subscription was refused. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The rights of the subscriber do not allow it.
    #[error("not allowed to subscribe to the pattern")]
    Denied,
    /// The subscriber has a subscription under this id already.
    #[error("the subscription id is in use")]
    Exists,
    /// The group has another balance on this node: one group has one.
    #[error("the group is balanced in another way by its other subscriptions")]
    PolicyConflict,
    /// The session has [`max_session_subscriptions`](crate::Config::max_session_subscriptions).
    #[error("the session has {limit} subscriptions, which is the limit")]
    SessionFull {
        /// The limit.
        limit: usize,
    },
    /// So many groups of this node want the pattern, which is the limit.
    #[error("{limit} groups want the pattern on this node, which is the limit")]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
    /// The node has [`max_patterns`](crate::Config::max_patterns) distinct patterns, and this would be a new one.
    #[error("the node has {limit} distinct patterns, which is the limit")]
    TooManyPatterns {
        /// The limit.
        limit: usize,
    },
    /// The node has [`max_subscriptions`](crate::Config::max_subscriptions).
    #[error("the node has {limit} subscriptions, which is the limit")]
    TooManySubscriptions {
        /// The limit.
        limit: usize,
    },
    /// Whether it is allowed is not known yet.
    #[error("whether the subscription is allowed is not known yet")]
    Undecided,
}

impl SubscribeError {
    /// The code that says the same to a peer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Denied => ErrorCode::DENIED,
            Self::Exists => ErrorCode::INVALID_ARGUMENT,
            Self::PolicyConflict => ErrorCode::POLICY_CONFLICT,
            Self::SessionFull { .. } | Self::TooManyGroups { .. } => ErrorCode::QUOTA_EXCEEDED,
            Self::TooManyPatterns { .. } | Self::TooManySubscriptions { .. } => {
                ErrorCode::OVERLOADED
            }
            Self::Undecided => ErrorCode::AUTHZ_FAILED,
        }
    }
}

/// Why a subscription was not ended. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum UnsubscribeError {
    /// The subscriber has no subscription under this id.
    #[error("no such subscription")]
    Unknown,
}

impl UnsubscribeError {
    /// The code that says the same to a peer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown => ErrorCode::INVALID_ARGUMENT,
        }
    }
}

/// Why a topic was not declared for publishing. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DeclareError {
    /// The rights of the publisher do not allow it.
    #[error("not allowed to publish under the topic")]
    Denied,
    /// The node has [`max_publications`](crate::Config::max_publications) topics, and this would be a new one.
    #[error("the node publishes under {limit} topics, which is the limit")]
    TooManyTopics {
        /// The limit.
        limit: usize,
    },
    /// Whether it is allowed is not known yet.
    #[error("whether publishing is allowed is not known yet")]
    Undecided,
}

impl DeclareError {
    /// The code that says the same to a peer.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Denied => ErrorCode::DENIED,
            Self::TooManyTopics { .. } => ErrorCode::OVERLOADED,
            Self::Undecided => ErrorCode::AUTHZ_FAILED,
        }
    }
}

/// Why a declaration was not taken back. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RetractError {
    /// The topic is not declared.
    #[error("the topic is not declared")]
    Unknown,
}
