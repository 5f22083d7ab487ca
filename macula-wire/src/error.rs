//! Why bytes were not a message, and why a message could not become bytes.

use thiserror::Error;

use crate::NameError;

/// Why bytes from a peer were not a valid message.
///
/// Values are small and `Copy`: a peer can cause them at line rate, so building one must not allocate. Nothing of the
/// refused message is kept.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// A flag that was not negotiated; version 1 negotiates none.
    #[error("flags {flags:#06x} were not negotiated")]
    Flags {
        /// The flags of the header.
        flags: u16,
    },
    /// A value outside the set that the field allows.
    #[error("value {value} is not allowed for {field}")]
    Invalid {
        /// The field, as the specification names it.
        field: &'static str,
        /// What is wrong with it: the value itself, a character, or a count.
        value: u64,
    },
    /// A name that is not in its canonical form.
    #[error("not a canonical name: {0}")]
    Name(NameError),
    /// The value has a shorter encoding, or entries are out of order or doubled.
    ///
    /// Only one form is legal, so that one value has one byte string.
    #[error("value is not in its canonical form")]
    NotCanonical,
    /// A length or a count beyond the limit of its field. Nothing was allocated for it.
    #[error("{field} is over its limit of {max}")]
    TooLarge {
        /// The field, as the specification names it.
        field: &'static str,
        /// The limit, in bytes or entries.
        max: usize,
    },
    /// Bytes after the end of the message.
    #[error("{count} bytes follow the end of the message")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// The input ended before the value did.
    #[error("unexpected end of input")]
    UnexpectedEnd,
    /// An extension with an odd tag that this version does not know. The message must not be acted on.
    #[error("extension {tag} must be understood and is not known")]
    UnknownExtension {
        /// The tag.
        tag: u32,
    },
    /// A message number that this version does not know.
    #[error("unknown message number {number:#04x}")]
    UnknownKind {
        /// The number.
        number: u8,
    },
    /// A text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A frame of another version.
    #[error("version {version} of the frame header is not supported")]
    Version {
        /// The version of the header.
        version: u8,
    },
}

impl From<NameError> for DecodeError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

/// Why a message could not be encoded. The output is as it was before.
///
/// Exactly what a receiver would refuse is refused here already.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum EncodeError {
    /// A value outside the set that the field allows.
    #[error("value {value} is not allowed for {field}")]
    Invalid {
        /// The field, as the specification names it.
        field: &'static str,
        /// What is wrong with it: the value itself, a character, or a count.
        value: u64,
    },
    /// A list out of order, an entry doubled, or a spelling for which a shorter one exists.
    #[error("value is not in its canonical form")]
    NotCanonical,
    /// A length or a count beyond the limit of its field.
    #[error("{field} is over its limit of {max}")]
    TooLarge {
        /// The field, as the specification names it.
        field: &'static str,
        /// The limit, in bytes or entries.
        max: usize,
    },
}

impl EncodeError {
    /// The same fault, found by a receiver.
    pub(crate) const fn as_refusal(self) -> DecodeError {
        match self {
            Self::Invalid { field, value } => DecodeError::Invalid { field, value },
            Self::NotCanonical => DecodeError::NotCanonical,
            Self::TooLarge { field, max } => DecodeError::TooLarge { field, max },
        }
    }
}
