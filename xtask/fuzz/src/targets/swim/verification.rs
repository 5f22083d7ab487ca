//! No word of another's making is believed.

use std::collections::BTreeMap;

use macula_swim::{MAX_RECORD_LEN, Offence, verify};
use macula_wire::message::{MemberRecord, SignedAccusation, SwimGossip, SwimState, Update};
use macula_wire::{Body, Domain, Kind, Message, NodeId, RealmName, Signature, Verifier, signed};

use super::{Cursor, news, realm, record};
use crate::targets::frame;

/// What passes has been signed, word by word, by whom it names; and what was signed passes.
///
/// Input: how many updates (1 byte) and what each is made of, the number of edits (1 byte), edits of the encoded
/// message (place in 2 bytes, bits to turn in 1).
pub fn holds(data: &[u8]) {
    let mut input = Cursor(data);
    let mut book = Book::default();
    let mut updates = Vec::new();
    for _ in 0..input.byte() % 6 {
        let (kind, tags) = (input.byte(), input.byte());
        let update = match news(kind, &mut input) {
            Update::Record(short) => {
                let MemberRecord {
                    node,
                    epoch,
                    incarnation,
                    ..
                } = short.record.clone();
                let tags = usize::from(tags % 17);
                Update::Record(record(
                    node,
                    epoch.get(),
                    incarnation.get(),
                    kind & 4 == 4,
                    tags,
                ))
            }
            accusation => accusation,
        };
        book.enter(&update);
        updates.push(update);
    }
    let bytes = Message::from(SwimState {
        more: false,
        updates: updates.clone(),
    })
    .to_bytes()
    .expect("a legal message");
    let mut body = bytes[8..].to_vec();
    for _ in 0..input.byte() {
        let [high, low, bits] = input.array();
        let place = usize::from(u16::from_be_bytes([high, low])) % body.len();
        body[place] ^= bits;
    }
    // The kind of an edited message is the input's choice too: updates stand in several.
    let kind = match input.byte() % 4 {
        0 => Kind::SwimGossip,
        _ => Kind::SwimState,
    };
    let Some(body) = frame::body(kind, &body) else {
        return;
    };
    let found = match &body {
        Body::SwimState(state) => &state.updates,
        Body::SwimGossip(gossip) => &gossip.updates,
        _ => panic!("{body:?} was not asked for"),
    };
    let genuine = found.iter().all(|update| updates.contains(update));
    let short = found.iter().all(|update| length(update) <= MAX_RECORD_LEN);
    let verdict = verify(&realm(), &body, &book);
    assert_eq!(verdict.is_ok(), genuine && short, "{verdict:?}");
    let elsewhere = verify(&RealmName::new("be.other").expect("a realm"), &body, &book);
    assert_eq!(elsewhere.is_ok(), found.is_empty(), "{elsewhere:?}");
    let foreign = verify(
        &realm(),
        &macula_wire::message::Ping { nonce: 1 }.into(),
        &book,
    );
    assert_eq!(foreign, Err(Offence::NotMembership));
}

/// What was signed, and by whom.
#[derive(Default)]
struct Book(BTreeMap<(NodeId, Signature), Vec<Vec<u8>>>);

impl Book {
    fn enter(&mut self, update: &Update) {
        let (signer, message, signature) = match update {
            Update::Record(known) => {
                let message = signed::member_bytes(&realm(), &known.record);
                (
                    known.record.node,
                    message.expect("a legal record"),
                    known.signature,
                )
            }
            Update::Suspect(known) => said(Domain::Suspect, known),
            Update::Dead(known) => said(Domain::Dead, known),
            other => panic!("{other:?} was not made"),
        };
        self.0.entry((signer, signature)).or_default().push(message);
    }
}

fn said(domain: Domain, known: &SignedAccusation) -> (NodeId, Vec<u8>, Signature) {
    let message = signed::accusation_bytes(domain, &realm(), &known.accusation);
    (known.accusation.accuser, message, known.signature)
}

impl Verifier for Book {
    fn verify(&self, signer: NodeId, message: &[u8], signature: &Signature) -> bool {
        let known = self.0.get(&(signer, *signature));
        known.is_some_and(|known| known.iter().any(|known| known == message))
    }
}

/// How many bytes an update takes.
fn length(update: &Update) -> usize {
    if !matches!(update, Update::Record(_)) {
        return 0;
    }
    let updates = vec![update.clone()];
    let bytes = Message::from(SwimGossip { updates }).to_bytes();
    // Frame header, count of updates, count of extensions.
    bytes.expect("it was decoded").len() - 10
}
