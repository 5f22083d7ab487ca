//! The wire protocol of Macula: names, frames, messages, limits and errors, without I/O.
//!
//! The crate is `no_std` with `alloc`, holds no unsafe code, and never allocates from a length that a peer claims.
//! `docs/protocol.md` in the repository specifies what it implements, and `tests/vectors` holds the bytes that every
//! implementation has to read and write.
//!
//! # Examples
//!
//! A message becomes a frame, travels in pieces, and is read again:
//!
//! ```
//! use bytes::Bytes;
//! use macula_wire::message::{Message, Ping};
//! use macula_wire::{FrameDecoder, limit};
//!
//! let bytes = Bytes::from(Message::from(Ping { nonce: 7 }).to_bytes()?);
//! let mut decoder = FrameDecoder::new(limit::DEFAULT_MAX_FRAME_LEN);
//! decoder.push(bytes.slice(..5));
//! assert!(decoder.next_frame()?.is_none());
//! decoder.push(bytes.slice(5..));
//! let frame = decoder.next_frame()?.ok_or("incomplete")?;
//! assert_eq!(Message::decode(&frame)?, Message::from(Ping { nonce: 7 }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![no_std]

extern crate alloc;

pub mod announce;
pub mod batch;
mod check;
mod code;
pub mod content;
mod error;
pub mod extension;
mod field;
pub mod frame;
pub mod handshake;
mod id;
pub mod limit;
mod machine;
pub mod message;
pub mod name;
mod random;
mod reader;
mod sign;
pub mod signed;
mod time;
pub mod varint;

pub use batch::{Batch, BatchBuilder, BatchHead, Entries, SealedBatch};
pub use code::{ErrorCode, RetryHint};
pub use content::{ContentType, Header, MediaType};
pub use error::{DecodeError, EncodeError};
pub use extension::Extensions;
pub use frame::{Frame, FrameDecoder, FrameHeader};
pub use id::{
    CALL_ID_LEN, CallId, Epoch, Incarnation, NODE_ID_LEN, NodeId, ProbeId, RegistrationId,
    RequestId, Sequence, ShortId, SubscriptionId, TopicAlias,
};
pub use machine::Machine;
pub use message::{Body, Kind, Message};
pub use name::{NameError, Pattern, PatternSegment, Procedure, RealmName, Topic};
pub use random::Random;
pub use reader::Reader;
pub use sign::{SIGNATURE_LEN, Signature, Signer, Verifier};
pub use signed::Domain;
pub use time::Instant;
