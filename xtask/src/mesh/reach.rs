//! Two nodes cannot reach each other; others carry their packets, one of which is killed.

use std::time::Duration;

use serde_json::Value;

use super::counts::Counts;
use super::fleet::Fleet;
use super::journal::Expected;
use super::net::Fault;
use super::subscriber::{
    PATTERN, Subscriber, call, call_known, connected, publish, published_until_now, serve, stopped,
};
use super::until::{Seen, until};
use super::world::{World, ensure, readings};
use crate::clock::{Watch, wall};
use crate::failure::Failure;

const SIZE: usize = 16;
const CALLER: usize = 1;
const CALLEE: usize = 2;
const WAYS: [(usize, usize); 2] = [(CALLER, CALLEE), (CALLEE, CALLER)];
const PROCEDURE: &str = "station.far";
const TOPIC: &str = "weather.seattle.temperature";
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// How long the two may take to be linked by others.
const LINK_LIMIT: Duration = Duration::from_secs(30);
/// How long calls may stand still when the one that carries them is killed.
const GAP_LIMIT: Duration = Duration::from_secs(3);
/// How long calls are made before and after that.
const CALLS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(12)];
/// How long the two may take to find that they reach each other.
const MOVE_LIMIT: Duration = Duration::from_secs(120);
/// How many readings are published at most, one each 20 ms: more than the scenario takes.
const READINGS: usize = 8_000;
const FLOW_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let since = wall();
    let mut fleet = Fleet::new(world, SIZE)?;
    fleet.fault(WAYS, Fault::cut())?;
    for number in 0..SIZE {
        fleet.start(number, &[0])?;
    }
    fleet.agree(JOIN_LIMIT)?;
    let joined = wall().saturating_sub(since);
    let linked = linked_by(world, &fleet, "forwarded", LINK_LIMIT)?;
    let served = serve(world, fleet.node(CALLEE)?, PROCEDURE, &["--echo"])?;
    call_known(world, fleet.node(CALLER)?, PROCEDURE, "1")?;
    let mut subscriber = Subscriber::start(world, "sub at n1", fleet.node(CALLER)?, PATTERN, &[])?;
    connected(world, &[fleet.node(CALLEE)?], &mut [&mut subscriber])?;
    let file = world.file("seattle", &readings("seattle", 0, READINGS)?)?;
    let pace = ["--sleep", "20ms"];
    let publishing = publish(world, fleet.node(CALLEE)?, TOPIC, &file, &pace)?;
    let before = Calls::make(world, &fleet, CALLS[0])?;
    let carrier = carrier(world, &fleet)?;
    let killed = fleet.id(carrier)?;
    fleet.kill(carrier)?;
    let after = Calls::make(world, &fleet, CALLS[1])?;
    ensure(after.gap <= GAP_LIMIT, || {
        format!("calls stood still for {:.1} s", after.gap.as_secs_f64())
    })?;
    let still = link(world, &fleet, CALLER, CALLEE)?;
    ensure(path_of(still.as_ref()) == Some("forwarded"), || {
        "the link was lost".to_owned()
    })?;
    ensure(self::carrier(world, &fleet)? != carrier, || {
        "packets still go by the one that was killed".to_owned()
    })?;
    let published = published_until_now(publishing)?;
    let publisher = fleet.node(CALLEE)?;
    let feed = subscriber.accounts(publisher, TOPIC, published, FLOW_LIMIT)?;
    ensure(feed.first == Some(0) && feed.missing == 0, || {
        format!("events were lost: {}", subscriber.history())
    })?;
    let lost = fleet.tally(WAYS)?.lost;
    ensure(lost > 0, || "no packet between the two was lost".to_owned())?;
    fleet.fault(WAYS, Fault::default())?;
    let moved = linked_by(world, &fleet, "quic ", MOVE_LIMIT)?;
    call_known(world, fleet.node(CALLER)?, PROCEDURE, "2")?;
    stopped(served)?;
    fleet.is_well(since, &Expected::deaths_of(&[killed]))?;
    subscriber.stop()?;
    Ok(Counts::default()
        .with_time("joined_s", joined)
        .with_time("linked_s", linked)
        .with("calls", before.count.saturating_add(after.count))
        .with_time("usual_gap_s", before.gap)
        .with_time("gap_s", after.gap)
        .with("events", published)
        .with("lost", lost)
        .with_time("moved_s", moved))
}

/// Calls, one after the other, none of which may fail.
struct Calls {
    count: u64,
    /// The longest time from one answer to the next.
    gap: Duration,
}

impl Calls {
    fn make(world: &World, fleet: &Fleet<'_>, span: Duration) -> Result<Self, Failure> {
        let watch = Watch::start();
        let mut last = Duration::ZERO;
        let mut calls = Self {
            count: 0,
            gap: Duration::ZERO,
        };
        while watch.elapsed() < span {
            call(world, fleet.node(CALLER)?, PROCEDURE, "x", "15s")?.expect(0)?;
            let now = watch.elapsed();
            calls.gap = calls.gap.max(now.saturating_sub(last));
            calls.count = calls.count.saturating_add(1);
            last = now;
        }
        Ok(calls)
    }
}

/// What a node tells of its link to another one.
fn link(
    world: &World,
    fleet: &Fleet<'_>,
    from: usize,
    to: usize,
) -> Result<Option<Value>, Failure> {
    let folder = &fleet.node(from)?.folder;
    let id = fleet.id(to)?;
    let answer = world.ask(&["peers", "--node", folder])?.expect(0)?;
    let is_it = |peer: &Value| peer.get("node").and_then(Value::as_str) == Some(&id);
    Ok(answer.lines.into_iter().find(is_it))
}

fn path_of(link: Option<&Value>) -> Option<&str> {
    link?.get("path")?.as_str()
}

/// Waits until the two have a link whose path begins like this.
fn linked_by(
    world: &World,
    fleet: &Fleet<'_>,
    path: &str,
    limit: Duration,
) -> Result<Duration, Failure> {
    let what = format!("n{CALLER} and n{CALLEE} are linked by {path}");
    let (_, took) = until(limit, &what, || {
        for (from, to) in WAYS {
            let link = link(world, fleet, from, to)?;
            let found = path_of(link.as_ref());
            if !found.is_some_and(|found| found.starts_with(path)) {
                return Ok(Seen::NotYet(format!("n{from} has {found:?}")));
            }
        }
        Ok(Seen::Yes(()))
    })?;
    Ok(took)
}

/// The node that the packets of the caller go to first.
fn carrier(world: &World, fleet: &Fleet<'_>) -> Result<usize, Failure> {
    let (folder, target) = (&fleet.node(CALLER)?.folder, fleet.id(CALLEE)?);
    let answer = world
        .ask(&["trace", &target, "--node", folder])?
        .expect(0)?;
    let trace = answer.only()?;
    let first = trace.pointer("/hops/1/node").and_then(Value::as_str);
    let first = first.unwrap_or_default();
    let mut numbers = fleet.others(CALLER).into_iter();
    let found = numbers.find(|number| fleet.id(*number).is_ok_and(|id| id == first));
    found
        .filter(|number| *number != CALLEE)
        .ok_or_else(|| Failure::failed(format!("nobody carries packets: {trace}")))
}
