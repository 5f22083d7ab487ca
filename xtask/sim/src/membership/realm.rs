//! Plugs membership into the simulated network.

use macula_swim::{Class, Input, Output, Swim};
use macula_testkit::{Context, Host, LinkChange, Net, NodeIndex};
use macula_wire::{Body, Machine, NodeId, Random};

use super::watch::Watch;
use crate::graph::Graph;

/// A network of nodes that run membership alone.
pub(crate) type Mesh = Net<Realm>;

/// One machine a node, watched, and who is whose neighbour.
///
/// Signatures are not checked: nobody lies here, and their cost is measured elsewhere.
#[derive(Debug)]
pub(crate) struct Realm {
    pub(crate) watch: Watch,
    neighbours: Vec<Vec<NodeIndex>>,
}

impl Realm {
    /// Watches the nodes of `graph`.
    pub(crate) fn new(graph: &Graph) -> Self {
        let index = |node: &u32| usize::try_from(*node).ok().map(NodeIndex::new);
        let of = |node| graph.neighbours(node).iter().filter_map(index).collect();
        Self {
            watch: Watch::new(graph.len()),
            neighbours: graph.nodes().map(of).collect(),
        }
    }

    fn are_neighbours(&self, a: NodeIndex, b: NodeIndex) -> bool {
        let list = self.neighbours.get(a.get());
        list.is_some_and(|list| list.contains(&b))
    }

    fn drop_neighbour(&mut self, of: NodeIndex, node: NodeIndex) -> bool {
        let Some(list) = self.neighbours.get_mut(of.get()) else {
            return false;
        };
        let before = list.len();
        list.retain(|other| *other != node);
        list.len() != before
    }

    /// What the overlay does after a crash: pairs of the neighbours of `gone` that are to be neighbours of each other.
    pub(crate) fn mend(
        &mut self,
        gone: NodeIndex,
        random: &mut Random,
    ) -> Vec<(NodeIndex, NodeIndex)> {
        let list = self.neighbours.get_mut(gone.get());
        let mut orphans = list.map(std::mem::take).unwrap_or_default();
        for orphan in &orphans {
            self.drop_neighbour(*orphan, gone);
        }
        random.shuffle(&mut orphans);
        let mut pairs = Vec::new();
        for two in orphans.chunks_exact(2) {
            if let [a, b] = *two
                && !self.are_neighbours(a, b)
            {
                pairs.push((a, b));
                for (from, to) in [(a, b), (b, a)] {
                    if let Some(list) = self.neighbours.get_mut(from.get()) {
                        list.push(to);
                    }
                }
            }
        }
        pairs
    }

    /// The neighbours of a node.
    pub(crate) fn neighbours(&self, node: NodeIndex) -> &[NodeIndex] {
        self.neighbours.get(node.get()).map_or(&[], Vec::as_slice)
    }
}

impl Host for Realm {
    type Machine = Swim;

    fn on_output(&mut self, context: &mut Context<'_>, machine: &mut Swim, output: Output) {
        match output {
            Output::Send { to, class, body } => {
                let class = match class {
                    Class::Datagram => macula_testkit::Class::Datagram,
                    Class::Reliable => macula_testkit::Class::Reliable,
                };
                context.send(to, class, body);
            }
            Output::Connect { node, .. } => context.dial(node),
            Output::Release { node } => {
                let needed = context
                    .index_of(node)
                    .is_some_and(|peer| self.are_neighbours(context.node(), peer));
                if !needed {
                    context.close(node);
                }
            }
            Output::Suspect { node } => {
                if let Some(subject) = context.index_of(node) {
                    self.watch.suspect(context.network_now(), subject);
                }
            }
            Output::Down { node, .. } => {
                if let Some(subject) = context.index_of(node) {
                    self.watch
                        .dead(context.network_now(), context.node(), subject);
                    if self.watch.is_gone(subject) && self.are_neighbours(context.node(), subject) {
                        machine.handle_input(context.now(), Input::NeighbourDown { peer: node });
                    }
                }
            }
            Output::Misbehaved { peer, offence } => {
                context.fail(format!("{peer:?} is blamed: {offence}"));
            }
            Output::Joined { .. }
            | Output::Up { .. }
            | Output::Changed { .. }
            | Output::Left { .. }
            | Output::Superseded { .. }
            | _ => {}
        }
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Swim,
        from: NodeId,
        _: macula_testkit::Class,
        body: Body,
    ) {
        machine.handle_input(context.now(), Input::Message { from, body });
    }

    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Swim,
        peer: NodeId,
        change: LinkChange,
    ) {
        match change {
            LinkChange::Up => {
                machine.handle_input(context.now(), Input::LinkUp { peer });
                let other = context.peer().or_else(|| context.index_of(peer));
                if other.is_some_and(|other| self.are_neighbours(context.node(), other)) {
                    machine.handle_input(context.now(), Input::NeighbourUp { peer });
                }
            }
            LinkChange::Down => machine.handle_input(context.now(), Input::LinkDown { peer }),
        }
    }
}
