//! Typed payloads: values of types with serde's `Serialize` and `Deserialize`, written as JSON, CBOR or in bincode's layout.

mod bincode;

use std::fmt;

use bytes::Bytes;
use macula_wire::{ContentType, ErrorCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// How deep values may be nested that a peer wrote.
const MAX_DEPTH: usize = 128;

/// How a typed payload is written. What reads one goes by its content type.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Codec {
    /// JSON: read by everybody. The default.
    #[default]
    Json,
    /// CBOR: as flexible as JSON, shorter, and with bytes.
    Cbor,
    /// bincode 2's standard layout: the shortest, and only read by those who have the same type.
    Bincode,
}

impl Codec {
    /// The content type of what it writes.
    #[must_use]
    pub const fn content_type(self) -> ContentType {
        match self {
            Self::Json => ContentType::Json,
            Self::Cbor => ContentType::Cbor,
            Self::Bincode => ContentType::Bincode,
        }
    }

    /// The codec of a content type; `None` for one that says nothing of values, such as text.
    #[must_use]
    pub const fn of(content: &ContentType) -> Option<Self> {
        match content {
            ContentType::Json => Some(Self::Json),
            ContentType::Cbor => Some(Self::Cbor),
            ContentType::Bincode => Some(Self::Bincode),
            _ => None,
        }
    }

    /// Writes a value.
    ///
    /// # Errors
    ///
    /// [`INVALID_ARGUMENT`](ErrorCode::INVALID_ARGUMENT) if the format cannot hold it, as JSON no map with keys that are not
    /// texts.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Bytes, Error> {
        match self {
            Self::Json => serde_json::to_vec(value).map_err(|error| unwritable(self, error)),
            Self::Cbor => {
                let mut out = Vec::new();
                let written = ciborium::into_writer(value, &mut out);
                written
                    .map(|()| out)
                    .map_err(|error| unwritable(self, error))
            }
            Self::Bincode => bincode::to_vec(value).map_err(|error| unwritable(self, error)),
        }
        .map(Bytes::from)
    }

    /// Reads a value that takes up all of `payload`.
    ///
    /// # Errors
    ///
    /// [`INVALID_ARGUMENT`](ErrorCode::INVALID_ARGUMENT) if it is no such value, or nested more than 128 deep.
    pub fn decode<T: DeserializeOwned>(self, payload: &[u8]) -> Result<T, Error> {
        match self {
            Self::Json => {
                serde_json::from_slice(payload).map_err(|error| unreadable::<T>(self, error))
            }
            Self::Cbor => {
                let mut rest = payload;
                let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH)
                    .map_err(|error| unreadable::<T>(self, error))?;
                if rest.is_empty() {
                    Ok(value)
                } else {
                    Err(unreadable::<T>(self, "more follows behind it"))
                }
            }
            Self::Bincode => {
                bincode::from_slice(payload).map_err(|error| unreadable::<T>(self, error))
            }
        }
    }
}

/// Reads a payload by its content type.
pub(crate) fn decode<T: DeserializeOwned>(
    content: &ContentType,
    payload: &[u8],
) -> Result<T, Error> {
    let Some(codec) = Codec::of(content) else {
        return Err(Error::new(
            ErrorCode::UNSUPPORTED_FEATURE,
            format!("a payload of type {content} is no value: JSON, CBOR and bincode are"),
        ));
    };
    codec.decode(payload)
}

fn unwritable(codec: Codec, error: impl fmt::Display) -> Error {
    Error::new(
        ErrorCode::INVALID_ARGUMENT,
        format!("the value has no form as {}: {error}", codec.content_type()),
    )
}

fn unreadable<T>(codec: Codec, error: impl fmt::Display) -> Error {
    let (content, of) = (codec.content_type(), std::any::type_name::<T>());
    Error::new(
        ErrorCode::INVALID_ARGUMENT,
        format!("the payload of type {content} is no {of}: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    enum Shape {
        Point,
        Circle(f64),
        Line(i16, i64),
        Named { name: String, tags: Vec<String> },
    }

    #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
    struct Reading {
        home: u32,
        temperature: f32,
        note: Option<String>,
        shapes: Vec<Shape>,
        by_room: BTreeMap<String, (u8, bool)>,
        letter: char,
    }

    fn reading() -> Reading {
        Reading {
            home: 70_000,
            temperature: 21.5,
            note: Some("warm".into()),
            shapes: vec![
                Shape::Point,
                Shape::Circle(-1.5),
                Shape::Line(-300, i64::MIN),
                Shape::Named {
                    name: "ä".into(),
                    tags: vec![String::new()],
                },
            ],
            by_room: BTreeMap::from([("kitchen".into(), (7, true))]),
            letter: 'é',
        }
    }

    const ALL: [Codec; 3] = [Codec::Json, Codec::Cbor, Codec::Bincode];

    #[test]
    fn a_value_is_read_as_it_was_written() {
        for codec in ALL {
            let written = codec.encode(&reading()).unwrap();
            let read: Reading = decode(&codec.content_type(), &written).unwrap();
            assert_eq!(read, reading(), "{codec:?}");
        }
    }

    /// bincode itself says what the layout is.
    #[test]
    fn the_layout_is_that_of_bincode() {
        let config = ::bincode::config::standard();
        let theirs = ::bincode::serde::encode_to_vec(reading(), config).unwrap();
        assert_eq!(Codec::Bincode.encode(&reading()).unwrap(), theirs);
        let numbers = (
            (
                u8::MAX,
                i8::MIN,
                [250_u16, 251, u16::MAX],
                [i16::MIN, -1, 0, 125, 126],
            ),
            (
                [u32::MAX, 65_536],
                [i32::MIN, i32::MAX],
                [u64::MAX, 1 << 32],
            ),
            (
                [i64::MIN, i64::MAX],
                [u128::MAX, 7],
                [i128::MIN, i128::MAX, -3],
            ),
            (['a', 'é', '€', '😀'], (), Some(Some(false)), None::<u8>),
        );
        let theirs = ::bincode::serde::encode_to_vec(numbers, config).unwrap();
        let ours = Codec::Bincode.encode(&numbers).unwrap();
        assert_eq!(ours, theirs);
        let read = Codec::Bincode.decode(&ours).unwrap();
        assert_eq!(numbers, read);
    }

    #[test]
    fn what_is_cut_off_or_goes_on_is_refused() {
        for codec in ALL {
            let written = codec.encode(&reading()).unwrap();
            for length in 0..written.len() {
                let read = codec.decode::<Reading>(&written[..length]);
                let code = read.map_err(|error| error.code());
                assert_eq!(code, Err(ErrorCode::INVALID_ARGUMENT), "{codec:?} {length}");
            }
            let longer = [&written[..], b"1"].concat();
            assert!(codec.decode::<Reading>(&longer).is_err(), "{codec:?}");
        }
    }

    #[test]
    fn no_type_of_payload_is_taken_for_another() {
        let written = Codec::Json.encode(&1).unwrap();
        let read = decode::<u8>(&ContentType::Text, &written);
        assert_eq!(read.unwrap_err().code(), ErrorCode::UNSUPPORTED_FEATURE);
        assert_eq!(decode::<u8>(&ContentType::Json, &written).unwrap(), 1);
        assert!(decode::<Reading>(&ContentType::Json, &written).is_err());
    }

    #[derive(Debug, Deserialize, Serialize)]
    struct Deep(Vec<Self>);

    #[test]
    fn nesting_without_end_is_refused() {
        let mut fits = Deep(Vec::new());
        for _ in 0..20 {
            fits = Deep(vec![fits]);
        }
        for codec in ALL {
            let written = codec.encode(&fits).unwrap();
            assert!(codec.decode::<Deep>(&written).is_ok(), "{codec:?}");
        }
        let endless = [
            (Codec::Json, "[".repeat(100_000).into_bytes()),
            (Codec::Cbor, vec![0x81; 100_000]),
            (Codec::Bincode, vec![1; 100_000]),
        ];
        for (codec, bytes) in endless {
            assert!(codec.decode::<Deep>(&bytes).is_err(), "{codec:?}");
        }
    }
}
