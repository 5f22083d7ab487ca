//! Where one scenario takes place: a directory, the command, and what was started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::binary::by;
use super::child::{Child, Input, Output};
use super::guard::Guard;
use super::net;
use crate::clock::Watch;
use crate::failure::Failure;
use crate::process::{read, root};

/// How long a command that answers and ends may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The longest directory whose sockets have names that every system takes.
const MAX_FOLDER_LEN: usize = 60;

/// The surroundings of one run of a scenario. Its directory goes with it, unless something failed.
#[derive(Debug)]
pub(super) struct World {
    program: Program,
    /// What plays applications, where the scenario has some.
    players: Option<PathBuf>,
    folder: Mutex<Option<TempDir>>,
    started: Mutex<Vec<Arc<Output>>>,
    guard: Arc<Guard>,
    settings: Settings,
}

/// What can be chosen for a run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings {
    /// What carries packets in scenarios with faults of the network.
    pub(super) net: net::Kind,
    /// How long scenarios last that show that nothing happens; one minute unless set.
    pub(super) minutes: Option<u64>,
    /// How many events are published in scenarios about promises, all together.
    pub(super) events: Option<u64>,
}

/// The command, as it is started in a directory.
#[derive(Clone, Debug)]
pub(super) struct Program {
    binary: PathBuf,
    path: PathBuf,
    /// What stands before all arguments.
    flags: &'static [&'static str],
}

/// What a command answered.
#[derive(Debug)]
pub(super) struct Answer {
    line: String,
    /// Its exit code; nothing when a signal ended it.
    pub(super) code: Option<i32>,
    /// What it wrote to standard output.
    pub(super) lines: Vec<Value>,
    /// How long it took, start and end of the process included.
    pub(super) took: Duration,
    last_words: String,
}

impl World {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// When no directory can be made.
    pub(super) fn new(name: &str, binary: &Path, settings: Settings) -> Result<Self, Failure> {
        let usual = std::env::temp_dir();
        let base = if usual.as_os_str().len() > MAX_FOLDER_LEN {
            PathBuf::from("/tmp")
        } else {
            usual
        };
        let folder = tempfile::Builder::new()
            .prefix("mesh-")
            .tempdir_in(&base)
            .map_err(|error| Failure::failed(format!("{name}: {}: {error}", base.display())))?;
        let guard = Guard::start()?;
        guard.folder(folder.path());
        Ok(Self {
            program: Program {
                binary: binary.to_owned(),
                path: folder.path().to_owned(),
                flags: &["--json"],
            },
            players: None,
            folder: Mutex::new(Some(folder)),
            started: Mutex::default(),
            guard: Arc::new(guard),
            settings,
        })
    }

    /// With a program that plays applications.
    pub(super) fn with_players(mut self, players: Option<&Path>) -> Self {
        self.players = players.map(Path::to_owned);
        self
    }

    /// What was chosen for this run.
    pub(super) const fn settings(&self) -> Settings {
        self.settings
    }

    /// Who cleans up if we cannot.
    pub(super) const fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// The command.
    pub(super) const fn program(&self) -> &Program {
        &self.program
    }

    /// The path of something in the directory.
    pub(super) fn path(&self, name: &str) -> String {
        self.program.path.join(name).display().to_string()
    }

    /// Starts the command and goes on.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn start(
        &self,
        name: &str,
        arguments: &[&str],
        input: Input<'_>,
    ) -> Result<Child, Failure> {
        self.start_by(&[], name, arguments, input)
    }

    /// Starts the command by another one that stands before it, and that it takes the place of.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(super) fn start_by(
        &self,
        prefix: &[String],
        name: &str,
        arguments: &[&str],
        input: Input<'_>,
    ) -> Result<Child, Failure> {
        let mut command = self.program.command(prefix, arguments);
        self.started_by(name, &mut command, input)
    }

    fn started_by(
        &self,
        name: &str,
        command: &mut Command,
        input: Input<'_>,
    ) -> Result<Child, Failure> {
        let child = Child::start(name, command, input)?.guarded(&self.guard);
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.push(child.output());
        Ok(child)
    }

    /// Starts a player and goes on.
    ///
    /// # Errors
    ///
    /// When it cannot be started, and in a scenario that has none.
    pub(super) fn play(
        &self,
        name: &str,
        arguments: &[&str],
        input: Input<'_>,
    ) -> Result<Child, Failure> {
        self.play_by(&[], name, arguments, input)
    }

    /// Starts a player by another command that stands before it, and that it takes the place of.
    ///
    /// # Errors
    ///
    /// As [`play`](Self::play).
    pub(super) fn play_by(
        &self,
        prefix: &[String],
        name: &str,
        arguments: &[&str],
        input: Input<'_>,
    ) -> Result<Child, Failure> {
        let players = self.players.as_ref();
        let players = players.ok_or_else(|| Failure::failed("this scenario has no players"))?;
        let mut command = by(prefix, players);
        command
            .args(arguments)
            .current_dir(&self.program.path)
            .env("RUST_BACKTRACE", "1");
        self.started_by(name, &mut command, input)
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    ///
    /// See [`Program::ask`].
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<Answer, Failure> {
        self.program.ask(arguments)
    }

    /// Makes the root of a realm. Returns its directory.
    ///
    /// # Errors
    ///
    /// When the command fails.
    pub(super) fn realm(&self, folder: &str, realm: &str) -> Result<String, Failure> {
        let path = self.path(folder);
        self.ask(&["realm", "create", "--realm", realm, "--out", &path])?
            .expect(0)?;
        Ok(path)
    }

    /// Issues a certificate. Returns the directory of the identity.
    ///
    /// # Errors
    ///
    /// When the command fails.
    pub(super) fn issue(&self, realm: &str, folder: &str) -> Result<String, Failure> {
        let path = self.path(folder);
        self.ask(&["cert", "issue", "--realm", realm, "--out", &path])?
            .expect(0)?;
        Ok(path)
    }

    /// Writes `lines` to a file. Returns its path.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn file(&self, name: &str, lines: &[String]) -> Result<PathBuf, Failure> {
        let path = self.program.path.join(name);
        let mut text = lines.join("\n");
        text.push('\n');
        std::fs::write(&path, text)
            .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        Ok(path)
    }

    /// Tells what every process wrote last, and keeps the directory.
    pub(super) fn report(&self) {
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        for output in started.iter() {
            eprint!("{}", output.report());
        }
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = folder.take() {
            self.guard.folder_is_kept();
            eprintln!("-- its directory is kept: {}", folder.keep().display());
        }
    }
}

impl Program {
    /// Whether the help of a subcommand has a word in it.
    pub(super) fn knows(&self, subcommand: &str, word: &str) -> bool {
        let help = Command::new(&self.binary)
            .args([subcommand, "--help"])
            .output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(word))
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started, does not end within 30 seconds, or writes something that is no JSON.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<Answer, Failure> {
        let line = arguments.join(" ");
        let watch = Watch::start();
        let mut child = Child::start(&line, &mut self.command(&[], arguments), Input::None)?;
        let status = child.wait(ANSWER_LIMIT)?;
        let took = watch.elapsed();
        let mut lines = Vec::new();
        while let Some(value) = child.line(ANSWER_LIMIT)? {
            lines.push(value);
        }
        Ok(Answer {
            line,
            code: status.code(),
            lines,
            took,
            last_words: child.output().last_words(),
        })
    }

    fn command(&self, prefix: &[String], arguments: &[&str]) -> Command {
        let mut command = by(prefix, &self.binary);
        command
            .args(self.flags)
            .args(arguments)
            .current_dir(&self.path)
            .env_remove("MACULA_NODE")
            .env_remove("MACULA_LOG")
            .env("RUST_BACKTRACE", "1");
        command
    }
}

impl Answer {
    /// The answer, if the command ended with `code`.
    ///
    /// # Errors
    ///
    /// When it ended otherwise.
    pub(super) fn expect(self, code: i32) -> Result<Self, Failure> {
        self.expect_one_of(&[code])
    }

    /// The answer, if the command ended with one of `codes`.
    ///
    /// # Errors
    ///
    /// When it ended otherwise.
    pub(super) fn expect_one_of(self, codes: &[i32]) -> Result<Self, Failure> {
        if self.code.is_some_and(|code| codes.contains(&code)) {
            return Ok(self);
        }
        Err(Failure::failed(format!(
            "`macula {}` ended with {:?} instead of {codes:?}: {}",
            self.line, self.code, self.last_words
        )))
    }

    /// The only line of the answer.
    ///
    /// # Errors
    ///
    /// When there is none or more than one.
    pub(super) fn only(&self) -> Result<&Value, Failure> {
        match self.lines.as_slice() {
            [line] => Ok(line),
            lines => Err(Failure::failed(format!(
                "`macula {}` wrote {} lines instead of one",
                self.line,
                lines.len()
            ))),
        }
    }

    /// What it said last on standard error.
    pub(super) fn last_words(&self) -> &str {
        &self.last_words
    }
}

/// `count` real readings of a city, from line `from` on.
///
/// # Errors
///
/// When the tree has fewer.
pub(super) fn readings(city: &str, from: usize, count: usize) -> Result<Vec<String>, Failure> {
    let text = read(&root().join(format!("macula/data/{city}-temps.csv")))?;
    // The first line names the columns.
    let lines: Vec<String> = text
        .lines()
        .skip(1)
        .skip(from)
        .take(count)
        .map(str::to_owned)
        .collect();
    if lines.len() == count {
        return Ok(lines);
    }
    Err(Failure::failed(format!(
        "macula/data has {} readings of {city} from {from} on, not {count}",
        lines.len()
    )))
}

/// Fails with `text` unless `holds`.
///
/// # Errors
///
/// When it does not hold.
pub(super) fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds {
        Ok(())
    } else {
        Err(Failure::failed(text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> World {
        World::new("test", Path::new("/bin/sh"), Settings::default()).unwrap()
    }

    #[test]
    fn readings_are_those_of_the_tree() {
        let lines = readings("seattle", 0, 3).unwrap();
        assert_eq!(lines[0], "2010-01-01T00:00,39.4");
        assert_eq!(readings("seattle", 2, 1).unwrap(), lines[2..]);
        assert!(readings("seattle", 8_000, 1_000).is_err());
        assert!(readings("atlantis", 0, 1).is_err());
    }

    #[test]
    fn an_answer_is_held_to_its_exit_code() {
        let mut world = empty();
        world.program.flags = &[];
        let ask = |script: &str| world.ask(&["-c", script]).unwrap();
        let answer = ask("echo '{}'; exit 4").expect_one_of(&[3, 4]).unwrap();
        assert!(answer.only().is_ok());
        assert!(ask("echo 1; echo 2").only().is_err());
        let failure = ask("echo why >&2; exit 4").expect(0).unwrap_err();
        assert!(failure.to_string().contains("why"), "{failure}");
    }

    #[test]
    fn the_directory_is_kept_for_a_failure_only() {
        let world = empty();
        let path = world.program.path.clone();
        drop(world);
        assert!(!path.exists());
        let world = empty();
        let path = world.program.path.clone();
        world.report();
        drop(world);
        assert!(path.exists());
        std::fs::remove_dir_all(path).unwrap();
    }
}
