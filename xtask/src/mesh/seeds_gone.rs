//! The seed and another node leave for ever; the others stay together, and new and old ones still find them.

use std::time::Duration;

use super::counts::Counts;
use super::fleet::Fleet;
use super::journal::Expected;
use super::until::{Seen, until};
use super::world::World;
use crate::clock::wall;
use crate::failure::Failure;

/// How many nodes there are at first.
const FIRST: usize = 16;
/// Two more come later.
const SIZE: usize = 18;
/// Those that leave: the seed and another.
const LEAVING: [usize; 2] = [0, 5];
/// By whom new ones join.
const DOOR: usize = 3;
/// Who is restarted with nothing but the seed in its configuration.
const RESTARTED: usize = 7;
/// The file in which a node keeps whom it knew.
const CACHE: &str = "members.cache";
/// How long a node may take to write it: once it knows anybody, it does so within a second.
const CACHE_LIMIT: Duration = Duration::from_secs(5);
const JOIN_LIMIT: Duration = Duration::from_secs(30);
const LEFT_LIMIT: Duration = Duration::from_secs(10);
/// How long a new node may take, from its start, to be a member for everybody.
const NEW_LIMIT: Duration = Duration::from_secs(5);
/// How long they may take to find each other when all come back at once.
const FOUND_LIMIT: Duration = Duration::from_secs(30);

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let since = wall();
    let (mut fleet, joined) = Fleet::joined(world, SIZE, FIRST, JOIN_LIMIT)?;
    for number in LEAVING {
        fleet.dismiss(number)?;
    }
    let left = fleet.agree(LEFT_LIMIT)?;
    fleet.nobody_died(since, &Expected::default())?;
    let mut new = Duration::ZERO;
    for number in FIRST..SIZE {
        let started = wall();
        fleet.start(number, &[DOOR])?;
        new = new.max(fleet.welcomed(number, started, NEW_LIMIT)?);
    }
    // By the file it finds the others; its configuration names nobody who is there.
    until(CACHE_LIMIT, &format!("n{RESTARTED} wrote {CACHE}"), || {
        let written = fleet.has_file(RESTARTED, CACHE)?;
        Ok(Seen::when(written, || "no such file".to_owned()))
    })?;
    let mut killed = vec![fleet.id(RESTARTED)?];
    fleet.kill(RESTARTED)?;
    let started = wall();
    fleet.start(RESTARTED, &LEAVING)?;
    let back = fleet.welcomed(RESTARTED, started, NEW_LIMIT)?;
    let (ids, cut) = power_cut(&mut fleet)?;
    killed.extend(ids);
    fleet.is_well(since, &Expected::deaths_of(&killed))?;
    Ok(Counts::default()
        .with_time("joined_s", joined)
        .with_time("left_s", left)
        .with_time("new_s", new)
        .with_time("back_s", back)
        .with_time("after_power_cut_s", cut))
}

/// All are killed, so that nobody is left who could look for anybody; what they wrote down has to bring them together.
fn power_cut(fleet: &mut Fleet<'_>) -> Result<(Vec<String>, Duration), Failure> {
    let all = fleet.running();
    let mut ids = Vec::new();
    for number in &all {
        ids.push(fleet.id(*number)?);
        fleet.kill(*number)?;
    }
    let started = wall();
    for number in &all {
        fleet.start(*number, &LEAVING)?;
    }
    fleet.agree(FOUND_LIMIT)?;
    Ok((ids, wall().saturating_sub(started)))
}
