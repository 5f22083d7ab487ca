//! What every node of the demo has done, counted where it happens.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::duration::as_micros;
use super::readings::City;

/// How often it is looked whether everything has arrived.
const SETTLE_PERIOD: Duration = Duration::from_millis(10);
/// The most latencies that are kept of one node; what comes after the first ones is not kept.
const MAX_LATENCIES: usize = 1 << 20;

/// The counts of all nodes.
#[derive(Debug)]
pub(crate) struct Ledger {
    nodes: Vec<Arc<Tally>>,
}

/// The counts of one node.
#[derive(Debug)]
pub(crate) struct Tally {
    begun: Instant,
    counts: Mutex<Counts>,
}

/// See [`Tally`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Readings published.
    pub(crate) published: u64,
    /// Readings received, each once.
    pub(crate) received: u64,
    /// Readings that the node was told it will not get, or that it found missing.
    pub(crate) missed: u64,
    /// How often it was told so.
    pub(crate) gaps: u64,
    /// Readings that came out of order or twice.
    pub(crate) disordered: u64,
    /// Calls made that were answered.
    pub(crate) calls: u64,
    /// Calls made that failed.
    pub(crate) calls_failed: u64,
    /// Calls of others answered.
    pub(crate) answered: u64,
    /// Microseconds from publishing to receiving.
    pub(crate) event_us: Vec<u64>,
    /// Microseconds from calling to the answer.
    pub(crate) call_us: Vec<u64>,
    /// What came last, for people.
    pub(crate) last: Option<Last>,
}

/// The last reading that a node has seen.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    /// Of which city.
    pub(crate) city: City,
    /// Local time.
    pub(crate) at: String,
    /// Degrees Fahrenheit.
    pub(crate) fahrenheit: f64,
}

impl Ledger {
    /// Counts for this many nodes.
    pub(crate) fn new(nodes: usize) -> Self {
        let begun = Instant::now();
        let tally = || {
            Arc::new(Tally {
                begun,
                counts: Mutex::default(),
            })
        };
        Self {
            nodes: std::iter::repeat_with(tally).take(nodes).collect(),
        }
    }

    /// The counts of one node; those of nobody for a number that no node has.
    pub(crate) fn of(&self, node: usize) -> Arc<Tally> {
        self.nodes.get(node).map_or_else(
            || {
                Arc::new(Tally {
                    begun: Instant::now(),
                    counts: Mutex::default(),
                })
            },
            Arc::clone,
        )
    }

    /// A copy of all counts, in the order of the nodes.
    pub(crate) fn read(&self) -> Vec<Counts> {
        self.nodes
            .iter()
            .map(|tally| tally.lock().clone())
            .collect()
    }

    /// How many readings every node has published or received, and the last of them.
    pub(crate) fn progress(&self) -> Vec<(u64, Option<Last>)> {
        let seen = self.nodes.iter().map(|tally| {
            let counts = tally.lock();
            (counts.published.max(counts.received), counts.last.clone())
        });
        seen.collect()
    }

    /// Waits until every receiver has received, or was told to miss, all that was published.
    pub(crate) async fn settled(&self) {
        let mut ticks = tokio::time::interval(SETTLE_PERIOD);
        loop {
            ticks.tick().await;
            let owed: u64 = self.nodes.iter().map(|tally| tally.lock().published).sum();
            let receivers = self.nodes.iter().skip(City::ALL.len());
            if receivers
                .clone()
                .all(|tally| tally.lock().accounted() >= owed)
            {
                return;
            }
        }
    }
}

impl Counts {
    const fn accounted(&self) -> u64 {
        self.received.saturating_add(self.missed)
    }
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the counts.
    pub(crate) fn count<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.lock())
    }

    /// Microseconds since the demo began.
    pub(crate) fn now_us(&self) -> u64 {
        as_micros(self.begun.elapsed())
    }
}

/// Keeps a latency while there is room.
pub(crate) fn keep(latencies: &mut Vec<u64>, us: u64) {
    if latencies.len() < MAX_LATENCIES {
        latencies.push(us);
    }
}

/// The value that half of them do not exceed; nothing if there are none.
pub(crate) fn median(latencies: &[u64]) -> Option<u64> {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[7]), Some(7));
        assert_eq!(median(&[9, 1, 5]), Some(5));
        assert_eq!(median(&[9, 1, 5, 2]), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn it_settles_only_when_all_is_accounted_for() {
        let ledger = Ledger::new(4);
        ledger.of(0).count(|counts| counts.published = 3);
        ledger.of(2).count(|counts| counts.received = 3);
        ledger.of(3).count(|counts| counts.received = 2);
        let short = Duration::from_secs(1);
        assert!(tokio::time::timeout(short, ledger.settled()).await.is_err());
        ledger.of(3).count(|counts| counts.missed = 1);
        assert!(tokio::time::timeout(short, ledger.settled()).await.is_ok());
    }
}
