//! Whole nodes in a simulated network, and plain lists of what they want and serve.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula::wire::message::{Roles, SignedRoutingRecord};
use macula::wire::{
    Body, Epoch, Instant, Machine, NodeId, Pattern, Procedure, Random, RealmName, Topic,
};
use macula::{
    Lane, MemberEvent, Neighbourhood, NodeInput, NodeMachine, NodeOutput, Watched, is_of_overlay,
    is_of_routing,
};
use macula_kad::{Checked, Kad};
use macula_pubsub::{Destination, LocalId, PubSub, Subscriber};
use macula_realm::{DefaultRules, Principal};
use macula_rpc::{Provider, RegisterOptions, Registrant, RegistrationKey, Rpc};
use macula_swim::{Overlay, OwnRecord, State, Swim, verify};
use macula_testkit::{
    Context, Host, LinkChange, Net, NodeIndex, StubSigner, StubVerifier, node_id,
};

/// How many nodes keep a record in a realm of more members than its nodes keep links to.
pub(super) const KEEPERS: usize = 4;
/// To more members that want a topic events go along a tree.
pub(super) const DIRECT: usize = 16;
/// The wall clock at virtual time zero.
const WALL_MS: u64 = 1_700_000_000_000;

pub(super) fn realm() -> RealmName {
    RealmName::new("be.acme.iot").unwrap()
}

pub(super) fn wall_ms(now: Instant) -> u64 {
    WALL_MS + now.as_nanos() / 1_000_000
}

/// A node whose run is numbered by the wall clock, as the real ones are.
pub(super) fn machine(id: NodeId, random: Random, now: Instant) -> NodeMachine {
    machine_with_pool(NodeMachine::LINK_POOL, id, random, now)
}

/// The same with another size of the link pool.
pub(super) fn machine_with_pool(
    pool: usize,
    id: NodeId,
    mut random: Random,
    now: Instant,
) -> NodeMachine {
    let signer = Arc::new(StubSigner::new(id));
    let mut own = OwnRecord::new(Epoch::new(wall_ms(now)));
    own.addresses = vec!["192.0.2.1:4433".parse().unwrap()];
    let mut config = macula_swim::Config::default();
    config.link_pool = pool;
    let random_swim = random.fork();
    let wall = wall_ms(now);
    let as_signer = Arc::clone(&signer) as _;
    let swim = Swim::new(config, realm(), as_signer, own, random_swim, now, wall);
    let pubsub = PubSub::new(macula_pubsub::Config::default(), id, now);
    let rpc = Rpc::new(macula_rpc::Config::default(), id, now);
    let mut routing = macula_kad::Config::default();
    routing.max_per_network = usize::MAX;
    // In realms of dozens a record is to be kept by some, and not by all.
    routing.k = if pool < NodeMachine::LINK_POOL {
        4
    } else {
        routing.k
    };
    let kad = Kad::new(routing, realm(), signer, random.fork(), now, wall);
    let overlay = Overlay::new(
        macula_swim::overlay::Config::default(),
        id,
        vec!["192.0.2.1:4433".parse().unwrap()],
        random.fork(),
        now,
    );
    NodeMachine::new(swim.unwrap(), overlay, pubsub, rpc, kad)
        .with_link_pool(pool)
        .with_direct_members(DIRECT)
}

pub(super) fn principal(id: NodeId) -> Principal {
    Principal::new(id, Roles::MEMBER)
}

pub(super) fn subscribe(node: &mut NodeMachine, now: Instant, id: NodeId, key: u64, text: &str) {
    let (subscriber, pattern) = (
        Subscriber::Local(LocalId::new(key)),
        Pattern::new(text).unwrap(),
    );
    let rules = &DefaultRules;
    let pubsub = node.pubsub_mut();
    pubsub
        .subscribe(now, rules, &principal(id), subscriber, pattern)
        .unwrap();
    node.settle(now);
}

/// Declares a topic, as a publisher does.
pub(super) fn declare(node: &mut NodeMachine, now: Instant, id: NodeId, text: &str) {
    let topic = Topic::new(text).unwrap();
    let pubsub = node.pubsub_mut();
    pubsub
        .declare(now, &DefaultRules, &principal(id), &topic)
        .unwrap();
    node.settle(now);
}

/// Watches a procedure, as a caller does.
pub(super) fn watch(node: &mut NodeMachine, now: Instant, id: NodeId, text: &str) {
    let procedure = Procedure::new(text).unwrap();
    let rpc = node.rpc_mut();
    rpc.watch(now, &DefaultRules, &principal(id), &procedure)
        .unwrap();
    node.settle(now);
}

pub(super) fn unsubscribe(node: &mut NodeMachine, now: Instant, key: u64) {
    let subscriber = Subscriber::Local(LocalId::new(key));
    node.pubsub_mut().unsubscribe(now, subscriber).unwrap();
    node.settle(now);
}

pub(super) fn register(node: &mut NodeMachine, now: Instant, id: NodeId, key: u64, text: &str) {
    let (registrant, procedure) = (
        Registrant::Local(RegistrationKey::new(key)),
        Pattern::new(text).unwrap(),
    );
    let options = RegisterOptions::default();
    let rules = &DefaultRules;
    let rpc = node.rpc_mut();
    rpc.register(now, rules, &principal(id), registrant, procedure, options)
        .unwrap();
    node.settle(now);
}

/// Carries out what the nodes ask for, and keeps what they say.
#[derive(Debug, Default)]
pub(super) struct Realm {
    verifier: StubVerifier,
    /// When a node said that another is lost.
    pub(super) lost: Vec<(Instant, NodeIndex, NodeId)>,
    /// When a node said something of a member.
    pub(super) said: Vec<(Instant, NodeIndex, MemberEvent)>,
    /// When a node knew all about what it watches.
    pub(super) told: Vec<(Instant, NodeIndex, Watched)>,
    /// When a node said what forwarding goes by.
    pub(super) neighbourhoods: Vec<(Instant, NodeIndex, Arc<Neighbourhood>)>,
    /// The records of nodes that a node asked for.
    pub(super) described: Vec<(NodeIndex, Arc<SignedRoutingRecord>)>,
    /// The number of the present run of each node, as HANDSHAKE would tell it.
    pub(super) epochs: BTreeMap<NodeId, Epoch>,
}

impl Realm {
    /// How often `by` said that `node` is lost.
    pub(super) fn losses(&self, by: NodeIndex, node: NodeIndex) -> usize {
        let id = node_id(node.get());
        let fits = |(_, at, lost): &&(Instant, NodeIndex, NodeId)| *at == by && *lost == id;
        self.lost.iter().filter(fits).count()
    }
}

impl Host for Realm {
    type Machine = NodeMachine;

    fn on_output(&mut self, context: &mut Context<'_>, _: &mut NodeMachine, output: NodeOutput) {
        match output {
            NodeOutput::Send { to, lane, body } => {
                let class = match lane {
                    Lane::Datagram => macula_testkit::Class::Datagram,
                    Lane::Control | Lane::Lookup => macula_testkit::Class::Reliable,
                };
                context.send(to, class, body);
            }
            NodeOutput::Connect { node, .. } => context.dial(node),
            NodeOutput::Disconnect { node, .. } => context.close(node),
            NodeOutput::Watching { watched, .. } => {
                self.told.push((context.now(), context.node(), watched));
            }
            NodeOutput::Lost(node) => self.lost.push((context.now(), context.node(), node)),
            NodeOutput::Member(event) => self.said.push((context.now(), context.node(), event)),
            NodeOutput::Misbehaved { peer, offence } => {
                // A member that learns of this node before this node learns of it is blamed and no worse off.
                if offence != macula_swim::Offence::UnknownSender.to_string() {
                    context.fail(format!("{peer:?} is blamed: {offence}"));
                }
            }
            NodeOutput::Table(_) | NodeOutput::Providers(_) | NodeOutput::Neighbours(_) => {}
            NodeOutput::Neighbourhood(one) => {
                self.neighbourhoods
                    .push((context.now(), context.node(), one));
            }
            NodeOutput::Described(record) => self.described.push((context.node(), record)),
            NodeOutput::Found(_) | NodeOutput::Wanted { .. } | NodeOutput::Served { .. } => {}
            other => context.fail(format!("unexpected {other:?}")),
        }
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut NodeMachine,
        from: NodeId,
        _: macula_testkit::Class,
        body: Body,
    ) {
        if is_of_routing(&body) {
            let body = Checked::new(&realm(), body, &self.verifier);
            if !body.is_genuine() {
                return context.fail(format!("{from:?} sent a forged record"));
            }
            return machine.handle_input(context.now(), NodeInput::Routing { from, body });
        }
        let unsigned = matches!(body, Body::Heartbeat(_)) || is_of_overlay(&body);
        if !unsigned && let Err(offence) = verify(&realm(), &body, &self.verifier) {
            return context.fail(format!("{from:?} sent {offence}"));
        }
        machine.handle_input(context.now(), NodeInput::Message { from, body });
    }

    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut NodeMachine,
        peer: NodeId,
        change: LinkChange,
    ) {
        let input = match change {
            LinkChange::Up => NodeInput::LinkUp {
                peer,
                epoch: self.epochs[&peer],
            },
            LinkChange::Down => NodeInput::LinkDown(peer),
        };
        machine.handle_input(context.now(), input);
    }
}

/// A simulated realm beside the plain lists.
pub(super) struct Trial {
    pub(super) net: Net<Realm>,
    /// What each running node wants, by the numbers of its subscriptions.
    wants: BTreeMap<NodeIndex, BTreeMap<u64, String>>,
    /// What each running node serves, by the numbers of its registrations.
    serves: BTreeMap<NodeIndex, BTreeMap<u64, String>>,
}

impl Trial {
    /// A realm of `count` nodes that have joined by the first and are linked to each other.
    pub(super) fn new(config: macula_testkit::Config, seed: u64, count: usize) -> Self {
        let mut trial = Self {
            net: Net::new(config, seed, Realm::default()),
            wants: BTreeMap::new(),
            serves: BTreeMap::new(),
        };
        for index in 0..count {
            let node = trial.net.add(machine);
            trial.started(node, (index > 0).then(|| NodeIndex::new(0)));
            trial.watch_all(node);
        }
        // Whoever gets a link to somebody new tells all that it knows, so nobody waits for a comparison of memberships.
        trial.settled_within(Duration::from_secs(15), "all have joined");
        trial
    }

    /// Nodes that join by the first, with pools of `pool` links, and have had no time to do so.
    pub(super) fn starting(
        config: macula_testkit::Config,
        seed: u64,
        count: usize,
        pool: usize,
    ) -> Self {
        let mut trial = Self {
            net: Net::new(config, seed, Realm::default()),
            wants: BTreeMap::new(),
            serves: BTreeMap::new(),
        };
        for index in 0..count {
            let create = move |id, random, now| machine_with_pool(pool, id, random, now);
            let node = trial.net.add(create);
            trial.started(node, (index > 0).then(|| NodeIndex::new(0)));
        }
        trial
    }

    fn started(&mut self, node: NodeIndex, seed: Option<NodeIndex>) {
        let epoch = Epoch::new(wall_ms(self.net.now()));
        self.net
            .host_mut()
            .epochs
            .insert(node_id(node.get()), epoch);
        self.wants.insert(node, BTreeMap::new());
        self.serves.insert(node, BTreeMap::new());
        if let Some(seed) = seed {
            let via = node_id(seed.get());
            self.net.with(node, |machine, now| {
                machine.swim_mut().join(now, via).unwrap();
                machine.settle(now);
            });
            self.net.dial(node, seed);
        }
    }

    /// Starts a node anew with a later run.
    pub(super) fn restart(&mut self, node: NodeIndex, seed: NodeIndex) {
        let epoch = Epoch::new(wall_ms(self.net.now()));
        // Links that come up while the node starts are those of the new run.
        self.net
            .host_mut()
            .epochs
            .insert(node_id(node.get()), epoch);
        self.net.restart(node, machine);
        self.started(node, Some(seed));
        self.watch_all(node);
    }

    /// Starts a node anew, which publishes and calls nothing yet.
    pub(super) fn restart_idle(&mut self, node: NodeIndex, seed: NodeIndex) {
        let epoch = Epoch::new(wall_ms(self.net.now()));
        let host = self.net.host_mut();
        host.epochs.insert(node_id(node.get()), epoch);
        host.told.retain(|(_, at, _)| *at != node);
        self.net.restart(node, machine);
        self.started(node, Some(seed));
    }

    /// Lets a node publish and call everything that the tables are asked about.
    fn watch_all(&mut self, node: NodeIndex) {
        let id = node_id(node.get());
        self.net.with(node, |machine, now| {
            TOPICS
                .iter()
                .for_each(|text| declare(machine, now, id, text));
            PROCEDURES
                .iter()
                .for_each(|text| watch(machine, now, id, text));
        });
    }

    pub(super) fn kill(&mut self, node: NodeIndex) {
        self.net.kill(node);
        self.forget(node);
    }

    /// Lets a node leave, and stops it half a second later, as a shutdown does.
    pub(super) fn leave(&mut self, node: NodeIndex) {
        self.net.with(node, |machine, now| {
            machine.leave(now);
            machine.settle(now);
        });
        self.run(Duration::from_millis(500));
        self.net.stop(node);
        self.forget(node);
    }

    fn forget(&mut self, node: NodeIndex) {
        self.wants.remove(&node);
        self.serves.remove(&node);
    }

    pub(super) fn subscribe(&mut self, node: NodeIndex, key: u64, text: &str) {
        let id = node_id(node.get());
        self.net
            .with(node, |machine, now| subscribe(machine, now, id, key, text));
        let wants = self.wants.get_mut(&node).unwrap();
        wants.insert(key, text.to_owned());
    }

    pub(super) fn unsubscribe(&mut self, node: NodeIndex, key: u64) {
        self.net
            .with(node, |machine, now| unsubscribe(machine, now, key));
        self.wants.get_mut(&node).unwrap().remove(&key).unwrap();
    }

    pub(super) fn register(&mut self, node: NodeIndex, key: u64, text: &str) {
        let id = node_id(node.get());
        self.net
            .with(node, |machine, now| register(machine, now, id, key, text));
        let serves = self.serves.get_mut(&node).unwrap();
        serves.insert(key, text.to_owned());
    }

    pub(super) fn declare(&mut self, node: NodeIndex, text: &str) {
        let id = node_id(node.get());
        self.net
            .with(node, |machine, now| declare(machine, now, id, text));
    }

    pub(super) fn watch(&mut self, node: NodeIndex, text: &str) {
        let id = node_id(node.get());
        self.net
            .with(node, |machine, now| watch(machine, now, id, text));
    }

    pub(super) fn has_subscription(&self, node: NodeIndex, key: u64) -> bool {
        self.wants[&node].contains_key(&key)
    }

    pub(super) fn run(&mut self, duration: Duration) {
        self.net.run_for(duration).unwrap();
    }

    /// Waits until the running nodes know and reach each other and route as the lists say.
    #[track_caller]
    pub(super) fn settled(&mut self, what: &str) -> Duration {
        self.settled_within(Duration::from_secs(40), what)
    }

    #[track_caller]
    pub(super) fn settled_within(&mut self, limit: Duration, what: &str) -> Duration {
        let (wants, serves) = (&self.wants, &self.serves);
        let waited = self.net.wait(limit, what, |net| {
            is_whole(net)
                && net
                    .running()
                    .all(|node| routes(net, node, wants) && offers(net, node, serves))
        });
        waited.unwrap()
    }

    /// What `node` believes of another.
    pub(super) fn believes(&self, node: NodeIndex, of: NodeIndex) -> Option<State> {
        let swim = self.net.machine(node)?.swim();
        Some(swim.member(&node_id(of.get()))?.state())
    }

    /// Whether `node` knows anything that `of` announced.
    pub(super) fn has_announcements(&self, node: NodeIndex, of: NodeIndex) -> bool {
        has_announcements(&self.net, node, of)
    }
}

pub(super) fn has_announcements(net: &Net<Realm>, node: NodeIndex, of: NodeIndex) -> bool {
    let (machine, of) = (net.machine(node).unwrap(), node_id(of.get()));
    machine.pubsub().interest_of(&of).next().is_some()
        || machine.rpc().offers_of(&of).next().is_some()
}

/// Whether the running nodes believe that exactly they are alive, and are linked to each other.
fn is_whole(net: &Net<Realm>) -> bool {
    let running = net.running().count();
    net.running().all(|node| {
        let swim = net.machine(node).unwrap().swim();
        swim.counts().alive == running
            && net
                .running()
                .all(|other| node == other || net.is_linked(node, other))
    })
}

/// The topics that the tables are asked about.
const TOPICS: [&str; 5] = ["a", "a.b", "a.b.c", "b.c", "c"];

/// The procedures that the tables are asked about.
pub(super) const PROCEDURES: [&str; 3] = ["p", "p.q", "r"];

fn routes(
    net: &Net<Realm>,
    node: NodeIndex,
    wants: &BTreeMap<NodeIndex, BTreeMap<u64, String>>,
) -> bool {
    let table = net.machine(node).unwrap().pubsub().table();
    TOPICS.iter().all(|text| {
        let mut expected = BTreeSet::new();
        for (other, patterns) in wants {
            for (key, _) in patterns.iter().filter(|(_, pattern)| fits(pattern, text)) {
                expected.insert(if *other == node {
                    Destination::Local(LocalId::new(*key))
                } else {
                    Destination::Member(node_id(other.get()))
                });
            }
        }
        table
            .matches(&Topic::new(text).unwrap())
            .into_iter()
            .eq(expected)
    })
}

fn offers(
    net: &Net<Realm>,
    node: NodeIndex,
    serves: &BTreeMap<NodeIndex, BTreeMap<u64, String>>,
) -> bool {
    let table = net.machine(node).unwrap().rpc().table();
    PROCEDURES.iter().all(|text| {
        let mut expected = BTreeSet::new();
        for (other, procedures) in serves {
            for (key, _) in procedures.iter().filter(|(_, name)| name == text) {
                expected.insert(if *other == node {
                    Provider::Local(RegistrationKey::new(*key))
                } else {
                    Provider::Member(node_id(other.get()))
                });
            }
        }
        let found = table.candidates(&Procedure::new(text).unwrap());
        found
            .iter()
            .map(|candidate| candidate.provider)
            .eq(expected)
    })
}

/// The rules of patterns once more, as plainly as they can be said.
fn fits(pattern: &str, topic: &str) -> bool {
    let (pattern, topic): (Vec<&str>, Vec<&str>) =
        (pattern.split('.').collect(), topic.split('.').collect());
    let (head, open) = match pattern.split_last() {
        Some((&"**", head)) => (head, true),
        _ => (pattern.as_slice(), false),
    };
    let long_enough = if open {
        topic.len() >= head.len()
    } else {
        topic.len() == head.len()
    };
    long_enough
        && head
            .iter()
            .zip(&topic)
            .all(|(wanted, found)| *wanted == "*" || wanted == found)
}
