//! Sixteen nodes are restarted one after the other while two others exchange events.

use std::time::Duration;

use super::counts::Counts;
use super::fleet::Fleet;
use super::journal::Expected;
use super::subscriber::{PATTERN, Subscriber, connected, publish, published_until_now};
use super::world::{World, ensure, readings};
use crate::clock::wall;
use crate::failure::Failure;

/// How many are restarted. Those behind them stay.
const RESTARTED: usize = 16;
const PUBLISHER: usize = 16;
const LISTENER: usize = 17;
const SIZE: usize = 18;
const TOPIC: &str = "weather.seattle.temperature";
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// How long a node may take, from its start, to be a member for everybody.
const BACK_LIMIT: Duration = Duration::from_secs(5);
/// How many readings are published at most, one each 20 ms: more than the scenario takes.
const READINGS: usize = 8_000;
const FLOW_LIMIT: Duration = Duration::from_secs(20);
/// How many events have to arrive after each restart.
const ENOUGH: u64 = 10;

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let since = wall();
    let (mut fleet, joined) = Fleet::joined(world, SIZE, SIZE, JOIN_LIMIT)?;
    fleet.nobody_died(since, &Expected::default())?;
    let listener = fleet.node(LISTENER)?;
    let mut subscriber = Subscriber::start(world, "sub at n17", listener, PATTERN, &[])?;
    let publisher = fleet.node(PUBLISHER)?;
    connected(world, &[publisher], &mut [&mut subscriber])?;
    let file = world.file("seattle", &readings("seattle", 0, READINGS)?)?;
    let pace = ["--sleep", "20ms"];
    let publishing = publish(world, publisher, TOPIC, &file, &pace)?;
    let mut restarted = Vec::new();
    let mut back = Duration::ZERO;
    for number in 0..RESTARTED {
        restarted.push(fleet.id(number)?);
        if number.is_multiple_of(2) {
            fleet.dismiss(number)?;
        } else {
            fleet.kill(number)?;
        }
        let started = wall();
        // Two seeds, so that one of them is there while the other is restarted.
        fleet.start(number, &[0, 1])?;
        back = back.max(fleet.welcomed(number, started, BACK_LIMIT)?);
        flow(&fleet, &mut subscriber)?;
    }
    let published = published_until_now(publishing)?;
    subscriber.accounts(fleet.node(PUBLISHER)?, TOPIC, published, FLOW_LIMIT)?;
    fleet.is_well(since, &Expected::deaths_of(&restarted))?;
    let publisher = fleet.id(PUBLISHER)?;
    let history = subscriber.stop()?;
    let feed = history.feed(&publisher, TOPIC).cloned().unwrap_or_default();
    ensure(feed.first == Some(0) && feed.runs == 1, || {
        format!("the events of one run were expected: {history}")
    })?;
    // Neither silent loss nor anything that nobody published.
    ensure(feed.accounted() == published, || {
        format!("{published} events were published: {history}")
    })?;
    Ok(Counts::default()
        .with("restarts", u64::try_from(RESTARTED).unwrap_or(u64::MAX))
        .with_time("joined_s", joined)
        .with_time("back_s", back)
        .with("published", published)
        .with("received", feed.delivered)
        .with("told_missing", feed.missing))
}

/// Waits until more events were delivered.
fn flow(fleet: &Fleet<'_>, subscriber: &mut Subscriber) -> Result<(), Failure> {
    let publisher = fleet.node(PUBLISHER)?;
    subscriber.read()?;
    let before = subscriber.feed(publisher, TOPIC).delivered;
    let id = publisher.id.clone();
    subscriber.until(FLOW_LIMIT, "events after a restart", move |history| {
        let feed = history.feed(&id, TOPIC);
        feed.is_some_and(|feed| feed.delivered >= before.saturating_add(ENOUGH))
    })
}
