//! Networks of nodes: everybody who is interested gets everything once and in order, whatever happens on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::{Ahead, Rings, Tree, TreeBatch, TreeConfig, TreeInput, TreeOutput};
use macula_testkit::{
    Chance, Class, Conditions, Config, Context, Host, LinkChange, Net, NodeIndex, each_seed,
};
use macula_wire::message::{Alias, Prune};
use macula_wire::{Body, Epoch, Machine, NodeId, Random, Sequence, TopicAlias};

use super::news;

/// A batch travels as an ALIAS, which has the fields that it needs here: `alias` is how many links it passed.
fn on_the_wire(batch: &TreeBatch<u64>) -> Alias {
    Alias {
        publisher: batch.publisher,
        epoch: batch.epoch,
        alias: TopicAlias::new(batch.distance.into()),
        topic: batch.topic.clone(),
        next: batch.base,
        chain: Vec::new(),
    }
}

#[derive(Default)]
struct Nodes {
    /// What each node was handed of each publisher, in order.
    handed: BTreeMap<(NodeIndex, NodeId), Vec<u64>>,
    /// The same for a subscriber of each node that needs no order, as it came.
    unordered: BTreeMap<(NodeIndex, NodeId), Vec<u64>>,
    /// What these had ahead of its turn.
    ahead: BTreeMap<NodeIndex, Ahead>,
    /// How many events these had so.
    early: usize,
    /// What decides which batches are dropped on their way, each to one node once; nothing where none is.
    drops: Option<Random>,
    dropped: BTreeSet<(NodeId, NodeId, u64)>,
    /// Batches that arrived.
    arrived: usize,
}

impl Nodes {
    fn is_dropped(&mut self, to: NodeId, batch: &TreeBatch<u64>) -> bool {
        let is_unlucky = self
            .drops
            .as_mut()
            .is_some_and(|random| random.below(10) == 0);
        is_unlucky && self.dropped.insert((to, batch.publisher, batch.payload))
    }

    /// Hands a batch to the subscriber that needs no order, unless it had it.
    fn hand_out(&mut self, context: &Context<'_>, batch: &TreeBatch<u64>, is_early: bool) {
        let ahead = self.ahead.entry(context.node());
        let ahead = ahead.or_insert_with(|| Ahead::new(1_024));
        let (publisher, epoch, topic) = (batch.publisher, batch.epoch, &batch.topic);
        let events = batch.base..batch.base.plus(batch.count);
        let new = if is_early {
            ahead.take(context.now(), publisher, epoch, topic, events)
        } else {
            ahead.pass(publisher, epoch, topic, events)
        };
        if !new.is_empty() {
            let handed = self.unordered.entry((context.node(), publisher));
            handed.or_default().push(batch.payload);
            self.early += usize::from(is_early);
        }
    }
}

impl Host for Nodes {
    type Machine = Tree<u64>;

    fn on_output(&mut self, context: &mut Context<'_>, _: &mut Tree<u64>, output: TreeOutput<u64>) {
        match output {
            TreeOutput::Push { to, batch } if self.is_dropped(to, &batch) => {}
            TreeOutput::Push { to, batch } => {
                context.send(to, Class::Reliable, on_the_wire(&batch));
            }
            TreeOutput::Send { to, body } => context.send(to, Class::Reliable, body),
            TreeOutput::Deliver { batch } => {
                let key = (context.node(), batch.publisher);
                self.handed.entry(key).or_default().push(batch.payload);
                self.hand_out(context, &batch, false);
            }
            TreeOutput::Early { batch } => self.hand_out(context, &batch, true),
            TreeOutput::Connect { node } => context.dial(node),
            _ => {}
        }
    }

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Tree<u64>,
        from: NodeId,
        _: Class,
        body: Body,
    ) {
        let input = match body {
            Body::Alias(alias) => {
                self.arrived += 1;
                let distance = u8::try_from(alias.alias.get()).unwrap();
                let batch = TreeBatch {
                    epoch: alias.epoch,
                    ..super::batch(alias.publisher, alias.next.get(), 1, distance)
                };
                TreeInput::Batch {
                    from: Some(from),
                    batch,
                    expected: None,
                }
            }
            Body::IHave(have) => TreeInput::Have { from, have },
            Body::Graft(graft) => TreeInput::Graft { from, graft },
            Body::Prune(prune) => TreeInput::Prune { from, prune },
            other => return context.fail(format!("{other:?}")),
        };
        machine.handle_input(context.now(), input);
    }

    fn on_link(
        &mut self,
        context: &mut Context<'_>,
        machine: &mut Tree<u64>,
        peer: NodeId,
        change: LinkChange,
    ) {
        let input = match change {
            LinkChange::Up => TreeInput::LinkUp { peer, rtt: None },
            LinkChange::Down => TreeInput::LinkDown { peer },
        };
        machine.handle_input(context.now(), input);
    }
}

/// A network in which the nodes of `interested` know each other as such.
struct World {
    net: Net<Nodes>,
    random: Random,
    published: BTreeMap<NodeIndex, u64>,
}

impl World {
    fn new(nodes: usize, seed: u64, conditions: Conditions) -> Self {
        let mut config = Config::default();
        config.conditions = conditions;
        let mut net = Net::new(config, seed, Nodes::default());
        for _ in 0..nodes {
            net.add(|id, _, now| Tree::new(TreeConfig::default(), id, now));
        }
        let mut world = Self {
            net,
            random: Random::new(seed),
            published: BTreeMap::new(),
        };
        let all: Vec<NodeIndex> = world.net.nodes().collect();
        world.interested(&all);
        world.run(3_000);
        world
    }

    fn interested(&mut self, nodes: &[NodeIndex]) {
        let ids = nodes.iter().filter_map(|node| self.net.id(*node));
        let rings = Arc::new(Rings::new(ids));
        for node in nodes {
            let (topic, rings) = (news(), Arc::clone(&rings));
            self.net.with(*node, |tree, now| {
                let since = macula_wire::Instant::ZERO;
                tree.handle_input(
                    now,
                    TreeInput::Members {
                        topic,
                        rings,
                        since,
                    },
                );
            });
        }
    }

    fn run(&mut self, millis: u64) {
        self.net.run_for(Duration::from_millis(millis)).unwrap();
    }

    fn publish(&mut self, node: NodeIndex) {
        let number = self.published.entry(node).or_default();
        let id = self.net.id(node).unwrap();
        let batch = super::batch(id, *number, 1, 0);
        *number += 1;
        self.net.with(node, |tree, now| {
            let input = TreeInput::Batch {
                from: None,
                batch,
                expected: None,
            };
            tree.handle_input(now, input);
        });
    }

    fn one_of<'a>(&mut self, nodes: &'a [NodeIndex]) -> Option<&'a NodeIndex> {
        let count = u64::try_from(nodes.len().max(1)).unwrap();
        nodes.get(usize::try_from(self.random.below(count)).unwrap())
    }

    fn pick(&mut self) -> NodeIndex {
        let running: Vec<NodeIndex> = self.net.running().collect();
        *self.one_of(&running).unwrap()
    }

    /// Kills a node, and tells its neighbours a second later, as membership would.
    fn kill(&mut self, victim: NodeIndex) {
        let peer = self.net.id(victim).unwrap();
        self.net.kill(victim);
        self.run(1_000);
        let live: Vec<NodeIndex> = self.net.running().collect();
        for node in live {
            self.net.with(node, |tree, now| {
                tree.handle_input(now, TreeInput::Absent { peer });
            });
        }
    }

    /// Everybody who runs has all of each publisher that runs, in order and once.
    fn check(&self) {
        for (publisher, count) in &self.published {
            let id = self.net.id(*publisher).unwrap();
            for node in self.net.running().filter(|node| node != publisher) {
                let handed = self.net.host().handed.get(&(node, id));
                let all: Vec<u64> = (0..*count).collect();
                let handed = handed.map_or(&[][..], Vec::as_slice);
                if self.net.machine(*publisher).is_some() {
                    assert_eq!(handed, all, "{publisher} to {node}");
                } else {
                    assert!(handed.is_sorted_by(|a, b| a < b), "{publisher} to {node}");
                }
                // Who needs no order gets the same, each once.
                let unordered = self.net.host().unordered.get(&(node, id));
                let mut unordered = unordered.cloned().unwrap_or_default();
                unordered.sort_unstable();
                let handed: BTreeSet<u64> = handed.iter().copied().collect();
                assert!(
                    unordered.is_sorted_by(|a, b| a < b),
                    "{publisher} to {node}"
                );
                assert!(
                    handed.is_subset(&unordered.into_iter().collect()),
                    "{publisher} to {node}"
                );
            }
        }
        let host = self.net.host();
        let running: BTreeSet<NodeIndex> = self.net.running().collect();
        let handed = running.iter().flat_map(|node| {
            self.published.keys().filter_map(move |publisher| {
                let key = (*node, self.net.id(*publisher)?);
                let (handed, unordered) = (host.handed.get(&key)?, host.unordered.get(&key)?);
                Some((*node, *publisher, [handed.as_slice(), unordered.as_slice()]))
            })
        });
        let totals = super::told::check(&super::told::Run {
            published: &self.published,
            handed: handed.collect(),
            running: running.clone(),
        });
        assert!(totals.delivered > 0, "{totals}");
    }
}

#[test]
fn everybody_gets_everything_once_and_in_order() {
    each_seed(|seed| {
        let nodes = 20 + usize::try_from(seed % 7).unwrap() * 13;
        let mut world = World::new(nodes, seed, Conditions::wan());
        for _ in 0..40 {
            let sender = NodeIndex::new(usize::try_from(world.random.below(3)).unwrap());
            world.publish(sender);
            let pause = world.random.below(60);
            world.run(pause);
        }
        world.run(3_000);
        world.check();
    });
}

#[test]
fn trees_carry_each_event_about_once_to_each() {
    let mut world = World::new(100, 1, Conditions::wan());
    let sender = NodeIndex::new(7);
    for _ in 0..10 {
        world.publish(sender);
        world.run(300);
    }
    let before = world.net.host().arrived;
    for _ in 0..20 {
        world.publish(sender);
        world.run(300);
    }
    world.run(2_000);
    world.check();
    let needed = 20 * 99;
    let arrived = world.net.host().arrived - before;
    assert!(arrived <= needed + needed / 20, "{arrived} of {needed}");
}

#[test]
fn nothing_is_lost_where_packets_are() {
    each_seed(|seed| {
        let lossy = Conditions::wan().with_loss(Chance::per_million(150_000));
        let mut world = World::new(60, seed, lossy);
        for _ in 0..30 {
            let sender = NodeIndex::new(usize::try_from(world.random.below(2)).unwrap());
            world.publish(sender);
            let pause = world.random.below(100);
            world.run(pause);
        }
        world.run(15_000);
        world.check();
    });
}

#[test]
fn whoever_needs_no_order_does_not_wait_for_what_is_missing() {
    let mut early = 0;
    for seed in 0..6 {
        let mut world = World::new(30, seed, Conditions::wan());
        // With the first event everybody begins to follow.
        world.publish(NodeIndex::new(0));
        world.run(1_000);
        world.net.host_mut().drops = Some(Random::new(seed));
        for _ in 0..30 {
            world.publish(NodeIndex::new(0));
            let pause = world.random.below(30);
            world.run(pause);
        }
        world.run(15_000);
        world.check();
        early += world.net.host().early;
    }
    assert!(early > 0, "nothing came ahead of its turn");
}

#[test]
fn trees_mend_when_nodes_die_and_links_break() {
    each_seed(|seed| {
        let mut world = World::new(60, seed, Conditions::wan());
        for round in 0..30 {
            world.publish(NodeIndex::new(round % 2));
            world.run(20);
            match world.random.below(6) {
                0 => {
                    let victim = world.pick();
                    if victim.get() > 1 {
                        world.kill(victim);
                    }
                }
                1 => {
                    let node = world.pick();
                    let peers: Vec<NodeIndex> = world.net.peers(node).collect();
                    if let Some(peer) = world.one_of(&peers).copied() {
                        world.net.break_link(node, peer);
                    }
                }
                _ => world.run(100),
            }
        }
        world.run(15_000);
        world.check();
    });
}

#[test]
fn whoever_comes_later_gets_what_is_published_from_then_on() {
    let mut world = World::new(40, 3, Conditions::wan());
    let all: Vec<NodeIndex> = world.net.nodes().collect();
    let (first, late) = all.split_at(30);
    world.interested(first);
    for node in late {
        world.net.with(*node, |tree, now| {
            tree.handle_input(now, TreeInput::Forget { topic: news() });
        });
    }
    let sender = NodeIndex::new(0);
    for _ in 0..5 {
        world.publish(sender);
        world.run(100);
    }
    world.interested(&all);
    world.run(500);
    for _ in 0..5 {
        world.publish(sender);
        world.run(100);
    }
    world.run(3_000);
    let id = world.net.id(sender).unwrap();
    for node in late {
        let handed = &world.net.host().handed[&(*node, id)];
        assert!(handed.ends_with(&[5, 6, 7, 8, 9]), "{node}: {handed:?}");
    }
}

#[test]
fn a_publisher_that_is_not_interested_reaches_all_who_are() {
    let mut world = World::new(41, 5, Conditions::wan());
    let all: Vec<NodeIndex> = world.net.nodes().collect();
    let (outside, inside) = all.split_last().unwrap();
    world.interested(inside);
    let ids = inside.iter().filter_map(|node| world.net.id(*node));
    let rings = Arc::new(Rings::new(ids));
    world.net.with(*outside, |tree, now| {
        let (topic, since) = (news(), now);
        tree.handle_input(
            now,
            TreeInput::Members {
                topic,
                rings,
                since,
            },
        );
    });
    world.run(500);
    for _ in 0..10 {
        world.publish(*outside);
        world.run(100);
    }
    world.run(3_000);
    world.check();
}

#[test]
fn a_prune_from_nowhere_and_a_batch_of_a_stranger_do_no_harm() {
    let mut world = World::new(30, 9, Conditions::wan());
    let (one, other) = (NodeIndex::new(3), NodeIndex::new(4));
    world.net.link(one, other);
    let prune = Prune {
        topic: news(),
        publisher: world.net.id(NodeIndex::new(0)).unwrap(),
    };
    world.net.inject(one, other, Class::Reliable, prune);
    for _ in 0..10 {
        world.publish(NodeIndex::new(0));
        world.run(150);
    }
    // An old event of an old run.
    let old = TreeBatch {
        epoch: Epoch::new(0),
        base: Sequence::new(77),
        ..super::batch(world.net.id(NodeIndex::new(0)).unwrap(), 77, 1, 1)
    };
    world
        .net
        .inject(one, other, Class::Reliable, on_the_wire(&old));
    world.run(3_000);
    world.check();
}
