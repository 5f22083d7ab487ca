//! One process that a scenario started: its lines, its end, and a guard that kills it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::guard::Guard;
use super::signal::Signal;
use super::until::{Deadline, pause};
use crate::failure::Failure;

/// How many lines of standard error are kept for a report.
const KEPT_STDERR: usize = 30;
/// How many lines of standard output are kept for a report.
const KEPT_STDOUT: usize = 5;

/// What a process reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input<'a> {
    /// Nothing.
    None,
    /// A file.
    File(&'a Path),
}

/// A running process. Dropping it kills it and waits for its end.
///
/// It shares our process group, so Ctrl-C on a terminal ends it too; the guard ends it if we are killed.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    output: Arc<Output>,
    guard: Option<Arc<Guard>>,
}

/// What a process wrote.
#[derive(Debug)]
pub(super) struct Output {
    name: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Lines of standard output that nobody took yet.
    lines: VecDeque<Result<Value, String>>,
    stdout_tail: VecDeque<String>,
    stderr_tail: VecDeque<String>,
    stdout_ended: bool,
    stderr_ended: bool,
    exit: Option<ExitStatus>,
}

impl Child {
    /// Starts `command`, whose lines will be known as those of `name`.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or its input cannot be opened.
    pub(super) fn start(
        name: &str,
        command: &mut Command,
        input: Input<'_>,
    ) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("{name}: {error}"));
        let stdin = match input {
            Input::None => Stdio::null(),
            Input::File(path) => Stdio::from(std::fs::File::open(path).map_err(failed)?),
        };
        let mut process = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let output = Arc::new(Output {
            name: name.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        if let Some(stdout) = process.stdout.take() {
            let output = Arc::clone(&output);
            std::thread::spawn(move || output.read_stdout(stdout));
        }
        if let Some(stderr) = process.stderr.take() {
            let output = Arc::clone(&output);
            std::thread::spawn(move || output.read_stderr(stderr));
        }
        Ok(Self {
            process,
            output,
            guard: None,
        })
    }

    /// Lets `guard` end it if we cannot.
    pub(super) fn guarded(mut self, guard: &Arc<Guard>) -> Self {
        guard.started(self.process.id());
        self.guard = Some(Arc::clone(guard));
        self
    }

    fn unguarded(&self) {
        if let Some(guard) = &self.guard {
            guard.ended(self.process.id());
        }
    }

    /// What it is called in reports.
    pub(super) fn name(&self) -> &str {
        &self.output.name
    }

    /// What it wrote, for a report after its end.
    pub(super) fn output(&self) -> Arc<Output> {
        Arc::clone(&self.output)
    }

    /// The next line of its standard output; nothing at its end.
    ///
    /// # Errors
    ///
    /// When none comes within `limit`, or when it is no JSON.
    pub(super) fn line(&self, limit: Duration) -> Result<Option<Value>, Failure> {
        let deadline = Deadline::within(limit);
        let mut state = self.output.lock();
        loop {
            match state.lines.pop_front() {
                Some(Ok(value)) => return Ok(Some(value)),
                Some(Err(text)) => {
                    let name = self.name();
                    return Err(Failure::failed(format!("{name} wrote no JSON: {text}")));
                }
                None if state.stdout_ended => return Ok(None),
                None => {}
            }
            state = self.output.wait(state, deadline, "a line")?;
        }
    }

    /// The next line of its standard output; nothing when none comes within `limit`, and at its end.
    ///
    /// # Errors
    ///
    /// When it is no JSON.
    pub(super) fn line_within(&self, limit: Duration) -> Result<Option<Value>, Failure> {
        let deadline = Deadline::within(limit);
        let mut state = self.output.lock();
        while state.lines.is_empty() && !state.stdout_ended {
            let Some(left) = deadline.left() else {
                return Ok(None);
            };
            let waited = self.output.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        self.line(limit)
    }

    /// Whether it has ended; says how.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let status = self
            .process
            .try_wait()
            .map_err(|error| Failure::failed(format!("{}: {error}", self.name())))?;
        if status.is_some() {
            self.output.lock().exit = status;
        }
        Ok(status)
    }

    /// Waits for its end and for all that it wrote. Says how it ended.
    ///
    /// # Errors
    ///
    /// When it does not end within `limit`.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<ExitStatus, Failure> {
        let deadline = Deadline::within(limit);
        {
            let mut state = self.output.lock();
            while !(state.stdout_ended && state.stderr_ended) {
                state = self.output.wait(state, deadline, "its end")?;
            }
        }
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if deadline.left().is_none() {
                return Err(deadline.missed(&format!("the end of {}", self.name())));
            }
            pause();
        }
    }

    /// Waits for its end, which has to be with `code`.
    ///
    /// # Errors
    ///
    /// When it does not end within `limit`, or ends in another way.
    pub(super) fn wait_for(&mut self, code: i32, limit: Duration) -> Result<(), Failure> {
        let status = self.wait(limit)?;
        if status.code() == Some(code) {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "{} ended with {status} instead of exit status {code}: {}",
            self.name(),
            self.output.last_words()
        )))
    }

    /// Sends a signal, by the shell's own `kill`, which every system has.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub(super) fn signal(&mut self, signal: Signal) -> Result<(), Failure> {
        // Asked first, so that the number cannot be that of somebody else by now.
        if let Some(status) = self.ended()? {
            return Err(Failure::failed(format!(
                "{} has ended already ({status}): {}",
                self.name(),
                self.output.last_words()
            )));
        }
        signal.send(self.process.id())
    }

    /// Its number in the system, which is nobody else's while this handle has not seen its end.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it was stopped by a signal, as `ps` tells.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub(super) fn stands_still(&self) -> Result<bool, Failure> {
        let asked = Command::new("ps")
            .args(["-o", "state=", "-p", &self.process.id().to_string()])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Failure::failed(format!("ps: {error}")))?;
        Ok(asked.stdout.trim_ascii().starts_with(b"T"))
    }

    /// Kills it, as a power cut would, and waits for its end.
    ///
    /// # Errors
    ///
    /// When it ended before by itself, and when the system does not let us.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        if let Some(status) = self.ended()? {
            return Err(Failure::failed(format!(
                "{} ended before it was killed ({status}): {}",
                self.name(),
                self.output.last_words()
            )));
        }
        let killed = self
            .process
            .kill()
            .and_then(|()| self.process.wait())
            .map_err(|error| Failure::failed(format!("{}: {error}", self.name())))?;
        self.unguarded();
        self.output.lock().exit = Some(killed);
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
            drop(self.process.kill());
            if let Ok(status) = self.process.wait() {
                self.output.lock().exit.get_or_insert(status);
            }
        }
        self.unguarded();
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something changes.
    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Deadline,
        what: &str,
    ) -> Result<MutexGuard<'a, State>, Failure> {
        let Some(left) = deadline.left() else {
            return Err(deadline.missed(&format!("{what} of {}", self.name)));
        };
        let waited = self.changed.wait_timeout(state, left);
        Ok(waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn read_stdout(&self, stdout: impl Read) {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let parsed = serde_json::from_str(&line).map_err(|_error| line.clone());
            let mut state = self.lock();
            state.lines.push_back(parsed);
            keep(&mut state.stdout_tail, line, KEPT_STDOUT);
            drop(state);
            self.changed.notify_all();
        }
        self.lock().stdout_ended = true;
        self.changed.notify_all();
    }

    fn read_stderr(&self, stderr: impl Read) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            keep(&mut self.lock().stderr_tail, line, KEPT_STDERR);
        }
        self.lock().stderr_ended = true;
        self.changed.notify_all();
    }

    /// The last line of its standard error.
    pub(super) fn last_words(&self) -> String {
        let state = self.lock();
        let last = state.stderr_tail.back();
        last.map_or_else(|| "(nothing on standard error)".to_owned(), Clone::clone)
    }

    /// How it ended and what it wrote last, as text.
    pub(super) fn report(&self) -> String {
        let state = self.lock();
        let end = state
            .exit
            .map_or_else(|| "was running".to_owned(), |exit| exit.to_string());
        let mut text = format!("-- {} ({end})\n", self.name);
        for line in &state.stdout_tail {
            text.push_str(&format!("   out: {line}\n"));
        }
        for line in &state.stderr_tail {
            text.push_str(&format!("   err: {line}\n"));
        }
        text
    }
}

/// Adds a line to the last `count` ones.
fn keep(tail: &mut VecDeque<String>, line: String, count: usize) {
    if tail.len() >= count {
        tail.pop_front();
    }
    tail.push_back(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::start("shell", &mut command, Input::None).unwrap()
    }

    #[test]
    fn lines_come_in_order_and_the_end_is_seen() {
        let mut child = shell("echo '{\"n\":1}'; echo '{\"n\":2}'; echo oops >&2; exit 3");
        assert_eq!(child.line(LONG).unwrap().unwrap()["n"], 1);
        assert_eq!(child.line(LONG).unwrap().unwrap()["n"], 2);
        assert!(child.line(LONG).unwrap().is_none());
        assert!(child.wait_for(3, LONG).is_ok());
        assert_eq!(child.output().last_words(), "oops");
        assert!(child.output().report().contains("err: oops"));
        let failure = child.wait_for(0, LONG).unwrap_err().to_string();
        assert!(failure.contains("oops"), "{failure}");
    }

    #[test]
    fn what_is_no_json_is_a_failure() {
        let child = shell("echo hello");
        assert!(child.line(LONG).is_err());
    }

    #[test]
    fn a_process_that_says_nothing_is_not_waited_for_without_end() {
        let mut child = shell("while :; do :; done");
        assert!(child.line(Duration::from_millis(1)).is_err());
        assert!(child.wait(Duration::from_millis(1)).is_err());
        child.kill().unwrap();
        assert!(child.ended().unwrap().is_some());
        assert!(child.kill().is_err());
    }

    #[test]
    fn signals_reach_the_process() {
        let mut child = shell("trap 'exit 7' TERM; echo 1; while :; do :; done");
        assert!(child.line(LONG).unwrap().is_some());
        child.signal(Signal::Stop).unwrap();
        child.signal(Signal::Continue).unwrap();
        child.signal(Signal::Terminate).unwrap();
        child.wait_for(7, LONG).unwrap();
        assert!(child.signal(Signal::Terminate).is_err());
    }

    #[test]
    fn a_process_ends_when_it_is_dropped() {
        let child = shell("while :; do :; done");
        let output = child.output();
        drop(child);
        assert!(output.lock().exit.is_some());
    }
}
