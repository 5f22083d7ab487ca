//! Publishing, withdrawing and watching across a network that loses, doubles and reorders messages and falls apart for a
//! while, against what a model says that has no network.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use macula_kad::{Config, Input, record_id};
use macula_testkit::{Chance, Coding, NodeIndex, node_id};
use macula_wire::message::{RecordContent, RecordKind};
use macula_wire::{Key, Random, RecordId};

use super::draft::{interest, provider, realm, value};
use super::world::{Mesh, bury, contact_of, give, joined, network};

const NODES: usize = 40;
/// How long a record holds without its owner.
const LEASE: Duration = Duration::from_secs(300);
/// How long after the last change everybody knows: a lease, and what retries and renewals of watches take.
const QUIET: Duration = Duration::from_secs(460);

/// Who publishes what, without a network.
#[derive(Debug, Default)]
struct Model {
    published: BTreeMap<RecordId, (NodeIndex, Key)>,
    watched: BTreeSet<(NodeIndex, Key, RecordKind)>,
    dead: BTreeSet<NodeIndex>,
}

impl Model {
    /// What a watcher of a key ought to see in the end. Values as well are gone by then if their owner is.
    fn expected(&self, at: Key) -> BTreeSet<RecordId> {
        let there = self.published.iter();
        let there = there.filter(|(_, (owner, key))| *key == at && !self.dead.contains(owner));
        there.map(|(id, _)| *id).collect()
    }
}

fn content(number: usize) -> RecordContent {
    match number {
        0 => provider("a.b"),
        1 => interest("a.b"),
        2 => interest("a.*"),
        3 => value("a"),
        4 => value("b"),
        _ => provider("c"),
    }
}

const CONTENTS: usize = 6;

fn place(content: &RecordContent) -> (Key, RecordKind) {
    let key = macula_kad::key_of(&realm(), &node_id(0), content);
    (key, content.kind())
}

struct Run {
    net: Mesh,
    model: Model,
    random: Random,
}

impl Run {
    fn begin(seed: u64) -> Self {
        let mut config = Config::default();
        config.k = 6;
        config.lease = LEASE;
        config.watch_lease = Duration::from_secs(60);
        config.replicate_every = Duration::from_secs(120);
        let mut net = joined(network(Coding::Typed), seed, NODES, config);
        for one in 0..NODES {
            let one = NodeIndex::new(one);
            for other in (0..NODES).map(NodeIndex::new).filter(|other| *other != one) {
                net.link_silently(one, other);
                give(
                    &mut net,
                    one,
                    Input::Member(contact_of(node_id(other.get()))),
                );
            }
        }
        net.run_for(Duration::from_secs(5)).unwrap();
        Self {
            net,
            model: Model::default(),
            random: Random::new(seed),
        }
    }

    fn worsen(&mut self) {
        let mut conditions = macula_testkit::Conditions::lossy(Chance::percent(10));
        conditions.duplication = Chance::percent(5);
        conditions.reorder = Chance::percent(20);
        self.net.set_default_conditions(conditions);
    }

    fn any(&mut self) -> NodeIndex {
        let alive: Vec<NodeIndex> = self.net.running().collect();
        alive[self.random.index(alive.len())]
    }

    /// Some nodes do something.
    fn act(&mut self, steps: usize) {
        for _ in 0..steps {
            let node = self.any();
            let what = content(self.random.index(CONTENTS));
            let id = record_id(&node_id(node.get()), &what);
            let (key, kind) = place(&what);
            match self.random.below(8) {
                0..4 => {
                    let done = self.net.with(node, |kad, now| kad.publish(now, what));
                    assert_eq!(done.unwrap().unwrap(), id);
                    self.model.published.insert(id, (node, key));
                }
                4 | 5 => {
                    let known: Vec<_> = self.model.published.iter().collect();
                    let which = self.random.index(known.len().max(1));
                    if let Some((id, (owner, _))) = known.get(which) {
                        let (id, owner) = (**id, *owner);
                        self.net.with(owner, |kad, now| kad.withdraw(now, &id));
                        self.model.published.remove(&id);
                    }
                }
                6 => {
                    let done = self.net.with(node, |kad, now| kad.watch(now, key, kind));
                    assert!(done.unwrap().is_ok());
                    self.model.watched.insert((node, key, kind));
                }
                _ => {
                    self.net.with(node, |kad, now| kad.unwatch(now, key, kind));
                    self.model.watched.remove(&(node, key, kind));
                    // It forgets without a word.
                    self.net.host_mut().seen.remove(&(node, key));
                    self.net.host_mut().watching.remove(&(node, key, kind));
                }
            }
            let pause = self.random.below(1_500);
            self.net.run_for(Duration::from_millis(pause)).unwrap();
        }
    }

    fn kill(&mut self, node: NodeIndex) {
        self.net.kill(node);
        self.model.dead.insert(node);
        self.model.watched.retain(|(watcher, ..)| *watcher != node);
        self.net.run_for(Duration::from_secs(3)).unwrap();
        bury(&mut self.net, node);
    }

    /// What membership says on both sides of a partition, or afterwards.
    fn tell(&mut self, sides: &[Vec<NodeIndex>; 2], gone: bool) {
        for (side, other) in [(0, 1), (1, 0)] {
            for node in &sides[side] {
                for peer in &sides[other] {
                    let id = node_id(peer.get());
                    let alive = !self.model.dead.contains(peer);
                    if gone {
                        give(&mut self.net, *node, Input::MemberGone(id));
                    } else if alive {
                        give(&mut self.net, *node, Input::Member(contact_of(id)));
                        give(&mut self.net, *node, Input::Contact(contact_of(id)));
                    }
                }
            }
        }
    }

    fn check(&self, seed: u64) {
        let host = self.net.host();
        for (node, key, kind) in &self.model.watched {
            let seen = host.seen.get(&(*node, *key));
            let seen: BTreeSet<RecordId> = seen.into_iter().flatten().map(|(id, _)| *id).collect();
            let expected = self.model.expected(*key);
            assert_eq!(seen, expected, "seed {seed}: {node} watches {kind}s");
            let told = host.watching.get(&(*node, *key, *kind));
            assert_eq!(told, Some(&1), "seed {seed}: {node} watches {kind}s");
        }
    }
}

#[test]
fn in_the_end_every_watcher_sees_what_is_there() {
    // The last ones met the millisecond in which a record expires.
    for seed in macula_testkit::seeds().take(4).chain([32, 41]) {
        let mut run = Run::begin(seed);
        run.worsen();
        run.act(60);
        for _ in 0..4 {
            let node = run.any();
            run.kill(node);
            run.act(8);
        }
        // A third of the nodes is apart for a minute, and both sides go on.
        let some: Vec<NodeIndex> = run
            .net
            .running()
            .filter(|node| node.get() % 3 == 0)
            .collect();
        let rest = run
            .net
            .running()
            .filter(|node| node.get() % 3 != 0)
            .collect();
        run.net.partition(&some);
        run.act(6);
        let sides = [some, rest];
        run.tell(&sides, true);
        run.act(30);
        run.net.heal();
        run.tell(&sides, false);
        run.act(20);
        assert!(!run.model.published.is_empty() && run.model.watched.len() > 5);
        run.net.run_for(QUIET).unwrap();
        run.check(seed);
        let counters = run.net.counters();
        assert!(counters.datagrams_lost > 0 && counters.datagrams_doubled > 0);
        assert!(counters.datagrams_overtaken > 0 && counters.blocked > 0);
        // Nothing was an offence.
        for node in run.net.running() {
            let stats = run.net.machine(node).unwrap().stats();
            let offences = (
                stats.refused_forged,
                stats.refused_contacts,
                stats.refused_rate,
            );
            assert_eq!(offences, (0, 0, 0), "seed {seed}");
        }
    }
}
