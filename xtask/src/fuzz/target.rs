//! One run of one target.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::report::Report;
use crate::failure::Failure;
use crate::process::Tool;

/// Selects the target in the binary.
const VARIABLE: &str = "MACULA_FUZZ_TARGET";
/// The longest that one input may take, in seconds.
const TIMEOUT: u64 = 10;
/// The most that a run may have resident, in MiB.
const MEMORY: u64 = 1024;
/// The longest input, in bytes, when nothing is said; a corpus of short inputs is found and replayed faster.
const MAX_INPUT: u64 = 4096;

/// How much a target is fuzzed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effort {
    /// The committed corpus, once.
    Replay,
    /// This many executions.
    Runs(u64),
    /// This many seconds.
    Seconds(u64),
}

/// The binary with all targets, and the folders that it works in.
#[derive(Debug)]
pub(super) struct Fuzzer {
    binary: PathBuf,
    folder: PathBuf,
    found: tempfile::TempDir,
    max_input: u64,
}

impl Fuzzer {
    /// A fuzzer at `binary` for the fuzz crate in `folder`.
    ///
    /// # Errors
    ///
    /// When no temporary directory can be made.
    pub(super) fn new(binary: PathBuf, folder: PathBuf) -> Result<Self, Failure> {
        let found = tempfile::tempdir()
            .map_err(|error| Failure::failed(format!("no temporary directory: {error}")))?;
        Ok(Self {
            binary,
            folder,
            found,
            max_input: MAX_INPUT,
        })
    }

    /// Makes no input longer than `bytes`: shorter inputs run more often in the same time.
    pub(super) fn limit_inputs(&mut self, bytes: u64) {
        self.max_input = bytes.max(1);
    }

    /// The names of all targets.
    ///
    /// # Errors
    ///
    /// When the binary does not run.
    pub(super) fn targets(&self) -> Result<Vec<String>, Failure> {
        let list = self.start("--list").output()?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// The binary, with `target` selected.
    pub(super) fn start(&self, target: &str) -> Tool {
        Tool::new(&self.binary).env(VARIABLE, target)
    }

    /// The committed inputs of `target`.
    pub(super) fn committed(&self, target: &str) -> PathBuf {
        self.folder.join("corpus").join(target)
    }

    /// The folders of the committed corpus: the name of each, and how many inputs it holds.
    ///
    /// # Errors
    ///
    /// When the corpus cannot be listed.
    pub(super) fn corpora(&self) -> Result<BTreeMap<String, usize>, Failure> {
        let folder = self.folder.join("corpus");
        let entries = std::fs::read_dir(&folder).map_err(|error| {
            Failure::failed(format!("cannot list {}: {error}", folder.display()))
        })?;
        let counted = entries.flatten().map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                files(&entry.path()),
            )
        });
        Ok(counted.collect())
    }

    /// The inputs of `target` that this run found.
    pub(super) fn found(&self, target: &str) -> PathBuf {
        self.found.path().join(target)
    }

    /// Replays the committed corpus of `target`, then fuzzes it.
    pub(super) fn run(&self, target: &str, effort: Effort) -> Report {
        let prepared = self.prepare(target);
        let replay = prepared.and_then(|()| self.once(target, Effort::Replay));
        match replay {
            Ok(report) if effort == Effort::Replay || report.failure.is_some() => report,
            Ok(_replayed) => self
                .once(target, effort)
                .unwrap_or_else(|failure| Report::not_started(target, &failure)),
            Err(failure) => Report::not_started(target, &failure),
        }
    }

    /// Makes the folders that the binary expects.
    fn prepare(&self, target: &str) -> Result<(), Failure> {
        for folder in [
            self.committed(target),
            self.found(target),
            self.artifacts(target),
        ] {
            std::fs::create_dir_all(&folder).map_err(|error| {
                Failure::failed(format!("cannot make {}: {error}", folder.display()))
            })?;
        }
        Ok(())
    }

    fn artifacts(&self, target: &str) -> PathBuf {
        self.folder.join("artifacts").join(target)
    }

    fn once(&self, target: &str, effort: Effort) -> Result<Report, Failure> {
        let mut tool = self
            .start(target)
            .arg("-print_final_stats=1")
            .arg(format!("-timeout={TIMEOUT}"))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg(format!("-max_len={}", self.max_input))
            .arg(format!(
                "-artifact_prefix={}/",
                self.artifacts(target).display()
            ));
        tool = match effort {
            Effort::Replay => tool.arg("-runs=0"),
            Effort::Runs(runs) => tool.arg(format!("-runs={runs}")).arg(self.found(target)),
            Effort::Seconds(seconds) => tool
                .arg(format!("-max_total_time={seconds}"))
                .arg(self.found(target)),
        };
        let (succeeded, _stdout, stderr) = tool.arg(self.committed(target)).captured()?;
        let corpus = files(&self.committed(target));
        let mut report = Report::read(target, corpus, &stderr);
        if !succeeded && report.failure.is_none() {
            report.failure = Some("the fuzzer stopped for an unknown reason".to_owned());
        }
        Ok(report)
    }

    /// Removes the directories of artifacts that nothing was written to.
    pub(super) fn clean(&self) {
        let folders = std::fs::read_dir(self.folder.join("artifacts"));
        for folder in folders.into_iter().flatten().flatten() {
            // Fails for a directory that holds something, which is what keeps it.
            drop(std::fs::remove_dir(folder.path()));
        }
    }
}

/// How many files lie in `folder`.
pub(super) fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, |entries| entries.flatten().count())
}
