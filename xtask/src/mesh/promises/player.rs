//! One application of a scenario: a process that writes a journal, and can be killed and started again.

use std::time::Duration;

use serde_json::Value;

use crate::failure::Failure;
use crate::mesh::child::{Child, Input};
use crate::mesh::signal::Signal;
use crate::mesh::until::{Deadline, Seen, until};
use crate::mesh::world::World;

/// How long a player may take to begin.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take to end when it is asked to.
const END_LIMIT: Duration = Duration::from_secs(20);
/// How long a signal may take to stop it.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A running player.
#[derive(Debug)]
pub(super) struct Player {
    pub(super) name: String,
    arguments: Vec<String>,
    child: Child,
    /// The number that it told last.
    number: u64,
    /// How many of its calls were answered, of this process.
    answered: u64,
}

impl Player {
    /// Starts it and waits until it plays.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn start(
        world: &World,
        name: &str,
        arguments: Vec<String>,
    ) -> Result<Self, Failure> {
        let child = process(world, name, &arguments)?;
        Ok(Self {
            name: name.to_owned(),
            arguments,
            child,
            number: 0,
            answered: 0,
        })
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    ///
    /// When it has ended before.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()
    }

    /// Starts it again, with the same journal.
    ///
    /// # Errors
    ///
    /// When it does not begin.
    pub(super) fn again(&mut self, world: &World) -> Result<(), Failure> {
        self.child = process(world, &self.name, &self.arguments)?;
        self.answered = 0;
        Ok(())
    }

    /// Lets it stand still.
    ///
    /// # Errors
    ///
    /// When it has ended, or goes on nevertheless.
    pub(super) fn stop(&mut self) -> Result<(), Failure> {
        self.child.signal(Signal::Stop)?;
        let what = format!("{} stands still", self.name);
        until(STOP_LIMIT, &what, || {
            let still = self.child.stands_still()?;
            Ok(Seen::when(still, || "it runs".to_owned()))
        })?;
        Ok(())
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(super) fn resume(&mut self) -> Result<(), Failure> {
        self.child.signal(Signal::Continue)
    }

    /// The number of its last event or call, and how many calls were answered, as far as it told.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(super) fn progress(&mut self) -> Result<(u64, u64), Failure> {
        while let Some(line) = self.child.line_within(Duration::ZERO)? {
            self.take(&line);
        }
        if let Some(status) = self.child.ended()? {
            let why = self.child.output().last_words();
            let name = &self.name;
            return Err(Failure::failed(format!("{name} ended ({status}): {why}")));
        }
        Ok((self.number, self.answered))
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not end in order.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.child.signal(Signal::Terminate)?;
        self.child.wait_for(0, END_LIMIT)?;
        while let Some(line) = self.child.line(END_LIMIT)? {
            self.take(&line);
        }
        Ok(())
    }

    fn take(&mut self, line: &Value) {
        let number = |key| line.get(key).and_then(Value::as_u64);
        self.number = number("number").unwrap_or(self.number);
        self.answered = number("answered").unwrap_or(self.answered);
    }
}

fn process(world: &World, name: &str, arguments: &[String]) -> Result<Child, Failure> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let child = world.play(name, &arguments, Input::None)?;
    let deadline = Deadline::within(READY_LIMIT);
    let first = child.line(READY_LIMIT)?;
    let said = first.as_ref().and_then(|line| line.get("event"));
    if said.is_some_and(|said| said == "ready") {
        return Ok(child);
    }
    let why = child.output().last_words();
    Err(deadline.missed(&format!("{name} plays: {first:?}; {why}")))
}
