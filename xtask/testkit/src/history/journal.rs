//! Journals as files of JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Did, History};

#[derive(Deserialize, Serialize)]
struct Line<'a> {
    at: u64,
    #[serde(borrow)]
    did: Did<&'a str>,
}

/// What an application writes while it runs. Each record is handed to the system before the call returns, so a kill of
/// the process loses none of them.
#[derive(Debug)]
pub struct Journal(Mutex<Open>);

#[derive(Debug)]
struct Open {
    file: File,
    line: Vec<u8>,
}

/// Why a journal cannot be written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The system refused.
    #[error("{path}: {cause}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A line is no record.
    #[error("{path}:{line}: {cause}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        cause: serde_json::Error,
    },
}

impl Journal {
    /// Begins a journal, or goes on with the one that is there; a last line without its end is cut off.
    ///
    /// # Errors
    ///
    /// [`JournalError::Io`].
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut options = File::options();
        let file = options.create(true).read(true).append(true).open(path);
        let mut file = file.map_err(|cause| io(path, cause))?;
        cut_torn(&mut file).map_err(|cause| io(path, cause))?;
        let line = Vec::new();
        Ok(Self(Mutex::new(Open { file, line })))
    }

    /// Writes down what happened just now by the wall clock, which all processes of a machine share.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn write(&self, did: Did<&str>) -> std::io::Result<()> {
        self.write_all([did])
    }

    /// Writes down several things at once.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn write_all<'a>(
        &self,
        deeds: impl IntoIterator<Item = Did<&'a str>>,
    ) -> std::io::Result<()> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Open { file, line } = &mut *open;
        line.clear();
        let at = wall();
        for did in deeds {
            serde_json::to_writer(&mut *line, &Line { at, did })?;
            line.push(b'\n');
        }
        file.write_all(line)
    }
}

/// Cuts off what stands behind the last line that has an end.
fn cut_torn(file: &mut File) -> std::io::Result<()> {
    let (mut whole, mut read) = (0_u64, 0_u64);
    let mut reader = BufReader::with_capacity(1 << 16, &mut *file);
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        let length = buffer.len();
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        if let Some(at) = buffer.iter().rposition(|byte| *byte == b'\n') {
            whole = read.saturating_add(count(at)).saturating_add(1);
        }
        read = read.saturating_add(count(length));
        reader.consume(length);
    }
    if whole < read {
        file.set_len(whole)?;
    }
    Ok(())
}

/// Microseconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "journals of several processes are compared by the clock that they share"
)]
fn wall() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

fn io(path: &Path, cause: std::io::Error) -> JournalError {
    let path = path.to_owned();
    JournalError::Io { path, cause }
}

pub(super) fn read(history: &mut History, actor: &str, path: &Path) -> Result<usize, JournalError> {
    let file = File::open(path).map_err(|cause| io(path, cause))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let actor = history.name(actor);
    let (mut buffer, mut line) = (Vec::new(), 0_usize);
    loop {
        buffer.clear();
        let read = reader.read_until(b'\n', &mut buffer);
        read.map_err(|cause| io(path, cause))?;
        if buffer.pop() != Some(b'\n') {
            return Ok(line);
        }
        line = line.saturating_add(1);
        let parsed: Result<Line<'_>, _> = serde_json::from_slice(&buffer);
        let Line { at, did } = parsed.map_err(|cause| {
            let path = path.to_owned();
            JournalError::Line { path, line, cause }
        })?;
        let did = did.map(|text| history.name(text));
        history.push(at, actor, did);
    }
}
