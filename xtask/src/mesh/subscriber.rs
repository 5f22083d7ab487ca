//! Processes that publish, subscribe, serve and call.

use std::path::Path;
use std::time::Duration;

use super::child::{Child, Input};
use super::history::{Feed, History};
use super::line;
use super::node::Node;
use super::signal::Signal;
use super::until::{Deadline, Seen, until};
use super::world::{Answer, World, ensure};
use crate::failure::Failure;

/// What is published and subscribed to.
pub(super) const PATTERN: &str = "weather.*.temperature";
/// The topic on which it is found out whether events get through.
const PROBE: &str = "weather.probe.temperature";

/// How long a command may take to attach to its node.
const ATTACH_LIMIT: Duration = Duration::from_secs(10);
/// How long interest and offers may take to be known everywhere.
const SPREAD_LIMIT: Duration = Duration::from_secs(10);
/// How long a command that was asked to end may take.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A running `macula sub`, and the history of what it was told.
#[derive(Debug)]
pub(super) struct Subscriber {
    child: Child,
    history: History,
}

impl Subscriber {
    /// Subscribes at `node`, with further arguments, and waits until that is so.
    ///
    /// # Errors
    ///
    /// When it does not come about.
    pub(super) fn start(
        world: &World,
        name: &str,
        node: &Node,
        pattern: &str,
        more: &[&str],
    ) -> Result<Self, Failure> {
        let mut arguments = vec!["sub", pattern, "--node", &node.folder];
        arguments.extend(more);
        let child = world.start(name, &arguments, Input::None)?;
        announced(&child, "subscribed")?;
        Ok(Self {
            child,
            history: History::default(),
        })
    }

    /// What it was told so far, as far as that was read.
    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// What it was told of a publisher's topic; empty before the first word of it.
    pub(super) fn feed(&self, node: &Node, topic: &str) -> Feed {
        let feed = self.history.feed(&node.id, topic);
        feed.cloned().unwrap_or_default()
    }

    /// Reads what it was told meanwhile.
    ///
    /// # Errors
    ///
    /// When it has ended, and when a promise was broken.
    pub(super) fn read(&mut self) -> Result<(), Failure> {
        while self.next(Duration::ZERO)? {}
        self.is_kept()
    }

    /// Reads until `holds`.
    ///
    /// # Errors
    ///
    /// When that does not happen within `limit`, when it ends before, and when a promise was broken.
    pub(super) fn until(
        &mut self,
        limit: Duration,
        what: &str,
        holds: impl Fn(&History) -> bool,
    ) -> Result<(), Failure> {
        let deadline = Deadline::within(limit);
        loop {
            if holds(&self.history) {
                return self.is_kept();
            }
            self.is_kept()?;
            let told = match deadline.left() {
                Some(left) => self.next(left)?,
                None => false,
            };
            if !told {
                let name = self.child.name();
                return Err(deadline.missed(&format!("{what} at {name}; {}", self.shown())));
            }
        }
    }

    /// Reads until the latest run of a topic is accounted for up to `count` events from its first on.
    ///
    /// # Errors
    ///
    /// See [`until`](Self::until).
    pub(super) fn accounts(
        &mut self,
        node: &Node,
        topic: &str,
        count: u64,
        limit: Duration,
    ) -> Result<Feed, Failure> {
        let what = format!("{count} events of {} on {topic}", node.name);
        self.until(limit, &what, |history| {
            history
                .feed(&node.id, topic)
                .is_some_and(|feed| feed.epoch == node.epoch && feed.accounted() >= count)
        })?;
        Ok(self.feed(node, topic))
    }

    /// Takes one line into the history; says whether there was one within `limit`.
    fn next(&mut self, limit: Duration) -> Result<bool, Failure> {
        if let Some(line) = self.child.line_within(limit)? {
            self.history.push(line::read(&line)?);
            return Ok(true);
        }
        if self.child.ended()?.is_some() {
            return Err(Failure::failed(format!(
                "{} ended: {}",
                self.child.name(),
                self.child.output().last_words()
            )));
        }
        Ok(false)
    }

    fn is_kept(&self) -> Result<(), Failure> {
        let violations = self.history.violations();
        ensure(violations.is_empty(), || {
            format!("{}: {}", self.child.name(), violations.join("; "))
        })
    }

    fn shown(&self) -> String {
        format!("it was told of {}", self.history)
    }

    /// Lets it stand still.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(super) fn pause(&mut self) -> Result<(), Failure> {
        self.child.signal(Signal::Stop)
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(super) fn resume(&mut self) -> Result<(), Failure> {
        self.child.signal(Signal::Continue)
    }

    /// Asks it to end, and reads what it was told until then.
    ///
    /// # Errors
    ///
    /// When it does not end in order, and when a promise was broken.
    pub(super) fn stop(mut self) -> Result<History, Failure> {
        self.child.signal(Signal::Terminate)?;
        self.child.wait_for(0, END_LIMIT)?;
        while let Some(line) = self.child.line(END_LIMIT)? {
            self.history.push(line::read(&line)?);
        }
        self.is_kept()?;
        Ok(self.history)
    }
}

/// Waits for the first line of a command, which has to be `event`.
pub(super) fn announced(child: &Child, event: &str) -> Result<(), Failure> {
    let first = child.line(ATTACH_LIMIT)?;
    let said = first.as_ref().and_then(|line| line.get("event"));
    ensure(said.is_some_and(|said| said == event), || {
        let why = child.output().last_words();
        format!("{} is not {event}: {first:?}; {why}", child.name())
    })
}

/// Publishes from each of `nodes` until all of `subscribers` have got an event of its present run.
///
/// # Errors
///
/// When that does not happen within 10 seconds.
pub(super) fn connected(
    world: &World,
    nodes: &[&Node],
    subscribers: &mut [&mut Subscriber],
) -> Result<(), Failure> {
    for node in nodes {
        let what = format!("events of {} at every subscriber", node.name);
        until(SPREAD_LIMIT, &what, || {
            world
                .ask(&["pub", PROBE, "probe", "--node", &node.folder])?
                .expect(0)?;
            let mut deaf = Vec::new();
            for subscriber in subscribers.iter_mut() {
                subscriber.read()?;
                if subscriber.feed(node, PROBE).epoch != node.epoch {
                    deaf.push(subscriber.child.name().to_owned());
                }
            }
            Ok(Seen::when(deaf.is_empty(), || {
                format!("nothing at {}", deaf.join(", "))
            }))
        })?;
    }
    Ok(())
}

/// Starts `macula pub`, which publishes the lines of a file, with further arguments.
///
/// # Errors
///
/// When it cannot be started.
pub(super) fn publish(
    world: &World,
    node: &Node,
    topic: &str,
    lines: &Path,
    more: &[&str],
) -> Result<Child, Failure> {
    let mut arguments = vec!["pub", topic, "--send-on", "newline", "--node", &node.folder];
    arguments.extend(more);
    let name = format!("pub at {}", node.name);
    world.start(&name, &arguments, Input::File(lines))
}

/// Waits until `macula pub` has published `count` events.
///
/// # Errors
///
/// When it does not end with that number within `limit`.
pub(super) fn published(mut child: Child, count: usize, limit: Duration) -> Result<(), Failure> {
    child.wait_for(0, limit)?;
    let last = child.line(limit)?;
    let said = last.as_ref().and_then(|line| line.get("count"));
    ensure(said.is_some_and(|said| *said == count), || {
        format!("{} did not publish {count}: {last:?}", child.name())
    })
}

/// Asks `macula pub` to end. Returns how many events it has published.
///
/// # Errors
///
/// When it does not end with 0.
pub(super) fn published_until_now(mut child: Child) -> Result<u64, Failure> {
    child.signal(Signal::Terminate)?;
    child.wait_for(0, END_LIMIT)?;
    let last = child.line(END_LIMIT)?.unwrap_or_default();
    line::number(&last, "/count")
}

/// Starts `macula serve` at a node, with `more` behind it, and waits until the node knows.
///
/// # Errors
///
/// When it does not come about.
pub(super) fn serve(
    world: &World,
    node: &Node,
    procedure: &str,
    more: &[&str],
) -> Result<Child, Failure> {
    let mut arguments = vec!["serve", procedure, "--node", &node.folder];
    arguments.extend(more);
    let name = format!("serve at {}", node.name);
    let child = world.start(&name, &arguments, Input::None)?;
    announced(&child, "serving")?;
    Ok(child)
}

/// Asks a command that serves or publishes to end.
///
/// # Errors
///
/// When it does not end with 0.
pub(super) fn stopped(mut child: Child) -> Result<(), Failure> {
    child.signal(Signal::Terminate)?;
    child.wait_for(0, END_LIMIT)
}

/// Calls from `node`.
///
/// # Errors
///
/// When the command does not end by itself.
pub(super) fn call(
    world: &World,
    node: &Node,
    procedure: &str,
    arguments: &str,
    deadline: &str,
) -> Result<Answer, Failure> {
    world.ask(&[
        "call",
        procedure,
        arguments,
        "--deadline",
        deadline,
        "--node",
        &node.folder,
    ])
}

/// Calls from `node` until the procedure is known there. Returns the result as text.
///
/// # Errors
///
/// When that does not happen within 10 seconds, and when the call fails in another way.
pub(super) fn call_known(
    world: &World,
    node: &Node,
    procedure: &str,
    arguments: &str,
) -> Result<String, Failure> {
    let what = format!("{procedure} called from {}", node.name);
    let (answer, _took) = until(SPREAD_LIMIT, &what, || {
        let answer = call(world, node, procedure, arguments, "5s")?;
        Ok(if answer.code == Some(4) {
            Seen::NotYet(answer.last_words().to_owned())
        } else {
            Seen::Yes(answer.expect(0)?)
        })
    })?;
    let line = answer.only()?;
    let payload = line.get("payload").and_then(serde_json::Value::as_str);
    payload
        .map(str::to_owned)
        .ok_or_else(|| Failure::failed(format!("no text came back from {procedure}: {line}")))
}
