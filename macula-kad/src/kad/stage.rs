//! Records on their way out: those for one node leave together.

use std::collections::BTreeMap;
use std::sync::Arc;

use macula_wire::NodeId;
use macula_wire::limit::MAX_RECORDS;
use macula_wire::message::{Contact, KadStore, RecordContent, RecordVersion, SignedRoutingRecord};

use super::Kad;
use super::request::Purpose;
use crate::distance::record_id;

/// How many bytes of values go into one message.
const MESSAGE: usize = 256 << 10;

/// Records on their way out, by receiver.
pub(crate) type Staged = BTreeMap<NodeId, (Arc<Contact>, Vec<Arc<SignedRoutingRecord>>)>;

impl Kad {
    /// Sends a record to a node at the end of this turn.
    pub(super) fn stage(&mut self, to: Arc<Contact>, record: Arc<SignedRoutingRecord>) {
        let staged = self.staged.entry(to.node);
        staged.or_insert_with(|| (to, Vec::new())).1.push(record);
    }

    /// Ends a turn.
    pub(super) fn flush(&mut self) {
        self.tell_changes();
        for (contact, records) in std::mem::take(&mut self.staged).into_values() {
            for part in parts(records) {
                let versions = part.iter().map(|signed| {
                    let record = &signed.record;
                    RecordVersion {
                        id: record_id(&record.owner, &record.content),
                        sequence: record.sequence,
                    }
                });
                let purpose = Purpose::Store(versions.collect());
                self.request(Arc::clone(&contact), purpose, |request| {
                    let records = part;
                    KadStore { request, records }.into()
                });
            }
        }
    }
}

/// How many requests an answer with these records is worth: one for each 4 KiB, of which a record takes 256 bytes besides
/// its value.
pub(super) fn worth<'a>(records: impl IntoIterator<Item = &'a Arc<SignedRoutingRecord>>) -> u64 {
    let bytes = records.into_iter().fold(0_usize, |sum, record| {
        sum.saturating_add(value_len(record)).saturating_add(256)
    });
    u64::try_from(bytes / 4_096).unwrap_or(u64::MAX)
}

fn value_len(record: &SignedRoutingRecord) -> usize {
    if let RecordContent::Value(value) = &record.record.content {
        value.value.len()
    } else {
        0
    }
}

/// Records in parts that fit a message each.
pub(super) fn parts(
    records: impl IntoIterator<Item = Arc<SignedRoutingRecord>>,
) -> Vec<Vec<Arc<SignedRoutingRecord>>> {
    let mut parts = Vec::new();
    let (mut part, mut bytes) = (Vec::new(), 0_usize);
    for record in records {
        let length = value_len(&record);
        if part.len() >= MAX_RECORDS || (bytes.saturating_add(length) > MESSAGE && !part.is_empty())
        {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes = bytes.saturating_add(length);
        part.push(record);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}
