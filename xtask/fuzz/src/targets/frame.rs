//! Frames, and the messages in them.

use bytes::Bytes;
use macula_wire::limit::{DEFAULT_MAX_FRAME_LEN, HEADER_LEN};
use macula_wire::{Body, DecodeError, Frame, FrameDecoder, FrameHeader, Kind, Message};

/// A body of `kind` is refused, or encodes to the same bytes again.
pub fn message(kind: Kind, body: &[u8]) {
    let bytes = framed(kind, body);
    let (frames, error) = cut([bytes.clone()], DEFAULT_MAX_FRAME_LEN);
    assert_eq!((frames.len(), error), (1, None));
    if let Ok(message) = Message::decode(&frames[0]) {
        assert_eq!(message.kind(), kind);
        assert_eq!(message.to_bytes().expect("it was decoded"), bytes);
        if let Body::Batch(batch) = &message.body {
            assert!(batch.entries.count() > 0);
            assert_eq!(batch.entries.iter().count(), batch.entries.count());
        }
    }
}

/// A header is refused, or encodes to the same bytes again and keeps to the limit.
pub fn header(data: &[u8]) {
    let Some((bytes, rest)) = data.split_first_chunk::<HEADER_LEN>() else {
        return;
    };
    let max = usize::from(rest.first().copied().unwrap_or(255)) << 12;
    if let Ok(header) = FrameHeader::from_bytes(*bytes, max) {
        assert_eq!(header.to_bytes(), *bytes);
        assert!(header.body_len() <= max);
    }
}

/// The same frames are found, and the same error, however a stream is cut into pieces.
///
/// Input: how many cuts (1 byte), their distances (1 byte each), the stream.
pub fn pieces(data: &[u8]) {
    const MAX: usize = 1_000;
    let Some((count, rest)) = data.split_first() else {
        return;
    };
    let (cuts, stream) = rest.split_at(usize::from(*count).min(rest.len()));
    let whole = Bytes::copy_from_slice(stream);
    let mut pieces = Vec::new();
    let mut left = whole.clone();
    for cut in cuts {
        pieces.push(left.split_to(usize::from(*cut).min(left.len())));
    }
    pieces.push(left);
    assert_eq!(cut(pieces, MAX), cut([whole], MAX));
}

/// The messages of a stream encode to the part of it that was understood.
pub fn stream(data: &[u8]) {
    let (frames, _error) = cut([Bytes::copy_from_slice(data)], DEFAULT_MAX_FRAME_LEN);
    let mut again = Vec::new();
    for frame in &frames {
        let Ok(message) = Message::decode(frame) else {
            break;
        };
        message.encode(&mut again).expect("it was decoded");
    }
    assert!(data.starts_with(&again));
}

/// What a body of `kind` says, if it is legal.
pub fn body(kind: Kind, body: &[u8]) -> Option<Body> {
    let (frames, _error) = cut([framed(kind, body)], DEFAULT_MAX_FRAME_LEN);
    Some(Message::decode(frames.first()?).ok()?.body)
}

/// `body` behind the header of a `kind`.
fn framed(kind: Kind, body: &[u8]) -> Bytes {
    let header = FrameHeader::new(kind.number(), body.len()).expect("the input is short");
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes.into()
}

/// The frames of a stream that arrives as `pieces`, and the error that ends it.
fn cut(pieces: impl IntoIterator<Item = Bytes>, max: usize) -> (Vec<Frame>, Option<DecodeError>) {
    let mut decoder = FrameDecoder::new(max);
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next_frame(), Err(error), "an error is final");
                    assert_eq!(decoder.buffered(), 0);
                    return (frames, Some(error));
                }
            }
        }
    }
    assert!(decoder.buffered() <= max + HEADER_LEN);
    (frames, None)
}
