//! A publisher that dies, two stores that take over from it, and members that are owed events, over links that break.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use macula_pubsub::{
    Acceptance, Bequest, Custody, Destination, Estate, EstateConfig, EstateInput, EstateOutput,
    Forwarder, ForwarderConfig, GroupOffer, Inheritance, Intake, IntakeConfig, IntakeInput,
    IntakeOutput, Offer, Outcome, Replay, ReplayConfig, ReplayInput, ReplayOutput, Share, ShareKey,
    Shares, Taken, Upstream,
};
use macula_testkit::{each_seed, node_id};
use macula_wire::message::{
    Arrears, Balance, DebtGroup, Debts, Deliver, EventAck, Priority, Resend,
};
use macula_wire::{
    ChannelRun, DeliveryId, Epoch, Instant, Machine, NodeId, Random, Sequence, Topic,
};

use crate::common::topic;

const CLASS: Priority = Priority::Normal;
const PUBLISHER: usize = 0;
const STORES: [usize; 2] = [1, 2];
const MEMBERS: [usize; 3] = [3, 4, 5];
const NODES: usize = 6;
const STEPS: usize = 600;

/// Events as they travel: of which topic, from which place on, and who is owed them.
#[derive(Clone, Debug)]
struct Cargo {
    shared: bool,
    base: u64,
    count: u64,
    debts: Option<Debts>,
}

impl Cargo {
    fn topic(&self) -> Topic {
        topic(if self.shared { "g" } else { "m" })
    }
}

#[derive(Debug)]
enum Word {
    Deliver(Deliver, Cargo),
    Ack(EventAck),
    Resend(Resend),
    Arrears(Arrears),
}

struct Node {
    replay: Replay<Cargo>,
    intake: Intake,
    estate: Estate<Cargo>,
    forwarder: Forwarder,
    shares: Shares,
    /// What an application has and has not acknowledged.
    held: Vec<(Upstream, u64, Cargo)>,
    /// The places of events that its application was handed, in order.
    plain: Vec<u64>,
    ready: BTreeSet<Destination>,
}

struct World {
    now: Instant,
    random: Random,
    nodes: Vec<Node>,
    /// Messages under way, by sender and receiver.
    links: BTreeMap<(usize, usize), VecDeque<Word>>,
    is_dead: bool,
    next: [u64; 2],
    /// What a store has acknowledged: plain events, and shared ones.
    stored: [BTreeSet<u64>; 2],
    /// How often each shared event was handed over, with attempt 0 and with more.
    shared: BTreeMap<u64, [u32; 2]>,
    /// Which shared events were acknowledged.
    done: BTreeMap<u64, u32>,
    taken_over: usize,
    known: u32,
}

fn id(at: usize) -> NodeId {
    node_id(at)
}

fn place(node: NodeId) -> usize {
    (0..NODES).find(|at| id(*at) == node).unwrap()
}

fn member(at: usize) -> Destination {
    Destination::Member(id(at))
}

impl World {
    fn new(seed: u64) -> Self {
        let node = |at: usize| Node {
            replay: Replay::new(
                ReplayConfig::default(),
                id(at),
                ChannelRun::new(7),
                Random::new(seed + 1),
                Instant::ZERO,
            ),
            intake: Intake::new(IntakeConfig::default(), Instant::ZERO),
            estate: Estate::new(EstateConfig::default(), Instant::ZERO),
            forwarder: Forwarder::new(&ForwarderConfig::default()),
            shares: Shares::new(10_000),
            held: Vec::new(),
            plain: Vec::new(),
            ready: BTreeSet::new(),
        };
        let mut world = Self {
            now: Instant::ZERO,
            random: Random::new(seed),
            nodes: (0..NODES).map(node).collect(),
            links: BTreeMap::new(),
            is_dead: false,
            next: [0; 2],
            stored: [BTreeSet::new(), BTreeSet::new()],
            shared: BTreeMap::new(),
            done: BTreeMap::new(),
            taken_over: 0,
            known: 0,
        };
        for from in 0..NODES {
            for to in 0..NODES {
                world.up(from, to);
            }
        }
        world
    }

    fn up(&mut self, from: usize, to: usize) {
        if from == to || (self.is_dead && (from == PUBLISHER || to == PUBLISHER)) {
            return;
        }
        self.links.insert((from, to), VecDeque::new());
        let (now, node) = (self.now, &mut self.nodes[from]);
        let up = ReplayInput::Up(member(to));
        node.replay.handle_input(now, up);
        node.intake.handle_input(now, IntakeInput::Up(id(to)));
        self.settle(from);
    }

    /// Cuts a link both ways: what was under way is lost.
    fn cut(&mut self, from: usize, to: usize) {
        for (one, other) in [(from, to), (to, from)] {
            self.links.insert((one, other), VecDeque::new());
        }
        self.up(from, to);
        self.up(to, from);
    }

    fn send(&mut self, from: usize, to: usize, word: Word) {
        if self.is_dead && (from == PUBLISHER || to == PUBLISHER) {
            return;
        }
        self.links.entry((from, to)).or_default().push_back(word);
    }

    /// Publishes a batch for everybody, or one event for one of the members as a group.
    fn publish(&mut self) {
        let shared = self.random.index(2) == 0;
        let count = if shared { 1 } else { 1 + self.random.below(3) };
        let base = self.next[usize::from(shared)];
        self.next[usize::from(shared)] += count;
        let mut cargo = Cargo {
            shared,
            base,
            count,
            debts: None,
        };
        let now = self.now;
        let all: Vec<usize> = if shared {
            STORES.to_vec()
        } else {
            STORES.iter().chain(&MEMBERS).copied().collect()
        };
        let first = self.nodes[PUBLISHER].replay.next_id().get();
        let mut groups = Vec::new();
        let group = GroupOffer {
            name: "g".into(),
            balance: Balance::RoundRobin,
            candidates: MEMBERS.map(member).to_vec(),
            key: 0,
            max_deliver: 0,
            chosen: None,
        };
        // The id of the group's event follows those of the batch; who gets it is known only then.
        if shared {
            groups.push(DebtGroup {
                name: "g".into(),
                balance: Balance::RoundRobin,
                members: sorted(&MEMBERS),
                first: DeliveryId::new(first),
                chosen: vec![0],
            });
            let offer = offer(&cargo, Vec::new(), Some(group), Custody::Own, 0);
            let replay = &mut self.nodes[PUBLISHER].replay;
            let id = replay.offer(now, offer).unwrap();
            let Some(Destination::Member(chosen)) = replay.chosen(id) else {
                panic!("nobody was chosen");
            };
            let place = sorted(&MEMBERS).iter().position(|one| *one == chosen);
            groups[0].chosen = vec![u32::try_from(place.unwrap()).unwrap() + 1];
        }
        cargo.debts = Some(Debts {
            members: sorted(&all),
            stores: sorted(&STORES),
            groups,
        });
        let to = all.iter().copied().map(member).collect();
        let offer = offer(&cargo, to, None, Custody::Own, 0);
        self.nodes[PUBLISHER].replay.offer(now, offer).unwrap();
        self.settle(PUBLISHER);
    }

    fn step(&mut self) {
        self.now = self.now + Duration::from_millis(self.random.below(20));
        match self.random.index(40) {
            0..8 if !self.is_dead && self.next[0] < 200 => self.publish(),
            8 => {
                let (from, to) = (self.random.index(NODES), self.random.index(NODES));
                if from != to {
                    self.cut(from, to);
                }
            }
            9 if !self.is_dead => {
                let arrears = self.nodes[PUBLISHER].replay.arrears();
                for store in STORES {
                    self.send(PUBLISHER, store, Word::Arrears(arrears.clone()));
                }
            }
            10..14 => self.acknowledge(),
            14..25 => self.pump(),
            _ => self.deliver(),
        }
    }

    /// Sends what is ready somewhere.
    fn pump(&mut self) {
        for from in 0..NODES {
            let ready = self.nodes[from].ready.pop_first();
            let Some(to @ Destination::Member(node)) = ready else {
                continue;
            };
            while let Some(transmit) = self.nodes[from].replay.next(to, CLASS) {
                let deliver = Deliver {
                    run: self.nodes[from].replay.run(),
                    prev: transmit.prev,
                    first: transmit.first,
                    count: transmit.count,
                    floor: transmit.floor,
                    group: transmit.group,
                    attempt: transmit.attempt,
                };
                self.send(from, place(node), Word::Deliver(deliver, transmit.payload));
            }
        }
    }

    /// One message arrives.
    fn deliver(&mut self) {
        let full: Vec<(usize, usize)> = self
            .links
            .iter()
            .filter(|(_, words)| !words.is_empty())
            .map(|(key, _)| *key)
            .collect();
        if full.is_empty() {
            return self.pump();
        }
        let (from, to) = full[self.random.index(full.len())];
        let word = self.links.get_mut(&(from, to)).unwrap().pop_front();
        let (now, node) = (self.now, &mut self.nodes[to]);
        match word.unwrap() {
            Word::Ack(ack) => node
                .replay
                .handle_input(now, ReplayInput::Ack(member(from), ack)),
            Word::Resend(resend) => {
                let resend = ReplayInput::Resend(member(from), resend);
                node.replay.handle_input(now, resend);
            }
            Word::Arrears(arrears) => node
                .estate
                .handle_input(now, EstateInput::Arrears(id(from), arrears)),
            Word::Deliver(deliver, cargo) => self.arrive(from, to, &deliver, cargo),
        }
        self.settle(to);
    }

    fn arrive(&mut self, from: usize, to: usize, deliver: &Deliver, cargo: Cargo) {
        let now = self.now;
        let node = &mut self.nodes[to];
        let count = usize::try_from(deliver.count).unwrap();
        let taken = node.intake.take(now, id(from), CLASS, deliver, count, true);
        if taken != Taken::New {
            assert!(!matches!(taken, Taken::Violation(_)), "{taken:?}");
            return;
        }
        let upstream = Upstream {
            peer: id(from),
            class: CLASS,
            run: deliver.run,
            first: deliver.first,
        };
        let last = deliver.first.get() + u64::from(deliver.count) - 1;
        if STORES.contains(&to) {
            if let Some(debts) = cargo.debts.clone().filter(|_| from == PUBLISHER) {
                let rank = u32::try_from(STORES.iter().position(|one| *one == to).unwrap());
                let places = cargo.base..cargo.base + cargo.count;
                self.stored[usize::from(cargo.shared)].extend(places);
                node.estate.take(
                    now,
                    Bequest {
                        publisher: id(PUBLISHER),
                        run: deliver.run,
                        first: deliver.first,
                        count: deliver.count,
                        payload: cargo,
                        bytes: 10,
                        class: CLASS,
                        ttl: None,
                        debts,
                        rank: rank.unwrap(),
                        own: id(to),
                    },
                    (0, 0),
                );
            }
            return self.end(to, &upstream, last, Outcome::Acked);
        }
        if deliver.group.is_some() {
            match node.shares.take(key(&cargo), upstream) {
                Share::New => {
                    let seen = self.shared.entry(cargo.base).or_default();
                    seen[usize::from(deliver.attempt > 0)] += 1;
                    node.held.push((upstream, last, cargo));
                }
                Share::Held => self.known += 1,
                Share::Settled(outcome) => {
                    self.known += 1;
                    self.end(to, &upstream, last, outcome);
                }
            }
            return;
        }
        let (publisher, epoch) = (id(PUBLISHER), Epoch::new(1));
        let base = Sequence::new(cargo.base);
        let accepted =
            node.forwarder
                .accept_kept(now, publisher, epoch, &cargo.topic(), base, cargo.count);
        match accepted {
            Acceptance::Accepted { skip, gap, .. } => {
                assert_eq!((skip, gap), (0, None), "batches stay what they are");
                node.plain.extend(cargo.base..cargo.base + cargo.count);
                node.held.push((upstream, last, cargo));
            }
            Acceptance::Duplicate => {
                self.known += 1;
                self.end(to, &upstream, last, Outcome::Acked);
            }
            Acceptance::Stale => panic!("there is one run"),
        }
    }

    /// An application acknowledges one of the events that it has.
    fn acknowledge(&mut self) {
        let at = MEMBERS[self.random.index(MEMBERS.len())];
        if self.nodes[at].held.is_empty() {
            return;
        }
        let which = self.random.index(self.nodes[at].held.len());
        let (upstream, last, cargo) = self.nodes[at].held.remove(which);
        if cargo.shared {
            *self.done.entry(cargo.base).or_default() += 1;
        }
        self.end(at, &upstream, last, Outcome::Acked);
        let also = self.nodes[at]
            .shares
            .settled(self.now, &upstream, Outcome::Acked);
        for also in also {
            self.end(at, &also, also.first.get(), Outcome::Acked);
        }
        self.settle(at);
    }

    fn end(&mut self, at: usize, upstream: &Upstream, last: u64, outcome: Outcome) {
        let settled = IntakeInput::Settled {
            peer: upstream.peer,
            class: CLASS,
            run: upstream.run,
            first: upstream.first,
            last: DeliveryId::new(last),
            outcome,
        };
        self.nodes[at].intake.handle_input(self.now, settled);
    }

    /// The publisher dies; what it has sent may arrive yet, and nothing else.
    fn kill(&mut self) {
        for store in STORES {
            if self.random.index(2) == 0 {
                self.links.insert((PUBLISHER, store), VecDeque::new());
            }
        }
        self.is_dead = true;
        self.links.retain(|(_, to), _| *to != PUBLISHER);
    }

    /// Membership says so.
    fn verdict(&mut self) {
        for at in 1..NODES {
            let now = self.now;
            self.nodes[at].forwarder.lose(id(PUBLISHER));
            let lost = EstateInput::Lost(id(PUBLISHER));
            self.nodes[at].estate.handle_input(now, lost);
            self.settle(at);
        }
    }

    fn settle(&mut self, at: usize) {
        let now = self.now;
        while let Some(output) = self.nodes[at].estate.poll_output() {
            if let EstateOutput::Inherited(inheritance) = output {
                self.taken_over += 1;
                self.inherit(at, *inheritance);
            }
        }
        self.nodes[at].replay.handle_timeout(now);
        while let Some(output) = self.nodes[at].replay.poll_output() {
            if let ReplayOutput::Ready(to, _) = output {
                self.nodes[at].ready.insert(to);
            }
        }
        self.nodes[at].intake.handle_timeout(now);
        while let Some(output) = self.nodes[at].intake.poll_output() {
            let (peer, word) = match output {
                IntakeOutput::Ack(peer, ack) => (peer, Word::Ack(ack)),
                IntakeOutput::Resend(peer, resend) => (peer, Word::Resend(resend)),
                other => panic!("{other:?}"),
            };
            self.send(at, place(peer), word);
        }
    }

    fn inherit(&mut self, at: usize, all: Inheritance<Cargo>) {
        let now = self.now;
        let to = all.members.into_iter().map(Destination::Member);
        let plain = offer(&all.payload, to.collect(), None, Custody::Inherited, 0);
        self.nodes[at].replay.offer(now, plain).unwrap();
        for group in all.groups {
            for event in group.events {
                let chosen = event.chosen.map(Destination::Member);
                let shared = GroupOffer {
                    name: group.name.clone(),
                    balance: Balance::Hash,
                    candidates: group
                        .members
                        .iter()
                        .copied()
                        .map(Destination::Member)
                        .collect(),
                    key: all.payload.base,
                    max_deliver: 0,
                    chosen,
                };
                let attempt = u32::from(event.is_passed_on || chosen.is_none());
                let custody = Custody::Inherited;
                let offer = offer(&all.payload, Vec::new(), Some(shared), custody, attempt);
                self.nodes[at].replay.offer(now, offer).unwrap();
            }
        }
    }

    /// Lets everything come to its end.
    fn rest(&mut self) {
        for _ in 0..400 {
            self.now = self.now + Duration::from_millis(200);
            for at in 0..NODES {
                if at == PUBLISHER && self.is_dead {
                    continue;
                }
                let now = self.now;
                self.nodes[at].estate.handle_timeout(now);
                self.settle(at);
            }
            for _ in 0..20 {
                self.pump();
                self.deliver();
                self.acknowledge();
            }
        }
    }
}

fn sorted(all: &[usize]) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = all.iter().copied().map(id).collect();
    nodes.sort();
    nodes
}

fn key(cargo: &Cargo) -> ShareKey {
    ShareKey {
        publisher: id(PUBLISHER),
        epoch: Epoch::new(1),
        topic: cargo.topic(),
        sequence: Sequence::new(cargo.base),
        group: "g".into(),
    }
}

fn offer(
    cargo: &Cargo,
    owed: Vec<Destination>,
    group: Option<GroupOffer>,
    custody: Custody,
    attempt: u32,
) -> Offer<Cargo> {
    Offer {
        payload: cargo.clone(),
        count: u32::try_from(cargo.count).unwrap(),
        bytes: 10,
        class: CLASS,
        ttl: None,
        custody,
        owed,
        group,
        attempt,
        upstream: None,
        receipts: None,
    }
}

#[test]
fn what_a_store_acknowledged_comes_once_and_in_order_though_its_publisher_dies() {
    let (mut sum, mut seeds) = ([0; 3], 0);
    each_seed(|seed| {
        seeds += 1;
        let mut world = World::new(seed);
        let dies = 100 + world.random.index(STEPS);
        for _ in 0..dies {
            world.step();
        }
        world.kill();
        // Who dies is found out later, or by one store before the other.
        for _ in 0..world.random.index(60) {
            world.step();
        }
        world.verdict();
        for _ in 0..STEPS {
            world.step();
        }
        world.rest();
        for at in MEMBERS {
            let plain = &world.nodes[at].plain;
            assert!(plain.is_sorted_by(|one, next| one < next), "{plain:?}");
            let has: BTreeSet<u64> = plain.iter().copied().collect();
            let lost: Vec<_> = world.stored[0].difference(&has).collect();
            assert!(lost.is_empty(), "{at} lacks {lost:?}");
        }
        for number in &world.stored[1] {
            assert_eq!(world.done.get(number), Some(&1), "shared {number}");
        }
        assert!(world.done.values().all(|times| *times == 1));
        assert!(world.shared.values().all(|[first, more]| first + more == 1));
        let under_way = world.links.values().map(VecDeque::len).sum::<usize>();
        assert_eq!(under_way, 0);
        for store in STORES {
            assert_eq!(world.nodes[store].estate.used(), (0, 0));
            assert_eq!(world.nodes[store].replay.used(Custody::Inherited), (0, 0));
        }
        sum[0] += world.taken_over;
        sum[1] += usize::try_from(world.known).unwrap();
        sum[2] += world.stored[0].len() + world.stored[1].len();
    });
    // Some die when nothing is owed; most do not.
    assert!(sum.iter().all(|count| *count >= seeds), "{sum:?}");
}
