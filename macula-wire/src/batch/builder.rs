//! Collecting events for the next batch.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{MAX_BATCH_EVENTS, SealedBatch};
use crate::extension::Extensions;
use crate::field::{Field, UNLIMITED};
use crate::frame::{FrameHeader, HEADER_LEN};
use crate::message::{Body, Kind};
use crate::varint::MAX_VARINT_LEN;
use crate::{ContentType, EncodeError, Epoch, NodeId, Sequence, Signature, TopicAlias, varint};

/// Payloads from this length on are sent from where they lie instead of being copied into the batch.
pub const BY_REFERENCE: usize = 4_096;

/// Events that wait to leave in one batch.
///
/// A payload is copied behind its length, or, from 4 KiB on, kept as a piece of its own. [`seal`](Self::seal) puts the
/// header of the batch before them; the frame comes out in pieces, to be written in order.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    count: usize,
    length: usize,
    pieces: Vec<Bytes>,
    open: Vec<u8>,
    /// What the last batch took of `open`, so that the next one reserves it at once.
    usual: usize,
}

/// The most that is reserved for a batch before its events are there, in bytes.
const MAX_RESERVED: usize = 65_536;

impl BatchBuilder {
    /// A builder without events.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: 0,
            length: 0,
            pieces: Vec::new(),
            open: Vec::new(),
            usual: 0,
        }
    }

    /// How many events wait.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// How many bytes their payloads and lengths take.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        self.length
    }

    /// Whether no event waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether one more event of `payload` bytes fits a batch of `max` bytes. The first always does.
    #[must_use]
    pub const fn has_room(&self, payload: usize, max: usize) -> bool {
        self.count == 0
            || (self.count < MAX_BATCH_EVENTS
                && self
                    .length
                    .saturating_add(payload)
                    .saturating_add(MAX_VARINT_LEN)
                    <= max)
    }

    /// Whether `count` more events, which take `encoded` bytes with their lengths, fit a batch of `max` bytes. They always do
    /// where nothing waits.
    #[must_use]
    pub const fn has_room_for(&self, count: usize, encoded: usize, max: usize) -> bool {
        self.count == 0
            || (self.count.saturating_add(count) <= MAX_BATCH_EVENTS
                && self.length.saturating_add(encoded) <= max)
    }

    /// Adds `count` events whose payloads stand in `encoded` behind their lengths, as [`push`](Self::push) writes them.
    /// Where nothing waits to be copied to, the buffer itself is taken, and another one given for it; either way `encoded`
    /// is empty afterwards. The caller has asked [`has_room_for`](Self::has_room_for).
    pub fn append(&mut self, count: usize, encoded: &mut Vec<u8>) {
        self.length = self.length.saturating_add(encoded.len());
        self.count = self.count.saturating_add(count);
        if self.open.is_empty() {
            core::mem::swap(&mut self.open, encoded);
        } else {
            self.open.append(encoded);
        }
    }

    /// Adds an event whose payload is copied. The caller has asked [`has_room`](Self::has_room).
    #[inline]
    pub fn push(&mut self, payload: &[u8]) {
        if self.open.capacity() == 0 {
            self.open
                .reserve(self.usual.max(payload.len().saturating_add(MAX_VARINT_LEN)));
        }
        let before = self.open.len();
        varint::put(
            &mut self.open,
            u64::try_from(payload.len()).unwrap_or(u64::MAX),
        );
        self.open.extend_from_slice(payload);
        self.grew(self.open.len().saturating_sub(before));
    }

    /// Adds an event with its envelope, as [`Envelope::encode`](crate::Envelope::encode) wrote it. All events of a batch
    /// are added so or none is.
    pub fn push_enveloped(&mut self, envelope: &[u8], payload: Bytes) {
        let before = self.open.len();
        let length = envelope.len().saturating_add(payload.len());
        varint::put(&mut self.open, u64::try_from(length).unwrap_or(u64::MAX));
        self.open.extend_from_slice(envelope);
        let around = self.open.len().saturating_sub(before);
        self.grew(around.saturating_add(payload.len()));
        if payload.len() < BY_REFERENCE {
            self.open.extend_from_slice(&payload);
        } else {
            self.pieces.push(core::mem::take(&mut self.open).into());
            self.pieces.push(payload);
        }
    }

    /// Adds an event whose payload is kept by reference if it is long.
    pub fn push_bytes(&mut self, payload: Bytes) {
        if payload.len() < BY_REFERENCE {
            self.push(&payload);
            return;
        }
        let before = self.open.len();
        varint::put(
            &mut self.open,
            u64::try_from(payload.len()).unwrap_or(u64::MAX),
        );
        self.grew(
            self.open
                .len()
                .saturating_sub(before)
                .saturating_add(payload.len()),
        );
        self.pieces.push(core::mem::take(&mut self.open).into());
        self.pieces.push(payload);
    }

    fn grew(&mut self, by: usize) {
        self.count = self.count.saturating_add(1);
        self.length = self.length.saturating_add(by);
    }

    /// Ends the batch: its frame in pieces. The builder is empty afterwards. `None` if no event waited.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLarge`] if the frame is over 16 MiB or there are more than 4,096 events,
    /// [`EncodeError::Invalid`] if the sequences run over the end of the numbers; the events are gone then.
    pub fn seal(&mut self, head: &BatchHead) -> Result<Option<SealedBatch>, EncodeError> {
        let mut taken = core::mem::take(self);
        self.usual = taken.open.len().saturating_add(1).min(MAX_RESERVED);
        if taken.is_empty() {
            self.usual = taken.usual;
            return Ok(None);
        }
        if taken.count > MAX_BATCH_EVENTS {
            return Err(EncodeError::TooLarge {
                field: "entries",
                max: MAX_BATCH_EVENTS,
            });
        }
        super::check_range(head.base, taken.count)?;
        let mut first = Vec::with_capacity(HEADER_LEN.saturating_add(128));
        first.extend_from_slice(&[0; HEADER_LEN]);
        head.put(taken.count, &mut first)?;
        let mut last = core::mem::take(&mut taken.open);
        Extensions::new().put("extensions", UNLIMITED, &mut last)?;
        let around = first.len().saturating_sub(HEADER_LEN);
        // The one byte after the entries is the count of extensions.
        let body = around.saturating_add(taken.length).saturating_add(1);
        let header = FrameHeader::new(Kind::Batch.number(), body)?;
        if let Some(place) = first.get_mut(..HEADER_LEN) {
            place.copy_from_slice(&header.to_bytes());
        }
        let mut pieces = Vec::with_capacity(taken.pieces.len().saturating_add(2));
        if taken.pieces.is_empty() && first.len().saturating_add(last.len()) <= BY_REFERENCE {
            first.extend_from_slice(&last);
            pieces.push(first.into());
            last.clear();
            self.open = last;
        } else {
            pieces.push(first.into());
            pieces.append(&mut taken.pieces);
            pieces.push(last.into());
        }
        Ok(Some(SealedBatch {
            pieces,
            events: taken.count,
            base: head.base,
            head: (head.clone(), HEADER_LEN.saturating_add(around)),
            entries: taken.length,
        }))
    }
}

/// What stands before the events of a batch.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the fields of a batch are fixed within a version of the protocol"
)]
pub struct BatchHead {
    /// See [`Batch::hops`](super::Batch::hops).
    pub hops: u8,
    /// Who publishes.
    pub publisher: NodeId,
    /// The publisher's run.
    pub epoch: Epoch,
    /// The topic.
    pub alias: TopicAlias,
    /// The sequence of the first event.
    pub base: Sequence,
    /// See [`Batch::ttl_ms`](super::Batch::ttl_ms).
    pub ttl_ms: Option<u32>,
    /// What the payloads are.
    pub content: ContentType,
    /// Whether every event was added with its envelope; see [`Batch::enveloped`](super::Batch::enveloped).
    pub enveloped: bool,
    /// The publisher's signature over the batch.
    pub signature: Option<Signature>,
}

impl BatchHead {
    fn put(&self, count: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.hops.put("hops", UNLIMITED, out)?;
        self.publisher.put("publisher", UNLIMITED, out)?;
        self.epoch.put("epoch", UNLIMITED, out)?;
        self.alias.put("alias", UNLIMITED, out)?;
        self.base.put("base", UNLIMITED, out)?;
        self.ttl_ms.put("ttl_ms", UNLIMITED, out)?;
        self.content.put("content", UNLIMITED, out)?;
        self.enveloped.put("enveloped", UNLIMITED, out)?;
        self.signature.put("signature", UNLIMITED, out)?;
        varint::put(out, u64::try_from(count).unwrap_or(u64::MAX));
        Ok(())
    }
}

impl From<super::Batch> for Body {
    fn from(batch: super::Batch) -> Self {
        Self::Batch(batch)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::batch::{Batch, Entries};
    use crate::frame::FrameDecoder;
    use crate::message::Message;

    fn head() -> BatchHead {
        BatchHead {
            hops: 8,
            publisher: NodeId::from_bytes([1; 32]),
            epoch: Epoch::new(5),
            alias: TopicAlias::new(3),
            base: Sequence::new(100),
            ttl_ms: None,
            content: ContentType::Json,
            enveloped: false,
            signature: None,
        }
    }

    #[track_caller]
    fn check(payloads: &[Vec<u8>]) {
        let mut builder = BatchBuilder::new();
        for payload in payloads {
            builder.push_bytes(payload.clone().into());
        }
        let sealed = builder.seal(&head()).unwrap().unwrap();
        assert!(builder.is_empty());
        let mut decoder = FrameDecoder::new(1 << 20);
        sealed
            .pieces
            .iter()
            .for_each(|piece| decoder.push(piece.clone()));
        let frame = decoder.next_frame().unwrap().unwrap();
        assert!(decoder.is_at_boundary());
        let message = Message::decode(&frame).unwrap();
        let Body::Batch(batch) = message.body else {
            panic!("not a batch")
        };
        assert_eq!(sealed.open(), batch);
        let found: Vec<Vec<u8>> = batch.entries.iter().map(|bytes| bytes.to_vec()).collect();
        assert_eq!(found, payloads);
        let again = Batch {
            entries: Entries::from_payloads(payloads.iter().map(Vec::as_slice)).unwrap(),
            ..batch
        };
        let whole: Vec<u8> = sealed
            .pieces
            .iter()
            .flat_map(|piece| piece.to_vec())
            .collect();
        assert_eq!(Message::from(Body::from(again)).to_bytes().unwrap(), whole);
    }

    #[test]
    fn sealed_pieces_are_the_frame_of_the_batch() {
        check(&[b"21.5".to_vec()]);
        check(&[Vec::new(), b"a".to_vec(), vec![7; 300]]);
        check(&[vec![1; 10], vec![2; 5_000], vec![3; 20], vec![4; 70_000]]);
        check(&[vec![9; 5_000]]);
    }

    #[test]
    fn an_event_with_an_envelope_stands_behind_it() {
        let envelope = crate::Envelope {
            key: Some("k".into()),
            ..crate::Envelope::EMPTY
        };
        let mut encoded = Vec::new();
        envelope.encode(&mut encoded).unwrap();
        let payloads = [vec![1; 3], vec![2; 5_000], vec![3; 20]];
        let mut builder = BatchBuilder::new();
        for payload in &payloads {
            builder.push_enveloped(&encoded, payload.clone().into());
        }
        let enveloped = BatchHead {
            enveloped: true,
            ..head()
        };
        let sealed = builder.seal(&enveloped).unwrap().unwrap();
        let opened = sealed.open();
        let mut decoder = FrameDecoder::new(1 << 20);
        let pieces = sealed.pieces.into_iter();
        pieces.for_each(|piece| decoder.push(piece));
        let frame = decoder.next_frame().unwrap().unwrap();
        let Body::Batch(batch) = Message::decode(&frame).unwrap().body else {
            panic!("not a batch")
        };
        assert!(batch.enveloped);
        assert_eq!(opened, batch);
        for (entry, payload) in batch.entries.iter().zip(payloads) {
            let split = crate::Envelope::split(&entry).unwrap();
            assert_eq!(split, (envelope.clone(), payload.into()));
        }
    }

    #[test]
    fn a_builder_seals_batch_after_batch() {
        let mut builder = BatchBuilder::new();
        for round in 0..5_u8 {
            let payload = vec![round; usize::from(round).saturating_mul(2_000)];
            builder.push(&payload);
            builder.push(b"last");
            let sealed = builder.seal(&head()).unwrap().unwrap();
            assert_eq!((sealed.events, sealed.base), (2, Sequence::new(100)));
            let opened = sealed.open();
            let lies_within = |piece: &Bytes| {
                piece
                    .as_ptr_range()
                    .contains(&opened.entries.encoded().as_ptr())
            };
            assert!(sealed.pieces.iter().any(lies_within), "copied");
            let mut decoder = FrameDecoder::new(1 << 20);
            sealed
                .pieces
                .into_iter()
                .for_each(|piece| decoder.push(piece));
            let frame = decoder.next_frame().unwrap().unwrap();
            let Body::Batch(batch) = Message::decode(&frame).unwrap().body else {
                panic!("not a batch")
            };
            assert_eq!(opened, batch);
            let found: Vec<Bytes> = batch.entries.iter().collect();
            assert_eq!(found, [Bytes::from(payload), Bytes::from_static(b"last")]);
        }
    }

    #[test]
    fn events_that_were_gathered_before_stand_in_their_place() {
        let gathered = |payloads: &[&[u8]]| {
            let mut encoded = Vec::new();
            for payload in payloads {
                varint::put(&mut encoded, u64::try_from(payload.len()).unwrap());
                encoded.extend_from_slice(payload);
            }
            encoded
        };
        let long = vec![3; BY_REFERENCE];
        for first in [&b"first"[..], &long, b""] {
            let mut builder = BatchBuilder::new();
            builder.push_bytes(Bytes::copy_from_slice(first));
            let mut more = gathered(&[b"a", &[7; 300]]);
            assert!(builder.has_room_for(2, more.len(), 1 << 20));
            builder.append(2, &mut more);
            assert!(more.is_empty());
            builder.push(b"last");
            let mut one_by_one = BatchBuilder::new();
            for payload in [first, b"a", &[7; 300], b"last"] {
                one_by_one.push_bytes(Bytes::copy_from_slice(payload));
            }
            assert_eq!(builder.encoded_len(), one_by_one.encoded_len());
            let joined = |builder: &mut BatchBuilder| {
                let sealed = builder.seal(&head()).unwrap().unwrap();
                sealed.pieces.concat()
            };
            assert_eq!(joined(&mut builder), joined(&mut one_by_one));
        }
        let mut builder = BatchBuilder::new();
        assert!(builder.has_room_for(1, 100, 10), "nothing waits");
        builder.push(&[0; 9]);
        assert!(builder.has_room_for(2, 10, 20));
        assert!(!builder.has_room_for(2, 11, 20));
        assert!(!builder.has_room_for(MAX_BATCH_EVENTS, 0, 20));
    }

    #[test]
    fn what_a_receiver_would_refuse_is_not_sealed() {
        let last = BatchHead {
            base: Sequence::new(u64::MAX - 1),
            ..head()
        };
        let mut builder = BatchBuilder::new();
        builder.push(b"fits");
        assert!(builder.seal(&last).unwrap().is_some());
        builder.push(b"fits");
        builder.push(b"does not");
        let error = EncodeError::Invalid {
            field: "base",
            value: u64::MAX - 1,
        };
        assert_eq!(builder.seal(&last).err(), Some(error));
        for count in [MAX_BATCH_EVENTS, MAX_BATCH_EVENTS + 1] {
            (0..count).for_each(|_| builder.push(b""));
            let sealed = builder.seal(&head());
            assert_eq!(sealed.is_ok(), count == MAX_BATCH_EVENTS);
        }
    }

    #[test]
    fn an_empty_builder_seals_nothing() {
        assert!(BatchBuilder::new().seal(&head()).unwrap().is_none());
    }
}
