//! The wire protocol of Macula: names, frames, messages, limits and errors, without I/O.
//!
//! What follows is the `README.md` of the crate.
#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

pub mod batch;
mod check;
mod code;
pub mod content;
pub mod earlier;
pub mod envelope;
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
mod pace;
mod random;
mod reader;
mod sign;
pub mod signed;
mod testament;
mod time;
pub mod varint;

pub use batch::{Batch, BatchBuilder, BatchHead, Entries, SealedBatch};
pub use code::{ErrorCode, RetryHint};
pub use content::{ContentType, Header, MediaType};
pub use earlier::{EarlierEnd, EarlierEvent, EarlierEvents, IndexedTopic, TopicIndex};
pub use envelope::{Audience, Envelope, Selection};
pub use error::{DecodeError, EncodeError};
pub use extension::Extensions;
pub use frame::{Frame, FrameDecoder, FrameHeader};
pub use id::{
    CALL_ID_LEN, CallId, ChannelRun, DeliveryId, EdgeToken, Epoch, Incarnation, KEY_LEN, Key,
    NODE_ID_LEN, NodeId, NodeMark, ProbeId, RecordId, RegistrationId, RequestId, Sequence, ShortId,
    SubscriptionId, TopicAlias,
};
pub use machine::Machine;
pub use message::{Body, Kind, Message};
pub use name::{NameError, Pattern, PatternSegment, Procedure, RealmName, Topic};
pub use pace::Pace;
pub use random::Random;
pub use reader::Reader;
pub use sign::{SIGNATURE_LEN, Signature, Signer, Verifier};
pub use signed::Domain;
pub use testament::{Testament, Testaments};
pub use time::Instant;
