//! Checking the signatures of a message before a machine sees it.

use std::sync::Arc;

use macula_wire::message::{SignedAccusation, SignedRecord, SwimGossip, Update};
use macula_wire::{Body, Domain, EncodeError, Message, RealmName, Verifier, signed};

use crate::Offence;

/// The longest signed record in bytes, so that a datagram has room for one whatever else it must carry.
pub const MAX_RECORD_LEN: usize = 880;

/// The length of a SWIM_GOSSIP without an update: frame header, count, count of extensions.
const EMPTY_LEN: usize = 10;

/// How many bytes an update takes in a message.
pub(crate) fn update_len(update: &Update) -> Result<usize, EncodeError> {
    let updates = vec![update.clone()];
    let bytes = Message::from(SwimGossip { updates }).to_bytes()?;
    Ok(bytes.len().saturating_sub(EMPTY_LEN))
}

/// Checks every signature in a message of membership, and that no record is over [`MAX_RECORD_LEN`].
///
/// Whoever feeds a [`Swim`](crate::Swim) calls this first and feeds only what passes. It costs a signature check for
/// each update: [`Swim::retain_news`](crate::Swim::retain_news) removes those that would change nothing before.
///
/// # Errors
///
/// [`Offence::BadSignature`] if a record is not signed by its own node, or an accusation not by its accuser, for this
/// realm and this purpose; [`Offence::RecordTooLarge`]; [`Offence::NotMembership`] for a message of another kind.
pub fn verify(realm: &RealmName, body: &Body, verifier: &impl Verifier) -> Result<(), Offence> {
    if let Body::SwimJoin(join) = body {
        return check_record(realm, &join.record, verifier);
    }
    let updates = updates(body).ok_or(Offence::NotMembership)?;
    updates
        .iter()
        .try_for_each(|update| check_update(realm, update, verifier))
}

/// The updates of a message; `None` if it is not one of membership.
fn updates(body: &Body) -> Option<&[Update]> {
    if let Body::SwimPing(ping) = body {
        return Some(&ping.updates);
    }
    if let Body::SwimAck(ack) = body {
        return Some(&ack.updates);
    }
    if let Body::SwimPingReq(request) = body {
        return Some(&request.updates);
    }
    if let Body::SwimGossip(gossip) = body {
        return Some(&gossip.updates);
    }
    if let Body::SwimState(state) = body {
        return Some(&state.updates);
    }
    let unsigned = matches!(
        body,
        Body::SwimNack(_) | Body::SwimJoin(_) | Body::SwimDigest(_)
    );
    unsigned.then_some(&[])
}

/// The updates of a message, to be changed.
pub(crate) fn updates_mut(body: &mut Body) -> Option<&mut Vec<Update>> {
    if let Body::SwimPing(ping) = body {
        return Some(&mut ping.updates);
    }
    if let Body::SwimAck(ack) = body {
        return Some(&mut ack.updates);
    }
    if let Body::SwimPingReq(request) = body {
        return Some(&mut request.updates);
    }
    if let Body::SwimGossip(gossip) = body {
        return Some(&mut gossip.updates);
    }
    if let Body::SwimState(state) = body {
        return Some(&mut state.updates);
    }
    None
}

fn check_update(
    realm: &RealmName,
    update: &Update,
    verifier: &impl Verifier,
) -> Result<(), Offence> {
    if let Update::Record(record) = update {
        return check_record(realm, record, verifier);
    }
    if let Update::Suspect(accusation) = update {
        return check_accusation(realm, Domain::Suspect, accusation, verifier);
    }
    if let Update::Dead(accusation) = update {
        return check_accusation(realm, Domain::Dead, accusation, verifier);
    }
    Err(Offence::NotMembership)
}

fn check_record(
    realm: &RealmName,
    signed: &Arc<SignedRecord>,
    verifier: &impl Verifier,
) -> Result<(), Offence> {
    let length = update_len(&Update::Record(Arc::clone(signed)));
    if length.is_ok_and(|length| length > MAX_RECORD_LEN) {
        return Err(Offence::RecordTooLarge);
    }
    let bytes = signed::member_bytes(realm, &signed.record).map_err(|_| Offence::RecordTooLarge)?;
    if verifier.verify(signed.record.node, &bytes, &signed.signature) {
        Ok(())
    } else {
        Err(Offence::BadSignature)
    }
}

fn check_accusation(
    realm: &RealmName,
    domain: Domain,
    signed: &SignedAccusation,
    verifier: &impl Verifier,
) -> Result<(), Offence> {
    let bytes = signed::accusation_bytes(domain, realm, &signed.accusation);
    if verifier.verify(signed.accusation.accuser, &bytes, &signed.signature) {
        Ok(())
    } else {
        Err(Offence::BadSignature)
    }
}
