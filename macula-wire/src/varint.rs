//! Variable-length integers: bincode 2's "standard" layout, minimal forms only.
//!
//! A value up to 250 is one byte. 251, 252 and 253 announce two, four and eight bytes, least significant first. 254
//! (sixteen bytes) and 255 are refused: no field of the protocol is that wide.

use alloc::vec::Vec;

use crate::DecodeError;

/// The longest encoding of an integer in bytes.
pub const MAX_VARINT_LEN: usize = 9;

const MARK_U16: u8 = 251;
const MARK_U32: u8 = 252;
const MARK_U64: u8 = 253;

/// Appends `value` in its only legal form.
#[inline]
pub fn put(out: &mut Vec<u8>, value: u64) {
    match u8::try_from(value) {
        Ok(small) if small < MARK_U16 => out.push(small),
        _ => put_long(out, value),
    }
}

fn put_long(out: &mut Vec<u8>, value: u64) {
    if let Ok(medium) = u16::try_from(value) {
        out.push(MARK_U16);
        out.extend_from_slice(&medium.to_le_bytes());
    } else if let Ok(large) = u32::try_from(value) {
        out.push(MARK_U32);
        out.extend_from_slice(&large.to_le_bytes());
    } else {
        out.push(MARK_U64);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// How many bytes [`put`] appends for `value`: 1, 3, 5 or 9.
#[must_use]
pub const fn len(value: u64) -> usize {
    if value < MARK_U16 as u64 {
        1
    } else if value <= u16::MAX as u64 {
        3
    } else if value <= u32::MAX as u64 {
        5
    } else {
        MAX_VARINT_LEN
    }
}

/// The integer at the start of `input`, and how many bytes it takes.
///
/// # Errors
///
/// [`DecodeError::UnexpectedEnd`] if `input` is too short, [`DecodeError::NotCanonical`] if a shorter form exists or
/// the marker is 254 or 255.
#[inline]
pub fn split(input: &[u8]) -> Result<(u64, usize), DecodeError> {
    match input {
        [] => Err(DecodeError::UnexpectedEnd),
        [small, ..] if *small < MARK_U16 => Ok((u64::from(*small), 1)),
        [MARK_U16, rest @ ..] => minimal(u64::from(u16::from_le_bytes(first(rest)?)), 3),
        [MARK_U32, rest @ ..] => minimal(u64::from(u32::from_le_bytes(first(rest)?)), 5),
        [MARK_U64, rest @ ..] => minimal(u64::from_le_bytes(first(rest)?), MAX_VARINT_LEN),
        _ => Err(DecodeError::NotCanonical),
    }
}

fn first<const N: usize>(input: &[u8]) -> Result<[u8; N], DecodeError> {
    input
        .first_chunk::<N>()
        .copied()
        .ok_or(DecodeError::UnexpectedEnd)
}

const fn minimal(value: u64, length: usize) -> Result<(u64, usize), DecodeError> {
    if len(value) == length {
        Ok((value, length))
    } else {
        Err(DecodeError::NotCanonical)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_edges_of_each_form() {
        for (value, length) in [
            (0, 1),
            (250, 1),
            (251, 3),
            (0xffff, 3),
            (0x1_0000, 5),
            (0xffff_ffff, 5),
            (0x1_0000_0000, 9),
            (u64::MAX, 9),
        ] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!((out.len(), len(value)), (length, length), "{value}");
            assert_eq!(split(&out), Ok((value, length)));
        }
    }

    #[test]
    fn over_long_and_unknown_forms_are_refused() {
        for bytes in [
            &[251, 250, 0][..],
            &[252, 255, 255, 0, 0],
            &[253, 255, 255, 255, 255, 0, 0, 0, 0],
            &[254],
            &[255],
        ] {
            assert_eq!(split(bytes), Err(DecodeError::NotCanonical), "{bytes:?}");
        }
        assert_eq!(split(&[251, 1]), Err(DecodeError::UnexpectedEnd));
        assert_eq!(split(&[]), Err(DecodeError::UnexpectedEnd));
    }

    proptest! {
        #[test]
        fn bincode_agrees(value: u64) {
            let mut ours = Vec::new();
            put(&mut ours, value);
            let theirs = bincode::encode_to_vec(value, bincode::config::standard()).unwrap();
            prop_assert_eq!(ours, theirs);
        }

        #[test]
        fn refused_or_encoded_to_the_same_bytes(bytes: Vec<u8>) {
            if let Ok((value, length)) = split(&bytes) {
                let mut again = Vec::new();
                put(&mut again, value);
                prop_assert_eq!(&again[..], &bytes[..length]);
            }
        }
    }
}
