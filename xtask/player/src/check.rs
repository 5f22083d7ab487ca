//! Comparing what all have written with what is promised.

use std::path::{Path, PathBuf};
use std::time::Duration;

use macula_testkit::history::{History, Limits, Report};
use serde_json::{Map, Value, json};

use super::part::{Failed, say};

/// How journals end.
const ENDING: &str = "jsonl";

/// Compare the journals in a directory with what is promised.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Where the journals are: files whose names end with `.jsonl`.
    folder: PathBuf,
    /// Subscribers are slow on purpose: what is owed may arrive at any time.
    #[arg(long)]
    slow: bool,
    /// How much later than its deadline a call or a publish may end, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 250)]
    slack_ms: u64,
}

pub(crate) fn run(args: &Args) -> Result<(), Failed> {
    let mut history = History::new();
    let journals = journals(&args.folder)?;
    if journals.is_empty() {
        return Err(Failed::Usage("there is no journal in this directory"));
    }
    for path in journals {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        history.read(&name, &path)?;
    }
    let mut limits = Limits::default();
    limits.slack = Duration::from_millis(args.slack_ms);
    if args.slow {
        limits.arrival = None;
    }
    let report = history.check(&limits);
    say(&answer(&history, &report));
    Ok(())
}

/// The journals in a directory, by name.
fn journals(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn answer(history: &History, report: &Report) -> Value {
    let totals = &report.totals;
    let broken: Map<String, Value> = report
        .broken
        .iter()
        .map(|(rule, count)| (format!("{rule:?}"), Value::from(*count)))
        .collect();
    json!({
        "event": "checked",
        "kept": report.is_kept(),
        "records": totals.records,
        "accepted": totals.accepted,
        "reliable": totals.reliable,
        "refused": totals.refused,
        "receipts": totals.receipts,
        "delivered": totals.delivered,
        "gaps": totals.gaps,
        "missing": totals.missing,
        "answered": totals.answered,
        "failed": totals.failed,
        "runs": totals.runs,
        "broken": broken,
        "explained": report.explain(history),
    })
}
