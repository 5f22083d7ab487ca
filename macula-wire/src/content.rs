//! What a payload is.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::field::{Field, record};
use crate::{DecodeError, EncodeError, Reader, check, varint};

/// The longest name of a content type in bytes.
pub const MAX_CONTENT_NAME_LEN: usize = 127;

/// What a payload is, so that a receiver can choose how to read it. The protocol never looks into a payload.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ContentType {
    /// Opaque bytes (`application/octet-stream`).
    #[default]
    Bytes,
    /// UTF-8 text (`text/plain`).
    Text,
    /// JSON (RFC 8259).
    Json,
    /// CBOR (RFC 8949).
    Cbor,
    /// The layout of bincode 2's standard configuration.
    Bincode,
    /// Erlang's external term format, version 131.
    Etf,
    /// Any other, by its media type. One of the types above is refused under its name.
    Named(MediaType),
}

/// The name of a content type that has no number: 1 to 127 visible ASCII characters, no space.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct MediaType(String);

impl MediaType {
    /// Reads a name. `None` if it is empty, too long, or has a character outside `!` to `~`.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let legal = !text.is_empty()
            && text.len() <= MAX_CONTENT_NAME_LEN
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        legal.then(|| Self(text.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ContentType {
    /// The media type, as HTTP and MQTT write it.
    #[must_use]
    pub fn media_type(&self) -> &str {
        match self {
            Self::Bytes => "application/octet-stream",
            Self::Text => "text/plain",
            Self::Json => "application/json",
            Self::Cbor => "application/cbor",
            Self::Bincode => "application/x-bincode",
            Self::Etf => "application/x-erlang-binary",
            Self::Named(name) => name.as_str(),
        }
    }

    /// The content type of a media type; one with a number gets its number. `None` if the text is not a legal name.
    #[must_use]
    pub fn from_media_type(text: &str) -> Option<Self> {
        for known in [
            Self::Bytes,
            Self::Text,
            Self::Json,
            Self::Cbor,
            Self::Bincode,
            Self::Etf,
        ] {
            if known.media_type() == text {
                return Some(known);
            }
        }
        MediaType::new(text).map(Self::Named)
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.media_type())
    }
}

const NAMED: u64 = 6;

impl Field for ContentType {
    fn put(&self, field: &'static str, _: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let tag = match self {
            Self::Bytes => 0,
            Self::Text => 1,
            Self::Json => 2,
            Self::Cbor => 3,
            Self::Bincode => 4,
            Self::Etf => 5,
            Self::Named(name) => {
                if !matches!(Self::from_media_type(&name.0), Some(Self::Named(_))) {
                    return Err(EncodeError::NotCanonical);
                }
                varint::put(out, NAMED);
                return name.0.put(field, MAX_CONTENT_NAME_LEN, out);
            }
        };
        varint::put(out, tag);
        Ok(())
    }

    fn take(field: &'static str, _: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        match input.varint()? {
            0 => Ok(Self::Bytes),
            1 => Ok(Self::Text),
            2 => Ok(Self::Json),
            3 => Ok(Self::Cbor),
            4 => Ok(Self::Bincode),
            5 => Ok(Self::Etf),
            NAMED => {
                let text = String::take(field, MAX_CONTENT_NAME_LEN, input)?;
                let invalid = DecodeError::Invalid {
                    field: "media type",
                    value: NAMED,
                };
                let content = Self::from_media_type(&text).ok_or(invalid)?;
                // A type that has a number is written by its number.
                if matches!(content, Self::Named(_)) {
                    Ok(content)
                } else {
                    Err(DecodeError::NotCanonical)
                }
            }
            value => Err(DecodeError::Invalid { field, value }),
        }
    }
}

/// The most headers of an event or a call.
pub const MAX_HEADERS: usize = 32;
/// The longest key of a header in bytes.
pub const MAX_HEADER_KEY_LEN: usize = 64;
/// The longest value of a header in bytes.
pub const MAX_HEADER_VALUE_LEN: usize = 1_024;

record! {
    /// A named value that travels beside a payload, for instance `traceparent` (W3C Trace Context).
    ///
    /// The headers of a message strictly ascend by key, so that no two readers can take different ones for the first.
    pub struct Header {
        /// The key: 1 to 64 visible ASCII characters.
        pub key: String [MAX_HEADER_KEY_LEN],
        /// The value, at most 1,024 bytes.
        pub value: Bytes [MAX_HEADER_VALUE_LEN],
    }
    check check_header
}

fn check_header(header: &Header) -> Result<(), EncodeError> {
    check::word("key", &header.key)
}

/// The keys strictly ascend.
pub(crate) fn check_headers(headers: &[Header]) -> Result<(), EncodeError> {
    check::ascending(headers.iter().map(|header| &header.key))
}
