//! Subscribers that do not keep up are told what they miss and disturb nobody.
//!
//! One reads each event with a delay, so that its own queue overflows. One stands still at the publishing node, so that
//! the queue of its link overflows there. One is healthy and has to get everything, so the flood comes in waves: each
//! fits the queues of links, and the next one waits until the healthy subscriber has the last.

use std::path::Path;
use std::time::Duration;

use super::counts::Counts;
use super::history::Feed;
use super::node::Mesh;
use super::subscriber::{PATTERN, Subscriber, connected, publish, published};
use super::until::pause;
use super::world::{World, ensure};
use crate::failure::Failure;

const TOPIC: &str = "weather.sf.temperature";
/// How many events are published.
const FLOOD: u64 = 50_000;
/// How many of them make a wave: 1 MB, a quarter of the queue of a link.
const WAVE: usize = 5_000;
/// How long each event is, in bytes.
const LENGTH: usize = 200;
/// How long passing them all may take.
const FLOOD_LIMIT: Duration = Duration::from_secs(120);
/// By how much the memory of the publishing node may grow.
const MAX_GROWTH: u64 = 32 << 20;

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let mut mesh = Mesh::start(world)?;
    let whole = ["--overflow", "block"];
    let slow = ["--delay", "2ms", "--max-events", "64"];
    let mut healthy = Subscriber::start(world, "healthy sub at b", &mesh.b, PATTERN, &whole)?;
    let mut delayed = Subscriber::start(world, "delayed sub at c", &mesh.c, PATTERN, &slow)?;
    let mut paused = Subscriber::start(world, "paused sub at a", &mesh.a, PATTERN, &[])?;
    connected(
        world,
        &[&mesh.a],
        &mut [&mut healthy, &mut delayed, &mut paused],
    )?;
    let lines = flood();
    let before = mesh.a.stat(world, "process_resident_bytes")?;
    paused.pause()?;
    let mut most = before;
    let waves = lines.len().div_ceil(WAVE);
    for (number, wave) in lines.chunks(WAVE).enumerate() {
        if number.saturating_add(1) == waves {
            // The last wave comes while the one that was paused catches up.
            paused.read()?;
            still_behind(&paused, &mesh, number)?;
            paused.resume()?;
        }
        let file = world.file(&format!("wave-{number}"), wave)?;
        most = most.max(publish_wave(world, &mesh, &file)?);
        let so_far = events(number.saturating_add(1));
        healthy.accounts(&mesh.a, TOPIC, so_far, FLOOD_LIMIT)?;
    }
    let feed = healthy.feed(&mesh.a, TOPIC);
    ensure(feed.missing == 0 && feed.payloads == lines, || {
        format!(
            "the healthy subscriber lacks something: {}",
            healthy.history()
        )
    })?;
    let resumed = told(&mut paused, &mesh, "dropped")?;
    let lagged = told(&mut delayed, &mesh, "overflow")?;
    let after = mesh.a.stat(world, "process_resident_bytes")?;
    let growth = most.max(after).saturating_sub(before);
    ensure(growth <= MAX_GROWTH, || {
        format!("the publishing node grew by {growth} bytes")
    })?;
    for node in [&mut mesh.a, &mut mesh.b, &mut mesh.c] {
        node.is_well(world)?;
        node.knows(world, 3, Duration::ZERO)?;
    }
    for subscriber in [healthy, delayed, paused] {
        subscriber.stop()?;
    }
    Ok(Counts::default()
        .with("published", FLOOD)
        .with("healthy", feed.delivered)
        .with("delayed", lagged.delivered)
        .with("delayed_missing", lagged.missing)
        .with("paused", resumed.delivered)
        .with("paused_missing", resumed.missing)
        .with("growth_kib", growth >> 10))
}

/// Fails if a subscriber that stands still was told of all events in the `waves` so far.
fn still_behind(paused: &Subscriber, mesh: &Mesh, waves: usize) -> Result<(), Failure> {
    let accounted = paused.feed(&mesh.a, TOPIC).accounted();
    ensure(accounted < events(waves), || {
        "the paused subscriber was not paused".to_owned()
    })
}

/// How many events that many waves have.
fn events(waves: usize) -> u64 {
    u64::try_from(waves.saturating_mul(WAVE)).unwrap_or(u64::MAX)
}

/// Lines of equal length, each another one.
fn flood() -> Vec<String> {
    (0..FLOOD)
        .map(|number| format!("{number:0>LENGTH$}"))
        .collect()
}

/// Publishes a wave; tells the most memory that the node had meanwhile, in bytes.
fn publish_wave(world: &World, mesh: &Mesh, file: &Path) -> Result<u64, Failure> {
    let mut publisher = publish(world, &mesh.a, TOPIC, file, &[])?;
    let mut most = 0;
    while publisher.ended()?.is_none() {
        most = most.max(mesh.a.stat(world, "process_resident_bytes")?);
        pause();
    }
    published(publisher, WAVE, FLOOD_LIMIT)?;
    Ok(most)
}

/// Waits until the subscriber knows what became of every event, and was told of missing ones by `cause`.
fn told(subscriber: &mut Subscriber, mesh: &Mesh, cause: &str) -> Result<Feed, Failure> {
    let feed = subscriber.accounts(&mesh.a, TOPIC, FLOOD, FLOOD_LIMIT)?;
    let whole = feed.first == Some(0) && feed.next == Some(FLOOD);
    let adds_up = feed.accounted() == FLOOD;
    let is_slow = feed.gaps_by(cause) > 0 && feed.missing > 0 && feed.delivered > 0;
    ensure(whole && adds_up && is_slow, || {
        format!(
            "a slow subscriber was told wrongly: {}",
            subscriber.history()
        )
    })?;
    Ok(feed)
}
