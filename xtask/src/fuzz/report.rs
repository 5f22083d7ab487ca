//! What a run of libFuzzer said.

use std::fmt;

use crate::failure::Failure;

/// The lines of a crash that are shown.
const SHOWN: usize = 40;

/// The result of one target.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Report {
    pub(super) target: String,
    pub(super) executions: u64,
    pub(super) per_second: u64,
    /// Inputs in the committed corpus.
    pub(super) corpus: usize,
    /// Inputs with new coverage that this run added.
    pub(super) new: u64,
    /// In one line, why the target failed.
    pub(super) failure: Option<String>,
    /// The end of what the run printed.
    tail: String,
}

impl Report {
    /// Reads what a run wrote to its standard error.
    pub(super) fn read(target: &str, corpus: usize, stderr: &str) -> Self {
        let lines: Vec<&str> = stderr.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(SHOWN)..)
            .unwrap_or_default()
            .join("\n");
        Self {
            target: target.to_owned(),
            executions: statistic(stderr, "number_of_executed_units"),
            per_second: statistic(stderr, "average_exec_per_sec"),
            corpus,
            new: statistic(stderr, "new_units_added"),
            failure: failure(stderr),
            tail,
        }
    }

    /// A run that did not happen.
    pub(super) fn not_started(target: &str, failure: &Failure) -> Self {
        Self {
            target: target.to_owned(),
            failure: Some(failure.to_string()),
            ..Self::default()
        }
    }

    /// What a person needs to look into the failure.
    pub(super) fn details(&self) -> String {
        format!(
            "{}\n\nThe input is in xtask/fuzz/artifacts/{}: copy it to xtask/fuzz/corpus/{} as \
             crash-WHAT, mend the code, and repeat with\n    cargo xtask fuzz --replay {}",
            self.tail, self.target, self.target, self.target
        )
    }
}

/// The number behind `stat::name:`.
fn statistic(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| {
            line.strip_prefix("stat::")?
                .strip_prefix(name)?
                .strip_prefix(':')
        })
        .find_map(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

/// Why a run failed: the panic if there is one, else what libFuzzer found.
fn failure(text: &str) -> Option<String> {
    let error = text
        .lines()
        .find_map(|line| line.split_once("ERROR: libFuzzer: "))?
        .1;
    let mut lines = text
        .lines()
        .skip_while(|line| !line.contains("panicked at"));
    let panic = lines.next().map(|place| {
        let what = lines.next().unwrap_or_default();
        let place = place
            .split_once("panicked at ")
            .map_or(place, |(_thread, place)| place);
        format!("{} {}", place.trim(), what.trim())
    });
    Some(panic.unwrap_or_else(|| error.to_owned()))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:24} {:>10} executions {:>8}/s, corpus {:>3}, new {:>4}, {}",
            self.target,
            self.executions,
            self.per_second,
            self.corpus,
            self.new,
            self.failure.as_deref().unwrap_or("no crash")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistics_are_read() {
        let text = "#8042969 DONE\nstat::number_of_executed_units: 8042969\n\
                    stat::average_exec_per_sec:     1340494\nstat::new_units_added:          6\n";
        let report = Report::read("frame", 3, text);
        assert_eq!(report.executions, 8_042_969);
        assert_eq!(report.per_second, 1_340_494);
        assert_eq!(report.new, 6);
        assert_eq!(report.failure, None);
        assert!(report.to_string().contains("no crash"));
    }

    #[test]
    fn a_panic_is_told_in_one_line() {
        let text = "\nthread '<unnamed>' (5) panicked at src/targets.rs:7:9:\nassertion failed: x\n\
                    note: run with `RUST_BACKTRACE=1`\n==5== ERROR: libFuzzer: deadly signal\n";
        let report = Report::read("frame", 3, text);
        assert_eq!(
            report.failure.as_deref(),
            Some("src/targets.rs:7:9: assertion failed: x")
        );
        assert!(report.details().contains("cargo xtask fuzz --replay frame"));
    }

    #[test]
    fn a_timeout_is_a_failure() {
        let report = Report::read(
            "frame",
            3,
            "==5== ERROR: libFuzzer: timeout after 11 seconds\n",
        );
        assert_eq!(report.failure.as_deref(), Some("timeout after 11 seconds"));
    }
}
