//! Checking the signatures of records before a machine sees them.

use std::sync::Arc;

use macula_wire::message::SignedRoutingRecord;
use macula_wire::{Body, RealmName, Verifier, signed};

/// The records in a message.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "three of all messages carry records"
)]
pub(crate) fn records(body: &Body) -> &[Arc<SignedRoutingRecord>] {
    match body {
        Body::KadStore(store) => &store.records,
        Body::KadFound(found) => &found.records,
        Body::KadChanges(changes) => &changes.records,
        _ => &[],
    }
}

/// A message whose records were checked. Those that are forged are told apart from the others.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checked {
    body: Body,
    /// The places of forged records, ascending.
    forged: Vec<usize>,
}

impl Checked {
    /// Checks the signature of each record in a message of `realm`. It costs a signature check for each.
    #[must_use]
    pub fn new(realm: &RealmName, body: Body, verifier: &impl Verifier) -> Self {
        let is_forged = |signed: &SignedRoutingRecord| {
            let bytes = signed::record_bytes(realm, &signed.record);
            !bytes
                .is_ok_and(|bytes| verifier.verify(signed.record.owner, &bytes, &signed.signature))
        };
        let records = records(&body);
        let all = records.iter().enumerate();
        let forged = all.filter(|(_, record)| is_forged(record));
        let forged = forged.map(|(place, _)| place).collect();
        Self { body, forged }
    }

    /// Whether every signature is right.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        self.forged.is_empty()
    }

    pub(crate) fn into_parts(self) -> (Body, Vec<usize>) {
        (self.body, self.forged)
    }
}
