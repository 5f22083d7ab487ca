//! Counts of instructions, and how far they may lie from the committed ones.

use std::collections::BTreeMap;

/// Instructions by scenario.
pub(super) type Counts = BTreeMap<String, u64>;

/// Above this share of the baseline, in percent, a scenario is pointed out.
const WARN_ABOVE: u64 = 102;
/// Above this share of the baseline, in percent, a scenario fails.
const FAIL_ABOVE: u64 = 105;

/// The result of a comparison.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Verdict {
    /// One line a scenario.
    pub(super) lines: Vec<String>,
    /// Whether a scenario fails.
    pub(super) failed: bool,
}

/// Compares `counts` with `baseline`; a scenario that only one of them has fails.
pub(super) fn compare(baseline: &Counts, counts: &Counts) -> Verdict {
    let mut verdict = Verdict::default();
    for (scenario, count) in counts {
        let (line, failed) = match baseline.get(scenario) {
            None => (
                format!("{scenario:32} {count:>12}  FAILS: not in the baseline"),
                true,
            ),
            Some(known) => judge(scenario, *known, *count),
        };
        verdict.lines.push(line);
        verdict.failed |= failed;
    }
    for scenario in baseline
        .keys()
        .filter(|scenario| !counts.contains_key(*scenario))
    {
        verdict.lines.push(format!(
            "{scenario:32} {:>12}  FAILS: no such scenario",
            "-"
        ));
        verdict.failed = true;
    }
    verdict
}

/// The line of a scenario, and whether it fails.
fn judge(scenario: &str, known: u64, count: u64) -> (String, bool) {
    let exceeds = |percent: u64| {
        u128::from(count).saturating_mul(100) > u128::from(known).saturating_mul(percent.into())
    };
    let note = if exceeds(FAIL_ABOVE) {
        "FAILS"
    } else if exceeds(WARN_ABOVE) {
        "warning"
    } else {
        "ok"
    };
    (
        format!("{scenario:32} {count:>12}  baseline {known:>12}  {note}"),
        note == "FAILS",
    )
}

/// The count in what callgrind wrote to its standard error.
pub(super) fn read(stderr: &str) -> Option<u64> {
    let line = stderr
        .lines()
        .find_map(|line| line.split_once("Collected : "))?;
    line.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[track_caller]
    fn check(count: u64, note: &str, failed: bool) {
        let verdict = compare(&counts(&[("a", 1000)]), &counts(&[("a", count)]));
        assert!(verdict.lines[0].ends_with(note), "{verdict:?}");
        assert_eq!(verdict.failed, failed, "{verdict:?}");
    }

    #[test]
    fn two_percent_warn_and_five_fail() {
        check(900, "ok", false);
        check(1020, "ok", false);
        check(1021, "warning", false);
        check(1050, "warning", false);
        check(1051, "FAILS", true);
    }

    #[test]
    fn scenarios_and_baseline_must_match() {
        assert!(compare(&counts(&[]), &counts(&[("a", 1)])).failed);
        assert!(compare(&counts(&[("a", 1)]), &counts(&[])).failed);
        assert!(!compare(&counts(&[("a", 1)]), &counts(&[("a", 1)])).failed);
    }

    #[test]
    fn the_count_of_callgrind_is_read() {
        assert_eq!(read("==7== \n==7== Collected : 2046342\n"), Some(2_046_342));
        assert_eq!(read("==7== no counts\n"), None);
    }
}
