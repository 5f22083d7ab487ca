//! Nodes with players at them, and what has to hold at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::ledger::Ledger;
use super::player::Player;
use super::verdict;
use crate::clock::wall;
use crate::failure::Failure;
use crate::mesh::counts::Counts;
use crate::mesh::fleet::Fleet;
use crate::mesh::journal::Expected;
use crate::mesh::until::{Deadline, pause};
use crate::mesh::world::{World, ensure};

/// How many nodes there are. Nobody plays at the first, which the others join by, and at the one before the last.
pub(super) const SIZE: usize = 7;
/// The one that an application runs itself, which publishes with QoS 1 and wants receipts.
pub(super) const MEMBER: usize = 6;
/// The name of that application.
pub(super) const RELIABLE: &str = "m6";
/// How much it writes down in each step at least: some hundred events.
const RELIABLE_BYTES: u64 = 30_000;
/// What the players call.
const PROCEDURES: [&str; 2] = ["promises.quick", "promises.slow"];
const JOIN_LIMIT: Duration = Duration::from_secs(60);
/// How long events and calls may take to go on after a fault.
const FLOW_LIMIT: Duration = Duration::from_secs(90);
/// How many calls of each caller are answered before a step is over.
const ANSWERS: u64 = 20;

/// A scenario that is being played.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) world: &'a World,
    pub(super) fleet: Fleet<'a>,
    pub(super) ledger: Ledger,
    pub(super) players: BTreeMap<&'static str, Player>,
    /// How many events all writers publish in one step.
    step: u64,
    /// Whether the application that is a node keeps on disk what it published.
    is_durable: bool,
    /// Ids of all nodes that ever ran.
    nodes: Vec<String>,
    since: Duration,
}

impl<'a> Stage<'a> {
    /// Starts the nodes; their players will publish `step` events in each step, the one that is a node to disk if it `is_durable`.
    ///
    /// # Errors
    ///
    /// When they do not begin.
    pub(super) fn set(
        world: &'a World,
        step: u64,
        is_durable: bool,
        prepare: impl FnOnce(&mut Fleet<'a>) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let since = wall();
        let mut fleet = Fleet::new(world, SIZE)?;
        prepare(&mut fleet)?;
        let mut ledger = Ledger::begin(world.path("journals").into())?;
        let mut nodes = Vec::new();
        let journal = ledger.journal(RELIABLE).display().to_string();
        let topics = [
            "--topic", "q.sure", "--topic", "q.safe", "--topic", "q.kept",
        ];
        let part = [&["--journal", &journal][..], &topics].concat();
        let pace = ["--every-us", "16000"];
        let kept: &[&str] = if is_durable { &["--durable"] } else { &[] };
        let more = part
            .iter()
            .chain(&pace)
            .chain(kept)
            .map(|word| (*word).to_owned());
        fleet.played(MEMBER, more.collect())?;
        for number in 0..SIZE {
            fleet.start(number, &[0])?;
            nodes.push(fleet.id(number)?);
        }
        fleet.agree(JOIN_LIMIT)?;
        for (number, node) in nodes.iter().enumerate() {
            ledger.up(node, is_durable && number == MEMBER)?;
        }
        Ok(Self {
            world,
            fleet,
            ledger,
            players: BTreeMap::new(),
            step,
            is_durable,
            nodes,
            since,
        })
    }

    /// Starts the players.
    ///
    /// # Errors
    ///
    /// When one does not begin.
    pub(super) fn cast(&mut self) -> Result<(), Failure> {
        self.reader("r2", 2, "p.**", &[])?;
        self.reader("r3", 3, "p.one.*", &[])?;
        self.reader("r4", 4, "p.**", &[])?;
        self.reader("ra", 3, "q.**", &["--nack-each", "7"])?;
        self.reader("rq", 4, "q.**", &[])?;
        self.reader("rf", 2, "q.**", &[])?;
        self.reader("g3", 3, "q.**", &["--group", "crew"])?;
        self.reader("g4", 4, "q.**", &["--group", "crew"])?;
        let [quick, slow] = PROCEDURES;
        self.enter("s3", 3, &["serve", quick])?;
        self.enter("s4", 4, &["serve", slow, "--takes-ms", "40"])?;
        self.enter(
            "w1",
            1,
            &[
                "write",
                "--topic",
                "p.one.a",
                "--topic",
                "p.one.b",
                "--every-us",
                "8000",
            ],
        )?;
        self.enter(
            "w2",
            2,
            &["write", "--topic", "p.two.a", "--every-us", "8000"],
        )?;
        self.enter("c1", 1, &["call", quick])?;
        let take_back = ["--cancel-each", "5", "--cancel-after-ms", "20"];
        self.enter("c2", 2, &[&["call", slow][..], &take_back].concat())?;
        Ok(())
    }

    /// Starts a player who subscribes.
    ///
    /// # Errors
    ///
    /// When that does not come about.
    pub(super) fn reader(
        &mut self,
        name: &'static str,
        node: usize,
        pattern: &str,
        more: &[&str],
    ) -> Result<(), Failure> {
        self.enter(name, node, &[&["read", pattern][..], more].concat())
    }

    fn enter(&mut self, name: &'static str, node: usize, part: &[&str]) -> Result<(), Failure> {
        let folder = self.fleet.node(node)?.folder.clone();
        let journal = self.ledger.journal(name).display().to_string();
        let place = ["--node", folder.as_str(), "--journal", journal.as_str()];
        let arguments = part.iter().chain(&place);
        let arguments = arguments.map(|word| (*word).to_owned()).collect();
        let player = Player::start(self.world, name, arguments)?;
        self.players.insert(name, player);
        Ok(())
    }

    /// One of the players.
    ///
    /// # Errors
    ///
    /// When nobody has that name.
    pub(super) fn player(&mut self, name: &str) -> Result<&mut Player, Failure> {
        let player = self.players.get_mut(name);
        player.ok_or_else(|| Failure::failed(format!("no player {name}")))
    }

    /// The names of those who do something, by the first letter.
    pub(super) fn names(&self, kind: char) -> Vec<&'static str> {
        let names = self.players.keys().copied();
        names.filter(|name| name.starts_with(kind)).collect()
    }

    /// Waits until all writers have published their part of a step, each caller has got answers, and each reader was told
    /// something.
    ///
    /// # Errors
    ///
    /// When that does not happen within 90 seconds and the time that the events take.
    pub(super) fn flow(&mut self) -> Result<(), Failure> {
        let idle = self.idle_but(&[])?;
        ensure(idle.is_empty(), || format!("nothing goes on: {idle}"))
    }

    /// As [`flow`](Self::flow), but for some from whom nothing is expected. Says who else stood still.
    ///
    /// # Errors
    ///
    /// When a player ends.
    pub(super) fn idle_but(&mut self, excused: &[&str]) -> Result<String, Failure> {
        let writers = u64::try_from(self.names('w').len().max(1)).unwrap_or(1);
        let share = self.step.checked_div(writers).unwrap_or(0);
        let mut goals: Vec<(&'static str, u64)> = Vec::new();
        for name in self.names('w').into_iter().chain(self.names('c')) {
            if excused.contains(&name) {
                continue;
            }
            let (number, answered) = self.player(name)?.progress()?;
            let goal = if name.starts_with('w') {
                number.saturating_add(share)
            } else {
                answered.saturating_add(ANSWERS)
            };
            goals.push((name, goal));
        }
        for (names, bytes) in [(self.names('r'), 1), (vec![RELIABLE], RELIABLE_BYTES)] {
            let names = names.into_iter().filter(|name| !excused.contains(name));
            goals.extend(names.map(|name| (name, self.ledger.length(name).saturating_add(bytes))));
        }
        let deadline = Deadline::within(FLOW_LIMIT.saturating_add(Duration::from_millis(share)));
        loop {
            let mut idle = Vec::new();
            for (name, goal) in &goals {
                let reached = if name.starts_with(['r', 'm']) {
                    self.ledger.length(name)
                } else {
                    let (number, answered) = self.player(name)?.progress()?;
                    if name.starts_with('w') {
                        number
                    } else {
                        answered
                    }
                };
                if reached < *goal {
                    idle.push(format!("{name} is at {reached}, not {goal}"));
                }
            }
            if idle.is_empty() || deadline.left().is_none() {
                return Ok(idle.join(", "));
            }
            pause();
        }
    }

    /// Kills a node. Its players go on when it is back.
    ///
    /// # Errors
    ///
    /// When it has ended before.
    pub(super) fn kill_node(&mut self, number: usize) -> Result<(), Failure> {
        let id = self.fleet.id(number)?;
        self.fleet.kill(number)?;
        // Written down when nothing can happen there any more.
        self.ledger.killed(&id)?;
        if number == MEMBER {
            self.ledger.killed(RELIABLE)?;
        }
        Ok(())
    }

    /// Lets a node leave in order.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn dismiss_node(&mut self, number: usize) -> Result<(), Failure> {
        let id = self.fleet.id(number)?;
        self.ledger.down(&id)?;
        self.fleet.dismiss(number)
    }

    /// Starts a node again and waits until all others know it.
    ///
    /// # Errors
    ///
    /// When that does not happen.
    pub(super) fn start_node(&mut self, number: usize) -> Result<Duration, Failure> {
        let started = wall();
        self.fleet.start(number, &[0, SIZE.saturating_sub(1)])?;
        let took = self.fleet.welcomed(number, started, JOIN_LIMIT)?;
        let is_durable = self.is_durable && number == MEMBER;
        self.ledger.up(&self.fleet.id(number)?, is_durable)?;
        Ok(took)
    }

    /// Kills a player and starts it again with the same journal.
    ///
    /// # Errors
    ///
    /// When it has ended before, or does not begin again.
    pub(super) fn kill_player(&mut self, name: &str) -> Result<(), Failure> {
        let world = self.world;
        self.player(name)?.kill()?;
        self.ledger.killed(name)?;
        self.player(name)?.again(world)
    }

    /// Lets who publishes and calls end, waits until nothing moves, and compares everything with what is promised.
    ///
    /// # Errors
    ///
    /// When a promise was broken, with the records that show it.
    pub(super) fn end(mut self, counts: Counts) -> Result<Counts, Failure> {
        for name in self.names('w').into_iter().chain(self.names('c')) {
            self.player(name)?.end()?;
        }
        // It waits for its receipts.
        self.dismiss_node(MEMBER)?;
        let who: Vec<&str> = self.names('r').into_iter().chain(self.names('s')).collect();
        verdict::is_still(&self.ledger, &who)?;
        let answer = verdict::kept(self.world, &mut self.ledger)?;
        for name in self.names('r').into_iter().chain(self.names('s')) {
            self.player(name)?.end()?;
        }
        self.fleet
            .is_well(self.since, &Expected::deaths_of(&self.nodes))?;
        let mut counts = counts;
        for key in [
            "accepted",
            "reliable",
            "receipts",
            "delivered",
            "missing",
            "gaps",
            "answered",
            "failed",
            "runs",
        ] {
            let count = answer.get(key).and_then(Value::as_u64).unwrap_or(0);
            counts = counts.with(key, count);
        }
        for key in ["reliable", "receipts", "delivered", "answered", "runs"] {
            let count = answer.get(key).and_then(Value::as_u64).unwrap_or(0);
            ensure(count > 0, || format!("nothing was {key}: {answer}"))?;
        }
        Ok(counts)
    }
}
