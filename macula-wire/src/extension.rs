//! Typed extensions at the end of every body.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::check::require;
use crate::field::Field;
use crate::{DecodeError, EncodeError, Reader, varint};

/// The most extensions of one message.
pub const MAX_EXTENSIONS: usize = 16;
/// The longest value of one extension in bytes.
pub const MAX_EXTENSION_LEN: usize = 4_096;

/// What later versions and other implementations add to a message.
///
/// Tags strictly ascend. One with an odd tag must be understood by its receiver, so this version, which knows none,
/// refuses it; one with an even tag is kept and passed on unread.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Extensions(Vec<(u32, Bytes)>);

impl Extensions {
    /// No extension.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds or replaces the value of `tag`.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLarge`] beyond 16 extensions or 4,096 bytes, [`EncodeError::Invalid`] for an odd tag, which a
    /// receiver of this version has to refuse; nothing is changed then.
    pub fn insert(&mut self, tag: u32, value: Bytes) -> Result<(), EncodeError> {
        require(tag.is_multiple_of(2), "extension tag", u64::from(tag))?;
        if value.len() > MAX_EXTENSION_LEN {
            return Err(EncodeError::TooLarge {
                field: "extension",
                max: MAX_EXTENSION_LEN,
            });
        }
        match self.0.binary_search_by_key(&tag, |(tag, _)| *tag) {
            Ok(at) => {
                if let Some(entry) = self.0.get_mut(at) {
                    entry.1 = value;
                }
            }
            Err(_) if self.0.len() >= MAX_EXTENSIONS => {
                return Err(EncodeError::TooLarge {
                    field: "extensions",
                    max: MAX_EXTENSIONS,
                });
            }
            Err(at) => self.0.insert(at, (tag, value)),
        }
        Ok(())
    }

    /// The value of `tag`.
    #[must_use]
    pub fn get(&self, tag: u32) -> Option<&Bytes> {
        let at = self.0.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tags and values, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Bytes)> {
        self.0.iter().map(|(tag, value)| (*tag, value))
    }
}

impl Field for Extensions {
    fn put(&self, _: &'static str, _: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        varint::put(out, u64::try_from(self.0.len()).unwrap_or(u64::MAX));
        for (tag, value) in &self.0 {
            varint::put(out, u64::from(*tag));
            value.put("extension", MAX_EXTENSION_LEN, out)?;
        }
        Ok(())
    }

    fn take(_: &'static str, _: usize, input: &mut Reader) -> Result<Self, DecodeError> {
        let count = input.length("extensions", MAX_EXTENSIONS)?;
        let mut entries: Vec<(u32, Bytes)> = Vec::new();
        for _ in 0..count {
            let tag = input.varint_u32("extension tag")?;
            if entries.last().is_some_and(|(last, _)| *last >= tag) {
                return Err(DecodeError::NotCanonical);
            }
            if tag % 2 == 1 {
                return Err(DecodeError::UnknownExtension { tag });
            }
            entries.push((tag, input.bytes("extension", MAX_EXTENSION_LEN)?));
        }
        Ok(Self(entries))
    }
}
