//! A node is killed; the others notice, tell, and go on.

use std::time::Duration;

use super::counts::Counts;
use super::node::Mesh;
use super::subscriber::{
    PATTERN, Subscriber, call, call_known, connected, publish, serve, stopped,
};
use super::until::{Seen, until};
use super::world::{World, ensure, readings};
use crate::clock::Watch;
use crate::failure::Failure;

/// The topic of the node that stays.
const STAYS: &str = "weather.seattle.temperature";
/// The topic of the node that is killed.
const GOES: &str = "weather.sf.temperature";
/// How many readings are published at most, one each 5 ms: more than the scenario takes.
const READINGS: usize = 8_000;
/// How many of them have to arrive before and after.
const ENOUGH: u64 = 200;
/// How long that may take.
const FLOW_LIMIT: Duration = Duration::from_secs(20);
/// How long the others may take to notice.
const DETECTION_LIMIT: Duration = Duration::from_secs(10);
/// The deadline of a call, and the time in which its command has ended for certain.
const CALL: (&str, Duration) = ("3s", Duration::from_secs(8));

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let mut mesh = Mesh::start(world)?;
    let mut subscriber = Subscriber::start(world, "sub at c", &mesh.c, PATTERN, &[])?;
    connected(world, &[&mesh.a, &mesh.b], &mut [&mut subscriber])?;
    let seattle = world.file("seattle", &readings("seattle", 0, READINGS)?)?;
    let sf = world.file("sf", &readings("sf", 0, READINGS)?)?;
    let pace = ["--sleep", "5ms"];
    let staying = publish(world, &mesh.a, STAYS, &seattle, &pace)?;
    let mut going = publish(world, &mesh.b, GOES, &sf, &pace)?;
    let served_there = serve(world, &mesh.a, "station.seattle", &["--echo"])?;
    let mut served_here = serve(world, &mesh.b, "station.sf", &["--echo"])?;
    call_known(world, &mesh.c, "station.seattle", "1")?;
    call_known(world, &mesh.c, "station.sf", "1")?;
    subscriber.accounts(&mesh.a, STAYS, ENOUGH, FLOW_LIMIT)?;
    subscriber.accounts(&mesh.b, GOES, ENOUGH, FLOW_LIMIT)?;

    mesh.b.kill()?;
    let since = Watch::start();
    let before = subscriber.feed(&mesh.a, STAYS).delivered;
    let at_once = call(world, &mesh.c, "station.sf", "2", CALL.0)?;
    let at_once = at_once.expect_one_of(&[4, 5, 6])?;
    ensure(at_once.took < CALL.1, || {
        format!(
            "a call to a node that was killed hung for {:?}",
            at_once.took
        )
    })?;
    for node in [&mesh.a, &mesh.c] {
        let left = DETECTION_LIMIT.saturating_sub(since.elapsed());
        node.sees(world, &mesh.b, &["dead"], left)?;
    }
    let detection = since.elapsed();
    let left = DETECTION_LIMIT.saturating_sub(since.elapsed());
    subscriber.until(left, "a gap of the lost publisher", |history| {
        history
            .feed(&mesh.b.id, GOES)
            .is_some_and(|feed| feed.gaps_by("publisher-lost") > 0)
    })?;
    let told = since.elapsed();

    let more = before.saturating_add(ENOUGH);
    let feed = subscriber.accounts(&mesh.a, STAYS, more, FLOW_LIMIT)?;
    ensure(feed.first == Some(0) && feed.missing == 0, || {
        format!(
            "the other publisher's events suffered: {}",
            subscriber.history()
        )
    })?;
    until(CALL.1, "no procedure of the killed node", || {
        let answer = call(world, &mesh.c, "station.sf", "3", CALL.0)?;
        Ok(Seen::when(answer.code == Some(4), || {
            answer.last_words().to_owned()
        }))
    })?;
    call(world, &mesh.c, "station.seattle", "4", CALL.0)?.expect(0)?;
    going.wait_for(6, CALL.1)?;
    served_here.wait_for(6, CALL.1)?;
    stopped(staying)?;
    stopped(served_there)?;
    mesh.a.is_well(world)?;
    mesh.c.is_well(world)?;
    let lost = subscriber.feed(&mesh.b, GOES).delivered;
    let history = subscriber.stop()?;
    let after = history
        .feed(&mesh.a.id, STAYS)
        .map_or(0, |feed| feed.delivered);
    Ok(Counts::default()
        .with_time("detection_s", detection)
        .with_time("gap_s", told)
        .with("killed_published", lost)
        .with("before", before)
        .with("after", after.saturating_sub(before)))
}
