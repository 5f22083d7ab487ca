//! A third of the nodes stands still; what the others serve and keep is still found, and quickly.

use std::time::Duration;

use super::child::{Child, Input};
use super::counts::Counts;
use super::fleet::Fleet;
use super::journal::Expected;
use super::spread::Spread;
use super::subscriber::announced;
use super::until::{Seen, until};
use super::world::{World, ensure};
use crate::clock::wall;
use crate::failure::Failure;

const SIZE: usize = 16;
/// Those that stand still.
const FROZEN: [usize; 5] = [1, 4, 7, 10, 13];
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// How many values the other nodes publish in turn.
const VALUES: usize = 100;
/// How many lookups are made, in turn by the nodes that run, of procedures and of values.
const LOOKUPS: usize = 200;
/// How many of a hundred have to find.
const FOUND_PERCENT: usize = 99;
/// How long all but the slowest twentieth may take.
const P95_LIMIT: Duration = Duration::from_secs(3);
const SPREAD_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take until all are members again.
const HEAL_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let since = wall();
    let (mut fleet, joined) = Fleet::joined(world, SIZE, SIZE, JOIN_LIMIT)?;
    let awake: Vec<usize> = (0..SIZE)
        .filter(|number| !FROZEN.contains(number))
        .collect();
    let services = serve(world, &fleet, &awake)?;
    for (index, number) in (0..VALUES).zip(awake.iter().cycle()) {
        let (name, node) = (format!("value.{index}"), &fleet.node(*number)?.folder);
        world
            .ask(&["dht", "put", &name, "kept", "--node", node])?
            .expect(0)?;
    }
    known(world, &fleet, &awake)?;
    fleet.nobody_died(since, &Expected::default())?;

    let mut members = Vec::new();
    for number in FROZEN {
        members.push(fleet.id(number)?);
        fleet.stop(number)?;
    }
    // At once, before anybody can know: these are asked and do not answer.
    let mut times = Vec::new();
    let (mut found, mut late) = (0_usize, 0_u64);
    for lookup in 0..LOOKUPS {
        let asker = turn(&awake, lookup.saturating_mul(7));
        let answer = look(world, &fleet, asker, &awake, lookup)?;
        times.push(answer.took);
        found = found.saturating_add(usize::from(answer.found));
        late = late.saturating_add(answer.late);
    }
    let spread = Spread::of(times);
    eprintln!("lookups: {found} of {LOOKUPS} found, {late} answers late, {spread}");
    ensure(
        found.saturating_mul(100) >= LOOKUPS.saturating_mul(FOUND_PERCENT),
        || format!("{found} of {LOOKUPS} were found"),
    )?;
    ensure(spread.part(95) <= P95_LIMIT, || {
        format!("lookups took too long: {spread}")
    })?;
    ensure(late > 0, || "nobody who stood still was asked".to_owned())?;

    for number in FROZEN {
        fleet.resume(number)?;
    }
    let healed = fleet.agree(HEAL_LIMIT)?;
    drop(services);
    let observers = FROZEN.to_vec();
    fleet.is_well(since, &Expected { members, observers })?;
    Ok(Counts::default()
        .with_time("joined_s", joined)
        .with("lookups", u64::try_from(LOOKUPS).unwrap_or(u64::MAX))
        .with("found", u64::try_from(found).unwrap_or(u64::MAX))
        .with("late", late)
        .with_time("lookup_s.p50", spread.part(50))
        .with_time("lookup_s.p95", spread.part(95))
        .with_time("lookup_s.max", spread.part(100))
        .with_time("healed_s", healed))
}

/// One of `list`, by turns.
fn turn(list: &[usize], index: usize) -> usize {
    list.iter().copied().cycle().nth(index).unwrap_or_default()
}

/// A service at each of the nodes `awake`.
fn serve(world: &World, fleet: &Fleet<'_>, awake: &[usize]) -> Result<Vec<Child>, Failure> {
    let mut services = Vec::new();
    for number in awake {
        let (name, node) = (format!("service.n{number}"), &fleet.node(*number)?.folder);
        let arguments = ["serve", &name, "--echo", "--node", node];
        let child = world.start(&name, &arguments, Input::None)?;
        announced(&child, "serving")?;
        services.push(child);
    }
    Ok(services)
}

/// Waits until the last of what was published is found by each of the nodes `awake`.
fn known(world: &World, fleet: &Fleet<'_>, awake: &[usize]) -> Result<(), Failure> {
    for asker in awake {
        let what = format!("n{asker} finds what was published");
        until(SPREAD_LIMIT, &what, || {
            let mut all = true;
            for lookup in [0, VALUES.saturating_mul(2).saturating_sub(1)] {
                all &= look(world, fleet, *asker, awake, lookup)?.found;
            }
            Ok(Seen::when(all, || "something is missing".to_owned()))
        })?;
    }
    Ok(())
}

/// What a lookup gave.
struct Found {
    found: bool,
    took: Duration,
    late: u64,
}

/// The procedure of some node by turns, or a value.
fn look(
    world: &World,
    fleet: &Fleet<'_>,
    asker: usize,
    awake: &[usize],
    lookup: usize,
) -> Result<Found, Failure> {
    let node = &fleet.node(asker)?.folder;
    let half = lookup / 2;
    let answer = if lookup.is_multiple_of(2) {
        let name = format!("service.n{}", turn(awake, half));
        world.ask(&["find", "procedure", &name, "--node", node])?
    } else {
        let name = format!("value.{}", half.checked_rem(VALUES).unwrap_or_default());
        world.ask(&["dht", "get", &name, "--node", node])?
    };
    let answer = answer.expect_one_of(&[0, 4])?;
    let took_us = answer
        .only()?
        .get("took_us")
        .and_then(serde_json::Value::as_u64);
    let late = answer
        .only()?
        .get("late")
        .and_then(serde_json::Value::as_u64);
    Ok(Found {
        found: answer.code == Some(0),
        took: Duration::from_micros(took_us.unwrap_or(u64::MAX)),
        late: late.unwrap_or_default(),
    })
}
