//! What the machines of a node have counted.

use super::NodeMachine;
use crate::{MembershipCounts, RoutingCounts};

/// What this machine itself counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// How often a peer brought more accusations than it may.
    pub(super) accusations_refused: u64,
    /// Records of this node that were not published, or not withdrawn.
    pub(super) unpublished: u64,
    /// Names that could not be watched.
    pub(super) unwatched: u64,
}

impl NodeMachine {
    /// What routing has counted.
    #[must_use]
    pub fn routing(&self) -> RoutingCounts {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let (records, record_bytes) = self.kad.kept();
        let stats = self.kad.stats();
        RoutingCounts {
            contacts: count(self.kad.table_len()),
            records: count(records),
            record_bytes: count(record_bytes),
            watches: count(self.kad.watches()),
            watches_served: count(self.kad.watched()),
            interests: count(self.pubsub.interests()),
            offers: count(self.rpc.offers()),
            lookups: stats.queries,
            requests: stats.requests,
            requests_late: stats.late,
            requests_failed: stats.failed,
            requests_answered: stats.answered,
            requests_refused: stats.refused_rate,
            answers_unasked: stats.unasked,
            contacts_refused: stats.refused_contacts,
            records_forged: stats.refused_forged,
            records_rejected: stats.records_refused().saturating_sub(stats.refused_forged),
            stores_refused: stats.stores_refused,
            watches_refused: stats.refused_watches,
            interests_refused: self.pubsub.interests_refused(),
            offers_refused: self.rpc.offers_refused(),
            dropped: self.waiting.dropped,
            unpublished: self.counts.unpublished,
            unwatched: self.counts.unwatched,
        }
    }

    /// What membership has counted.
    #[must_use]
    pub fn membership(&self) -> MembershipCounts {
        let stats = self.swim.stats();
        MembershipCounts {
            health: u64::from(self.swim.health()),
            neighbours: u64::try_from(self.overlay.neighbours().count()).unwrap_or(u64::MAX),
            probes: stats.probes,
            probes_failed: stats.probes_failed,
            probes_indirect: stats.probes_indirect,
            suspicions: stats.suspicions,
            suspicions_cleared: self.audience.cleared,
            refutations: stats.refutations,
            accusations_refused: self.counts.accusations_refused,
            stalls: stats.stalls,
            differences: stats.differences,
            records_refused: stats.refused_records,
            members_refused: stats.refused_full,
        }
    }
}
