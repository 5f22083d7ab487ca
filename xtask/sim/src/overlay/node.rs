//! Plugs the overlay into the simulated network.

use macula_swim::Overlay;
use macula_swim::overlay::{Config, Input, Output};
use macula_testkit::{Class, Context, Host, LinkChange, Net, NodeIndex};
use macula_wire::{Body, Machine, NodeId};

/// A network of nodes that run the overlay alone.
pub(crate) type Mesh = Net<Nodes>;

/// One machine a node.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    /// How often a node was blamed by another.
    pub(crate) offences: usize,
}

impl Host for Nodes {
    type Machine = Overlay;

    fn on_output(&mut self, context: &mut Context<'_>, _: &mut Overlay, output: Output) {
        match output {
            Output::Send { to, body, .. } => context.send(to, Class::Reliable, body),
            Output::Connect { node, .. } => context.dial(node),
            Output::Release { node } => context.close(node),
            Output::Misbehaved { .. } => self.offences = self.offences.saturating_add(1),
            Output::NeighbourUp { .. } | Output::NeighbourDown { .. } | _ => {}
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

/// Adds a node without neighbours to a realm of about `members`.
pub(super) fn add(net: &mut Mesh, members: usize) -> NodeIndex {
    net.add(|id, random, now| {
        let addresses = address().into_iter().collect();
        let mut overlay = Overlay::new(Config::default(), id, addresses, random, now);
        overlay.set_members(now, members);
        overlay
    })
}

/// Lets a node join through `contact`.
pub(super) fn join(net: &mut Mesh, node: NodeIndex, contact: NodeIndex) {
    if let Some(contact) = net.id(contact) {
        let addresses = address().into_iter().collect();
        // Refused only to itself and to who has left, which no scenario asks for.
        net.with(node, |overlay, now| {
            overlay.join(now, contact, addresses).is_ok()
        });
    }
}

/// An address like any other; the simulated network dials by id.
fn address() -> Option<std::net::SocketAddr> {
    "192.0.2.1:4433".parse().ok()
}
