//! Thirty-two nodes; several are killed one after the other, and every other node's time of noticing is taken.

use std::time::Duration;

use super::counts::Counts;
use super::fleet::Fleet;
use super::journal::Expected;
use super::spread::Spread;
use super::world::World;
use crate::clock::wall;
use crate::failure::Failure;

const SIZE: usize = 32;
/// How long all of them may take to know each other.
const JOIN_LIMIT: Duration = Duration::from_secs(60);
/// How many are killed: as all notice a death at nearly the same time, one slow death of twenty is what 95 of 100 leave
/// out.
const KILLS: usize = 20;
/// The distance between two that are killed, so that it is not always neighbours; it has no factor in common with the
/// number of those that can be killed.
const STEP: usize = 7;
/// How long the last one may take to notice.
const DETECTION_LIMIT: Duration = Duration::from_secs(15);
/// How long 95 of 100 may take.
const USUAL_DETECTION_LIMIT: Duration = Duration::from_secs(10);
/// How long a node that comes back may take to be a member for everybody.
const BACK_LIMIT: Duration = Duration::from_secs(15);

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let since = wall();
    let (mut fleet, joined) = Fleet::joined(world, SIZE, SIZE, JOIN_LIMIT)?;
    fleet.nobody_died(since, &Expected::default())?;
    let mut killed = Vec::new();
    let mut detected = Vec::new();
    let mut back = Duration::ZERO;
    for kill in 0..KILLS {
        // The seed stays: others come back by it.
        let rest = SIZE.saturating_sub(1);
        let victim = kill.saturating_mul(STEP).checked_rem(rest).unwrap_or(0);
        let victim = victim.saturating_add(1);
        let id = fleet.id(victim)?;
        let at = fleet.kill(victim)?;
        killed.push(id.clone());
        detected.extend(fleet.noticed(&id, at, DETECTION_LIMIT)?);
        let started = wall();
        fleet.start(victim, &[0])?;
        back = back.max(fleet.welcomed(victim, started, BACK_LIMIT)?);
    }
    let spread = Spread::of(detected);
    eprintln!("detection: {spread}");
    spread.part_is_within(95, USUAL_DETECTION_LIMIT)?;
    fleet.is_well(since, &Expected::deaths_of(&killed))?;
    Ok(Counts::default()
        .with("nodes", count(SIZE))
        .with("kills", count(KILLS))
        .with_detection(&spread)
        .with("detections", count(spread.len()))
        .with_time("joined_s", joined)
        .with_time("back_s", back))
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
