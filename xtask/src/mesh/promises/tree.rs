//! Twenty-four nodes that all want a topic: its events go along a tree, of which branches are killed while events go.
//!
//! Each node is run by an application that subscribes, and one of them publishes. All write down what they do and are told.
//! Whoever lives gets every event, or is told which are missing; a third of them take events in any order.

use std::time::Duration;

use serde_json::Value;

use super::ledger::Ledger;
use super::verdict;
use crate::clock::wall;
use crate::failure::Failure;
use crate::mesh::counts::Counts;
use crate::mesh::fleet::Fleet;
use crate::mesh::journal::Expected;
use crate::mesh::until::{Seen, until};
use crate::mesh::world::{World, ensure};

const SIZE: usize = 24;
/// The one that publishes. It starts last, when all others have subscribed.
const PUBLISHER: usize = SIZE - 1;
const TOPIC: &str = "tree.leaves";
/// How many events are published at least, unless set, and how often how many of them. The publisher goes on until all that is
/// to be killed was, however long that takes.
const EVENTS: u64 = 2_400;
const BURST: &str = "4";
const EVERY_US: &str = "20000";
/// Every how many-th application takes events in any order.
const UNORDERED: usize = 3;
/// How many nodes are killed.
const KILLS: usize = 3;
/// The file that says so.
const ENOUGH: &str = "enough";
const JOIN_LIMIT: Duration = Duration::from_secs(60);
/// How many bytes more a journal has when its reader got some tens of events.
const SOME: u64 = 10_000;
/// How long that may take, whoever was killed before.
const FLOW_LIMIT: Duration = Duration::from_secs(20);

/// The nodes, and what they write.
struct Play<'a> {
    world: &'a World,
    fleet: Fleet<'a>,
    ledger: Ledger,
    names: Vec<String>,
    killed: Vec<String>,
}

pub(in crate::mesh) fn run(world: &World) -> Result<Counts, Failure> {
    let since = wall();
    let mut play = Play::set(world)?;
    let joined = play.begin()?;
    play.flow()?;
    for _kill in 0..KILLS {
        play.kill()?;
        play.flow()?;
    }
    world.file(ENOUGH, &[])?;
    let names: Vec<&str> = play.living().map(|number| play.name(number)).collect();
    verdict::is_still(&play.ledger, &names)?;
    let answer = verdict::kept(world, &mut play.ledger)?;
    let used = play.used()?;
    play.fleet
        .is_well(since, &Expected::deaths_of(&play.killed))?;
    let mut counts = Counts::default()
        .with("nodes", wide(SIZE))
        .with("killed", wide(play.killed.len()))
        .with_time("joined_s", joined);
    for key in ["accepted", "delivered", "missing"] {
        let count = answer.get(key).and_then(Value::as_u64).unwrap_or(0);
        counts = counts.with(key, count);
    }
    let published = answer.get("accepted").and_then(Value::as_u64);
    ensure(published >= Some(events(world)), || {
        format!("{} events were to be published: {answer}", events(world))
    })?;
    Ok(used.tell(counts))
}

fn events(world: &World) -> u64 {
    world.settings().events.unwrap_or(EVENTS)
}

impl<'a> Play<'a> {
    /// Makes the nodes, of which each is run by an application.
    fn set(world: &'a World) -> Result<Self, Failure> {
        let mut fleet = Fleet::new(world, SIZE)?;
        let ledger = Ledger::begin(world.path("journals").into())?;
        let names: Vec<String> = (0..SIZE).map(|number| format!("m{number}")).collect();
        for (number, name) in names.iter().enumerate() {
            let journal = ledger.journal(name).display().to_string();
            let mut part = vec!["--journal".to_owned(), journal];
            part.extend(["--read", "tree.*"].map(str::to_owned));
            if number % UNORDERED == 0 {
                part.push("--unordered".to_owned());
            }
            if number == PUBLISHER {
                let count = events(world).to_string();
                let more = ["--topic", TOPIC, "--qos", "0", "--count", &count];
                let members = SIZE.to_string();
                let enough = world.path(ENOUGH);
                let pace = [
                    "--burst",
                    BURST,
                    "--every-us",
                    EVERY_US,
                    "--members",
                    &members,
                    "--enough",
                    &enough,
                ];
                part.extend(more.iter().chain(&pace).map(|word| (*word).to_owned()));
            }
            fleet.played(number, part)?;
        }
        Ok(Self {
            world,
            fleet,
            ledger,
            names,
            killed: Vec::new(),
        })
    }

    /// Starts all but the publisher, waits until they know each other, and starts that as well. Returns how long they took.
    fn begin(&mut self) -> Result<Duration, Failure> {
        let since = wall();
        for number in 0..PUBLISHER {
            self.fleet.start(number, &[0])?;
        }
        self.fleet.agree(JOIN_LIMIT)?;
        let took = wall().saturating_sub(since);
        // It waits for the others before it publishes.
        self.fleet.start(PUBLISHER, &[0])?;
        for number in 0..SIZE {
            self.ledger.up(&self.fleet.id(number)?, false)?;
        }
        Ok(took)
    }

    fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }

    fn living(&self) -> impl Iterator<Item = usize> {
        self.fleet.running().into_iter()
    }

    /// Waits until everybody who lives got more events.
    fn flow(&self) -> Result<(), Failure> {
        let length = |number| self.ledger.length(self.name(number));
        let goals = self
            .living()
            .map(|number| (number, length(number).saturating_add(SOME)));
        let goals: Vec<(usize, u64)> = goals.collect();
        until(FLOW_LIMIT, "everybody gets events", || {
            let mut idle = goals
                .iter()
                .filter(|(number, goal)| length(*number) < *goal);
            let idle = idle.next();
            let why = || format!("m{} gets none", idle.map_or(0, |(number, _)| *number));
            Ok(Seen::when(idle.is_none(), why))
        })?;
        Ok(())
    }

    /// Kills the one that passes on the most.
    fn kill(&mut self) -> Result<(), Failure> {
        let mut best = None;
        for number in self
            .living()
            .filter(|number| ![0, PUBLISHER].contains(number))
        {
            let pushed = self.fleet.node(number)?.stat(self.world, "trees/pushed")?;
            best = best.max(Some((pushed, number)));
        }
        let (pushed, victim) = best.unwrap_or_default();
        ensure(pushed > 0, || "nobody passes anything on".to_owned())?;
        let (id, name) = (self.fleet.id(victim)?, self.name(victim).to_owned());
        self.fleet.kill(victim)?;
        self.ledger.killed(&id)?;
        self.ledger.killed(&name)?;
        self.killed.push(id);
        Ok(())
    }

    /// What those who live say of the tree.
    fn used(&self) -> Result<Used, Failure> {
        let mut used = Used::default();
        for number in self.living() {
            let node = self.fleet.node(number)?;
            let stat = |name: &str| node.stat(self.world, name);
            let (pushed, received) = (stat("trees/pushed")?, stat("trees/received")?);
            if number == PUBLISHER {
                used.by_publisher = pushed;
                continue;
            }
            ensure(received > 0, || {
                format!("nothing came to {} along a tree", self.name(number))
            })?;
            used.by_others = used.by_others.saturating_add(pushed);
            used.received = used.received.saturating_add(received);
            used.duplicates = used.duplicates.saturating_add(stat("trees/duplicates")?);
            used.grafts = used.grafts.saturating_add(stat("trees/grafts")?);
            used.early = used.early.saturating_add(stat("counts/events_early")?);
            used.most = used.most.max(received);
        }
        used.is_tree()?;
        Ok(used)
    }
}

/// Batches, as nodes count them.
#[derive(Default)]
struct Used {
    by_publisher: u64,
    by_others: u64,
    received: u64,
    duplicates: u64,
    grafts: u64,
    /// Events that were handed out before earlier ones had come.
    early: u64,
    /// What one node received at most, which is about what was published.
    most: u64,
}

impl Used {
    /// Whether others carried most of it, each batch to each once, apart from what trees take to grow and to heal.
    fn is_tree(&self) -> Result<(), Failure> {
        let copies = self.most.saturating_mul(wide(SIZE)).checked_div(2);
        let is_few = self.by_publisher < copies.unwrap_or(0);
        ensure(is_few && self.by_others > self.by_publisher, || {
            format!(
                "the publisher sent {} batches of {} itself, others {}",
                self.by_publisher, self.most, self.by_others
            )
        })?;
        ensure(self.duplicates < self.received, || {
            format!("{} of {} came twice", self.duplicates, self.received)
        })
    }

    fn tell(&self, counts: Counts) -> Counts {
        counts
            .with("pushed_by_publisher", self.by_publisher)
            .with("pushed_by_others", self.by_others)
            .with("received", self.received)
            .with("duplicates", self.duplicates)
            .with("grafts", self.grafts)
            .with("early", self.early)
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
