//! `kad-records`: what becomes of records while nodes come and go for 20 hours, and when half of them die at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_kad::{Goal, Input, LookupOptions, key_of};
use macula_testkit::NodeIndex;
use macula_wire::message::{RecordContent, RecordKind, ValueContent};
use macula_wire::{ContentType, Key, Machine, NodeId, RecordId, Topic};

use super::lookup::tables;
use super::node::contact;
use super::start::{Run, add, join, joined, tell_members};
use crate::progress::Progress;
use crate::report::{Figures, Outcome};
use crate::scenario::Fault;
use crate::settings::Settings;
use crate::statistics::{Sample, number, share};

/// How long a record holds without its owner.
const LEASE: Duration = Duration::from_secs(24 * 3_600);
/// How long nodes come and go.
const LIFE: Duration = Duration::from_secs(20 * 3_600);
/// How long the others take to learn of a death, and of a newcomer.
const VERDICT: Duration = Duration::from_secs(4);
/// How long records have to reach those that keep them.
const SPREAD: Duration = Duration::from_secs(5);
/// The share of the nodes that goes, and as many come, in an hour.
const CHURN: f64 = 0.05;

/// A record that was published.
#[derive(Debug)]
struct Published {
    id: RecordId,
    key: Key,
}

/// Runs the scenario.
pub(crate) fn run(settings: &Settings, progress: &Progress) -> Result<Outcome, Fault> {
    let mut run = joined(settings, progress)?;
    tell_members(&mut run.net);
    run.begins();
    let records = publish(&mut run)?;
    run.run_for(SPREAD)?;
    let mut figures = Figures::default();
    figures.count("records", records.len());
    figures.add("copies", copies(&run, &records).mean());
    let before = requests(&run);
    let moves = live(&mut run)?;
    let made = requests(&run) - before;
    let hours = LIFE.as_secs_f64() / 3_600.0;
    figures.add("rpcs_per_node_h", made / number(settings.nodes) / hours);
    figures.count("departures", moves);
    figures.count("arrivals", moves);
    figures.add("survived", survived(&run, &records));
    figures.add("copies_after", copies(&run, &records).mean());
    figures.add("found", found(&mut run, &records)?);
    progress.says("half of the nodes die");
    for node in run.share(0.5) {
        run.net.kill(node);
    }
    figures.add("survived_half", survived(&run, &records));
    figures.add("found_half", found(&mut run, &records)?);
    tables(&run, &mut figures);
    Ok(run.finish(figures))
}

/// Each record by a node of its own, in turn.
fn publish(run: &mut Run<'_>) -> Result<Vec<Published>, Fault> {
    let owners: Vec<NodeIndex> = run.net.running().collect();
    let realm = run.net.host().realm.clone();
    let mut records = Vec::new();
    for (index, owner) in (0..run.settings.lookups).zip(owners.iter().cycle()) {
        let name = Topic::new(&format!("value.{index}")).map_err(|error| error.to_string())?;
        let content = RecordContent::Value(ValueContent {
            name,
            content: ContentType::Text,
            value: Bytes::from_static(b"a value that is to outlive its owner"),
        });
        let id = run.net.id(*owner).unwrap_or_default();
        let key = key_of(&realm, &id, &content);
        let done = run
            .net
            .with(*owner, |kad, now| kad.publish_for(now, content, LEASE));
        let id = done
            .ok_or("an owner is gone")?
            .map_err(|error| error.to_string())?;
        records.push(Published { id, key });
    }
    Ok(records)
}

/// Nodes come and go, and everybody is told; says how many went.
fn live(run: &mut Run<'_>) -> Result<usize, Fault> {
    let an_hour = number(run.settings.nodes) * CHURN;
    let between = Duration::from_secs_f64(3_600.0 / an_hour);
    let begin = run.net.now();
    let mut went = 0_usize;
    while run.net.now().saturating_since(begin) < LIFE {
        run.run_for(between.saturating_sub(VERDICT))?;
        for node in run.some(1) {
            let id = run.net.id(node).unwrap_or_default();
            run.net.kill(node);
            let by = run.some(1);
            let newcomer = arrive(run, by.first().copied());
            run.run_for(VERDICT)?;
            tell(run, |input_to| {
                (input_to != id).then_some(Input::MemberGone(id))
            });
            let new = contact(newcomer);
            tell(run, |input_to| {
                (input_to != newcomer).then(|| Input::Member(Arc::clone(&new)))
            });
            went = went.saturating_add(1);
        }
        let passed = run.net.now().saturating_since(begin);
        run.progress
            .reached(passed.as_secs_f64(), LIFE.as_secs_f64());
    }
    Ok(went)
}

/// A node joins, and learns who the others are.
fn arrive(run: &mut Run<'_>, by: Option<NodeIndex>) -> NodeId {
    let newcomer = add(&mut run.net);
    if let Some(by) = by {
        join(&mut run.net, newcomer, by);
    }
    let ids = run.net.running().filter_map(|node| run.net.id(node));
    let members = macula_kad::MemberSnapshot::new(ids.map(contact));
    run.net
        .with(newcomer, |kad, _| kad.begin_with(Arc::new(members)));
    run.net.id(newcomer).unwrap_or_default()
}

/// Gives every node an input.
fn tell(run: &mut Run<'_>, input: impl Fn(NodeId) -> Option<Input>) {
    let all: Vec<NodeIndex> = run.net.running().collect();
    for node in all {
        if let Some(input) = run.net.id(node).and_then(&input) {
            run.net.with(node, |kad, now| kad.handle_input(now, input));
        }
    }
}

/// How many nodes keep each record.
fn copies(run: &Run<'_>, records: &[Published]) -> Sample {
    let keepers = |record: &Published| {
        let machines = run.net.running().filter_map(|node| run.net.machine(node));
        number(machines.filter(|kad| kad.keeps(&record.id)).count())
    };
    records.iter().map(keepers).collect()
}

/// The share of records that somebody keeps.
fn survived(run: &Run<'_>, records: &[Published]) -> f64 {
    let machines = || run.net.running().filter_map(|node| run.net.machine(node));
    let kept = |record: &&Published| machines().any(|kad| kad.keeps(&record.id));
    share(records.iter().filter(kept).count(), records.len())
}

/// The share of records that a lookup by some node finds.
fn found(run: &mut Run<'_>, records: &[Published]) -> Result<f64, Fault> {
    let who: Vec<NodeIndex> = run.net.running().collect();
    for record in records {
        let goal = Goal::Records {
            key: record.key,
            kind: RecordKind::Value,
            all: false,
        };
        let asker = who.get(run.random.index(who.len())).copied();
        if let Some(asker) = asker {
            let options = LookupOptions::default();
            run.net
                .with(asker, |kad, now| kad.lookup(now, goal, options));
        }
        run.run_for(Duration::from_millis(5))?;
    }
    run.run_for(Duration::from_secs(12))?;
    let outcomes = std::mem::take(&mut run.net.host_mut().outcomes);
    let found: BTreeSet<Key> = outcomes
        .iter()
        .filter(|(_, outcome)| !outcome.records.is_empty())
        .filter_map(|(_, outcome)| match outcome.goal {
            Goal::Records { key, .. } => Some(key),
            Goal::Closest(_) | Goal::Node(_) | _ => None,
        })
        .collect();
    let count = records
        .iter()
        .filter(|record| found.contains(&record.key))
        .count();
    Ok(share(count, records.len()))
}

/// Requests of all nodes so far.
fn requests(run: &Run<'_>) -> f64 {
    let machines = run.net.running().filter_map(|node| run.net.machine(node));
    machines.map(|kad| kad.stats().requests as f64).sum()
}
