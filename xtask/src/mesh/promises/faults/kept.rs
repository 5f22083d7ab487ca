//! A publisher is killed while a node is cut off that is owed its events, and a store has them.

use std::time::Duration;

use serde_json::Value;

use super::super::stage::{MEMBER, SIZE, Stage};
use super::DEATH_LIMIT;
use crate::failure::Failure;
use crate::mesh::counts::Counts;
use crate::mesh::fleet::Fleet;
use crate::mesh::net;
use crate::mesh::until::{Seen, lasting, until};
use crate::mesh::world::ensure;

/// The node that keeps events for others, where somebody subscribes as well, and one that is owed events and cannot be reached.
const STORE: usize = 5;
const OWED: usize = 4;
/// How long that node has been cut off when the publisher is killed, and how long it is after that: less than it takes to be
/// thought dead.
const CUT: Duration = Duration::from_millis(1_500);

/// Makes the store.
///
/// # Errors
///
/// When the command fails.
pub(super) fn prepare(fleet: &mut Fleet<'_>) -> Result<(), Failure> {
    fleet.make_store(STORE, "q.**")
}

/// Lets it happen.
///
/// # Errors
///
/// When it does not happen, or the store does not send what was owed.
pub(super) fn kill(stage: &mut Stage<'_>, counts: Counts) -> Result<Counts, Failure> {
    let store = stage.fleet.id(STORE)?;
    stage.ledger.keeps(&store)?;
    stage.reader("rk", STORE, "q.**", &[])?;
    stage.flow()?;
    let pairs: Vec<(usize, usize)> = (0..SIZE)
        .filter(|number| *number != OWED)
        .flat_map(|number| [(number, OWED), (OWED, number)])
        .collect();
    stage.ledger.broken("partition")?;
    stage
        .fleet
        .fault(pairs.iter().copied(), net::Fault::cut())?;
    lasting(CUT);
    let dead = stage.fleet.node(MEMBER)?.id.clone();
    let run = stage.fleet.node(MEMBER)?.epoch;
    let before = taken_over(stage)?;
    stage.kill_node(MEMBER)?;
    lasting(CUT);
    stage
        .fleet
        .fault(pairs.iter().copied(), net::Fault::default())?;
    stage.ledger.mended("partition")?;
    let watcher = stage.fleet.node(STORE)?;
    until(DEATH_LIMIT, "the killed publisher is seen dead", || {
        let members = watcher.members(stage.world)?;
        let mut found = members.iter().filter(|member| member.node == dead);
        let gone = found.all(|member| member.state == "dead");
        Ok(Seen::when(gone, || format!("{members:?}")))
    })?;
    let (taken, took) = until(DEATH_LIMIT, "the store has sent what was owed", || {
        let kept = stat(stage, "/kept_for_others")?;
        let taken = taken_over(stage)?.saturating_sub(before);
        Ok(if kept == 0 && taken > 0 {
            Seen::Yes(taken)
        } else {
            Seen::NotYet(format!("{taken} taken over, {kept} kept"))
        })
    })?;
    let back = stage.start_node(MEMBER)?;
    ensure(stage.fleet.node(MEMBER)?.epoch > run, || {
        "the node that came back goes on with its old run".to_owned()
    })?;
    stage.flow()?;
    Ok(counts
        .with("taken_over", taken)
        .with_time("sent_after_s", took)
        .with_time("member_back_s", back))
}

fn taken_over(stage: &Stage<'_>) -> Result<u64, Failure> {
    stat(stage, "/counts/kept_taken_over")
}

/// A number of what the store tells of itself.
fn stat(stage: &Stage<'_>, pointer: &str) -> Result<u64, Failure> {
    let folder = &stage.fleet.node(STORE)?.folder;
    let answer = stage.world.ask(&["stats", "--node", folder])?.expect(0)?;
    let stats = answer.only()?;
    let number = stats.pointer(pointer).and_then(Value::as_u64);
    number.ok_or_else(|| Failure::failed(format!("no {pointer} in {stats}")))
}
