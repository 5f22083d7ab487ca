//! Clocks, CPU time and percentiles.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::Figures;
use super::process::PeerReport;

/// Nanoseconds since 1970, which both processes read from one clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark compares the clocks of two processes"
)]
pub(super) fn wall_nanos() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// CPU time of all threads of this process so far in nanoseconds; 0 where the system does not tell.
pub(super) fn cpu_nanos() -> u64 {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return 0;
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

/// How long path MTU discovery may take before a measurement begins.
const MTU_PATIENCE: Duration = Duration::from_secs(1);
/// How long the MTU has to stay the same to count as found.
const MTU_STEADY: Duration = Duration::from_millis(100);

/// Waits until path MTU discovery has settled, so that both systems are measured in their steady state.
pub(super) async fn mtu_settled(mtu: impl Fn() -> u16) {
    let started = Instant::now();
    let (mut last, mut since) = (mtu(), Instant::now());
    while since.elapsed() < MTU_STEADY && started.elapsed() < MTU_PATIENCE {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let found = mtu();
        if found != last {
            (last, since) = (found, Instant::now());
        }
    }
}

/// The value that `share` of the samples do not exceed, in microseconds.
pub(super) fn percentile_us(sorted_nanos: &[u64], share: f64) -> Option<f64> {
    let last = sorted_nanos.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index within the samples"
    )]
    let at = (last as f64 * share).round() as usize;
    sorted_nanos.get(at).map(|nanos| float(*nanos) / 1_000.0)
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

/// What one side of a measurement used, from its beginning.
#[derive(Debug)]
pub(super) struct Meter {
    cpu: u64,
    started: u64,
}

impl Meter {
    pub(super) fn start() -> Self {
        Self {
            cpu: cpu_nanos(),
            started: wall_nanos(),
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        float(wall_nanos().saturating_sub(self.started)) / 1e9
    }

    pub(super) fn cpu(&self) -> u64 {
        cpu_nanos().saturating_sub(self.cpu)
    }

    /// The figures of this process and its peer together; CPU over `work` messages.
    pub(super) fn figures(
        &self,
        seconds: f64,
        messages: u64,
        work: u64,
        mtu: u16,
        peer: &PeerReport,
    ) -> Figures {
        let (resident, _) = macula::process();
        Figures {
            messages,
            seconds,
            per_second: if seconds > 0.0 {
                float(messages) / seconds
            } else {
                0.0
            },
            cpu_s_per_million: float(self.cpu().saturating_add(peer.cpu_nanos)) / 1e9 * 1e6
                / float(work.max(1)),
            rss_mib: float(resident.max(peer.resident_bytes)) / f64::from(1 << 20),
            mtu,
            ..Figures::default()
        }
    }
}
