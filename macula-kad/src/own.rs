//! The records that this node owns, and who was told of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::{RecordContent, RoutingRecord, SignedRoutingRecord};
use macula_wire::{Instant, Key, NodeId, RealmName, RecordId, Signer, signed};

use crate::{Distance, PublishError};

/// Signs records of this node in its realm.
pub(crate) struct Pen {
    realm: RealmName,
    signer: Arc<dyn Signer + Send + Sync>,
    /// The sequence of the latest record.
    last: u64,
}

impl Pen {
    pub(crate) const fn new(realm: RealmName, signer: Arc<dyn Signer + Send + Sync>) -> Self {
        Self {
            realm,
            signer,
            last: 0,
        }
    }

    /// The next record has this sequence at least.
    pub(crate) fn number_from(&mut self, sequence: u64) {
        self.last = self.last.max(sequence.saturating_sub(1));
    }

    /// A record that holds for `lease` from `wall_ms` on.
    pub(crate) fn sign(
        &mut self,
        content: RecordContent,
        withdrawn: bool,
        wall_ms: u64,
        expires_ms: u64,
    ) -> Result<Arc<SignedRoutingRecord>, PublishError> {
        let sequence = wall_ms.max(self.last.saturating_add(1));
        let record = RoutingRecord {
            owner: self.signer.node(),
            sequence,
            expires_ms,
            withdrawn,
            content,
        };
        let bytes = signed::record_bytes(&self.realm, &record)?;
        self.last = sequence;
        let signature = self.signer.sign(&bytes);
        Ok(Arc::new(SignedRoutingRecord { record, signature }))
    }
}

impl fmt::Debug for Pen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pen")
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// How far a node is that ought to keep a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Told {
    /// It was asked to, after it had failed so often.
    Asked(u32),
    /// It keeps it.
    Keeps,
    /// It did not answer or refused, so often; it is asked again then.
    Failed(u32, Instant),
}

/// A record of this node.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) record: Arc<SignedRoutingRecord>,
    pub(crate) key: Key,
    pub(crate) lease: Duration,
    /// When this version was signed.
    pub(crate) signed: Instant,
    /// Until when a version of an earlier run holds, in milliseconds since 1970: a withdrawal holds as long.
    pub(crate) until_ms: u64,
    /// How far the farthest that ought to keep it is; as far as can be while that is not known.
    pub(crate) reach: Distance,
    /// Who ought to keep it.
    pub(crate) told: Keepers,
}

/// The nodes that ought to keep a record, and what each was told. They are few, and there is such a list for each record, so
/// it is a list and no map: a map would take room for eleven at once.
#[derive(Debug, Default)]
pub(crate) struct Keepers(Vec<(NodeId, Told)>);

impl Keepers {
    pub(crate) fn get(&self, node: &NodeId) -> Option<&Told> {
        let found = self.0.iter().find(|(known, _)| known == node);
        found.map(|(_, told)| told)
    }

    pub(crate) fn get_mut(&mut self, node: &NodeId) -> Option<&mut Told> {
        let found = self.0.iter_mut().find(|(known, _)| known == node);
        found.map(|(_, told)| told)
    }

    pub(crate) fn set(&mut self, node: NodeId, told: Told) {
        match self.get_mut(&node) {
            Some(known) => *known = told,
            None => {
                self.0.reserve_exact(1);
                self.0.push((node, told));
            }
        }
    }

    pub(crate) fn remove(&mut self, node: &NodeId) {
        self.0.retain(|(known, _)| known != node);
    }

    /// Forgets all others.
    pub(crate) fn retain(&mut self, ought: impl Fn(&NodeId) -> bool) {
        self.0.retain(|(known, _)| ought(known));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The records of this node, by id.
pub(crate) type Owns = BTreeMap<RecordId, Own>;
