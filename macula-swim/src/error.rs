//! What peers and callers can do wrong.

use macula_wire::EncodeError;
use thiserror::Error;

/// Why this node's own record was refused. Nothing is changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RecordError {
    /// A field is over its limit.
    #[error("the record cannot be encoded: {0}")]
    Field(EncodeError),
    /// The record as a whole does not fit into a datagram: use fewer or shorter addresses and tags.
    #[error("the record takes {length} bytes, over the limit of {max}")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// The node has left.
    #[error("the node has left")]
    Left,
}

impl From<EncodeError> for RecordError {
    fn from(error: EncodeError) -> Self {
        Self::Field(error)
    }
}

/// Why this node cannot join. Nothing is changed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum JoinError {
    /// The node has left; a new run may join.
    #[error("the node has left")]
    Left,
    /// The node named is this one.
    #[error("a node cannot join through itself")]
    Own,
}

/// What a peer did wrong.
#[derive(Clone, Copy, Debug, Eq, Error, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Offence {
    /// A signature is not that of whoever is named as its signer.
    #[error("a signature is wrong")]
    BadSignature,
    /// An epoch lies too far in the future.
    #[error("an epoch lies too far in the future")]
    EpochAhead,
    /// An incarnation that its owner cannot have reached.
    #[error("an incarnation is out of reach")]
    IncarnationJump,
    /// A message that is not one of membership.
    #[error("the message is not one of membership")]
    NotMembership,
    /// A record that only its owner may bring came from somebody else.
    #[error("the record is not the sender's own")]
    NotOwner,
    /// A record that no datagram could carry.
    #[error("a record is too large")]
    RecordTooLarge,
    /// More accusations than one accuser may make.
    #[error("too many accusations")]
    TooManyAccusations,
    /// The membership was sent without being asked for.
    #[error("a state was sent without being asked for")]
    UnexpectedState,
    /// The sender is not a member.
    #[error("the sender is not a member")]
    UnknownSender,
    /// An answer to a probe from a node that was not asked.
    #[error("a probe was answered by a node that was not asked")]
    WrongAck,
}
