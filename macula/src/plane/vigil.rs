//! Links on which calls wait for answers that may never come.
//!
//! QUIC gives a link up after its idle time-out, which is many times what a caller should wait, and a link that another
//! one has replaced is the business of nobody else. So whoever waits for an answer has the link watched: its peer is
//! asked whether it is there, and if nothing at all comes back the calls on it end, whatever their deadlines. The link
//! itself is left as it is: those who look after paths and membership decide about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use macula_transport::LinkStats;
use macula_wire::Instant;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Plane;
use super::links::Attached;

/// How often a link is looked at.
const PERIOD: Duration = Duration::from_millis(250);
/// After how much silence the peer is asked, again and again, whether it is there.
const ASK_AFTER: Duration = Duration::from_secs(1);
/// After how much silence nothing is expected any more. A process that stands still for 3 s is to lose nothing; together
/// with the time since the last answer and the next look it is less than 5 s from the loss of the peer.
const LOST_AFTER: Duration = Duration::from_millis(3_500);
/// How many round trips long it has to be at least.
const ROUND_TRIPS: u32 = 4;
/// At how many looks in a row nothing must have come: while this process stood still, nobody looked.
const LOOKS: u32 = 12;

/// How many calls wait for answers by a link, and whether they wait in vain.
#[derive(Debug)]
pub(crate) struct Vigil {
    waiting: AtomicUsize,
    is_kept: AtomicBool,
    is_lost: watch::Sender<bool>,
}

impl Default for Vigil {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            is_kept: AtomicBool::new(false),
            is_lost: watch::Sender::new(false),
        }
    }
}

/// A call that waits for its answer.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Vigil);

impl Waiting<'_> {
    /// Returns when no answer is expected any more.
    pub(crate) async fn lost(&self) {
        let mut is_lost = self.0.is_lost.subscribe();
        if is_lost.wait_for(|is_lost| *is_lost).await.is_err() {
            // The link itself ends what waits for it.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Plane {
    /// Has a link watched until what is returned is dropped.
    pub(crate) fn watch_link<'a>(self: &Arc<Self>, attached: &'a Arc<Attached>) -> Waiting<'a> {
        let vigil = &attached.vigil;
        vigil.waiting.fetch_add(1, Ordering::SeqCst);
        if !vigil.is_kept.swap(true, Ordering::SeqCst) {
            let attached = Arc::clone(attached);
            let plane = Arc::clone(self);
            self.tasks.spawn("vigil", async move {
                tokio::select! {
                    () = keep(&plane, &attached) => {}
                    _ = attached.link.closed() => {}
                }
            });
        }
        Waiting(vigil)
    }
}

/// Watches a link as long as calls wait on it, or its peer is silent.
async fn keep(plane: &Plane, attached: &Attached) {
    let vigil = &attached.vigil;
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Heard::new(plane.clock.now(), 0);
    loop {
        ticks.tick().await;
        let stats = attached.link.stats();
        let state = heard.look(plane.clock.now(), &stats);
        if state >= State::Doubtful {
            attached.ask();
        }
        let is_lost = state == State::Lost;
        if vigil.is_lost.send_replace(is_lost) != is_lost {
            let peer = attached.link.peer().node;
            tracing::info!(peer = %peer.short(), is_lost, "a link on which calls wait is silent");
        }
        if state == State::Heard && vigil.waiting.load(Ordering::SeqCst) == 0 {
            vigil.is_kept.store(false, Ordering::SeqCst);
            let is_needed = vigil.waiting.load(Ordering::SeqCst) > 0;
            if !is_needed || vigil.is_kept.swap(true, Ordering::SeqCst) {
                return;
            }
        }
    }
}

/// What a look at a link shows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum State {
    /// Something came lately.
    Heard,
    /// Nothing came for a while.
    Doubtful,
    /// Nothing came for so long that nothing is expected.
    Lost,
}

/// When something came last.
#[derive(Clone, Copy, Debug)]
struct Heard {
    received: u64,
    at: Instant,
    looks: u32,
}

impl Heard {
    const fn new(now: Instant, received: u64) -> Self {
        Self {
            received,
            at: now,
            looks: 0,
        }
    }

    fn look(&mut self, now: Instant, stats: &LinkStats) -> State {
        // A link within the machine counts no packets, and ends with its peer.
        if stats.packets_received == 0 || stats.packets_received != self.received {
            *self = Self::new(now, stats.packets_received);
            return State::Heard;
        }
        self.looks = self.looks.saturating_add(1);
        let silence = now.saturating_since(self.at);
        let patience = LOST_AFTER.max(stats.rtt.saturating_mul(ROUND_TRIPS));
        if silence >= patience && self.looks >= LOOKS {
            State::Lost
        } else if silence >= ASK_AFTER {
            State::Doubtful
        } else {
            State::Heard
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(received: u64, rtt: u64) -> LinkStats {
        let mut stats = LinkStats::default();
        stats.packets_received = received;
        stats.rtt = Duration::from_millis(rtt);
        stats
    }

    /// When a peer is asked, and given up, of which nothing comes from 0 on, by looks at these times.
    fn found(rtt: u64, looks: &[u64]) -> [Option<u64>; 2] {
        let mut heard = Heard::new(Instant::ZERO, 0);
        let mut found = [None; 2];
        for millis in looks {
            let state = heard.look(Instant::from_millis(*millis), &stats(7, rtt));
            let [asked, lost] = &mut found;
            match state {
                State::Heard => {}
                State::Doubtful => *asked = asked.or(Some(*millis)),
                State::Lost => *lost = lost.or(Some(*millis)),
            }
        }
        found
    }

    #[test]
    fn a_peer_is_asked_and_given_up_by_the_round_trip_of_its_link() {
        let looks: Vec<u64> = (0..10_000).step_by(250).collect();
        assert_eq!(found(1, &looks), [Some(1_000), Some(3_500)]);
        assert_eq!(found(1_500, &looks), [Some(1_000), Some(6_000)]);
    }

    #[test]
    fn a_pause_of_this_process_is_no_silence_of_the_peer() {
        let late = (9_000..20_000).step_by(250);
        let looks: Vec<u64> = std::iter::once(0).chain(late).collect();
        assert_eq!(found(1, &looks), [Some(9_000), Some(11_750)]);
    }

    #[test]
    fn a_word_of_the_peer_begins_anew_and_a_link_without_packets_is_never_silent() {
        let mut heard = Heard::new(Instant::ZERO, 0);
        for (second, received, expected) in [
            (0, 7, State::Heard),
            (1, 7, State::Doubtful),
            (3, 8, State::Heard),
            (5, 8, State::Doubtful),
        ] {
            let now = Instant::from_millis(second * 1_000);
            assert_eq!(heard.look(now, &stats(received, 1)), expected);
        }
        for second in 6..60 {
            let now = Instant::from_millis(second * 1_000);
            assert_eq!(heard.look(now, &stats(0, 1)), State::Heard);
        }
    }
}
