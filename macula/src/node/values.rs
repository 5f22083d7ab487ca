//! Values that members published in the realm's routing, as they are read.

use std::sync::Arc;

use bytes::Bytes;
use macula_kad::{Goal, key};
use macula_wire::message::{RecordContent, RecordKind, SignedRoutingRecord};

use super::Node;
use crate::Error;

impl Node {
    /// The records of values under a name.
    pub(crate) async fn values_under(
        &self,
        name: &str,
    ) -> Result<Vec<Arc<SignedRoutingRecord>>, Error> {
        let goal = Goal::Records {
            key: key(self.realm(), RecordKind::Value, name),
            kind: RecordKind::Value,
            all: true,
        };
        Ok(self.outcome(goal).await?.records)
    }
}

/// The value of a record, if that is of this media type.
pub(crate) fn value_of(record: &SignedRoutingRecord, media_type: &str) -> Option<Bytes> {
    match &record.record.content {
        RecordContent::Value(value) if value.content.media_type() == media_type => {
            Some(value.value.clone())
        }
        _ => None,
    }
}
