//! Parts of calls that leave together.

use alloc::vec::Vec;

use bytes::Bytes;

use super::Body;
use crate::batch::BY_REFERENCE;
use crate::frame::{FrameHeader, HEADER_LEN};
use crate::{EncodeError, varint};

/// Frames of several messages that are written at once. Parts of calls, RPC_PART and RPC_PROGRESS, whose payload has 4 KiB or
/// more leave it where it lies.
#[derive(Debug, Default)]
pub struct Together {
    pieces: Vec<Bytes>,
    open: Vec<u8>,
}

impl Together {
    /// Nothing to write.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pieces: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Adds the frame of a message with this body and no extensions.
    ///
    /// # Errors
    ///
    /// Those of [`Body::encode`]. Nothing is added then.
    pub fn push(&mut self, mut body: Body) -> Result<(), EncodeError> {
        let Some(payload) = take_long(&mut body) else {
            return body.encode(&mut self.open);
        };
        let start = self.open.len();
        let around = self.around(&body, payload.len());
        if around.is_err() {
            self.open.truncate(start);
            return around;
        }
        self.pieces.push(core::mem::take(&mut self.open).into());
        self.pieces.push(payload);
        // The count of extensions.
        self.open.push(0);
        Ok(())
    }

    /// Writes what stands before a payload of `length` bytes, which is the last field.
    fn around(&mut self, body: &Body, length: usize) -> Result<(), EncodeError> {
        let start = self.open.len();
        body.encode(&mut self.open)?;
        // An empty payload and no extensions are a byte each.
        self.open.truncate(self.open.len().saturating_sub(2));
        varint::put(&mut self.open, u64::try_from(length).unwrap_or(u64::MAX));
        let begun = start.saturating_add(HEADER_LEN);
        let before = self.open.len().saturating_sub(begun);
        let whole = before.saturating_add(length).saturating_add(1);
        let header = FrameHeader::new(body.kind().number(), whole)?;
        if let Some(place) = self.open.get_mut(start..begun) {
            place.copy_from_slice(&header.to_bytes());
        }
        Ok(())
    }

    /// What was added, in pieces to be written in order. Nothing is left.
    #[must_use]
    pub fn take(&mut self) -> Vec<Bytes> {
        let mut pieces = core::mem::take(&mut self.pieces);
        if !self.open.is_empty() {
            pieces.push(core::mem::take(&mut self.open).into());
        }
        pieces
    }
}

/// Takes out the payload of a part if it is long.
fn take_long(body: &mut Body) -> Option<Bytes> {
    let payload = if let Body::RpcPart(part) = body {
        // That the last one has none is checked where it is encoded.
        (!part.end).then_some(&mut part.payload)?
    } else if let Body::RpcProgress(part) = body {
        &mut part.payload
    } else {
        return None;
    };
    (payload.len() >= BY_REFERENCE).then(|| core::mem::take(payload))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::message::{CallPart, CallProgress, Message, Ping};
    use crate::{CallId, ContentType};

    fn part(length: usize, end: bool) -> Body {
        Body::from(CallPart {
            call: CallId::from_bytes([7; 16]),
            sequence: 300,
            end,
            content: ContentType::Json,
            payload: vec![9; length].into(),
        })
    }

    fn progress(length: usize) -> Body {
        Body::from(CallProgress {
            call: CallId::from_bytes([7; 16]),
            sequence: 1,
            content: ContentType::Bytes,
            payload: vec![8; length].into(),
        })
    }

    #[test]
    fn together_they_are_the_frames_one_after_the_other() {
        let lengths = [0, 1, 250, BY_REFERENCE - 1, BY_REFERENCE, 70_000];
        let mut together = Together::new();
        let mut whole = Vec::new();
        let mut add = |body: Body| {
            whole.extend(Message::from(body.clone()).to_bytes().unwrap());
            together.push(body).unwrap();
        };
        for length in lengths {
            add(part(length, false));
            add(Ping { nonce: 5 }.into());
            add(progress(length));
        }
        add(part(0, true));
        let pieces = together.take();
        assert_eq!(pieces.concat(), whole);
        assert!(together.take().is_empty());
    }

    #[test]
    fn what_is_refused_leaves_no_trace() {
        for bad in [
            part(1, true),
            part(BY_REFERENCE, true),
            part(16 << 20, false),
        ] {
            let mut together = Together::new();
            together.push(part(3, false)).unwrap();
            assert!(together.push(bad).is_err());
            together.push(progress(BY_REFERENCE)).unwrap();
            let good = [part(3, false), progress(BY_REFERENCE)];
            let whole = good.map(|body| Message::from(body).to_bytes().unwrap());
            assert_eq!(together.take().concat(), whole.concat());
        }
    }
}
