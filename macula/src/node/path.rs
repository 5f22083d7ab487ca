//! Direct paths that have stopped to work before their links have ended.
//!
//! QUIC gives a link up after its idle time-out. A call that is made meanwhile waits as long. So a direct link on which
//! nothing comes back is replaced by a forwarded one, if there is one; the direct one is sought again then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use macula_transport::{LinkId, LinkStats};
use macula_wire::Instant;
use tokio::time::MissedTickBehavior;

use super::dial::Dialler;
use super::reach::By;
use crate::plane::links::Attached;

/// How often links are looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// How long nothing has to come back.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many round trips long at least.
const ROUND_TRIPS: u32 = 4;
/// How many packets have to be sent in that time. A single one may be the acknowledgement of the last that came.
const UNANSWERED: u64 = 3;
/// How long a peer that is asked whether it is there has to answer.
const ASKED_FOR: Duration = Duration::from_secs(2);
/// The least time between two attempts for one link.
const PAUSE: Duration = Duration::from_secs(10);

/// What came by a link, and what was sent since.
#[derive(Clone, Copy, Debug)]
struct Heard {
    received: u64,
    /// How many packets had been sent when the last one came.
    sent: u64,
    at: Instant,
    tried: Option<Instant>,
}

impl Heard {
    fn new(now: Instant, stats: &LinkStats) -> Self {
        Self {
            received: stats.packets_received,
            sent: stats.packets_sent,
            at: now,
            tried: None,
        }
    }

    /// Whether the path is to be doubted now.
    fn look(&mut self, now: Instant, stats: &LinkStats) -> bool {
        if stats.packets_received != self.received {
            *self = Self::new(now, stats);
            return false;
        }
        let patience = PATIENCE.max(stats.rtt.saturating_mul(ROUND_TRIPS));
        let is_silent = now.saturating_since(self.at) >= patience
            && stats.packets_sent.saturating_sub(self.sent) >= UNANSWERED;
        let is_due = self
            .tried
            .is_none_or(|tried| now.saturating_since(tried) >= PAUSE);
        if is_silent && is_due {
            self.tried = Some(now);
        }
        is_silent && is_due
    }
}

impl Dialler {
    /// Looks after direct links as long as the node runs.
    pub(super) async fn keep_paths(self) {
        let mut ticks = tokio::time::interval(LOOK_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard: BTreeMap<LinkId, Heard> = BTreeMap::new();
        loop {
            ticks.tick().await;
            let now = self.plane.clock.now();
            let mut members = self.plane.links.members();
            members.retain(|attached| !attached.link.is_forwarded());
            heard.retain(|id, _| members.iter().any(|attached| attached.link.id() == *id));
            for attached in members {
                let stats = attached.link.stats();
                let known = heard.entry(attached.link.id());
                let known = known.or_insert_with(|| Heard::new(now, &stats));
                if known.look(now, &stats) && !self.is_leaving() {
                    let dialler = self.clone();
                    self.plane
                        .tasks
                        .spawn("bypass", async move { dialler.bypass(&attached).await });
                }
            }
        }
    }

    /// Makes a forwarded link that takes the place of a direct one, unless the peer answers after all.
    async fn bypass(&self, attached: &Arc<Attached>) {
        let node = attached.link.peer().node;
        if !self.forwarding.falls_silent(attached, ASKED_FOR).await {
            return;
        }
        tracing::info!(peer = %node.short(), "nothing comes back by the direct link");
        if let Err(error) = self.dial_forwarded(node, By::Bypass).await {
            tracing::debug!(peer = %node.short(), %error, "no other way");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(received: u64, sent: u64, rtt: u64) -> LinkStats {
        let mut stats = LinkStats::default();
        stats.packets_received = received;
        stats.packets_sent = sent;
        stats.rtt = Duration::from_millis(rtt);
        stats
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_path_is_doubted_when_nothing_answers_what_is_sent() {
        let mut heard = Heard::new(at(0), &stats(7, 10, 1));
        assert!(!heard.look(at(1_999), &stats(7, 20, 1)), "too soon");
        assert!(!heard.look(at(9_000), &stats(7, 12, 1)), "acknowledgements");
        assert!(!heard.look(at(9_000), &stats(7, 20, 3_000)), "a long way");
        assert!(heard.look(at(9_000), &stats(7, 13, 1)));
        assert!(!heard.look(at(18_999), &stats(7, 30, 1)), "it was tried");
        assert!(heard.look(at(19_000), &stats(7, 30, 1)));
    }

    #[test]
    fn one_packet_ends_the_doubt() {
        let mut heard = Heard::new(at(0), &stats(7, 10, 1));
        assert!(heard.look(at(2_000), &stats(7, 20, 1)));
        assert!(!heard.look(at(3_000), &stats(8, 30, 1)));
        assert!(!heard.look(at(4_999), &stats(8, 40, 1)));
        assert!(heard.look(at(5_000), &stats(8, 40, 1)));
    }
}
