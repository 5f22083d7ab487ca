//! How a stream over a Unix socket ends: telling "finished" from "given up" and from "the process died".
//!
//! A socket's end of file says none of that, so the last frame of each direction of a stream is a CLOSE: with the code
//! `OK` the stream is finished, with another it is reset. The CLOSE is no part of the stream's content.

use std::collections::VecDeque;

use bytes::Bytes;
use macula_wire::limit::HEADER_LEN;
use macula_wire::message::{Body, Close, Kind, Message};
use macula_wire::{DecodeError, ErrorCode, FrameDecoder};

/// The longest CLOSE frame that is gathered: a detail, and extensions that a later version may add.
pub(super) const MAX_CLOSE_LEN: usize = 4 << 10;

/// The frame that ends a direction of a stream.
pub(super) fn closing_frame(code: ErrorCode) -> Vec<u8> {
    let close = Close {
        code,
        detail: String::new(),
    };
    Message::from(close).to_bytes().unwrap_or_default()
}

/// Finds the CLOSE in what is read, and passes on everything before it.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// A header of which not all has come yet; it is not passed on before.
    header: Vec<u8>,
    /// How many bytes of the current body are still to come.
    body_left: usize,
    /// The CLOSE as far as it has come.
    closing: Option<FrameDecoder>,
    /// A CLOSE is passed on like the rest: on the control stream it is a message.
    control: bool,
    /// The header of a CLOSE has come.
    close_seen: bool,
    ready: VecDeque<Bytes>,
}

impl Ending {
    /// The control stream, which ends with its socket.
    pub(super) fn of_control() -> Self {
        Self {
            control: true,
            ..Self::default()
        }
    }

    /// Whether this is the control stream.
    pub(super) const fn is_control(&self) -> bool {
        self.control
    }

    /// Whether the peer has said that it ends.
    pub(super) const fn close_seen(&self) -> bool {
        self.close_seen
    }

    /// What may be passed on.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Takes what was read; the code of the CLOSE if that has come whole.
    pub(super) fn push(&mut self, mut piece: Bytes) -> Result<Option<ErrorCode>, DecodeError> {
        if self.closing.is_some() {
            return self.close_with(piece);
        }
        // Whole headers and bodies at the start of `piece` that go on as one slice.
        let mut passed = 0_usize;
        loop {
            let rest = piece.len().saturating_sub(passed);
            if rest == 0 {
                break;
            }
            if self.body_left > 0 {
                let part = self.body_left.min(rest);
                self.body_left = self.body_left.saturating_sub(part);
                passed = passed.saturating_add(part);
                continue;
            }
            let held = self.header.len();
            let part = HEADER_LEN.saturating_sub(held).min(rest);
            let end = passed.saturating_add(part);
            self.header
                .extend_from_slice(piece.get(passed..end).unwrap_or_default());
            let Some(header) = self.header.first_chunk::<HEADER_LEN>().copied() else {
                piece.truncate(passed);
                break;
            };
            let [_, number, _, _, length @ ..] = header;
            let is_close = number == Kind::Close.number();
            self.close_seen |= is_close;
            if is_close && !self.control {
                let after = piece.split_off(end);
                piece.truncate(passed);
                self.pass(piece);
                self.closing = Some(FrameDecoder::new(MAX_CLOSE_LEN));
                let start = std::mem::take(&mut self.header);
                return match self.close_with(start.into())? {
                    None => self.close_with(after),
                    Some(code) => Ok(Some(code)),
                };
            }
            if held > 0 {
                // The header spans pieces; `passed` is 0 then.
                self.ready.push_back(Bytes::copy_from_slice(&header));
                drop(piece.split_to(part));
            } else {
                passed = end;
            }
            self.header.clear();
            self.body_left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        }
        self.pass(piece);
        Ok(None)
    }

    fn pass(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.ready.push_back(piece);
        }
    }

    fn close_with(&mut self, piece: Bytes) -> Result<Option<ErrorCode>, DecodeError> {
        let Some(decoder) = self.closing.as_mut() else {
            return Ok(None);
        };
        decoder.push(piece);
        let Some(frame) = decoder.next_frame()? else {
            return Ok(None);
        };
        let Body::Close(close) = Message::decode(&frame)?.body else {
            return Ok(None);
        };
        Ok(Some(close.code))
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::message::Ping;

    use super::*;

    fn content() -> Vec<u8> {
        let mut out = Vec::new();
        for nonce in [1, 300, u64::MAX] {
            Message::from(Ping { nonce }).encode(&mut out).unwrap();
        }
        out
    }

    #[track_caller]
    fn read(bytes: &[u8], step: usize) -> (Vec<u8>, Option<ErrorCode>) {
        let mut ending = Ending::default();
        let mut out = Vec::new();
        let mut code = None;
        for piece in bytes.chunks(step) {
            assert_eq!(code, None);
            code = ending.push(Bytes::copy_from_slice(piece)).unwrap();
            while let Some(passed) = ending.pop() {
                out.extend_from_slice(&passed);
            }
        }
        (out, code)
    }

    #[test]
    fn the_content_is_passed_on_and_the_close_is_not_however_both_are_cut() {
        for code in [ErrorCode::OK, ErrorCode::CANCELED] {
            let mut bytes = content();
            bytes.extend_from_slice(&closing_frame(code));
            for step in 1..=bytes.len() {
                assert_eq!(read(&bytes, step), (content(), Some(code)), "step {step}");
            }
        }
    }

    #[test]
    fn without_a_close_nothing_ends() {
        let bytes = content();
        for step in 1..=bytes.len() {
            assert_eq!(read(&bytes, step), (content(), None));
        }
    }

    #[test]
    fn a_close_that_is_too_long_is_refused_and_the_control_stream_keeps_its_own() {
        let mut huge = closing_frame(ErrorCode::OK);
        huge[4] = 0xff;
        let mut ending = Ending::default();
        assert!(ending.push(Bytes::from(huge)).is_err());

        let mut control = Ending::of_control();
        let close = Bytes::from(closing_frame(ErrorCode::OK));
        assert!(!control.close_seen());
        assert_eq!(control.push(close.clone()), Ok(None));
        assert_eq!((control.pop(), control.close_seen()), (Some(close), true));
    }
}
