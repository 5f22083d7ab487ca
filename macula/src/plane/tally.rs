//! What became of the calls of one registration.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use macula_wire::ErrorCode;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::Error;

/// The parts of an octave in a [`Histogram`]: a power of two.
const PARTS: u64 = 8;
/// How many buckets there are; the last one has what took longer than 12 days.
const BUCKETS: usize = 320;
/// How much of the last error is kept, in bytes.
const MAX_ERROR: usize = 256;

/// What is said of a call that ended without an answer.
const UNANSWERED: &str = "it was taken back, or ran out of time";

/// What a function may take of a task that is not its own, and how often in a row it has to have shown that.
const QUICK: Duration = Duration::from_micros(50);
const QUICK_CALLS: u32 = 16;

/// Counts the calls of one registration, and how long they took.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    running: AtomicUsize,
    /// Told when the last running call has ended.
    idle: Notify,
    calls: AtomicU64,
    errors: AtomicU64,
    /// The microseconds of all calls together.
    total_us: AtomicU64,
    times: Histogram,
    last_error: Mutex<Option<Box<str>>>,
    /// How many calls in a row began quickly, up to [`QUICK_CALLS`].
    quick: AtomicU32,
    /// Why the registration has ended by itself.
    ended: watch::Sender<Option<Error>>,
}

/// A tally at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tallied {
    pub(crate) running: usize,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) mean_us: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

impl Tally {
    /// A call begins; it ends when what is returned is dropped.
    pub(crate) fn begin(&self) -> Counted<'_> {
        self.running.fetch_add(1, Ordering::AcqRel);
        Counted {
            tally: self,
            begun: Instant::now(),
            is_error: true,
            error: None,
        }
    }

    /// Whether its function has always come to its end, or to where it waits, within a moment lately.
    pub(crate) fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Relaxed) >= QUICK_CALLS
    }

    /// Notes how long a call took to its end or to where it waited first.
    pub(crate) fn has_begun(&self, took: Duration) {
        let quick = self.quick.load(Ordering::Relaxed);
        if took > QUICK {
            self.quick.store(0, Ordering::Relaxed);
        } else if quick < QUICK_CALLS {
            self.quick.store(quick.saturating_add(1), Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Tallied {
        let calls = self.calls.load(Ordering::Relaxed);
        let total_us = self.total_us.load(Ordering::Relaxed);
        Tallied {
            running: self.running.load(Ordering::Acquire),
            calls,
            errors: self.errors.load(Ordering::Relaxed),
            mean_us: total_us.checked_div(calls).unwrap_or(0),
            p50_us: self.times.quantile(50),
            p99_us: self.times.quantile(99),
        }
    }

    /// How the last call failed that did, its first 256 bytes.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.error().as_deref().map(ToOwned::to_owned)
    }

    fn error(&self) -> std::sync::MutexGuard<'_, Option<Box<str>>> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when no call runs. Cancel safe.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.running.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// The registration has ended by itself.
    pub(crate) fn end(&self, why: Error) {
        self.ended.send_replace(Some(why));
    }

    /// Why the registration has ended by itself, once it has. Cancel safe.
    pub(crate) async fn ended(&self) -> Error {
        let mut ended = self.ended.subscribe();
        let why = ended.wait_for(Option::is_some).await;
        match why.ok().and_then(|why| why.clone()) {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }
}

/// A call that runs.
pub(crate) struct Counted<'a> {
    tally: &'a Tally,
    begun: Instant,
    is_error: bool,
    error: Option<Box<str>>,
}

impl Counted<'_> {
    /// It ended well. A call that is dropped without a word has failed.
    pub(crate) const fn succeeded(&mut self) {
        self.is_error = false;
    }

    /// It ended like this.
    pub(crate) fn failed(&mut self, code: ErrorCode, detail: &str) {
        let mut text = format!("{}: {detail}", code.name());
        let end = (0..=MAX_ERROR).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        self.error = Some(text.into());
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let tally = self.tally;
        tally.calls.fetch_add(1, Ordering::Relaxed);
        tally
            .errors
            .fetch_add(u64::from(self.is_error), Ordering::Relaxed);
        let took = self.begun.elapsed();
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tally.total_us.fetch_add(micros, Ordering::Relaxed);
        tally.times.add(took);
        if self.is_error {
            let unanswered = || UNANSWERED.into();
            *tally.error() = Some(self.error.take().unwrap_or_else(unanswered));
        }
        if tally.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            tally.idle.notify_waiters();
        }
    }
}

/// How long calls took: eight buckets for each power of two of microseconds. Takes no room before the first call.
#[derive(Debug, Default)]
struct Histogram(OnceLock<Box<[AtomicU64]>>);

impl Histogram {
    fn add(&self, took: Duration) {
        let buckets = self
            .0
            .get_or_init(|| (0..BUCKETS).map(|_| AtomicU64::new(0)).collect());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = buckets.get(bucket(micros)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The time within which so many of a hundred ended, at most an eighth too long, in microseconds; 0 without any.
    fn quantile(&self, percent: u64) -> u64 {
        let Some(buckets) = self.0.get() else {
            return 0;
        };
        let counts: Vec<u64> = buckets
            .iter()
            .map(|one| one.load(Ordering::Relaxed))
            .collect();
        let total = counts
            .iter()
            .fold(0, |sum: u64, one| sum.saturating_add(*one));
        let wanted = total.saturating_mul(percent).div_ceil(100);
        let mut seen: u64 = 0;
        for (at, count) in counts.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= wanted && seen > 0 {
                return upper(at);
            }
        }
        0
    }
}

/// Where a time belongs.
fn bucket(micros: u64) -> usize {
    let octave = micros.checked_ilog2().unwrap_or(0).saturating_sub(3);
    let part = micros >> octave;
    let at = u64::from(octave).saturating_mul(PARTS).saturating_add(part);
    usize::try_from(at)
        .unwrap_or(BUCKETS)
        .min(BUCKETS.saturating_sub(1))
}

/// The longest time that belongs there.
fn upper(bucket: usize) -> u64 {
    let at = u64::try_from(bucket).unwrap_or(u64::MAX);
    if at < PARTS.saturating_mul(2) {
        return at;
    }
    let octave = (at >> 3).saturating_sub(1);
    let part = (at & 7).saturating_add(PARTS);
    let next = part.saturating_add(1);
    let octave = u32::try_from(octave).unwrap_or(u32::MAX);
    next.checked_shl(octave)
        .unwrap_or(u64::MAX)
        .saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_that_ends_at_most_an_eighth_later() {
        let mut last = 0;
        for micros in (0..5_000).chain((10..40).map(|octave| 7_u64 << octave)) {
            let at = bucket(micros);
            if at < BUCKETS - 1 {
                let end = upper(at);
                assert!(
                    micros <= end && end - micros <= micros / 8,
                    "{micros} {at} {end}"
                );
            }
            if micros < 5_000 {
                assert!(at == last || at == last + 1, "{micros}");
                last = at;
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn half_are_faster_than_the_median_and_one_in_a_hundred_slower_than_p99() {
        let times = Histogram::default();
        assert_eq!(times.quantile(50), 0);
        for millis in 1..=100 {
            times.add(Duration::from_millis(millis));
        }
        let near = |micros: u64, expected: u64| {
            assert!(
                micros >= expected && micros <= expected + expected / 8,
                "{micros}"
            );
        };
        near(times.quantile(50), 50_000);
        near(times.quantile(99), 99_000);
    }

    #[test]
    fn it_is_quick_after_many_quick_calls_and_not_after_one_that_is_not() {
        let tally = Tally::default();
        for _ in 0..2 {
            for _ in 0..QUICK_CALLS {
                assert!(!tally.is_quick());
                tally.has_begun(QUICK);
            }
            assert!(tally.is_quick());
            tally.has_begun(QUICK + Duration::from_nanos(1));
        }
        assert!(!tally.is_quick());
    }

    #[tokio::test]
    async fn it_is_idle_when_the_last_call_has_ended() {
        let tally = Tally::default();
        tally.idle().await;
        let mut first = tally.begin();
        let second = tally.begin();
        first.succeeded();
        drop(first);
        assert_eq!(tally.last_error(), None);
        let idle = tally.idle();
        tokio::pin!(idle);
        assert!(futures::poll!(&mut idle).is_pending());
        drop(second);
        idle.await;
        let read = tally.read();
        assert_eq!((read.running, read.calls, read.errors), (0, 2, 1));
        assert_eq!(tally.last_error().as_deref(), Some(UNANSWERED));
    }

    #[tokio::test(start_paused = true)]
    async fn the_mean_is_of_all_calls_and_the_last_error_is_kept_in_part() {
        let tally = Tally::default();
        assert_eq!(tally.read().mean_us, 0);
        for (millis, letters) in [(10, 100), (30, 300)] {
            let mut call = tally.begin();
            tokio::time::advance(Duration::from_millis(millis)).await;
            call.failed(ErrorCode::APPLICATION, &"ü".repeat(letters));
        }
        assert_eq!(tally.read().mean_us, 20_000);
        let error = tally.last_error().unwrap();
        assert!(error.starts_with("APPLICATION: üü") && error.len() > 254 && error.len() <= 256);
    }
}
