//! A node stands still: shortly, which nobody may take for death, and long, which all have to notice.

use std::time::Duration;

use super::counts::Counts;
use super::fleet::Fleet;
use super::journal::Expected;
use super::until::lasting;
use super::world::World;
use crate::clock::wall;
use crate::failure::Failure;

const SIZE: usize = 16;
/// The one that stands still.
const SLEEPER: usize = 9;
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// How long a node may stand still without being taken for dead.
const SHORT: Duration = Duration::from_secs(3);
/// How long the consequences of that may take to show: more than the longest suspicion.
const AFTERMATH: Duration = Duration::from_secs(10);
/// How long the twin stands still.
const LONG: Duration = Duration::from_secs(30);
/// How long the others may take to notice.
const DETECTION_LIMIT: Duration = Duration::from_secs(15);
/// How long it may take until all are members again.
const HEAL_LIMIT: Duration = Duration::from_secs(15);

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let since = wall();
    let (mut fleet, joined) = Fleet::joined(world, SIZE, SIZE, JOIN_LIMIT)?;
    // It stands still for certain: stopping waits until the system says so.
    let stopped = fleet.stop(SLEEPER)?;
    lasting(SHORT);
    fleet.resume(SLEEPER)?;
    let stood = wall().saturating_sub(stopped);
    fleet.agree(HEAL_LIMIT)?;
    lasting(AFTERMATH);
    fleet.agree(HEAL_LIMIT)?;
    fleet.nobody_died(since, &Expected::default())?;
    let suspicions = fleet.journal().suspicions(since);

    let id = fleet.id(SLEEPER)?;
    let stopped = fleet.stop(SLEEPER)?;
    let others = fleet.running();
    fleet.agree_among(&others, &others, DETECTION_LIMIT)?;
    let noticed = wall().saturating_sub(stopped);
    lasting(LONG.saturating_sub(wall().saturating_sub(stopped)));
    fleet.resume(SLEEPER)?;
    let healed = fleet.agree(HEAL_LIMIT)?;
    // What it thinks of the others right after a sleep is its own affair, if it mends.
    let expected = Expected {
        members: vec![id],
        observers: vec![SLEEPER],
    };
    fleet.is_well(since, &expected)?;
    Ok(Counts::default()
        .with_time("joined_s", joined)
        .with_time("stood_still_s", stood)
        .with("suspicions", suspicions)
        .with_time("long_noticed_s", noticed)
        .with_time("long_healed_s", healed))
}
