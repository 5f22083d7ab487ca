//! Bare quinn under the same conditions as a link: the limit that benches compare with.
//!
//! It is the program that somebody would write by hand who needs one publisher, one subscriber and calls between them,
//! and nothing else: no names, no membership, no batches. TLS 1.3 with certificates on both sides, the cipher suites,
//! the flow-control windows and the path MTU setting are those of [`Endpoint`](crate::Endpoint), so that a ratio of the
//! two says what Macula adds. One side is a [`Server`], the other a [`Client`]; they are meant to run in two processes.
//!
//! Events travel on one unidirectional stream: a length of 4 bytes, big-endian, then the message, whose first 8 bytes
//! are its sequence, big-endian, from 0. A call is a bidirectional stream: its bytes, then the same bytes back.
//!
//! It accepts every Ed25519 certificate whose holder can sign: it is for benches on one machine.

mod client;
mod error;
mod message;
mod server;
mod setup;

pub use client::{Amount, Client, Sent};
pub use error::BaselineError;
pub use message::{MIN_MESSAGE_LEN, MIN_STAMPED_LEN};
pub use server::{Latencies, Received, Server};
