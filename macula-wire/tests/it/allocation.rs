//! Lengths that a peer claims and does not keep cost nothing.
//!
//! A decoder that reserved memory for the counts below would ask for terabytes and be ended by the system.

use bytes::Bytes;
use macula_wire::limit::{DEFAULT_MAX_FRAME_LEN, FORMAT_MAX_FRAME_LEN};
use macula_wire::{DecodeError, Entries, FrameDecoder, FrameHeader, Kind, varint};

use crate::{decode, framed};

/// A body that begins with `start` and then claims `count` of something.
fn claim(kind: Kind, start: &[u8], count: u64) -> Result<macula_wire::Message, DecodeError> {
    let mut body = start.to_vec();
    varint::put(&mut body, count);
    decode(&framed(kind.number(), &body))
}

#[test]
fn a_claimed_count_is_refused_before_anything_is_reserved_for_it() {
    let node = [7; 32];
    let batch = [&[8][..], &node, &[1, 1, 0, 0, 0, 0, 0]].concat();
    let walk = [&[1][..], &node, &[0, 8, 6, 6]].concat();
    let forward = [&node[..], &node, &[16]].concat();
    let lists: [(Kind, &[u8], u64); 15] = [
        (Kind::Handshake, &[], 8),
        (Kind::CertUpdate, &[], 4),
        (Kind::SwimPing, &[1], 64),
        (Kind::SwimState, &[0], 64),
        (Kind::SwimDigest, &[1], 256),
        (Kind::SwimDigest, &[2, 7, 1, 1], 128),
        (Kind::OverlayWalk, &walk, 32),
        (Kind::OverlayPeers, &[0], 8),
        (Kind::KadFound, &[1], 20),
        (Kind::KadStore, &[1], 64),
        (Kind::KadAnswer, &[1], 64),
        (Kind::KadDigest, &[1], 1_024),
        (Kind::KadWant, &[1], 1_024),
        (Kind::Forward, &forward, 8),
        (Kind::Batch, &batch, 4_096),
    ];
    for (kind, start, max) in lists {
        for count in [max + 1, 1 << 32, u64::MAX] {
            let refused = claim(kind, start, count);
            assert!(
                matches!(refused, Err(DecodeError::TooLarge { .. })),
                "{kind:?} {refused:?}"
            );
        }
        // As many as are allowed, and none of them there.
        let refused = claim(kind, start, max);
        assert_eq!(refused, Err(DecodeError::UnexpectedEnd), "{kind:?}");
    }
}

#[test]
fn a_claimed_payload_is_refused_before_anything_is_reserved_for_it() {
    let result = [&[3; 16][..], &[0]].concat();
    for length in [1, 250, 1 << 32, u64::from(u32::MAX), u64::MAX] {
        let refused = claim(Kind::RpcResult, &result, length);
        assert_eq!(refused, Err(DecodeError::UnexpectedEnd));
    }
    // The twin: as much as was claimed.
    let honest = [&result[..], &[2, b'o', b'k', 0]].concat();
    assert!(decode(&framed(Kind::RpcResult.number(), &honest)).is_ok());
}

#[test]
fn claimed_entries_end_where_the_input_does() {
    let claims: &[u8] = &[253, 255, 255, 255, 255, 255, 255, 255, 255];
    for (count, encoded) in [(1, claims), (4_096, &[0; 4_095][..]), (2, &[5, 1, 2])] {
        let refused = Entries::new(count, Bytes::copy_from_slice(encoded));
        assert_eq!(refused, Err(DecodeError::UnexpectedEnd));
    }
    assert!(Entries::new(4_096, Bytes::from(vec![0; 4_096])).is_ok());
}

#[test]
fn a_header_that_claims_the_most_makes_nothing_wait() {
    let header = FrameHeader::new(Kind::RpcResult.number(), FORMAT_MAX_FRAME_LEN).unwrap();
    let mut strict = FrameDecoder::new(DEFAULT_MAX_FRAME_LEN);
    strict.push(Bytes::copy_from_slice(&header.to_bytes()));
    assert!(strict.next_frame().is_err());
    let mut generous = FrameDecoder::new(FORMAT_MAX_FRAME_LEN);
    generous.push(Bytes::copy_from_slice(&header.to_bytes()));
    assert_eq!(generous.next_frame(), Ok(None));
    assert_eq!(generous.buffered(), 0);
    assert!(!generous.is_at_boundary());
}

#[test]
fn a_payload_is_a_slice_of_what_was_read() {
    let body = [&[3; 16][..], &[0, 2, b'o', b'k', 0]].concat();
    let bytes = Bytes::from(framed(Kind::RpcResult.number(), &body));
    let frame = macula_wire::Frame::from_datagram(bytes.clone(), 100).unwrap();
    let message = macula_wire::Message::decode(&frame).unwrap();
    let macula_wire::Body::RpcResult(result) = message.body else {
        panic!("not a result");
    };
    let at = bytes.len() - 3;
    assert_eq!(result.payload.as_ptr(), bytes.slice(at..).as_ptr());
}
