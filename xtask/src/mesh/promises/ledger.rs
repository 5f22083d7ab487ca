//! What the director of a scenario writes down: its faults, in the form of the players' journals.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::clock::wall;
use crate::failure::Failure;

/// The journal of the director, beside those of the players.
#[derive(Debug)]
pub(super) struct Ledger {
    folder: PathBuf,
    file: File,
}

impl Ledger {
    /// Begins it, in a directory that it makes.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(super) fn begin(folder: PathBuf) -> Result<Self, Failure> {
        let failed = |error| Failure::failed(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let file = File::create(folder.join("world.jsonl")).map_err(failed)?;
        Ok(Self { folder, file })
    }

    /// Where all journals are.
    pub(super) fn folder(&self) -> String {
        self.folder.display().to_string()
    }

    /// The journal of a player.
    pub(super) fn journal(&self, player: &str) -> PathBuf {
        self.folder.join(format!("{player}.jsonl"))
    }

    /// How long the journal of a player is.
    pub(super) fn length(&self, player: &str) -> u64 {
        std::fs::metadata(self.journal(player)).map_or(0, |file| file.len())
    }

    /// A node is asked to leave.
    pub(super) fn down(&mut self, node: &str) -> Result<(), Failure> {
        self.write(&json!({"down": {"node": node}}))
    }

    /// A node serves, and all others know it. One that is `durable` keeps what it accepted over its own death.
    pub(super) fn up(&mut self, node: &str, durable: bool) -> Result<(), Failure> {
        self.write(&json!({"up": {"node": node, "durable": durable}}))
    }

    /// A node keeps what others accepted.
    pub(super) fn keeps(&mut self, node: &str) -> Result<(), Failure> {
        self.write(&json!({"keeps": {"node": node}}))
    }

    /// A node or a player was killed.
    pub(super) fn killed(&mut self, who: &str) -> Result<(), Failure> {
        self.write(&json!({"killed": {"who": who}}))
    }

    /// Something is wrong from here on; somebody who stands still is named.
    pub(super) fn broken(&mut self, what: &str) -> Result<(), Failure> {
        self.write(&json!({"broken": {"what": what}}))
    }

    /// It is no longer.
    pub(super) fn mended(&mut self, what: &str) -> Result<(), Failure> {
        self.write(&json!({"mended": {"what": what}}))
    }

    /// Nothing moves any more.
    pub(super) fn quiet(&mut self) -> Result<(), Failure> {
        self.write(&json!("quiet"))
    }

    fn write(&mut self, did: &Value) -> Result<(), Failure> {
        let at = u64::try_from(wall().as_micros()).unwrap_or(u64::MAX);
        let line = json!({"at": at, "did": did});
        writeln!(self.file, "{line}")
            .map_err(|error| Failure::failed(format!("{}: {error}", self.folder.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_written_as_players_write() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::begin(folder.path().join("journals")).unwrap();
        ledger.killed("n1").unwrap();
        ledger.quiet().unwrap();
        let text = std::fs::read_to_string(ledger.journal("world")).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines[0]["did"], json!({"killed": {"who": "n1"}}));
        assert_eq!(lines[1]["did"], "quiet");
        assert!(lines[0]["at"].as_u64() <= lines[1]["at"].as_u64());
        assert_eq!(ledger.length("nobody"), 0);
    }
}
