//! Routing in the simulated network: a host that keeps what each node was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_kad::{
    Checked, Config, Distance, Goal, Input, Kad, LookupOptions, Outcome, Output, position,
    record_id,
};
use macula_testkit::{
    Class, Context, Host, LinkChange, Net, NodeIndex, StubSigner, StubVerifier, node_id,
};
use macula_wire::message::{Contact, KadFound, RecordKind, SignedRoutingRecord};
use macula_wire::{Body, Instant, Key, Machine, NodeId, Random, RecordId};

use super::draft::{WALL_MS, draft, provider, realm};

pub(crate) type Mesh = Net<World>;

/// One machine a node.
#[derive(Debug, Default)]
pub(crate) struct World {
    verifier: StubVerifier,
    /// Lookups that ended, and who made them.
    pub(crate) outcomes: Vec<(NodeIndex, Outcome)>,
    /// What each node sees under the keys that it watches.
    pub(crate) seen: BTreeMap<(NodeIndex, Key), BTreeMap<RecordId, Arc<SignedRoutingRecord>>>,
    /// How often each node was told that all is known.
    pub(crate) watching: BTreeMap<(NodeIndex, Key, RecordKind), usize>,
    /// Nodes that name each other only, and forge records.
    pub(crate) liars: BTreeSet<NodeIndex>,
    /// How many lies they told.
    pub(crate) lies: usize,
}

impl World {
    /// What a liar says in place of an answer.
    fn lie(&mut self, node: NodeIndex, body: &Body) -> Option<Body> {
        let Body::KadFind(find) = body else {
            return None;
        };
        if !self.liars.contains(&node) {
            return None;
        }
        self.lies += 1;
        let all = self.liars.iter().filter(|liar| **liar != node);
        let mut named: Vec<NodeId> = all.map(|liar| node_id(liar.get())).collect();
        named.sort_by_key(|node| Distance::between(&find.key, &position(node)));
        named.truncate(20);
        // In the name of a node that is not one of them.
        let forged = draft(0, provider(FORGED)).signed_by(node.get()).sign();
        let told = KadFound {
            request: find.request,
            contacts: named.into_iter().map(contact_of).collect(),
            records: find.kind.map(|_| forged).into_iter().collect(),
            more: false,
        };
        Some(told.into())
    }
}

/// The procedure in the records that liars forge.
pub(crate) const FORGED: &str = "looked.for";

impl Host for World {
    type Machine = Kad;

    fn on_output(&mut self, context: &mut Context<'_>, _: &mut Kad, output: Output) {
        let node = context.node();
        match output {
            Output::Send { to, body } => send(context, to.node, body),
            Output::Found(outcome) => self.outcomes.push((node, outcome)),
            Output::Changed {
                key,
                record,
                present,
            } => {
                let id = record_id(&record.record.owner, &record.record.content);
                let seen = self.seen.entry((node, key)).or_default();
                let was_there = seen.remove(&id).is_some();
                if present {
                    seen.insert(id, record);
                } else if !was_there {
                    context.fail("what was not there is gone");
                }
            }
            Output::Watching { key, kind } => {
                *self.watching.entry((node, key, kind)).or_default() += 1;
            }
            other => context.fail(format!("unknown output {other:?}")),
        }
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Kad,
        from: NodeId,
        _: Class,
        body: Body,
    ) {
        if let Some(lie) = self.lie(context.node(), &body) {
            send(context, from, lie);
            return;
        }
        let body = Checked::new(&realm(), body, &self.verifier);
        let from = contact_of(from);
        machine.handle_input(context.now(), Input::Message { from, body });
    }

    fn on_link(&mut self, _: &mut Context<'_>, _: &mut Kad, _: NodeId, _: LinkChange) {}
}

/// By a datagram where there is a link, so that it may be lost, doubled and overtaken.
fn send(context: &mut Context<'_>, to: NodeId, body: Body) {
    let linked = context.index_of(to).is_some_and(|to| context.is_linked(to));
    if linked {
        context.send(to, Class::Datagram, body);
    } else {
        context.post(to, body);
    }
}

/// The simulated network sends by id.
pub(crate) fn contact_of(node: NodeId) -> Arc<Contact> {
    let addresses = Vec::new();
    Arc::new(Contact { node, addresses })
}

pub(crate) fn network(coding: macula_testkit::Coding) -> macula_testkit::Config {
    let mut config = macula_testkit::Config::default();
    config.coding = coding;
    config.max_datagram_len = 1 << 20;
    config.link_timeout = Duration::from_secs(86_400);
    config
}

fn wall_ms(now: Instant) -> u64 {
    WALL_MS + now.as_nanos() / 1_000_000
}

/// Adds a node that knows nobody.
pub(crate) fn add(net: &mut Mesh, config: Config) -> NodeIndex {
    net.add(|id, random, now| {
        let signer = Arc::new(StubSigner::new(id));
        Kad::new(config, realm(), signer, random, now, wall_ms(now))
    })
}

/// A network of `count` nodes that join one after the other, each by one that is there.
pub(crate) fn joined(
    network: macula_testkit::Config,
    seed: u64,
    count: usize,
    config: Config,
) -> Mesh {
    let mut net = Net::new(network, seed, World::default());
    let mut random = Random::new(seed);
    for number in 0..count {
        let node = add(&mut net, config);
        if number > 0 {
            join(&mut net, node, NodeIndex::new(random.index(number)));
        }
        net.run_for(Duration::from_millis(20)).unwrap();
    }
    net.run_for(Duration::from_secs(15)).unwrap();
    net
}

pub(crate) fn join(net: &mut Mesh, node: NodeIndex, by: NodeIndex) {
    let by = contact_of(node_id(by.get()));
    net.with(node, |kad, now| kad.join(now, by).unwrap());
}

/// Gives a node an input.
pub(crate) fn give(net: &mut Mesh, node: NodeIndex, input: Input) {
    net.with(node, |kad, now| kad.handle_input(now, input));
}

/// Tells all others that a node is a member.
pub(crate) fn introduce(net: &mut Mesh, node: NodeIndex) {
    let running: Vec<NodeIndex> = net.running().filter(|other| *other != node).collect();
    for other in running {
        give(net, other, Input::Member(contact_of(node_id(node.get()))));
        give(net, node, Input::Member(contact_of(node_id(other.get()))));
    }
}

/// Tells all others that a node is gone.
pub(crate) fn bury(net: &mut Mesh, node: NodeIndex) {
    let running: Vec<NodeIndex> = net.running().filter(|other| *other != node).collect();
    for other in running {
        give(net, other, Input::MemberGone(node_id(node.get())));
    }
}

/// The `count` nodes that are closest to a key, of those that run and `fit`, closest first.
pub(crate) fn closest(
    net: &Mesh,
    key: &Key,
    count: usize,
    fits: impl Fn(NodeIndex) -> bool,
) -> Vec<NodeIndex> {
    let mut all: Vec<NodeIndex> = net.running().filter(|node| fits(*node)).collect();
    all.sort_by_key(|node| Distance::between(key, &position(&node_id(node.get()))));
    all.truncate(count);
    all
}

pub(crate) fn random_key(random: &mut Random) -> Key {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    Key::from_bytes(bytes)
}

/// Makes a lookup by a node.
pub(crate) fn look(net: &mut Mesh, node: NodeIndex, goal: Goal, paths: usize) {
    let mut options = LookupOptions::default();
    options.paths = paths;
    let begun = net.with(node, |kad, now| kad.lookup(now, goal, options));
    assert!(begun.unwrap().is_ok());
}

pub(crate) fn found(outcome: &Outcome) -> Vec<NodeId> {
    outcome.closest.iter().map(|contact| contact.node).collect()
}
