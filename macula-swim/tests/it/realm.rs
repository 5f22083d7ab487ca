//! A simulated realm: one machine a node, and a log of what each says.

use std::sync::Arc;
use std::time::Duration;

use macula_swim::{Class, Config, Input, Offence, Output, OwnRecord, State, Swim, verify};
use macula_testkit::{
    Context, Host, LinkChange, Net, NodeIndex, StubSigner, StubVerifier, node_id,
};
use macula_wire::{Body, Epoch, Instant, Machine, NodeId, Random, RealmName};

/// The wall clock at virtual time zero.
pub(crate) const WALL_MS: u64 = 1_700_000_000_000;

pub(crate) fn realm_name() -> RealmName {
    RealmName::new("be.acme.iot").unwrap()
}

pub(crate) fn wall_ms(now: Instant) -> u64 {
    WALL_MS + now.as_nanos() / 1_000_000
}

pub(crate) fn swim(config: Config, id: NodeId, random: Random, now: Instant) -> Swim {
    let signer = Arc::new(StubSigner::new(id));
    let mut own = OwnRecord::new(Epoch::new(wall_ms(now)));
    own.addresses = vec!["192.0.2.1:4433".parse().unwrap()];
    own.agent = "test 0.1".into();
    Swim::new(config, realm_name(), signer, own, random, now, wall_ms(now)).unwrap()
}

/// Plugs [`Swim`] into a network and keeps what it says.
#[derive(Debug, Default)]
pub(crate) struct Realm {
    verifier: StubVerifier,
    /// What each node said, and when; messages and dials apart.
    pub(crate) log: Vec<(Instant, NodeIndex, Output)>,
    /// Offences that a test announces, so that they do not fail it.
    pub(crate) expected: Vec<Offence>,
}

impl Realm {
    /// How many outputs of a node fit.
    pub(crate) fn count(&self, fits: impl Fn(NodeIndex, &Output) -> bool) -> usize {
        let fitting = self
            .log
            .iter()
            .filter(|(_, node, output)| fits(*node, output));
        fitting.count()
    }
}

impl Host for Realm {
    type Machine = Swim;

    fn on_output(&mut self, context: &mut Context<'_>, _: &mut Swim, output: Output) {
        match output {
            Output::Send { to, class, body } => {
                let class = match class {
                    Class::Datagram => macula_testkit::Class::Datagram,
                    Class::Reliable => macula_testkit::Class::Reliable,
                };
                context.send(to, class, body);
            }
            Output::Connect { node, .. } => context.dial(node),
            other => {
                if let Output::Misbehaved { peer, offence } = &other
                    && !self.expected.contains(offence)
                {
                    context.fail(format!("{peer:?} is blamed: {offence}"));
                }
                self.log.push((context.now(), context.node(), other));
            }
        }
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Swim,
        from: NodeId,
        _: macula_testkit::Class,
        mut body: Body,
    ) {
        machine.retain_news(&mut body);
        match verify(&realm_name(), &body, &self.verifier) {
            Ok(()) => machine.handle_input(context.now(), Input::Message { from, body }),
            Err(offence) if self.expected.contains(&offence) => (),
            Err(offence) => context.fail(format!("{from:?} sent {offence}")),
        }
    }

    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Swim,
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

pub(crate) type Mesh = Net<Realm>;

/// Adds a node that joins through `seed`, if there is one.
pub(crate) fn add(net: &mut Mesh, seed: Option<NodeIndex>) -> NodeIndex {
    let node = net.add(|id, random, now| swim(Config::default(), id, random, now));
    enter(net, node, seed);
    node
}

/// Lets a node join through `seed`.
pub(crate) fn enter(net: &mut Mesh, node: NodeIndex, seed: Option<NodeIndex>) {
    if let Some(seed) = seed {
        let via = node_id(seed.get());
        net.with(node, |swim, now| swim.join(now, via).unwrap());
        net.dial(node, seed);
    }
}

/// Starts a node anew, with an epoch of its own, and lets it join through `seed`.
pub(crate) fn restart(net: &mut Mesh, node: NodeIndex, seed: NodeIndex) {
    net.restart(node, |id, random, now| {
        swim(Config::default(), id, random, now)
    });
    enter(net, node, Some(seed));
}

/// A realm of `count` nodes that have joined through the first and are linked to each other.
pub(crate) fn mesh(config: macula_testkit::Config, seed: u64, count: usize) -> Mesh {
    let mut net = Net::new(config, seed, Realm::default());
    let first = add(&mut net, None);
    for _ in 1..count {
        add(&mut net, Some(first));
    }
    let took = net.wait(Duration::from_secs(30), "all know and reach all", |net| {
        knows_all(net) && is_meshed(net)
    });
    took.unwrap();
    net
}

/// What one node believes of another.
pub(crate) fn state(net: &Mesh, node: NodeIndex, of: NodeIndex) -> Option<State> {
    let member = net.machine(node)?.member(&node_id(of.get()))?;
    Some(member.state())
}

/// Whether every other running node believes that a node is in a state.
pub(crate) fn all_believe(net: &Mesh, of: NodeIndex, wanted: State) -> bool {
    net.running()
        .filter(|node| *node != of)
        .all(|node| state(net, node, of) == Some(wanted))
}

/// Whether every running node believes that exactly the running nodes are alive.
pub(crate) fn knows_all(net: &Mesh) -> bool {
    let running = net.running().count();
    net.running().all(|node| {
        let swim = net.machine(node).unwrap();
        swim.counts().alive == running
            && net
                .running()
                .all(|other| state(net, node, other) == Some(State::Alive))
    })
}

/// Whether there is a link between any two running nodes.
pub(crate) fn is_meshed(net: &Mesh) -> bool {
    net.running()
        .all(|a| net.running().all(|b| a == b || net.is_linked(a, b)))
}
