//! What a run takes of the machine that it runs on.

use std::time::Instant;

/// A running stop watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch(Instant);

impl Watch {
    /// Starts at zero.
    #[expect(
        clippy::disallowed_methods,
        reason = "the speed of the simulator is measured in real time"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    pub(crate) fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// The most memory that this process has held so far in MiB; `None` where the system does not tell.
pub(crate) fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?
        .trim()
        .trim_end_matches("kB")
        .trim_end()
        .parse()
        .ok()?;
    Some(kib / 1_024.0)
}
