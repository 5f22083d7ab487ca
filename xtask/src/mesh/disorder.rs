//! Packets take long, arrive twice and overtake each other; events do not.

use std::time::Duration;

use super::counts::Counts;
use super::fleet::Fleet;
use super::journal::Expected;
use super::net::{Fault, Percent};
use super::subscriber::{PATTERN, Subscriber, connected, publish, published};
use super::world::{World, ensure, readings};
use crate::clock::wall;
use crate::failure::Failure;

const SIZE: usize = 4;
const TOPIC: &str = "weather.seattle.temperature";
const JOIN_LIMIT: Duration = Duration::from_secs(30);
const READINGS: usize = 2_000;
const PASS_LIMIT: Duration = Duration::from_secs(60);
const DELAY: Duration = Duration::from_millis(20);

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let since = wall();
    let mut fleet = Fleet::new(world, SIZE)?;
    let pairs = fleet.pairs();
    let fault = Fault {
        delay: DELAY,
        twice: Percent::of(10),
        overtaken: Percent::of(20),
        ..Fault::default()
    };
    fleet.fault(pairs.iter().copied(), fault)?;
    for number in 0..SIZE {
        fleet.start(number, &[0])?;
    }
    let joined = fleet.agree(JOIN_LIMIT)?;
    let mut subscribers = Vec::new();
    for number in 1..SIZE {
        let name = format!("sub at n{number}");
        let node = fleet.node(number)?;
        subscribers.push(Subscriber::start(world, &name, node, PATTERN, &[])?);
    }
    let mut all: Vec<&mut Subscriber> = subscribers.iter_mut().collect();
    let publisher = fleet.node(0)?;
    connected(world, &[publisher], &mut all)?;
    let file = world.file("seattle", &readings("seattle", 0, READINGS)?)?;
    let pace = ["--sleep", "1ms"];
    published(
        publish(world, publisher, TOPIC, &file, &pace)?,
        READINGS,
        PASS_LIMIT,
    )?;
    let count = u64::try_from(READINGS).unwrap_or(u64::MAX);
    for subscriber in &mut subscribers {
        let feed = subscriber.accounts(publisher, TOPIC, count, PASS_LIMIT)?;
        ensure(feed.first == Some(0) && feed.missing == 0, || {
            format!("events are missing: {}", subscriber.history())
        })?;
    }
    let tally = fleet.tally(pairs.iter().copied())?;
    ensure(tally.doubled > 0 && tally.overtaken > 0, || {
        format!("no packet was doubled or overtaken: {tally:?}")
    })?;
    for subscriber in subscribers {
        subscriber.stop()?;
    }
    fleet.is_well(since, &Expected::default())?;
    Ok(Counts::default()
        .with_time("joined_s", joined)
        .with("packets", tally.passed)
        .with("doubled", tally.doubled)
        .with("overtaken", tally.overtaken)
        .with("events", count))
}
