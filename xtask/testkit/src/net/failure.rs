//! Why a simulated run had to stop.

use macula_wire::{DecodeError, EncodeError, Instant};
use thiserror::Error;

use super::NodeIndex;
use crate::seed::replay;

/// Why a run stopped, when, and how to see it again.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("seed {seed}, at {at}: {cause}\nreplay: {}", replay(*.seed))]
#[non_exhaustive]
pub struct Failure {
    /// The simulation seed of the network.
    pub seed: u64,
    /// The virtual time.
    pub at: Instant,
    /// What went wrong.
    pub cause: FailureCause,
}

/// What went wrong in a run.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum FailureCause {
    /// A condition was not met in time.
    #[error("waited in vain until {what}")]
    Condition {
        /// The condition, as the test names it.
        what: String,
    },
    /// A message could not be decoded after it was encoded, or came out as another one.
    #[error("{node} sent a message that does not survive encoding ({error:?}): {message}")]
    Decode {
        /// The sender.
        node: NodeIndex,
        /// The error; `None` if it decoded to another message.
        error: Option<DecodeError>,
        /// The message.
        message: String,
    },
    /// A message could not be encoded.
    #[error("{node} sent a message that cannot be encoded: {error}")]
    Encode {
        /// The sender.
        node: NodeIndex,
        /// The error.
        error: EncodeError,
    },
    /// The host said so.
    #[error("{node}: {text}")]
    Host {
        /// The node at which it happened.
        node: NodeIndex,
        /// Its words.
        text: String,
    },
    /// A drained machine asks to be called at a time that has come already.
    #[error("{node} is drained and wants its time-out at {at}, which is not in the future")]
    NotInFuture {
        /// The node.
        node: NodeIndex,
        /// The time that it asks for.
        at: Instant,
    },
    /// One event caused more outputs than allowed.
    #[error("one event caused more than {max} outputs at {node}")]
    Outputs {
        /// The node.
        node: NodeIndex,
        /// The limit.
        max: usize,
    },
    /// The run took more events than allowed.
    #[error("the step limit of {max} events is reached: something runs in circles")]
    Steps {
        /// The limit.
        max: u64,
    },
    /// The trace could not be written.
    #[error("the trace cannot be written: {error}")]
    Trace {
        /// What the writer said.
        error: String,
    },
    /// A datagram was too long.
    #[error("{node} sent a datagram of {length} bytes, over the limit of {max}")]
    TooLong {
        /// The sender.
        node: NodeIndex,
        /// The length of the frame in bytes.
        length: usize,
        /// The limit.
        max: usize,
    },
}
