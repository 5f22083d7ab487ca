//! Whole meshes against a naive model: who subscribed, and what was published, as plain lists.

mod mesh;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use macula_pubsub::{Config, Destination, PubSub, SessionId, Subscriber};
use macula_realm::DefaultRules;
use macula_testkit::{Class, Net, NodeIndex, each_seed};
use macula_wire::{Instant, NodeId, Pattern, Random, Topic};

use crate::common::{anybody, declare, local, pattern, session, topic};
use mesh::{Id, Mesh, id};

const NODES: usize = 5;
const PATTERNS: [&str; 9] = [
    "**", "*", "a.**", "a.*", "a.b", "a.*.c", "*.b", "b", "b.c.**",
];
const TOPICS: [&str; 7] = ["a", "a.b", "a.b.c", "b", "b.c", "b.c.d", "c"];

/// A mesh under test, beside the plain lists.
struct Trial {
    net: Net<Mesh>,
    random: Random,
    /// When each subscription began and ended.
    subscriptions: Vec<Subscription>,
    published: Vec<(Id, Instant)>,
    epoch: u64,
}

#[derive(Clone, Debug)]
struct Subscription {
    node: NodeIndex,
    subscriber: Subscriber,
    pattern: Pattern,
    from: Instant,
    to: Instant,
}

impl Trial {
    fn new(seed: u64) -> Self {
        let net = Net::new(macula_testkit::Config::default(), seed, Mesh::default());
        let mut trial = Self {
            net,
            random: Random::new(seed),
            subscriptions: Vec::new(),
            published: Vec::new(),
            epoch: 0,
        };
        for node in 0..NODES {
            trial.begin(NodeIndex::new(node), true);
        }
        trial.link_all();
        trial
    }

    fn begin(&mut self, node: NodeIndex, is_new: bool) {
        self.epoch += 1;
        let id = macula_testkit::node_id(node.get());
        self.net.host_mut().start(id, self.epoch);
        self.net.host_mut().forget(&id);
        let make = |id, _, now| {
            let mut pubsub = PubSub::new(Config::default(), id, now);
            declare(&mut pubsub, now, &TOPICS);
            pubsub
        };
        if is_new {
            self.net.add(make);
        } else {
            self.net.restart(node, make);
        }
    }

    /// Dials where a link is missing, and waits until all are there and what they bring has settled.
    fn link_all(&mut self) {
        let pairs: Vec<_> = (0..NODES)
            .flat_map(|a| (0..a).map(move |b| (a, b)))
            .collect();
        for (a, b) in &pairs {
            self.net.dial(NodeIndex::new(*a), NodeIndex::new(*b));
        }
        let linked = |net: &Net<Mesh>| {
            let is_linked =
                |(a, b): &(usize, usize)| net.is_linked(NodeIndex::new(*a), NodeIndex::new(*b));
            pairs.iter().all(is_linked)
        };
        let limit = Duration::from_secs(10);
        self.net.wait(limit, "all are linked", linked).unwrap();
        self.run(Duration::from_secs(1));
    }

    fn run(&mut self, duration: Duration) {
        self.net.run_for(duration).unwrap();
    }

    fn any_node(&mut self) -> NodeIndex {
        NodeIndex::new(self.random.index(NODES))
    }

    /// Begins or ends a random subscription.
    fn change(&mut self) {
        let node = self.any_node();
        let subscriber = match self.random.below(3) {
            0 => session(self.random.below(2), self.random.below(3)),
            _ => local(self.random.below(4)),
        };
        let now = self.net.now();
        let is_open = |held: &&mut Subscription| {
            held.node == node && held.subscriber == subscriber && held.to == Instant::FAR_FUTURE
        };
        if let Some(held) = self.subscriptions.iter_mut().find(is_open) {
            held.to = now;
            let end = |machine: &mut PubSub, now| machine.unsubscribe(now, subscriber);
            self.net.with(node, end).unwrap().unwrap();
            return;
        }
        let pattern = pattern(PATTERNS[self.random.index(PATTERNS.len())]);
        let wanted = pattern.clone();
        self.net
            .with(node, |machine, now| {
                machine.subscribe(now, &DefaultRules, &anybody(), subscriber, wanted)
            })
            .unwrap()
            .unwrap();
        self.subscriptions.push(Subscription {
            node,
            subscriber,
            pattern,
            from: now,
            to: Instant::FAR_FUTURE,
        });
    }

    fn publish(&mut self) {
        let node = self.any_node();
        let topic = topic(TOPICS[self.random.index(TOPICS.len())]);
        let own = self.net.id(node).unwrap();
        let (event, remote) = self.net.host_mut().publish(own, &topic);
        self.published.push((id(&event), self.net.now()));
        for member in remote {
            let to = self.net.find(member).unwrap();
            self.net.inject(node, to, Class::Reliable, event.clone());
        }
    }

    /// Ends everything that a node holds, because it or its client is gone.
    fn close(&mut self, is_gone: impl Fn(&Subscription) -> bool) {
        let now = self.net.now();
        for held in &mut self.subscriptions {
            if held.to == Instant::FAR_FUTURE && is_gone(held) {
                held.to = now;
            }
        }
    }

    /// Something that goes wrong, and all that heals it.
    fn disturb(&mut self) {
        let node = self.any_node();
        match self.random.below(4) {
            0 => {
                let other = self.any_node();
                self.net.break_link(node, other);
            }
            1 => {
                self.close(|held| held.node == node);
                self.begin(node, false);
            }
            2 => {
                let gone = SessionId::new(self.random.below(2));
                let drop = |machine: &mut PubSub, now| machine.drop_session(now, gone);
                self.net.with(node, drop);
                let is_of = |held: &Subscription| {
                    held.node == node
                        && matches!(held.subscriber, Subscriber::Session(id, _) if id == gone)
                };
                self.close(is_of);
            }
            _ => {
                self.net.partition(&[node]);
                self.run(Duration::from_secs(40));
                self.net.heal();
            }
        }
        self.link_all();
    }

    /// Checks every delivery of every event against the lists. `settle` is how long a change may take to be known.
    fn check(&self, settle: Duration) {
        let mut counts: BTreeMap<(&Id, NodeId, Destination), u32> = BTreeMap::new();
        for (id, node, to) in &self.net.host().deliveries {
            *counts.entry((id, *node, *to)).or_insert(0) += 1;
        }
        for ((id, node, to), count) in &counts {
            assert_eq!(*count, 1, "{id:?} came to {node:?} {to:?} {count} times");
        }
        let mut explained = BTreeSet::new();
        for (id, time) in &self.published {
            for held in self
                .subscriptions
                .iter()
                .filter(|held| held.pattern.matches(&id.2))
            {
                let node = self.net.id(held.node).unwrap();
                let key = (id, node, held.subscriber.destination());
                let is_sure = held.from + settle <= *time && *time + settle <= held.to;
                assert!(
                    !is_sure || counts.contains_key(&key),
                    "{id:?} did not come to {held:?}"
                );
                if *time <= held.to + settle && held.from <= *time + settle {
                    explained.insert(key);
                }
            }
        }
        for key in counts.keys() {
            assert!(explained.contains(key), "{key:?} was not asked for");
        }
    }
}

#[test]
fn a_settled_mesh_delivers_exactly_what_the_model_says() {
    let mut deliveries = 0;
    each_seed(|seed| {
        let mut trial = Trial::new(seed);
        for _ in 0..6 {
            if trial.random.below(2) == 0 {
                trial.disturb();
            }
            for _ in 0..8 {
                trial.change();
            }
            trial.run(Duration::from_secs(1));
            for _ in 0..20 {
                trial.publish();
            }
            trial.run(Duration::from_secs(1));
        }
        trial.check(Duration::from_millis(500));
        assert_eq!(trial.net.host().gaps, 0);
        deliveries += trial.net.host().deliveries.len();
    });
    assert!(deliveries > 0);
}

#[test]
fn changes_in_the_middle_of_traffic_are_known_within_a_second() {
    each_seed(|seed| {
        let mut trial = Trial::new(seed);
        for _ in 0..200 {
            match trial.random.below(4) {
                0 => trial.change(),
                _ => trial.publish(),
            }
            let pause = trial.random.below(60);
            trial.run(Duration::from_millis(pause));
        }
        trial.run(Duration::from_secs(2));
        trial.check(Duration::from_secs(1));
        let mut last: BTreeMap<(NodeId, Destination, NodeId, &Topic), u64> = BTreeMap::new();
        for ((publisher, _, topic, sequence), node, to) in &trial.net.host().deliveries {
            let before = last.insert((*node, *to, *publisher, topic), *sequence);
            assert!(
                before.is_none_or(|before| before < *sequence),
                "out of order"
            );
        }
    });
}

#[test]
fn a_quiet_mesh_stays_subscribed_and_says_nothing() {
    let mut trial = Trial::new(1);
    for _ in 0..20 {
        trial.change();
    }
    trial.run(Duration::from_secs(1));
    let before = trial.net.host().announcements;
    let hour = Duration::from_secs(3_600);
    trial.run(hour);
    assert_eq!(trial.net.host().announcements, before);
    for _ in 0..50 {
        trial.publish();
    }
    trial.run(Duration::from_secs(1));
    trial.check(Duration::from_millis(500));
    assert!(!trial.net.host().deliveries.is_empty());
}

#[test]
fn equal_seeds_give_equal_runs() {
    let trace = |seed| {
        let mut trial = Trial::new(seed);
        for _ in 0..5 {
            trial.disturb();
            trial.change();
            trial.publish();
        }
        trial.net.trace_hash()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
