//! A node is killed and started again in its directory, at once and after its death was seen.

use std::collections::BTreeSet;
use std::time::Duration;

use super::counts::Counts;
use super::node::{Mesh, Node};
use super::subscriber::{PATTERN, Subscriber, connected, publish, published};
use super::until::{Seen, until};
use super::world::{World, ensure, readings};
use crate::clock::Watch;
use crate::failure::Failure;

const TOPIC: &str = "weather.sf.temperature";
/// How many readings are published in each run of the node.
const READINGS: usize = 200;
const PASS_LIMIT: Duration = Duration::from_secs(20);
const DETECTION_LIMIT: Duration = Duration::from_secs(10);
/// How long a node that comes back may take to be a member again for everybody.
const BACK_LIMIT: Duration = Duration::from_secs(5);

pub(super) fn run(world: &World) -> Result<Counts, Failure> {
    let mut mesh = Mesh::start(world)?;
    let mut first = Subscriber::start(world, "sub at a", &mesh.a, PATTERN, &[])?;
    let mut third = Subscriber::start(world, "sub at c", &mesh.c, PATTERN, &[])?;
    let mut epochs = Vec::new();
    let mut back = Vec::new();
    for run in 0..3 {
        if run > 0 {
            mesh.b.kill()?;
            if run == 2 {
                for node in [&mesh.a, &mesh.c] {
                    node.sees(world, &mesh.b, &["dead"], DETECTION_LIMIT)?;
                }
            }
            let watch = Watch::start();
            mesh.b = again(world, &mesh)?;
            everybody_knows(world, &mesh, watch)?;
            back.push(watch.elapsed());
        }
        epochs.push(mesh.b.epoch);
        connected(world, &[&mesh.b], &mut [&mut first, &mut third])?;
        send(world, &mesh.b, run)?;
        for subscriber in [&mut first, &mut third] {
            let feed = subscriber.accounts(&mesh.b, TOPIC, count(READINGS), PASS_LIMIT)?;
            ensure(feed.first == Some(0) && feed.missing == 0, || {
                format!(
                    "events after a restart are missing: {}",
                    subscriber.history()
                )
            })?;
        }
    }
    ensure(epochs.is_sorted_by(|before, after| before < after), || {
        format!("the epochs of the node's runs do not rise: {epochs:?}")
    })?;
    let mut received: u64 = 0;
    for subscriber in [first, third] {
        let history = subscriber.stop()?;
        let feed = history.feed(&mesh.b.id, TOPIC).cloned().unwrap_or_default();
        let distinct: BTreeSet<&String> = feed.payloads.iter().collect();
        ensure(
            feed.runs == 3 && distinct.len() == feed.payloads.len(),
            || format!("three runs, nothing twice, was expected: {history}"),
        )?;
        received = received.saturating_add(count(feed.payloads.len()));
    }
    for node in [&mut mesh.a, &mut mesh.b, &mut mesh.c] {
        node.is_well(world)?;
    }
    let mut counts = Counts::default().with("runs", 3).with("received", received);
    for (name, took) in ["back_at_once_s", "back_after_death_s"]
        .into_iter()
        .zip(back)
    {
        counts = counts.with_time(name, took);
    }
    Ok(counts)
}

/// Starts the killed node again, in its directory and at its address.
fn again(world: &World, mesh: &Mesh) -> Result<Node, Failure> {
    let (folder, listen) = (&mesh.b.folder, &mesh.b.listen);
    let node = Node::start(world, "b", folder, listen, &[&mesh.a.listen])?;
    ensure(node.id == mesh.b.id && node.epoch > mesh.b.epoch, || {
        format!(
            "the node that came back is {} of epoch {}, before it was {} of epoch {}",
            node.id, node.epoch, mesh.b.id, mesh.b.epoch
        )
    })?;
    Ok(node)
}

/// Waits until all three list the node once, alive, linked and in its new run, and it lists them.
fn everybody_knows(world: &World, mesh: &Mesh, since: Watch) -> Result<(), Failure> {
    let left = || BACK_LIMIT.saturating_sub(since.elapsed());
    for node in [&mesh.a, &mesh.c] {
        let what = format!("the new run of b at {}", node.name);
        until(left(), &what, || {
            let members = node.members(world)?;
            let entries: Vec<_> = members
                .iter()
                .filter(|member| member.node == mesh.b.id)
                .collect();
            let back = entries.iter().all(|member| {
                member.state == "alive" && member.linked && member.epoch == mesh.b.epoch
            });
            Ok(Seen::when(entries.len() == 1 && back, || {
                format!("{entries:?}")
            }))
        })?;
    }
    mesh.b.knows(world, 3, left())?;
    Ok(())
}

/// Publishes readings that no other run publishes.
fn send(world: &World, node: &Node, run: usize) -> Result<(), Failure> {
    let lines = readings("sf", run.saturating_mul(READINGS), READINGS)?;
    let file = world.file(&format!("sf-{run}"), &lines)?;
    published(
        publish(world, node, TOPIC, &file, &[])?,
        READINGS,
        PASS_LIMIT,
    )
}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
