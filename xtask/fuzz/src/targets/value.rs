//! Parts of messages, and what is computed from them.

use bytes::Bytes;
use macula_wire::batch::MAX_BATCH_EVENTS;
use macula_wire::limit::DEFAULT_MAX_FRAME_LEN;
use macula_wire::{
    BatchBuilder, BatchHead, Body, ContentType, EarlierEvent, EarlierEvents, Entries, Envelope,
    Epoch, FrameDecoder, Message, NodeId, Sequence, Testaments, TopicAlias, TopicIndex,
};

/// An integer is refused, or encodes to the same bytes again.
pub fn varint(data: &[u8]) {
    if let Ok((value, length)) = macula_wire::varint::split(data) {
        let mut again = Vec::new();
        macula_wire::varint::put(&mut again, value);
        assert_eq!(again, data[..length]);
        assert_eq!(macula_wire::varint::len(value), length);
    }
}

/// A media type is refused, or is written as it was read.
pub fn content_type(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Some(content) = ContentType::from_media_type(text)
    {
        assert_eq!(content.media_type(), text);
        assert_eq!(content.to_string(), text);
    }
}

/// Entries are refused, or their payloads make the same entries again.
///
/// Input: the count (2 bytes), the encoded payloads.
pub fn batch_entries(data: &[u8]) {
    let Some((count, encoded)) = data.split_first_chunk::<2>() else {
        return;
    };
    let count = usize::from(u16::from_be_bytes(*count));
    if let Ok(entries) = Entries::new(count, Bytes::copy_from_slice(encoded)) {
        let payloads: Vec<Bytes> = entries.iter().collect();
        assert_eq!(payloads.len(), count);
        let again = Entries::from_payloads(payloads.iter().map(AsRef::as_ref));
        assert_eq!(again.ok(), Some(entries));
    }
}

/// An entry that begins with an envelope is the envelope, encoded, and the payload; others are refused.
pub fn envelope(data: &[u8]) {
    if let Ok((envelope, payload)) = Envelope::split(&Bytes::copy_from_slice(data)) {
        let mut again = Vec::new();
        envelope.encode(&mut again).expect("it was read");
        again.extend_from_slice(&payload);
        assert_eq!(again, data);
        assert_eq!(envelope == Envelope::EMPTY, data.starts_with(&[0; 5]));
    }
}

/// What nodes tell of earlier events, or leave behind, is refused, or encodes to the same bytes again.
///
/// Input: which type (1 byte), its bytes.
pub fn earlier(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(bytes);
    let mut again = Vec::new();
    let written = match kind % 4 {
        0 => EarlierEvent::decode(bytes.clone()).map(|value| value.encode(&mut again)),
        1 => EarlierEvents::decode(bytes.clone()).map(|value| value.encode(&mut again)),
        2 => TopicIndex::decode(bytes.clone()).map(|value| value.encode(&mut again)),
        _ => Testaments::decode(bytes.clone()).map(|value| value.encode(&mut again)),
    };
    if let Ok(written) = written {
        written.expect("it was read");
        assert_eq!(again, bytes);
    }
}

/// What a builder seals is one BATCH with the payloads that were put in; nothing and too much are not sealed.
///
/// Input: pairs of a length (2 bytes) and as many bytes, as far as they go.
pub fn batch_builder(data: &[u8]) {
    let head = BatchHead {
        hops: 8,
        publisher: NodeId::from_bytes([7; 32]),
        epoch: Epoch::new(3),
        alias: TopicAlias::new(1),
        base: Sequence::new(1),
        ttl_ms: None,
        content: ContentType::Bytes,
        enveloped: false,
        signature: None,
    };
    let mut builder = BatchBuilder::new();
    let mut payloads = Vec::new();
    let mut rest = Bytes::copy_from_slice(data);
    while rest.len() >= 2 {
        let length = rest.split_to(2);
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let payload = rest.split_to(length.min(rest.len()));
        if length % 2 == 0 {
            builder.push(&payload);
        } else {
            builder.push_bytes(payload.clone());
        }
        payloads.push(payload);
    }
    let sealed = builder.seal(&head);
    assert!(builder.is_empty());
    let Ok(Some(sealed)) = sealed else {
        let allowed = payloads.is_empty() || payloads.len() > MAX_BATCH_EVENTS;
        assert!(allowed, "{sealed:?} of {} events", payloads.len());
        return;
    };
    assert!(payloads.len() <= MAX_BATCH_EVENTS);
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_LEN);
    let length = sealed.pieces.iter().map(Bytes::len).sum::<usize>();
    assert_eq!(sealed.encoded_len(), length);
    sealed
        .pieces
        .into_iter()
        .for_each(|piece| decoder.push(piece));
    let frame = decoder
        .next_frame()
        .expect("a frame")
        .expect("a whole frame");
    assert!(decoder.is_at_boundary());
    match Message::decode(&frame).expect("a message").body {
        Body::Batch(batch) => assert_eq!(batch.entries.iter().collect::<Vec<_>>(), payloads),
        other => panic!("{other:?} is no batch"),
    }
}

/// What is agreed with a HANDSHAKE is something that both sides offered.
///
/// Input: own features, what of them is required (8 bytes each), the body of a HANDSHAKE.
pub fn negotiate(data: &[u8]) {
    let Some((own, rest)) = data.split_first_chunk::<8>() else {
        return;
    };
    let Some((required, body)) = rest.split_first_chunk::<8>() else {
        return;
    };
    let own = u64::from_be_bytes(*own);
    let required = own & u64::from_be_bytes(*required);
    let Some(Body::Handshake(theirs)) = super::frame::body(macula_wire::Kind::Handshake, body)
    else {
        return;
    };
    if let Ok(agreed) = macula_wire::handshake::negotiate(own, required, &theirs) {
        assert!(theirs.versions.contains(&agreed.version));
        assert_eq!(agreed.features, own & theirs.features);
        assert_eq!(agreed.features & required, required);
        assert_eq!(agreed.features & theirs.required, theirs.required);
    }
}
