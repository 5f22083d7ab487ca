//! A third of the nodes is killed at once; the others agree, go on, and take them back.

use std::time::Duration;

use super::counts::Counts;
use super::fleet::Fleet;
use super::journal::Expected;
use super::spread::Spread;
use super::subscriber::{PATTERN, Subscriber, connected, publish, published_until_now};
use super::world::{World, ensure, readings};
use crate::clock::wall;
use crate::failure::Failure;

const SIZE: usize = 16;
/// Those that are killed: a third.
const VICTIMS: [usize; 5] = [1, 4, 7, 10, 13];
/// The one that publishes all the time.
const PUBLISHER: usize = 2;
const TOPIC: &str = "weather.seattle.temperature";
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// How long the survivors may take to agree.
const AGREE_LIMIT: Duration = Duration::from_secs(15);
/// How long those that come back together may take to be members for everybody.
const BACK_LIMIT: Duration = Duration::from_secs(15);
/// How many readings are published at most, one each 20 ms: more than the scenario takes.
const READINGS: usize = 8_000;
/// How many of them have to arrive before and after.
const ENOUGH: u64 = 100;
const FLOW_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let since = wall();
    let (mut fleet, joined) = Fleet::joined(world, SIZE, SIZE, JOIN_LIMIT)?;
    let mut subscribers = Vec::new();
    for number in (0..SIZE).filter(|number| !VICTIMS.contains(number)) {
        let name = format!("sub at n{number}");
        let node = fleet.node(number)?;
        subscribers.push(Subscriber::start(world, &name, node, PATTERN, &[])?);
    }
    let mut all: Vec<&mut Subscriber> = subscribers.iter_mut().collect();
    connected(world, &[fleet.node(PUBLISHER)?], &mut all)?;
    let file = world.file("seattle", &readings("seattle", 0, READINGS)?)?;
    let pace = ["--sleep", "20ms"];
    let publishing = publish(world, fleet.node(PUBLISHER)?, TOPIC, &file, &pace)?;
    flow(&fleet, &mut subscribers)?;

    fleet.nobody_died(since, &Expected::default())?;
    let mut killed = Vec::new();
    for victim in VICTIMS {
        let id = fleet.id(victim)?;
        let at = fleet.kill(victim)?;
        killed.push((id, at));
    }
    let agreed = fleet.agree(AGREE_LIMIT)?;
    let mut detected = Vec::new();
    for (id, at) in &killed {
        detected.extend(fleet.noticed(id, *at, AGREE_LIMIT)?);
    }
    let spread = Spread::of(detected);
    eprintln!("detection: {spread}");
    let after = flow(&fleet, &mut subscribers)?;
    for victim in VICTIMS {
        fleet.start(victim, &[0])?;
    }
    let back = fleet.agree(BACK_LIMIT)?;
    flow(&fleet, &mut subscribers)?;
    let published = published_until_now(publishing)?;
    let publisher = fleet.node(PUBLISHER)?;
    for subscriber in &mut subscribers {
        subscriber.accounts(publisher, TOPIC, published, FLOW_LIMIT)?;
    }
    let publisher = publisher.id.clone();
    let killed: Vec<String> = killed.into_iter().map(|(id, _at)| id).collect();
    fleet.is_well(since, &Expected::deaths_of(&killed))?;
    for subscriber in subscribers {
        let history = subscriber.stop()?;
        let feed = history.feed(&publisher, TOPIC).cloned().unwrap_or_default();
        ensure(feed.delivered == published && feed.missing == 0, || {
            format!("{published} events of a survivor were expected: {history}")
        })?;
    }
    Ok(Counts::default()
        .with("killed", u64::try_from(killed.len()).unwrap_or(u64::MAX))
        .with_time("joined_s", joined)
        .with_time("agreed_s", agreed)
        .with_detection(&spread)
        .with_time("back_s", back)
        .with("events_after", after)
        .with("published", published))
}

/// Waits until every subscriber got a hundred events more, all from the first on. Returns how many it got then.
fn flow(fleet: &Fleet<'_>, subscribers: &mut [Subscriber]) -> Result<u64, Failure> {
    let publisher = fleet.node(PUBLISHER)?;
    let mut wanted = Vec::new();
    for subscriber in subscribers.iter_mut() {
        subscriber.read()?;
        let before = subscriber.feed(publisher, TOPIC).delivered;
        wanted.push(before.saturating_add(ENOUGH));
    }
    let mut least = u64::MAX;
    for (subscriber, more) in subscribers.iter_mut().zip(wanted) {
        let feed = subscriber.accounts(publisher, TOPIC, more, FLOW_LIMIT)?;
        ensure(feed.first == Some(0) && feed.missing == 0, || {
            format!("events of a survivor are missing: {}", subscriber.history())
        })?;
        least = least.min(feed.delivered);
    }
    Ok(least)
}
