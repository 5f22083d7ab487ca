//! A simulated overlay: one machine a node, and what can be said of the graph.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use macula_swim::Overlay;
use macula_swim::overlay::{Config, Input, Offence, Output};
use macula_testkit::{Class, Context, Host, LinkChange, Net, NodeIndex, node_id};
use macula_wire::{Body, Instant, Machine, NodeId, Random};

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Where a node says that it can be dialled.
pub(crate) fn address() -> std::net::SocketAddr {
    "192.0.2.1:4433".parse().unwrap()
}

pub(crate) fn overlay(config: &Config, id: NodeId, random: Random, now: Instant) -> Overlay {
    Overlay::new(config.clone(), id, vec![address()], random, now)
}

/// Plugs [`Overlay`] into a network.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    /// Whether links that are released are closed.
    pub(crate) closes: bool,
    /// What was reported, with who reported it.
    pub(crate) blamed: Vec<(NodeIndex, NodeId, Offence)>,
    /// Offences that a test announces, so that they do not fail it.
    pub(crate) expected: Vec<Offence>,
    /// Who was announced as a neighbour and not withdrawn.
    pub(crate) neighbours: BTreeSet<(NodeIndex, NodeId)>,
}

impl Host for Ring {
    type Machine = Overlay;

    fn on_output(&mut self, context: &mut Context<'_>, machine: &mut Overlay, output: Output) {
        let node = context.node();
        match output {
            Output::Send { to, body, .. } => context.send(to, Class::Reliable, body),
            Output::Connect { node, .. } => context.dial(node),
            Output::Release { node } => {
                if self.closes {
                    context.close(node);
                }
            }
            Output::NeighbourUp { node: peer } => {
                if !self.neighbours.insert((node, peer)) {
                    context.fail(format!("{peer:?} is up twice"));
                }
            }
            Output::NeighbourDown { node: peer } => {
                if !self.neighbours.remove(&(node, peer)) {
                    context.fail(format!("{peer:?} is down without being up"));
                }
            }
            Output::Misbehaved { peer, offence } => {
                if !self.expected.contains(&offence) {
                    context.fail(format!("{peer:?} is blamed: {offence}"));
                }
                self.blamed.push((node, peer, offence));
            }
            other => context.fail(format!("{other:?} is new")),
        }
        let held = machine.neighbours().count();
        if held > machine.degree() {
            context.fail(format!("{held} neighbours"));
        }
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Overlay,
        from: NodeId,
        _: Class,
        body: Body,
    ) {
        machine.handle_input(context.now(), Input::Message { from, body });
    }

    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Overlay,
        peer: NodeId,
        change: LinkChange,
    ) {
        let input = match change {
            LinkChange::Up => Input::LinkUp { peer },
            LinkChange::Down => Input::LinkDown { peer },
        };
        machine.handle_input(context.now(), input);
    }
}

pub(crate) type Web = Net<Ring>;

/// Links of 10 to 50 ms.
pub(crate) fn wide() -> macula_testkit::Config {
    let mut config = macula_testkit::Config::default();
    config.conditions.min_delay = Duration::from_millis(10);
    config.conditions.max_delay = Duration::from_millis(50);
    config.max_steps = 100_000_000;
    config
}

/// A network without nodes, whose links close when they are released.
pub(crate) fn web(seed: u64) -> Web {
    let host = Ring {
        closes: true,
        ..Ring::default()
    };
    Net::new(wide(), seed, host)
}

/// Adds a node that joins through the first one.
pub(crate) fn add(net: &mut Web, config: &Config) -> NodeIndex {
    let node = net.add(|id, random, now| overlay(config, id, random, now));
    if node.get() > 0 {
        enter(net, node, NodeIndex::new(0));
    }
    node
}

pub(crate) fn enter(net: &mut Web, node: NodeIndex, contact: NodeIndex) {
    let contact = node_id(contact.get());
    net.with(node, |overlay, now| {
        overlay.join(now, contact, vec![address()]).unwrap();
    });
}

/// `count` nodes that join at once.
pub(crate) fn crowd(seed: u64, config: &Config, count: usize) -> Web {
    let mut net = web(seed);
    for _ in 0..count {
        add(&mut net, config);
    }
    net
}

/// A settled overlay.
pub(crate) fn settled(seed: u64, config: &Config, count: usize) -> Web {
    let mut net = crowd(seed, config, count);
    settle(&mut net, seconds(60));
    net
}

/// Waits until the graph is exact.
pub(crate) fn settle(net: &mut Web, limit: Duration) -> Duration {
    let start = net.now();
    // Asked now and then only: the question costs more than an event.
    while let Err(flaw) = exact(net) {
        let waited = net.now().saturating_since(start);
        assert!(waited < limit, "after {waited:?}: {flaw}");
        net.run_for(Duration::from_millis(100)).unwrap();
    }
    net.now().saturating_since(start)
}

pub(crate) type Graph = BTreeMap<NodeIndex, BTreeSet<NodeIndex>>;

/// The neighbours of every running node.
pub(crate) fn graph(net: &Web) -> Graph {
    let nodes = net.running().map(|node| {
        let overlay = net.machine(node).unwrap();
        let neighbours = overlay.neighbours().map(|id| net.find(id).unwrap());
        (node, neighbours.collect())
    });
    nodes.collect()
}

/// Whether every node has as many neighbours as it should, all running, each edge is held by both ends, and all nodes
/// are connected.
pub(crate) fn exact(net: &Web) -> Result<(), String> {
    let graph = graph(net);
    let most = graph.len().saturating_sub(1);
    for (node, neighbours) in &graph {
        let overlay = net.machine(*node).unwrap();
        let wanted = overlay.degree().min(most);
        if neighbours.len() != wanted {
            return Err(format!("{node} has {} neighbours", neighbours.len()));
        }
        if !overlay.is_settled() {
            return Err(format!("{node} is not settled"));
        }
        for neighbour in neighbours {
            let back = graph.get(neighbour).is_some_and(|back| back.contains(node));
            if !back || neighbour == node {
                return Err(format!("{node} - {neighbour} is no edge"));
            }
            if !net.is_linked(*node, *neighbour) {
                return Err(format!("{node} - {neighbour} has no link"));
            }
        }
    }
    let reached = component(&graph);
    if reached == graph.len() {
        Ok(())
    } else {
        Err(format!("{reached} of {} are connected", graph.len()))
    }
}

/// How many nodes can be reached from the first.
pub(crate) fn component(graph: &Graph) -> usize {
    let mut seen = BTreeSet::new();
    let mut open: Vec<NodeIndex> = graph.keys().next().copied().into_iter().collect();
    while let Some(node) = open.pop() {
        if seen.insert(node) {
            open.extend(graph.get(&node).into_iter().flatten());
        }
    }
    seen.len()
}

/// The most steps from the first node to any.
pub(crate) fn depth(graph: &Graph) -> usize {
    let mut seen: BTreeSet<NodeIndex> = graph.keys().next().copied().into_iter().collect();
    let mut edge = seen.clone();
    let mut steps = 0;
    loop {
        let next = edge
            .iter()
            .flat_map(|node| graph.get(node).into_iter().flatten());
        let next: BTreeSet<NodeIndex> = next.copied().filter(|node| !seen.contains(node)).collect();
        if next.is_empty() {
            return steps;
        }
        seen.extend(&next);
        edge = next;
        steps += 1;
    }
}

/// Tells every running node that some are gone, within a second.
pub(crate) fn tell_gone(net: &mut Web, gone: &[NodeIndex]) {
    let mut random = Random::new(net.seed());
    let mut nodes: Vec<NodeIndex> = net.running().collect();
    random.shuffle(&mut nodes);
    let pause = seconds(1) / u32::try_from(nodes.len().max(1)).unwrap();
    for node in nodes {
        net.run_for(pause).unwrap();
        for gone in gone {
            let peer = node_id(gone.get());
            net.with(node, |overlay, now| {
                overlay.handle_input(now, Input::Gone { peer });
            });
        }
    }
}
