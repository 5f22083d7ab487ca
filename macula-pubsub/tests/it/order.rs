//! Order, duplicates and conservation: many publishers, several paths, loss, duplication and reordering.

use std::collections::BTreeMap;
use std::time::Duration;

use macula_pubsub::{Acceptance, Forwarder, ForwarderConfig, Missing};
use macula_testkit::{
    Chance, Class, Config, Context, Host, LinkChange, Net, NodeIndex, each_seed, node_id,
};
use macula_wire::message::Alias;
use macula_wire::{
    Batch, Body, ContentType, Entries, Epoch, Instant, Machine, NodeId, Random, Sequence, Topic,
    TopicAlias,
};

use crate::common::topic;

/// The node that subscribed to everything.
const SUBSCRIBER: NodeIndex = NodeIndex::new(0);
/// Nodes that pass on what they get to the subscriber.
const RELAYS: [NodeIndex; 2] = [NodeIndex::new(1), NodeIndex::new(2)];
const PUBLISHERS: [NodeIndex; 3] = [NodeIndex::new(3), NodeIndex::new(4), NodeIndex::new(5)];
const TOPICS: u64 = 2;
const BATCHES: u64 = 40;

/// A node that does nothing by itself.
#[derive(Debug)]
struct Quiet;

impl Machine for Quiet {
    type Input = ();
    type Output = ();

    fn handle_input(&mut self, _: Instant, (): ()) {}
    fn handle_timeout(&mut self, _: Instant) {}
    fn poll_output(&mut self) -> Option<()> {
        None
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// One topic of one publisher in one epoch.
type Flow = (NodeId, Epoch, u64);

/// What the subscriber of a flow saw.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    Event(u64),
    Gap(u64, u64),
}

/// Passes batches on, and hands those that arrive to a forwarder and to a plain model of one.
#[derive(Debug)]
struct Paths {
    forwarder: Forwarder,
    seen: BTreeMap<Flow, Vec<Seen>>,
    model: Model,
    restarts: Vec<(NodeId, u64)>,
}

/// What should be seen, worked out event by event.
#[derive(Debug, Default)]
struct Model {
    epochs: BTreeMap<NodeId, Epoch>,
    next: BTreeMap<Flow, u64>,
    seen: BTreeMap<Flow, Vec<Seen>>,
}

impl Model {
    /// Whether the epoch is the publisher's latest.
    fn is_current(&mut self, publisher: NodeId, epoch: Epoch) -> bool {
        let latest = self.epochs.entry(publisher).or_insert(epoch);
        *latest = epoch.max(*latest);
        *latest == epoch
    }

    fn event(&mut self, flow: Flow, sequence: u64) {
        let next = self.next.entry(flow).or_insert(sequence);
        if sequence < *next {
            return;
        }
        let gap = (sequence > *next).then_some(Seen::Gap(*next, sequence));
        *next = sequence + 1;
        let seen = self.seen.entry(flow).or_default();
        seen.extend(gap);
        seen.push(Seen::Event(sequence));
    }

    fn announced(&mut self, flow: Flow, sequence: u64) {
        let next = self.next.entry(flow).or_insert(sequence);
        if sequence > *next {
            let seen = self.seen.entry(flow).or_default();
            seen.push(Seen::Gap(*next, sequence));
            *next = sequence;
        }
    }
}

impl Paths {
    fn new() -> Self {
        Self {
            forwarder: Forwarder::new(&ForwarderConfig::default()),
            seen: BTreeMap::new(),
            model: Model::default(),
            restarts: Vec::new(),
        }
    }

    fn gap(&mut self, flow: Flow, missing: Option<Missing>) {
        if let Some(Missing { from, to }) = missing {
            let seen = self.seen.entry(flow).or_default();
            seen.push(Seen::Gap(from.get(), to.get()));
        }
    }

    fn on_batch(&mut self, now: Instant, batch: &Batch) -> Result<(), String> {
        let flow = (batch.publisher, batch.epoch, batch.alias.get());
        let (base, count) = (
            batch.base.get(),
            u64::try_from(batch.entries.count()).unwrap(),
        );
        if self.model.is_current(batch.publisher, batch.epoch) {
            (base..base + count).for_each(|sequence| self.model.event(flow, sequence));
        }
        let name = name(flow.2);
        let answer =
            self.forwarder
                .accept(now, batch.publisher, batch.epoch, &name, batch.base, count);
        let Acceptance::Accepted {
            skip,
            gap,
            restarted,
        } = answer
        else {
            return Ok(());
        };
        self.gap(flow, gap);
        if restarted {
            self.restarts.push((flow.0, flow.2));
        }
        let skipped = usize::try_from(skip).unwrap();
        for (sequence, payload) in (base..).zip(&batch.entries).skip(skipped) {
            if payload[..] != content(flow, sequence) {
                return Err(format!("{flow:?} {sequence} has the payload of another"));
            }
            let seen = self.seen.entry(flow).or_default();
            seen.push(Seen::Event(sequence));
        }
        Ok(())
    }

    fn on_alias(&mut self, now: Instant, alias: &Alias) {
        let flow = (alias.publisher, alias.epoch, alias.alias.get());
        if self.model.is_current(alias.publisher, alias.epoch) {
            self.model.announced(flow, alias.next.get());
        }
        let missing =
            self.forwarder
                .announced(now, alias.publisher, alias.epoch, &alias.topic, alias.next);
        self.gap(flow, missing);
    }
}

impl Host for Paths {
    type Machine = Quiet;

    fn on_output(&mut self, _: &mut Context<'_>, _: &mut Quiet, (): ()) {}

    fn on_message(
        &mut self,
        context: &mut Context<'_>,
        _: &mut Quiet,
        _: NodeId,
        class: Class,
        body: Body,
    ) {
        if context.node() != SUBSCRIBER {
            context.send(node_id(SUBSCRIBER.get()), class, body);
            return;
        }
        match body {
            Body::Batch(batch) => {
                if let Err(text) = self.on_batch(context.now(), &batch) {
                    context.fail(text);
                }
            }
            Body::Alias(alias) => self.on_alias(context.now(), &alias),
            other => context.fail(format!("unexpected {other:?}")),
        }
    }

    fn on_link(&mut self, _: &mut Context<'_>, _: &mut Quiet, _: NodeId, _: LinkChange) {}
}

fn name(alias: u64) -> Topic {
    topic(&format!("home.{alias}"))
}

/// A payload that belongs to one event only.
fn content(flow: Flow, sequence: u64) -> Vec<u8> {
    format!("{:?} {} {} {sequence}", flow.0, flow.1, flow.2).into_bytes()
}

fn batch(flow: Flow, base: u64, count: u64) -> Batch {
    let payloads: Vec<Vec<u8>> = (base..base + count)
        .map(|sequence| content(flow, sequence))
        .collect();
    Batch {
        hops: 8,
        publisher: flow.0,
        epoch: flow.1,
        alias: TopicAlias::new(flow.2),
        base: Sequence::new(base),
        ttl_ms: None,
        content: ContentType::Bytes,
        enveloped: false,
        signature: None,
        entries: Entries::from_payloads(payloads.iter().map(Vec::as_slice)).unwrap(),
    }
}

fn alias(flow: Flow, next: u64) -> Alias {
    Alias {
        publisher: flow.0,
        epoch: flow.1,
        alias: TopicAlias::new(flow.2),
        topic: name(flow.2),
        next: Sequence::new(next),
        chain: Vec::new(),
    }
}

/// Publishes everything over lossy paths and ends each flow by saying where it ended.
fn run(seed: u64, restarts: bool) -> (Net<Paths>, BTreeMap<Flow, u64>) {
    let mut config = Config::default();
    config.conditions.loss = Chance::percent(15);
    config.conditions.duplication = Chance::percent(15);
    config.conditions.reorder = Chance::percent(25);
    let mut net = Net::new(config, seed, Paths::new());
    for _ in 0..6 {
        net.add(|_, _, _| Quiet);
    }
    for from in RELAYS.into_iter().chain(PUBLISHERS) {
        net.dial(from, SUBSCRIBER);
    }
    for from in PUBLISHERS {
        for relay in RELAYS {
            net.dial(from, relay);
        }
    }
    let up = |net: &Net<Paths>| {
        let direct = PUBLISHERS
            .iter()
            .all(|from| net.is_linked(*from, SUBSCRIBER));
        direct && RELAYS.iter().all(|relay| net.is_linked(*relay, SUBSCRIBER))
    };
    net.wait(Duration::from_secs(5), "all are linked", up)
        .unwrap();
    net.run_for(Duration::from_secs(1)).unwrap();

    let mut random = Random::new(seed);
    let mut published = BTreeMap::new();
    let mut epochs = [1_u64; 3];
    begin(&mut net, &mut published, &PUBLISHERS, &epochs);
    for _ in 0..BATCHES * 3 {
        let which = random.index(PUBLISHERS.len());
        if restarts && random.below(60) == 0 {
            epochs[which] += 1;
            begin(
                &mut net,
                &mut published,
                &PUBLISHERS[which..=which],
                &epochs[which..=which],
            );
        }
        let from = PUBLISHERS[which];
        let flow = (
            node_id(from.get()),
            Epoch::new(epochs[which]),
            random.below(TOPICS),
        );
        let base = published.get_mut(&flow).unwrap();
        let count = random.below(5) + 1;
        let batch = batch(flow, *base, count);
        *base += count;
        // Over one path or several; some leave by none.
        for to in [SUBSCRIBER, RELAYS[0], RELAYS[1]] {
            if random.below(2) == 0 {
                net.inject(from, to, Class::Datagram, batch.clone());
            }
        }
        net.run_for(Duration::from_millis(random.below(20)))
            .unwrap();
    }
    net.run_for(Duration::from_secs(2)).unwrap();
    for (flow, next) in &published {
        let from = net.find(flow.0).unwrap();
        net.inject(from, SUBSCRIBER, Class::Reliable, alias(*flow, *next));
    }
    net.run_for(Duration::from_secs(2)).unwrap();
    (net, published)
}

/// Tells where the flows of an epoch begin, and waits until that has arrived.
fn begin(
    net: &mut Net<Paths>,
    published: &mut BTreeMap<Flow, u64>,
    publishers: &[NodeIndex],
    epochs: &[u64],
) {
    for (from, epoch) in publishers.iter().zip(epochs) {
        for topic in 0..TOPICS {
            let flow = (node_id(from.get()), Epoch::new(*epoch), topic);
            published.insert(flow, 0);
            net.inject(*from, SUBSCRIBER, Class::Reliable, alias(flow, 0));
        }
    }
    net.run_for(Duration::from_millis(300)).unwrap();
}

/// Follows what was seen of a flow from 0 on: no hole, no step back. Answers with where it ends and how much was lost.
fn follow(flow: &Flow, seen: &[Seen]) -> (u64, u64) {
    let (mut next, mut lost) = (0, 0);
    for step in seen {
        let (from, to) = match step {
            Seen::Event(sequence) => (*sequence, sequence + 1),
            Seen::Gap(from, to) => {
                lost += to - from;
                (*from, *to)
            }
        };
        assert_eq!(from, next, "{flow:?}: {seen:?}");
        assert!(to > from, "{flow:?}: {seen:?}");
        next = to;
    }
    (next, lost)
}

#[test]
fn each_event_is_delivered_once_in_order_or_reported_missing() {
    let mut delivered = 0;
    let mut lost = 0;
    each_seed(|seed| {
        let (net, published) = run(seed, false);
        let paths = net.host();
        assert_eq!(paths.seen, paths.model.seen);
        assert!(paths.restarts.is_empty());
        for (flow, count) in &published {
            let (end, missing) = follow(flow, &paths.seen[flow]);
            assert_eq!(end, *count, "{flow:?}");
            lost += missing;
            delivered += count - missing;
        }
    });
    // The test would prove nothing if nothing were lost, or all.
    assert!(lost > 0 && delivered > lost, "{delivered} {lost}");
}

#[test]
fn a_restarted_publisher_begins_again_and_its_past_stays_behind() {
    let mut restarts = 0;
    each_seed(|seed| {
        let (net, published) = run(seed, true);
        let paths = net.host();
        assert_eq!(paths.seen, paths.model.seen);
        restarts += paths.restarts.len();
        for (flow, count) in &published {
            let seen = paths.seen.get(flow).map_or(&[][..], Vec::as_slice);
            let (end, _) = follow(flow, seen);
            if paths.model.epochs[&flow.0] == flow.1 {
                assert_eq!(end, *count, "{flow:?}");
            } else {
                assert!(end <= *count, "{flow:?}");
            }
        }
    });
    assert!(restarts > 0);
}

#[test]
fn equal_seeds_give_equal_runs() {
    let trace = |seed| run(seed, true).0.trace_hash();
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
