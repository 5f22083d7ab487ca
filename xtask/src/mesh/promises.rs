//! What is promised of events and calls, kept while something goes wrong.
//!
//! Seven nodes; applications of their own at four of them publish, subscribe, serve and call all the time, and another one is
//! a node itself and publishes with QoS 1, to subscribers and to a group. All write down what they do and what they are told. Each fault is shown to have happened, and what all wrote is compared with what is
//! promised, by the checker that simulators use too.

mod faults;
mod ledger;
mod player;
mod stage;
mod tree;
mod verdict;

use super::counts::Counts;
use super::world::World;
use crate::failure::Failure;
use faults::Fault;
use stage::Stage;
pub(super) use tree::run as tree;

/// How many events are published in each step, unless set.
const STEP: u64 = 1_500;

/// Every fault, one after the other, in one mesh.
pub(super) fn all(world: &World) -> Result<Counts, Failure> {
    let faults = [
        Fault::Loss(1),
        Fault::Loss(5),
        Fault::Loss(15),
        Fault::Disorder,
        Fault::KillWriter,
        Fault::KillReader,
        Fault::KillMember,
        Fault::Stall,
        Fault::KillPublisher,
        Fault::KillSubscriber,
        Fault::Partition,
        Fault::Restart,
    ];
    // Before, during and after each.
    let steps = u64::try_from(faults.len()).unwrap_or(1).saturating_mul(2);
    let wanted = world.settings().events;
    let step = wanted.and_then(|events| events.checked_div(steps.saturating_add(1)));
    let mut stage = Stage::set(world, step.unwrap_or(STEP), false, |_fleet| Ok(()))?;
    stage.cast()?;
    stage.flow()?;
    let mut counts = Counts::default();
    for fault in faults {
        eprintln!("   {fault}");
        counts = fault.happen(&mut stage, counts)?;
        stage.flow()?;
    }
    stage.end(counts)
}

fn one(world: &World, fault: Fault) -> Result<Counts, Failure> {
    let step = world
        .settings()
        .events
        .and_then(|events| events.checked_div(3));
    let is_durable = matches!(fault, Fault::KillDurable);
    let prepare = |fleet: &mut _| fault.prepare(fleet);
    let mut stage = Stage::set(world, step.unwrap_or(STEP), is_durable, prepare)?;
    fault.wait(&stage)?;
    stage.cast()?;
    stage.flow()?;
    let counts = fault.happen(&mut stage, Counts::default())?;
    stage.flow()?;
    stage.end(counts)
}

pub(super) fn loss_1(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::Loss(1))
}

pub(super) fn loss_5(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::Loss(5))
}

pub(super) fn loss_15(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::Loss(15))
}

pub(super) fn disorder(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::Disorder)
}

pub(super) fn kill_writer(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::KillWriter)
}

pub(super) fn kill_publisher(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::KillPublisher)
}

pub(super) fn kill_member(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::KillMember)
}

pub(super) fn kill_durable(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::KillDurable)
}

pub(super) fn kill_kept(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::KillKept)
}

pub(super) fn kill_reader(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::KillReader)
}

pub(super) fn kill_subscriber(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::KillSubscriber)
}

pub(super) fn kill_relay(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::KillRelay)
}

pub(super) fn partition(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::Partition)
}

pub(super) fn stall(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::Stall)
}

pub(super) fn restart(world: &World) -> Result<Counts, Failure> {
    one(world, Fault::Restart)
}
