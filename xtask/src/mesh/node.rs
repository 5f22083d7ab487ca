//! A node process, and three of them that know each other.

use std::time::Duration;

use serde_json::Value;

use super::child::{Child, Input};
use super::line::{self, Member, Ready};
use super::net::Place;
use super::signal::Signal;
use super::until::{Seen, until};
use super::world::{World, ensure};
use crate::failure::Failure;

/// How long a node may take to serve.
const READY_LIMIT: Duration = Duration::from_secs(15);
/// How long nodes may take to find each other.
const JOIN_LIMIT: Duration = Duration::from_secs(15);
/// How long a node may take to leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(15);
/// How long a signal may take to stop it.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A running `macula node run`.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    /// Its directory.
    pub(super) folder: String,
    /// Its id.
    pub(super) id: String,
    /// Where it listens.
    pub(super) listen: String,
    /// Its run.
    pub(super) epoch: u64,
    child: Child,
}

impl Node {
    /// Starts a node in a directory and waits until it serves.
    ///
    /// # Errors
    ///
    /// When it does not serve.
    pub(super) fn start(
        world: &World,
        name: &str,
        folder: &str,
        listen: &str,
        join: &[&str],
    ) -> Result<Self, Failure> {
        Self::start_at(world, name, folder, &Place::at(listen), join)
    }

    /// Starts a node at a place in a network.
    ///
    /// # Errors
    ///
    /// When it does not serve.
    pub(super) fn start_at(
        world: &World,
        name: &str,
        folder: &str,
        place: &Place,
        join: &[&str],
    ) -> Result<Self, Failure> {
        let run = ["node", "run", "--dir", folder];
        let arguments = [&run[..], &network(place, join)].concat();
        let child = world.start_by(&place.prefix, name, &arguments, Input::None)?;
        Self::ready(world, name, folder, child)
    }

    /// Starts a node that an application runs itself, which does `more` with it.
    ///
    /// # Errors
    ///
    /// When it does not serve.
    pub(super) fn played_at(
        world: &World,
        name: &str,
        folder: &str,
        place: &Place,
        join: &[&str],
        more: &[String],
    ) -> Result<Self, Failure> {
        let run = ["member", "--node", folder];
        let mut arguments = [&run[..], &network(place, join)].concat();
        arguments.extend(more.iter().map(String::as_str));
        let child = world.play_by(&place.prefix, name, &arguments, Input::None)?;
        Self::ready(world, name, folder, child)
    }

    /// Waits until a node serves.
    fn ready(world: &World, name: &str, folder: &str, mut child: Child) -> Result<Self, Failure> {
        let Some(first) = child.line(READY_LIMIT)? else {
            let status = child.wait(READY_LIMIT)?;
            let why = child.output().last_words();
            return Err(Failure::failed(format!(
                "{name} ended before it served ({status}): {why}"
            )));
        };
        let ready: Ready = line::read(&first)?;
        ensure(ready.event == "ready" && !ready.realm.is_empty(), || {
            format!("{name} said something else than that it is ready: {first}")
        })?;
        let mut node = Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            id: ready.node,
            listen: ready.listen,
            epoch: 0,
            child,
        };
        node.epoch = line::number(&node.status(world)?, "/epoch")?;
        Ok(node)
    }

    /// What it knows of the members.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(super) fn members(&self, world: &World) -> Result<Vec<Member>, Failure> {
        let answer = world.ask(&["members", "--node", &self.folder])?.expect(0)?;
        answer.lines.iter().map(line::read).collect()
    }

    /// What it says of itself and counts.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(super) fn status(&self, world: &World) -> Result<Value, Failure> {
        let answer = world.ask(&["status", "--node", &self.folder])?.expect(0)?;
        answer.only().cloned()
    }

    /// One of the numbers of [`status`](Self::status), below `stats`.
    ///
    /// # Errors
    ///
    /// When it does not answer, or does not know such a number.
    pub(super) fn stat(&self, world: &World, path: &str) -> Result<u64, Failure> {
        line::number(&self.status(world)?, &format!("/stats/{path}"))
    }

    /// Waits until it knows `count` members, all alive and linked. Returns how long that took.
    ///
    /// # Errors
    ///
    /// When that does not happen within `limit`.
    pub(super) fn knows(
        &self,
        world: &World,
        count: usize,
        limit: Duration,
    ) -> Result<Duration, Failure> {
        let what = format!("{count} members alive and linked at {}", self.name);
        let (_, took) = until(limit, &what, || {
            let members = self.members(world)?;
            let up = |member: &&Member| member.state == "alive" && member.linked;
            let all = members.len() == count && members.iter().filter(up).count() == count;
            Ok(Seen::when(all, || shown(&members)))
        })?;
        Ok(took)
    }

    /// Waits until it says of `other` that its state is one of `states`, or has forgotten it. Returns how long that
    /// took.
    ///
    /// # Errors
    ///
    /// When that does not happen within `limit`.
    pub(super) fn sees(
        &self,
        world: &World,
        other: &Self,
        states: &[&str],
        limit: Duration,
    ) -> Result<Duration, Failure> {
        let what = format!("{} seen as {states:?} by {}", other.name, self.name);
        let (_, took) = until(limit, &what, || {
            let members = self.members(world)?;
            let present = members.iter().find(|member| member.node == other.id);
            let gone = present.is_none_or(|member| states.contains(&member.state.as_str()));
            Ok(Seen::when(gone, || shown(&members)))
        })?;
        Ok(took)
    }

    /// Asks it to leave, and waits until it has done so in order.
    ///
    /// # Errors
    ///
    /// When it does not end with 0 within 15 seconds.
    pub(super) fn leave(&mut self) -> Result<(), Failure> {
        self.child.signal(Signal::Terminate)?;
        self.child.wait_for(0, LEAVE_LIMIT)
    }

    /// Kills it.
    ///
    /// # Errors
    ///
    /// When it has ended before.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()
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

    /// Its process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it ended, or if something in it panicked.
    ///
    /// # Errors
    ///
    /// See above.
    pub(super) fn is_well(&mut self, world: &World) -> Result<(), Failure> {
        if let Some(status) = self.child.ended()? {
            return Err(Failure::failed(format!(
                "{} ended by itself: {status}",
                self.name
            )));
        }
        let panics = self.stat(world, "panics")?;
        ensure(panics == 0, || format!("{} had {panics} panics", self.name))
    }
}

/// Where a node is in the network, for its command line.
fn network<'a>(place: &'a Place, join: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["--listen", place.listen.as_str()];
    if let Some(address) = &place.advertise {
        arguments.extend(["--advertise", address]);
    }
    for address in join {
        arguments.extend(["--join", address]);
    }
    arguments
}

/// Members in a few words.
fn shown(members: &[Member]) -> String {
    let words: Vec<String> = members
        .iter()
        .map(|member| {
            let link = if member.linked { "linked" } else { "no link" };
            format!(
                "{:.8} {} epoch {} {link}",
                member.node, member.state, member.epoch
            )
        })
        .collect();
    words.join(", ")
}

/// Three nodes of one realm, each with its own certificate, that all know each other.
#[derive(Debug)]
pub(super) struct Mesh {
    /// The one that the others joined by.
    pub(super) a: Node,
    pub(super) b: Node,
    pub(super) c: Node,
}

impl Mesh {
    /// Makes a realm and starts its nodes.
    ///
    /// # Errors
    ///
    /// When they do not find each other.
    pub(super) fn start(world: &World) -> Result<Self, Failure> {
        let realm = world.realm("realm", "be.acme.iot")?;
        let node = |name: &str, join: &[&str]| {
            let folder = world.issue(&realm, name)?;
            Node::start(world, name, &folder, "127.0.0.1:0", join)
        };
        let a = node("a", &[])?;
        let b = node("b", &[&a.listen])?;
        let c = node("c", &[&a.listen])?;
        for node in [&a, &b, &c] {
            node.knows(world, 3, JOIN_LIMIT)?;
        }
        Ok(Self { a, b, c })
    }
}
