//! Thirty-two nodes; several are killed one after the other, and every other node's time of noticing is taken.

use std::time::Duration;

use super::counts::Counts;
use super::fleet::Fleet;
use super::journal::Expected;
use super::spread::Spread;
use super::until::{Seen, until};
use super::world::{World, ensure};
use crate::clock::wall;
use crate::failure::Failure;

const SIZE: usize = 32;
/// How long all of them may take to know each other.
const JOIN_LIMIT: Duration = Duration::from_secs(60);
/// How many are killed.
const KILLS: usize = 10;
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
        detected.extend(noticed(&fleet, &id, at)?);
        fleet.start(victim, &[0])?;
        back = back.max(fleet.agree(BACK_LIMIT)?);
    }
    let spread = Spread::of(detected);
    eprintln!("detection: {spread}");
    let usual = spread.part(95);
    ensure(usual <= USUAL_DETECTION_LIMIT, || {
        format!("too slow to notice: {spread}")
    })?;
    fleet.is_well(since, &Expected::deaths_of(&killed))?;
    let names = [
        "detect_s.mean",
        "detect_s.p50",
        "detect_s.p95",
        "detect_s.p99",
        "detect_s.max",
    ];
    Ok(Counts::default()
        .with("nodes", count(SIZE))
        .with("kills", count(KILLS))
        .with_spread(names, &spread)
        .with_time("detect_s.min", spread.min())
        .with("detections", count(spread.len()))
        .with_time("joined_s", joined)
        .with_time("back_s", back))
}

/// Waits until all others hold a node for dead. Returns how long each of them took.
fn noticed(fleet: &Fleet<'_>, id: &str, at: Duration) -> Result<Vec<Duration>, Failure> {
    let observers = fleet.running();
    let what = format!("{} nodes see {id:.8} dead", observers.len());
    let (times, _took) = until(DETECTION_LIMIT, &what, || {
        let death = |observer: &usize| fleet.journal().death(*observer, id, at);
        let times: Vec<Duration> = observers.iter().filter_map(death).collect();
        Ok(if times.len() == observers.len() {
            Seen::Yes(times)
        } else {
            Seen::NotYet(format!("{} do", times.len()))
        })
    })?;
    Ok(times
        .into_iter()
        .map(|time| time.saturating_sub(at))
        .collect())
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
