//! Several pairs of nodes cannot reach each other, and every other node reaches both.

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
/// The pairs; some nodes are in two of them.
const PAIRS: [(usize, usize); 6] = [(1, 2), (3, 4), (5, 6), (7, 8), (1, 3), (2, 4)];
const JOIN_LIMIT: Duration = Duration::from_secs(30);
/// How long they are cut off from each other: longer than a link without an answer.
const CUT: Duration = Duration::from_secs(45);
/// How long a suspicion may take to be refuted.
const AGREE_LIMIT: Duration = Duration::from_secs(15);

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let since = wall();
    let (mut fleet, joined) = Fleet::joined(world, SIZE, SIZE, JOIN_LIMIT)?;
    let ways: Vec<(usize, usize)> = PAIRS
        .iter()
        .flat_map(|(one, other)| [(*one, *other), (*other, *one)])
        .collect();
    let nobody = Expected::default();
    fleet.fault(ways.iter().copied(), Fault::cut())?;
    lasting(CUT);
    fleet.nobody_died(since, &nobody)?;
    fleet.agree(AGREE_LIMIT)?;
    let mut lost: u64 = 0;
    for (one, other) in PAIRS {
        let of_pair = fleet.tally([(one, other), (other, one)])?.lost;
        ensure(of_pair > 0, || {
            format!("no packet between n{one} and n{other} was lost")
        })?;
        lost = lost.saturating_add(of_pair);
    }
    fleet.fault(ways.iter().copied(), Fault::default())?;
    fleet.agree(AGREE_LIMIT)?;
    fleet.is_well(since, &nobody)?;
    Ok(Counts::default()
        .with_time("joined_s", joined)
        .with("lost", lost)
        .with("suspicions", fleet.journal().suspicions(since)))
}
