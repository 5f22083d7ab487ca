//! A realm in which everybody wants one topic.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_pubsub::{Rings, Tree, TreeConfig, TreeInput};
use macula_testkit::NodeIndex;
use macula_wire::{
    Batch, ContentType, Entries, Epoch, Machine, NodeId, Sequence, Topic, TopicAlias, limit,
};

use super::measure::Message;
use super::node::{Nodes, on_its_way};
use crate::progress::Progress;
use crate::scenario::Fault;
use crate::settings::Settings;

/// How many nodes publish.
pub(super) const SENDERS: usize = 16;
/// The time from one message to the next.
pub(super) const BETWEEN: Duration = Duration::from_millis(20);
/// How many messages each sender sends before anything is measured.
pub(super) const WARM_UP: usize = 6;

/// A network of nodes that run trees.
pub(super) type Run<'a> = crate::run::Run<'a, Nodes>;

/// A realm of nodes that all want one topic, know so, and are linked with their neighbours.
pub(super) fn started<'a>(
    settings: &'a Settings,
    progress: &'a Progress,
) -> Result<Run<'a>, Fault> {
    let topic = Topic::new("news").map_err(|error| error.to_string())?;
    let host = Nodes {
        topic: topic.clone(),
        messages: Vec::new(),
    };
    let mut run = Run::new(settings, progress, host)?;
    for _ in 0..settings.nodes {
        run.net
            .add(|id, _, now| Tree::new(TreeConfig::default(), id, now));
    }
    let ids: Vec<NodeId> = run
        .net
        .nodes()
        .filter_map(|node| run.net.id(node))
        .collect();
    let rings = Arc::new(Rings::new(ids.iter().copied()));
    let nodes: Vec<NodeIndex> = run.net.nodes().collect();
    for (node, id) in nodes.iter().zip(&ids) {
        for neighbour in rings.neighbours(id, |_| false) {
            if let Some(neighbour) = run.net.find(neighbour) {
                run.net.link(*node, neighbour);
            }
        }
    }
    for node in &nodes {
        let (topic, rings) = (topic.clone(), Arc::clone(&rings));
        let members = TreeInput::Members {
            topic,
            rings,
            since: run.net.now(),
        };
        run.net
            .with(*node, |tree, now| tree.handle_input(now, members));
    }
    run.run_for(Duration::from_secs(2))?;
    let senders = run.some(SENDERS.min(settings.nodes));
    let messages = senders.into_iter().map(|sender| (sender, Vec::new()));
    run.net.host_mut().messages = messages.collect();
    run.begins();
    Ok(run)
}

/// Each sender that runs sends one message, one after the other.
pub(super) fn round(run: &mut Run<'_>) -> Result<(), Fault> {
    for number in 0..run.net.host().messages.len() {
        if publish(run, number)? {
            run.run_for(BETWEEN)?;
        }
    }
    Ok(())
}

/// One sender sends one message; whether it runs.
fn publish(run: &mut Run<'_>, number: usize) -> Result<bool, Fault> {
    let (nodes, now) = (run.settings.nodes, run.net.now());
    let topic = run.net.host().topic.clone();
    let Some((sender, messages)) = run.net.host_mut().messages.get_mut(number) else {
        return Ok(false);
    };
    let (sender, sequence) = (*sender, messages.len());
    let Some(publisher) = run
        .net
        .id(sender)
        .filter(|_| run.net.machine(sender).is_some())
    else {
        return Ok(false);
    };
    let batch = batch(publisher, sequence)?;
    if let Some((_, messages)) = run.net.host_mut().messages.get_mut(number) {
        messages.push(Message::new(nodes, sender, now));
    }
    run.net.with(sender, |tree, now| {
        let mut batch = on_its_way(&topic, batch);
        batch.distance = 0;
        let expected = None;
        tree.handle_input(
            now,
            TreeInput::Batch {
                from: None,
                batch,
                expected,
            },
        );
    });
    Ok(true)
}

/// One event of 64 bytes.
fn batch(publisher: NodeId, sequence: usize) -> Result<Batch, Fault> {
    let payload = Bytes::from_static(&[7; 64]);
    let entries = Entries::from_payloads([payload.as_ref()]).map_err(|error| error.to_string())?;
    Ok(Batch {
        hops: limit::TREE_HOPS,
        publisher,
        epoch: Epoch::new(1),
        alias: TopicAlias::new(0),
        base: Sequence::new(u64::try_from(sequence).unwrap_or(u64::MAX)),
        ttl_ms: None,
        enveloped: false,
        content: ContentType::Bytes,
        signature: Some(macula_wire::Signature::from_bytes([7; 64])),
        entries,
    })
}

/// Sends until the trees have taken their shape.
pub(super) fn warm_up(run: &mut Run<'_>) -> Result<(), Fault> {
    run.progress.says("trees take their shape");
    for number in 0..WARM_UP {
        round(run)?;
        run.progress.reached(
            crate::statistics::number(number),
            crate::statistics::number(WARM_UP),
        );
    }
    run.run_for(Duration::from_secs(1))
}

/// The messages of all senders from the number `from` on.
pub(super) fn messages_from<'a>(run: &'a Run<'_>, from: usize) -> Vec<&'a Message> {
    let senders = run.net.host().messages.iter();
    senders
        .flat_map(|(_, messages)| messages.iter().skip(from))
        .collect()
}
