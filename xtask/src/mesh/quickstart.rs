//! Three nodes pass real readings, answer calls and leave.

use std::path::PathBuf;
use std::time::Duration;

use super::counts::Counts;
use super::node::{Mesh, Node};
use super::subscriber::{
    PATTERN, Subscriber, call, call_known, connected, publish, published, serve, stopped,
};
use super::world::{World, ensure, readings};
use crate::failure::Failure;

/// How many readings of each city are published.
const READINGS: usize = 400;
/// How long publishing and receiving them may take.
const PASS_LIMIT: Duration = Duration::from_secs(30);
/// The deadline of a call to nobody, and the time in which the answer has to be there.
const PATIENCE: (&str, Duration) = ("60s", Duration::from_secs(10));
/// How long the others may take to see that a node has left.
const LEFT_LIMIT: Duration = Duration::from_secs(10);

/// A sensor: where it is, what it publishes on, and what.
struct Sensor<'a> {
    node: &'a Node,
    topic: &'static str,
    readings: Vec<String>,
    file: PathBuf,
}

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let mesh = Mesh::start(world)?;
    let counts = events(world, &mesh)?;
    let counts = calls(world, &mesh, counts)?;
    let health = world
        .ask(&["http", "get", "/healthz", "--connect", &mesh.b.listen])?
        .expect(0)?;
    let status = health.only()?.get("status");
    ensure(status.is_some_and(|status| *status == 200), || {
        format!("/healthz is not well: {:?}", health.lines)
    })?;
    world
        .ask(&["http", "get", "/no/such", "--connect", &mesh.b.listen])?
        .expect(4)?;
    leave(world, mesh)?;
    Ok(counts)
}

/// Two nodes publish, two receive all of it.
fn events(world: &World, mesh: &Mesh) -> Result<Counts, Failure> {
    let sensor = |node, topic, city| {
        let readings = readings(city, 0, READINGS)?;
        let file = world.file(city, &readings)?;
        Ok(Sensor {
            node,
            topic,
            readings,
            file,
        })
    };
    let sensors = [
        sensor(&mesh.a, "weather.seattle.temperature", "seattle")?,
        sensor(&mesh.b, "weather.sf.temperature", "sf")?,
    ];
    let mut first = Subscriber::start(world, "sub at a", &mesh.a, PATTERN, &[])?;
    let mut third = Subscriber::start(world, "sub at c", &mesh.c, PATTERN, &[])?;
    connected(world, &[&mesh.a, &mesh.b], &mut [&mut first, &mut third])?;
    let mut running = Vec::new();
    for sensor in &sensors {
        running.push(publish(
            world,
            sensor.node,
            sensor.topic,
            &sensor.file,
            &[],
        )?);
    }
    for child in running {
        published(child, READINGS, PASS_LIMIT)?;
    }
    let mut received: u64 = 0;
    for mut subscriber in [first, third] {
        for sensor in &sensors {
            let count = count(READINGS);
            subscriber.accounts(sensor.node, sensor.topic, count, PASS_LIMIT)?;
        }
        // Nothing may come behind what was published either.
        let history = subscriber.stop()?;
        for sensor in &sensors {
            let feed = history.feed(&sensor.node.id, sensor.topic);
            let feed = feed.cloned().unwrap_or_default();
            ensure(feed.first == Some(0) && feed.missing == 0, || {
                format!("{} did not come whole: {history}", sensor.topic)
            })?;
            ensure(feed.payloads == sensor.readings, || {
                format!("other readings came on {} than were sent", sensor.topic)
            })?;
            received = received.saturating_add(feed.delivered);
        }
    }
    Ok(Counts::default()
        .with("published", count(READINGS).saturating_mul(2))
        .with("received", received))
}

/// Calls reach who serves them; one that nobody serves is answered at once.
fn calls(world: &World, mesh: &Mesh, counts: Counts) -> Result<Counts, Failure> {
    let latest = readings("seattle", 0, READINGS)?.pop().unwrap_or_default();
    let file = world.path("seattle");
    let by_program = serve(
        world,
        &mesh.a,
        "temperature.latest",
        &["--exec", "tail", "-n", "1", &file],
    )?;
    let echo = serve(world, &mesh.b, "temperature.echo", &["--echo"])?;
    let answer = call_known(world, &mesh.c, "temperature.latest", "seattle")?;
    ensure(answer.trim() == latest, || {
        format!("the latest reading is {latest}, not {answer}")
    })?;
    let answer = call_known(world, &mesh.a, "temperature.echo", "21.5")?;
    ensure(answer == "21.5", || {
        format!("the echo of 21.5 was {answer}")
    })?;
    let (deadline, patience) = PATIENCE;
    let refused = call(world, &mesh.c, "temperature.nobody", "", deadline)?.expect(4)?;
    ensure(refused.took < patience, || {
        format!("a call to nobody took {:?}", refused.took)
    })?;
    stopped(by_program)?;
    stopped(echo)?;
    Ok(counts.with("calls", 2).with_time("nobody_s", refused.took))
}

/// Each node leaves in order, and those that stay see that it has left.
fn leave(world: &World, mut mesh: Mesh) -> Result<(), Failure> {
    for node in [&mut mesh.a, &mut mesh.b, &mut mesh.c] {
        node.is_well(world)?;
    }
    mesh.c.leave()?;
    for node in [&mesh.a, &mesh.b] {
        node.sees(world, &mesh.c, &["left"], LEFT_LIMIT)?;
    }
    mesh.b.leave()?;
    mesh.a.sees(world, &mesh.b, &["left"], LEFT_LIMIT)?;
    mesh.a.leave()
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
