//! All packets from one node to the others are lost, while those to it arrive.

use std::time::Duration;

use super::counts::Counts;
use super::fleet::Fleet;
use super::journal::Expected;
use super::net::Fault;
use super::until::lasting;
use super::world::{World, ensure};
use crate::clock::wall;
use crate::failure::Failure;

const SIZE: usize = 16;
/// The one that nobody hears.
const MUTE: usize = 6;
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// How long the others may take to agree that it is gone.
const AGREE_LIMIT: Duration = Duration::from_secs(15);
/// How long the cut lasts after that: longer than a link without an answer.
const CUT: Duration = Duration::from_secs(35);
/// How long it may take until all are members again.
const HEAL_LIMIT: Duration = Duration::from_secs(20);
/// How long the consequences of the cut may take to show.
const AFTERMATH: Duration = Duration::from_secs(10);

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let since = wall();
    let (mut fleet, joined) = Fleet::joined(world, SIZE, SIZE, JOIN_LIMIT)?;
    fleet.nobody_died(since, &Expected::default())?;
    let others = fleet.others(MUTE);
    let ways: Vec<(usize, usize)> = others.iter().map(|other| (MUTE, *other)).collect();
    // Of a node that nobody hears, it does not matter what it thinks.
    let expected = Expected {
        members: vec![fleet.id(MUTE)?],
        observers: vec![MUTE],
    };
    fleet.fault(ways.iter().copied(), Fault::cut())?;
    let agreed = fleet.agree_among(&others, &others, AGREE_LIMIT)?;
    lasting(CUT);
    fleet.agree_among(&others, &others, Duration::ZERO)?;
    fleet.nobody_died(since, &expected)?;
    let lost = fleet.tally(ways.iter().copied())?.lost;
    ensure(lost > 0, || "no packet was lost".to_owned())?;

    fleet.fault(ways.iter().copied(), Fault::default())?;
    let healed = fleet.agree(HEAL_LIMIT)?;
    // What it thought must not reach the others now.
    lasting(AFTERMATH);
    fleet.agree(HEAL_LIMIT)?;
    fleet.is_well(since, &expected)?;
    Ok(Counts::default()
        .with_time("joined_s", joined)
        .with_time("agreed_s", agreed)
        .with("lost", lost)
        .with_time("healed_s", healed))
}
