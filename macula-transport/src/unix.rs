//! Links over a Unix socket: programs of one user on one machine attach to their node.
//!
//! A Unix socket has no streams, so each stream is a connection of its own to the same socket:
//!
//! - The first connection is the control stream: HANDSHAKE, answered by HANDSHAKE_ACK with a random token of 16 bytes.
//! - Every further connection begins with STREAM, which has the token and says what the connection carries. One for
//!   events is written by the side that sent STREAM only.
//! - The node cannot connect to its client. The client keeps some connections open whose STREAM says
//!   [`Offered`](macula_wire::message::StreamKind::Offered); the node uses one by sending STREAM on it, and the client
//!   offers another.
//! - CLOSE ends a direction of a stream: with `OK` it is finished, with another code it is reset. Without a CLOSE it
//!   was lost. On a connection for events the reading side answers with a CLOSE, after the writer's or before it to
//!   want no more.
//!
//! The file has mode 0600, and who may open it is the node itself as far as rights go: no certificate is shown.
//! There are no datagrams.

mod ending;
mod half;
mod listener;
mod place;
mod session;
mod socket;

pub(crate) use half::{UnixReader, UnixWriter};
pub use listener::{UnixIncoming, listen};
pub(crate) use session::UnixSession;
pub use session::connect;
