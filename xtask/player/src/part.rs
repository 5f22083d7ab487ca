//! What all parts have in common: a node, a journal, and being asked to end.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use macula::{Client, NodeDirectory};
use macula_testkit::history::{Did, Journal, JournalError};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long to wait before a node that does not run is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// Where a part is played, and by whom.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Part {
    /// The directory of the node to attach to.
    #[arg(long, value_name = "DIR")]
    node: PathBuf,
    /// The file to write down in what happens; its name without the ending is that of the application.
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,
}

/// Why a part cannot be played on.
#[derive(Debug, Error)]
pub(crate) enum Failed {
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Something else cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The directory of a node cannot be used.
    #[error("{0}")]
    Setup(String),
    /// Macula refused what is no fault of the scenario.
    #[error(transparent)]
    Macula(#[from] macula::Error),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(&'static str),
}

impl Failed {
    /// The directory of a node cannot be used.
    pub(crate) fn setup(error: impl std::fmt::Display) -> Self {
        Self::Setup(error.to_string())
    }
}

/// Plays a part in a thread of its own runtime.
pub(crate) fn play(part: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(part)
}

#[expect(clippy::print_stderr, reason = "the last words of a program")]
pub(crate) fn say_why(failed: &Failed) {
    eprintln!("{failed}");
}

/// Tells whoever directs the scenario. That nobody listens any more stops nobody.
pub(crate) fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{line}"));
    drop(out.flush());
}

/// Tells that the part is being played.
pub(crate) fn say_ready() {
    say(&json!({"event": "ready"}));
}

impl Part {
    /// The name of the application.
    pub(crate) fn name(&self) -> String {
        let name = self.journal.file_stem().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The directory of the node.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.node
    }

    /// Opens the journal, behind what an earlier process of this application wrote.
    pub(crate) fn open(&self) -> Result<Arc<Journal>, Failed> {
        Ok(Arc::new(Journal::open(&self.journal)?))
    }

    /// The number after the last one that earlier processes gave away, by `number_of` each record.
    pub(crate) fn next_number(
        &self,
        number_of: impl Fn(&Did) -> Option<u64>,
    ) -> Result<u64, Failed> {
        let mut history = macula_testkit::history::History::new();
        history.read(&self.name(), &self.journal)?;
        let records = history.records().iter();
        let last = records.filter_map(|record| number_of(&record.did)).max();
        Ok(last.map_or(0, |last| last.saturating_add(1)))
    }

    /// Attaches to the node, as soon as it runs, and writes that down.
    pub(crate) async fn attached(&self, journal: &Journal) -> Result<Client, Failed> {
        let directory = NodeDirectory::new(&self.node);
        loop {
            if let Ok(client) = Client::local(&directory).await {
                let node = client.member().to_string();
                journal.write(Did::Attached { node: &node })?;
                return Ok(client);
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// SIGTERM, which asks to end in order.
#[derive(Debug)]
pub(crate) struct Asked {
    signal: Signal,
    came: bool,
}

impl Asked {
    /// Begins to listen.
    pub(crate) fn listen() -> Result<Self, Failed> {
        let signal = signal(SignalKind::terminate())?;
        Ok(Self {
            signal,
            came: false,
        })
    }

    /// Resolves when the signal has come. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        if !self.came {
            self.signal.recv().await;
            self.came = true;
        }
    }
}

/// Why a link was left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// All is done, or the signal came.
    Done,
    /// The link was lost.
    Lost,
}
