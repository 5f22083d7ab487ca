//! What a node counts of forwarding.

use std::sync::atomic::{AtomicU64, Ordering};

use macula_kad::forward::WayfinderStats;

/// What became of packets that are forwarded, and of what goes with them. All but `routes` only rise.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct ForwardingCounts {
    /// Origins of which it is known by which peer they were heard lately.
    pub routes: u64,
    /// Packets of this node's own links that were sent on their way.
    pub sent: u64,
    /// Packets of others that were passed on.
    pub passed: u64,
    /// Packets for this node that were handed to QUIC.
    pub delivered: u64,
    /// Packets of this node's own links that had nobody to go to.
    pub dropped_unsent: u64,
    /// Messages of peers beyond what each may have carried in a time.
    pub dropped_rate: u64,
    /// Packets for this node from more nodes than a peer may bring packets of in a time.
    pub dropped_origins: u64,
    /// Messages that found no room on a link.
    pub dropped_full: u64,
    /// Messages whose next link had just gone.
    pub dropped_no_link: u64,
    /// Packets that were here before.
    pub dropped_loop: u64,
    /// Packets that may be passed on no further.
    pub dropped_hop_limit: u64,
    /// Packets of others that had nobody to go to.
    pub dropped_unreachable: u64,
    /// Messages that did not come by the way that they show.
    pub dropped_malformed: u64,
    /// Packets that claimed to be from this node.
    pub dropped_forged: u64,
    /// Answers to nothing, answers with no way back, and answers beyond what is sent in a time.
    pub dropped_answers: u64,
}

impl ForwardingCounts {
    /// Those that only rise, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("forward_sent", self.sent),
            ("forward_passed", self.passed),
            ("forward_delivered", self.delivered),
            ("forward_dropped_unsent", self.dropped_unsent),
            ("forward_dropped_rate", self.dropped_rate),
            ("forward_dropped_origins", self.dropped_origins),
            ("forward_dropped_full", self.dropped_full),
            ("forward_dropped_no_link", self.dropped_no_link),
            ("forward_dropped_loop", self.dropped_loop),
            ("forward_dropped_hop_limit", self.dropped_hop_limit),
            ("forward_dropped_unreachable", self.dropped_unreachable),
            ("forward_dropped_malformed", self.dropped_malformed),
            ("forward_dropped_forged", self.dropped_forged),
            ("forward_dropped_answers", self.dropped_answers),
        ]
        .into_iter()
    }
}

/// What is counted here; the causes that only a look at the way finds are counted by the Wayfinder.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) passed: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) dropped_unsent: AtomicU64,
    pub(super) dropped_rate: AtomicU64,
    pub(super) dropped_origins: AtomicU64,
    pub(super) dropped_full: AtomicU64,
    pub(super) dropped_no_link: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self, ways: &WayfinderStats) -> ForwardingCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let answers = [ways.unasked, ways.no_way_back, ways.limited];
        ForwardingCounts {
            routes: u64::try_from(ways.routes).unwrap_or(u64::MAX),
            sent: read(&self.sent),
            passed: read(&self.passed),
            delivered: read(&self.delivered),
            dropped_unsent: read(&self.dropped_unsent),
            dropped_rate: read(&self.dropped_rate),
            dropped_origins: read(&self.dropped_origins),
            dropped_full: read(&self.dropped_full),
            dropped_no_link: read(&self.dropped_no_link),
            dropped_loop: ways.loops,
            dropped_hop_limit: ways.hop_limits,
            dropped_unreachable: ways.unreachable,
            dropped_malformed: ways.malformed,
            dropped_forged: ways.forged_origins,
            dropped_answers: answers.into_iter().fold(0, u64::saturating_add),
        }
    }
}
