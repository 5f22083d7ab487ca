//! The eight bytes before every body, and finding frames in a stream.

mod decoder;

pub use decoder::{Frame, FrameDecoder};

use alloc::vec::Vec;

use crate::{DecodeError, EncodeError};

/// The version of the frame header that this crate speaks.
pub const FRAME_VERSION: u8 = 1;
/// The length of the header in bytes.
pub const HEADER_LEN: usize = 8;
/// The largest body that the format allows: 16 MiB.
pub const FORMAT_MAX_FRAME_LEN: usize = 16 << 20;
/// The largest body that is accepted by default: a payload of 1 MiB and 64 KiB for what stands around it.
pub const DEFAULT_MAX_FRAME_LEN: usize = (1 << 20) + (64 << 10);

/// The header of a frame: version (1 byte), message number (1), flags (2), length of the body (4); big-endian.
///
/// Flag bit 0 means compressed, bit 1 fragmented. Version 1 negotiates neither, so every set bit is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameHeader {
    number: u8,
    length: u32,
}

impl FrameHeader {
    /// The header of a body of `length` bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLarge`] over 16 MiB.
    pub fn new(number: u8, length: usize) -> Result<Self, EncodeError> {
        match u32::try_from(length) {
            Ok(short) if length <= FORMAT_MAX_FRAME_LEN => Ok(Self {
                number,
                length: short,
            }),
            _ => Err(EncodeError::TooLarge {
                field: "frame",
                max: FORMAT_MAX_FRAME_LEN,
            }),
        }
    }

    /// The message number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.number
    }

    /// The length of the body in bytes.
    #[must_use]
    pub fn body_len(self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// The header as it stands on the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [a, b, c, d] = self.length.to_be_bytes();
        [FRAME_VERSION, self.number, 0, 0, a, b, c, d]
    }

    /// Reads a header whose body may have at most `max` bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Version`], [`DecodeError::Flags`], or [`DecodeError::TooLarge`] for a longer body.
    pub fn from_bytes(bytes: [u8; HEADER_LEN], max: usize) -> Result<Self, DecodeError> {
        let [version, number, f0, f1, a, b, c, d] = bytes;
        if version != FRAME_VERSION {
            return Err(DecodeError::Version { version });
        }
        let flags = u16::from_be_bytes([f0, f1]);
        if flags != 0 {
            return Err(DecodeError::Flags { flags });
        }
        let header = Self {
            number,
            length: u32::from_be_bytes([a, b, c, d]),
        };
        let max = max.min(FORMAT_MAX_FRAME_LEN);
        if header.body_len() > max {
            return Err(DecodeError::TooLarge {
                field: "frame",
                max,
            });
        }
        Ok(header)
    }
}

/// Appends a frame to `out`: a header, then what `body` appends.
///
/// # Errors
///
/// Those of `body`, and [`EncodeError::TooLarge`] over 16 MiB; `out` is as it was before then.
pub fn put_frame(
    out: &mut Vec<u8>,
    number: u8,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    let begun = out.len();
    let header = body(out).and_then(|()| FrameHeader::new(number, out.len().saturating_sub(begun)));
    match header {
        Ok(header) => {
            if let Some(place) = out.get_mut(start..begun) {
                place.copy_from_slice(&header.to_bytes());
            }
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}
