//! Why the baseline could not do what it was asked for.

use std::net::SocketAddr;

use thiserror::Error;

/// Why the baseline could not do what it was asked for. The connection is of no use afterwards.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum BaselineError {
    /// No socket could be opened at the address.
    #[error("cannot listen on {address}: {detail}")]
    Bind {
        /// Where it was to be.
        address: SocketAddr,
        /// What the system said.
        detail: String,
    },
    /// The connection could not be made, or broke.
    #[error("connection failed: {detail}")]
    Connection {
        /// What QUIC said.
        detail: String,
    },
    /// The other program does not speak as this one does.
    #[error("unexpected bytes: {0}")]
    Protocol(&'static str),
    /// The message is shorter than what it has to hold.
    #[error("a message needs at least {min} bytes")]
    TooShort {
        /// The shortest.
        min: usize,
    },
    /// The certificate or its key is of no use.
    #[error("cannot set up TLS: {detail}")]
    Tls {
        /// What rustls said.
        detail: String,
    },
}

impl BaselineError {
    pub(super) fn connection(error: impl ToString) -> Self {
        Self::Connection {
            detail: error.to_string(),
        }
    }

    pub(super) fn tls(error: impl ToString) -> Self {
        Self::Tls {
            detail: error.to_string(),
        }
    }
}
