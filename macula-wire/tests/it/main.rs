//! The wire protocol from outside: golden bytes, properties of every message, and refusals with their twins.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails panics, and its numbers are small"
)]

mod allocation;
mod generate;
mod oracle;
mod properties;
mod refusals;
mod render;
mod specification;
mod vectors;

use bytes::Bytes;
use macula_wire::limit::DEFAULT_MAX_FRAME_LEN;
use macula_wire::{DecodeError, Frame, FrameHeader, Message};

/// The message in the bytes of one whole frame.
fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
    let frame = Frame::from_datagram(Bytes::copy_from_slice(bytes), DEFAULT_MAX_FRAME_LEN)?;
    Message::decode(&frame)
}

/// `body` behind a header that fits it.
fn framed(number: u8, body: &[u8]) -> Vec<u8> {
    let header = FrameHeader::new(number, body.len()).unwrap();
    [&header.to_bytes()[..], body].concat()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of pairs of digits; white space between them is free.
fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|one| !one.is_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text}");
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}
