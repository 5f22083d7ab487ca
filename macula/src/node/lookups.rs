//! Reading a member's lookup stream: signatures of records are checked before the machine sees them.

use std::sync::Arc;

use macula_kad::Checked;
use macula_transport::{FrameReceiver, LinkError};
use macula_wire::message::Message;
use macula_wire::{DecodeError, ErrorCode, Frame};

use super::link::LinkRunner;
use crate::machine::{NodeInput, is_of_forwarding, is_of_routing};
use crate::plane::counters::add;
use crate::plane::links::Attached;
use crate::plane::verified::FrugalVerifier;

/// How many messages that nobody knows a peer may send on the stream before the link is closed.
const MAX_UNKNOWN: u32 = 16;

/// Why nothing more is read.
enum Offence {
    Decode(DecodeError),
    /// A message that does not belong there.
    Misplaced(&'static str),
    /// Members keep and tell only what they have checked, so a forged record is the peer's own fault.
    Forged,
}

impl LinkRunner {
    /// Reads a lookup stream until it ends or breaks the protocol, which ends the link.
    pub(super) async fn read_lookups(self, attached: Arc<Attached>, mut stream: FrameReceiver) {
        let mut unknown = 0;
        let offence = loop {
            let frame = match stream.next().await {
                Ok(Some(frame)) => frame,
                Err(LinkError::Protocol(error)) => break Some(Offence::Decode(error)),
                Ok(None) | Err(_) => break None,
            };
            match self.lookup_frame(&attached, &frame).await {
                Ok(()) => {}
                Err(Offence::Decode(
                    DecodeError::UnknownKind { .. } | DecodeError::UnknownExtension { .. },
                )) if unknown < MAX_UNKNOWN => unknown = unknown.saturating_add(1),
                Err(offence) => break Some(offence),
            }
        };
        if let Some(offence) = offence {
            let (what, detail) = match &offence {
                Offence::Decode(error) => (error.to_string(), "a lookup stream cannot be read"),
                Offence::Misplaced(name) => (
                    format!("{name} is not for a lookup stream"),
                    "a message that is not for a lookup stream",
                ),
                Offence::Forged => (
                    "a record has a wrong signature".to_owned(),
                    "a record that is not signed as it must be",
                ),
            };
            self.misbehaved(attached.link.peer().node, &what);
            stream.stop(ErrorCode::PROTOCOL_VIOLATION);
            attached.link.close(ErrorCode::PROTOCOL_VIOLATION, detail);
        }
        attached.lookup.end_reading();
    }

    async fn lookup_frame(&self, attached: &Attached, frame: &Frame) -> Result<(), Offence> {
        let body = Message::decode(frame).map_err(Offence::Decode)?.body;
        if is_of_forwarding(&body) {
            self.dialler.forwarding.take(attached, body);
            return Ok(());
        }
        if !is_of_routing(&body) {
            return Err(Offence::Misplaced(body.kind().name()));
        }
        if !attached.lookup.admits(self.plane.clock.now(), &body) {
            add(&self.plane.counters.records_unchecked, 1);
            return Ok(());
        }
        let verifier = FrugalVerifier {
            verified: &self.plane.verified,
            counters: &self.plane.counters,
        };
        let body = Checked::new(&self.plane.realm, body, &verifier);
        let is_genuine = body.is_genuine();
        let from = attached.link.peer().node;
        let now = self.plane.clock.now();
        self.control
            .input(now, NodeInput::Routing { from, body })
            .await;
        if is_genuine {
            Ok(())
        } else {
            Err(Offence::Forged)
        }
    }
}
