//! Every tenth packet is lost and one node hardly runs; still nobody may be taken for dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::counts::Counts;
use super::fleet::Fleet;
use super::journal::Expected;
use super::net::{Fault, Percent};
use super::signal::Signal;
use super::subscriber::{PATTERN, Subscriber, connected, publish, published_until_now};
use super::until::lasting;
use super::world::{World, ensure, readings};
use crate::clock::wall;
use crate::failure::Failure;

const SIZE: usize = 16;
/// The one that hardly runs.
const STARVED: usize = 11;
const PUBLISHER: usize = 4;
const LISTENER: usize = 8;
const TOPIC: &str = "weather.seattle.temperature";
const LOSS: Percent = Percent::of(10);
/// How long it stands still, and how long it runs, in turns that have no measure in common with a second.
const STILL: Duration = Duration::from_millis(730);
const RUNS: Duration = Duration::from_millis(180);
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// How long a suspicion may take to be refuted.
const AGREE_LIMIT: Duration = Duration::from_secs(20);
/// How often it is looked whether events arrive, and how many have to in the meantime; one is published each 100 ms.
const LOOK: Duration = Duration::from_secs(20);
const ENOUGH: u64 = 100;
const FLOW_LIMIT: Duration = Duration::from_secs(30);
/// How many readings are published at most: 13 minutes of them, and longer runs repeat.
const READINGS: usize = 8_000;

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let minutes = world.settings().minutes.unwrap_or(1);
    let since = wall();
    let (mut fleet, joined) = Fleet::joined(world, SIZE, SIZE, JOIN_LIMIT)?;
    let listener = fleet.node(LISTENER)?;
    let mut subscriber = Subscriber::start(world, "sub at n8", listener, PATTERN, &[])?;
    let publisher = fleet.node(PUBLISHER)?;
    connected(world, &[publisher], &mut [&mut subscriber])?;
    let file = world.file("seattle", &readings("seattle", 0, READINGS)?)?;
    let again = minutes.saturating_add(13).to_string();
    let pace = ["--sleep", "100ms", "--count", &again];
    let publishing = publish(world, publisher, TOPIC, &file, &pace)?;

    let pairs = fleet.pairs();
    fleet.fault(pairs.iter().copied(), Fault::loss(LOSS))?;
    let starving = Starving::start(&fleet, STARVED)?;
    let nobody = Expected::default();
    let until = wall().saturating_add(Duration::from_secs(minutes.saturating_mul(60)));
    let mut received: u64 = 0;
    while wall() < until {
        lasting(LOOK.min(until.saturating_sub(wall())));
        fleet.nobody_died(since, &nobody)?;
        let publisher = fleet.node(PUBLISHER)?;
        let more = received.saturating_add(ENOUGH);
        let feed = subscriber.accounts(publisher, TOPIC, more, FLOW_LIMIT)?;
        received = feed.delivered;
    }
    let lost = fleet.tally(pairs.iter().copied())?.lost;
    ensure(lost > 0, || "no packet was lost".to_owned())?;
    let turns = starving.end()?;
    ensure(turns > 0, || "the node was never stopped".to_owned())?;
    fleet.fault(pairs.iter().copied(), Fault::default())?;
    fleet.agree(AGREE_LIMIT)?;
    let published = published_until_now(publishing)?;
    subscriber.accounts(fleet.node(PUBLISHER)?, TOPIC, published, FLOW_LIMIT)?;
    let history = subscriber.stop()?;
    let feed = history.feed(&fleet.id(PUBLISHER)?, TOPIC).cloned();
    let feed = feed.unwrap_or_default();
    ensure(feed.delivered == published && feed.missing == 0, || {
        format!("loss of packets became loss of events, {published} were published: {history}")
    })?;
    fleet.is_well(since, &nobody)?;
    Ok(Counts::default()
        .with("minutes", minutes)
        .with_time("joined_s", joined)
        .with("lost", lost)
        .with("stopped", turns)
        .with("suspicions", fleet.journal().suspicions(since))
        .with("received", feed.delivered))
}

/// A thread that lets a process run a part of the time only. It runs again when this is dropped.
#[derive(Debug)]
struct Starving {
    process: u32,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<u64, Failure>>>,
}

impl Starving {
    fn start(fleet: &Fleet<'_>, number: usize) -> Result<Self, Failure> {
        let process = fleet.node(number)?.process();
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut turns: u64 = 0;
            while !over.load(Ordering::Relaxed) {
                Signal::Stop.send(process)?;
                lasting(STILL);
                Signal::Continue.send(process)?;
                lasting(RUNS);
                turns = turns.saturating_add(1);
            }
            Ok(turns)
        });
        Ok(Self {
            process,
            ended,
            thread: Some(thread),
        })
    }

    /// Lets it run. Returns how often it stood still.
    fn end(mut self) -> Result<u64, Failure> {
        self.ended.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        let gone = || Failure::failed("the thread that stops a node panicked");
        thread.map_or(Ok(0), |thread| thread.join().map_err(|_panic| gone())?)
    }
}

impl Drop for Starving {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
            drop(Signal::Continue.send(self.process));
        }
    }
}
