//! The replay buffer and its receivers over links that break, against what was published.

mod told;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use macula_pubsub::{
    Custody, Destination, GroupOffer, Intake, IntakeConfig, IntakeInput, IntakeOutput, LocalId,
    Offer, OfferError, Outcome, ReceiptId, Replay, ReplayConfig, ReplayInput, ReplayOutput, Taken,
    Upstream,
};
use macula_testkit::{each_seed, node_id};
use macula_wire::message::{Balance, Deliver, EventAck, Priority, Resend};
use macula_wire::{ChannelRun, DeliveryId, Instant, Machine, NodeId, Random};

const RECEIVERS: usize = 3;
const STEPS: usize = 1_500;
const CLASS: Priority = Priority::Normal;
const LOCAL: Destination = Destination::Local(LocalId::new(7));

fn publisher() -> NodeId {
    node_id(0)
}

fn member(at: usize) -> Destination {
    Destination::Member(node_id(at + 1))
}

fn config() -> ReplayConfig {
    let mut config = ReplayConfig::default();
    config.max_events = 64;
    config.max_transit_events = 12;
    config
}

fn replay(own: usize, seed: u64) -> Replay<u64> {
    let run = ChannelRun::new(5);
    Replay::new(
        config(),
        node_id(own),
        run,
        Random::new(seed),
        Instant::ZERO,
    )
}

enum Back {
    Ack(EventAck),
    Resend(Resend),
}

/// A member with one subscription.
struct Receiver {
    intake: Intake,
    replay: Replay<u64>,
    is_up: bool,
    forth: VecDeque<(Deliver, u64)>,
    back: VecDeque<Back>,
    /// What the subscription was handed and has not taken: ids and numbers.
    queue: VecDeque<(DeliveryId, u64, u32)>,
    is_ready: bool,
    /// How often of ten an event is given back.
    nacks: usize,
    taken: Vec<u64>,
    /// What came in a group.
    shared: BTreeSet<u64>,
}

struct World {
    now: Instant,
    random: Random,
    replay: Replay<u64>,
    told: told::Told,
    receivers: Vec<Receiver>,
    ready: BTreeSet<Destination>,
    /// The next number that is published.
    next: u64,
    owed: Vec<Vec<u64>>,
    grouped: BTreeSet<u64>,
    /// How many each event was owed to, by its place in receipts that are being made.
    receipts: BTreeMap<(ReceiptId, u32), u32>,
    cuts: u32,
    full: u32,
    holes: u32,
    without_room: u32,
    duplicates: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let receiver = |at: usize| Receiver {
            intake: Intake::new(IntakeConfig::default(), Instant::ZERO),
            replay: replay(at + 1, seed),
            is_up: false,
            forth: VecDeque::new(),
            back: VecDeque::new(),
            queue: VecDeque::new(),
            is_ready: false,
            nacks: if at == 2 { 3 } else { 0 },
            taken: Vec::new(),
            shared: BTreeSet::new(),
        };
        Self {
            now: Instant::ZERO,
            random: Random::new(seed),
            replay: replay(0, seed),
            told: told::Told::new(RECEIVERS),
            receivers: (0..RECEIVERS).map(receiver).collect(),
            ready: BTreeSet::new(),
            next: 0,
            owed: vec![Vec::new(); RECEIVERS],
            grouped: BTreeSet::new(),
            receipts: BTreeMap::new(),
            cuts: 0,
            full: 0,
            holes: 0,
            without_room: 0,
            duplicates: 0,
        }
    }

    fn publish(&mut self) {
        let members: Vec<usize> = (0..RECEIVERS)
            .filter(|_| self.random.index(3) > 0)
            .collect();
        let is_group = !members.is_empty() && self.random.index(4) == 0;
        let count = if is_group {
            1
        } else {
            1 + self.random.index(4)
        };
        let to: Vec<Destination> = members.iter().copied().map(member).collect();
        let places = u32::try_from(count).unwrap();
        let receipts = self.replay.begin_receipts(places);
        let group = is_group.then(|| GroupOffer {
            name: "g".into(),
            balance: Balance::RoundRobin,
            candidates: to.clone(),
            key: 0,
            max_deliver: 0,
            chosen: None,
        });
        let offer = Offer {
            payload: self.next,
            count: u32::try_from(count).unwrap(),
            bytes: count,
            class: CLASS,
            ttl: None,
            custody: Custody::Own,
            owed: if is_group { Vec::new() } else { to },
            group,
            attempt: 0,
            upstream: None,
            receipts: Some((receipts, 0)),
        };
        let taken = self.replay.offer(self.now, offer);
        let matched = match &taken {
            Err(_) => 0,
            Ok(_) if is_group => 1,
            Ok(_) => members.len(),
        };
        let matched = u32::try_from(matched).unwrap();
        self.receipts
            .extend((0..places).map(|at| ((receipts, at), matched)));
        self.replay.close_receipts(receipts);
        match taken {
            Ok(_) => {
                let numbers = self.next..self.next + u64::try_from(count).unwrap();
                self.next = numbers.end;
                let owed = (members.as_slice(), is_group);
                self.told
                    .published(self.now, numbers.clone(), owed, receipts);
                if is_group {
                    self.grouped.extend(numbers);
                } else {
                    members
                        .iter()
                        .for_each(|at| self.owed[*at].extend(numbers.clone()));
                }
            }
            Err(OfferError::Full { .. }) => self.full += 1,
            Err(error) => panic!("{error}"),
        }
    }

    /// Carries out what the machines put out.
    fn settle(&mut self) {
        while let Some(output) = self.replay.poll_output() {
            match output {
                ReplayOutput::Ready(to, _) => {
                    self.ready.insert(to);
                }
                ReplayOutput::Receipts {
                    id,
                    first,
                    last,
                    matched,
                    acked,
                    expired,
                    dropped,
                } => {
                    assert_eq!((expired, dropped), (0, 0));
                    assert_eq!(acked, matched);
                    for place in first..=last {
                        let owed = self.receipts.remove(&(id, place));
                        assert_eq!(owed, Some(matched), "once, and of all");
                        self.told.receipt(self.now, (id, place), matched, acked);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        for receiver in &mut self.receivers {
            receiver.settle(self.now);
        }
    }

    fn pump(&mut self, at: usize) {
        let to = member(at);
        if !self.ready.contains(&to) {
            return;
        }
        let Some(transmit) = self.replay.next(to, CLASS) else {
            self.ready.remove(&to);
            return;
        };
        let deliver = Deliver {
            run: self.replay.run(),
            prev: transmit.prev,
            first: transmit.first,
            count: transmit.count,
            floor: transmit.floor,
            group: transmit.group,
            attempt: transmit.attempt,
        };
        assert_eq!(
            transmit.offset, 0,
            "only subscriptions are handed parts again"
        );
        assert!(self.receivers[at].is_up);
        self.receivers[at]
            .forth
            .push_back((deliver, transmit.payload));
    }

    fn hear(&mut self, at: usize) {
        let to = member(at);
        let input = match self.receivers[at].back.pop_front() {
            Some(Back::Ack(ack)) => ReplayInput::Ack(to, ack),
            Some(Back::Resend(resend)) => ReplayInput::Resend(to, resend),
            None => return,
        };
        self.replay.handle_input(self.now, input);
    }

    fn arrive(&mut self, at: usize) {
        let receiver = &mut self.receivers[at];
        let Some((deliver, payload)) = receiver.forth.pop_front() else {
            return;
        };
        let count = usize::try_from(deliver.count).unwrap();
        let has_room = receiver.replay.has_room(Custody::Transit);
        let taken = receiver
            .intake
            .take(self.now, publisher(), CLASS, &deliver, count, has_room);
        match taken {
            Taken::New => {
                let upstream = Upstream {
                    peer: publisher(),
                    class: CLASS,
                    run: deliver.run,
                    first: deliver.first,
                };
                if deliver.group.is_some() {
                    assert!(
                        receiver.shared.insert(payload),
                        "a group got an event twice"
                    );
                }
                let offer = Offer {
                    payload,
                    count: deliver.count,
                    bytes: count,
                    class: CLASS,
                    ttl: None,
                    custody: Custody::Transit,
                    owed: vec![LOCAL],
                    group: None,
                    attempt: deliver.attempt,
                    upstream: Some(upstream),
                    receipts: None,
                };
                receiver.replay.offer(self.now, offer).unwrap();
            }
            Taken::Hole => self.holes += 1,
            Taken::NoRoom => self.without_room += 1,
            Taken::Duplicate => self.duplicates += 1,
            other => panic!("{other:?}"),
        }
    }

    fn cut(&mut self, at: usize) {
        let receiver = &mut self.receivers[at];
        if receiver.is_up {
            receiver.is_up = false;
            receiver.forth.clear();
            receiver.back.clear();
            self.replay
                .handle_input(self.now, ReplayInput::Down(member(at)));
            self.cuts += 1;
        }
    }

    fn join(&mut self, at: usize) {
        let receiver = &mut self.receivers[at];
        if !receiver.is_up {
            receiver.is_up = true;
            receiver
                .intake
                .handle_input(self.now, IntakeInput::Up(publisher()));
            self.replay
                .handle_input(self.now, ReplayInput::Up(member(at)));
        }
    }

    fn take(&mut self, at: usize, draw: usize) {
        if let Some((number, attempt)) = self.receivers[at].take(self.now, draw) {
            self.told.handed(self.now, at, number, attempt);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.replay.handle_timeout(self.now);
        for receiver in &mut self.receivers {
            receiver.intake.handle_timeout(self.now);
            receiver.replay.handle_timeout(self.now);
        }
    }

    fn step(&mut self) {
        let at = self.random.index(RECEIVERS);
        match self.random.index(20) {
            0..3 => self.publish(),
            3..7 => self.pump(at),
            7..11 => self.arrive(at),
            11..14 => {
                let draw = self.random.index(10);
                self.take(at, draw);
            }
            14..17 => self.hear(at),
            17 if self.random.index(8) == 0 => self.cut(at),
            17 | 18 => self.join(at),
            _ => {
                let millis = u64::try_from(self.random.index(40)).unwrap();
                self.pass(Duration::from_millis(millis));
            }
        }
        self.settle();
    }

    /// Everybody is there, and nothing is published any more.
    fn finish(&mut self) {
        for at in 0..RECEIVERS {
            self.join(at);
        }
        for _ in 0..20_000 {
            for at in 0..RECEIVERS {
                self.pump(at);
                self.arrive(at);
                self.hear(at);
                self.take(at, 9);
                self.settle();
            }
            self.pass(Duration::from_millis(5));
            self.settle();
            if self.receipts.is_empty() && self.replay.used(Custody::Own) == (0, 0) {
                return;
            }
        }
        panic!(
            "{} events are never settled, {} receipts are missing",
            self.replay.used(Custody::Own).0,
            self.receipts.len()
        );
    }
}

impl Receiver {
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.replay.poll_output() {
                match output {
                    ReplayOutput::Ready(to, _) => {
                        assert_eq!(to, LOCAL);
                        self.is_ready = true;
                    }
                    ReplayOutput::Settled {
                        peer,
                        class,
                        run,
                        first,
                        last,
                        outcome,
                    } => self.intake.handle_input(
                        now,
                        IntakeInput::Settled {
                            peer,
                            class,
                            run,
                            first,
                            last,
                            outcome,
                        },
                    ),
                    other => panic!("{other:?}"),
                }
            } else if self.is_ready && self.queue.len() < 5 {
                match self.replay.next(LOCAL, CLASS) {
                    Some(transmit) => {
                        let first = transmit.first.get();
                        for place in 0..u64::from(transmit.count) {
                            let id = DeliveryId::new(first + place);
                            let number = transmit.payload + u64::from(transmit.offset) + place;
                            self.queue.push_back((id, number, transmit.attempt));
                        }
                    }
                    None => self.is_ready = false,
                }
            } else if let Some(output) = self.intake.poll_output() {
                if self.is_up {
                    self.back.push_back(match output {
                        IntakeOutput::Ack(_, ack) => Back::Ack(ack),
                        IntakeOutput::Resend(_, resend) => Back::Resend(resend),
                        other => panic!("{other:?}"),
                    });
                }
            } else {
                break;
            }
        }
        if self.replay.has_room(Custody::Transit) {
            self.intake.handle_input(now, IntakeInput::Room);
        }
    }

    /// The application takes the next event, and gives some back.
    fn take(&mut self, now: Instant, draw: usize) -> Option<(u64, u32)> {
        let (id, number, attempt) = self.queue.pop_front()?;
        let input = if draw < self.nacks && attempt < 4 {
            ReplayInput::Retry {
                to: LOCAL,
                id,
                delay: Duration::from_millis(7),
                max_deliver: 0,
            }
        } else {
            if !self.shared.contains(&number) {
                self.taken.push(number);
            }
            ReplayInput::Settled {
                to: LOCAL,
                first: id,
                last: id,
                outcome: Outcome::Acked,
            }
        };
        self.replay.handle_input(now, input);
        Some((number, attempt))
    }
}

#[test]
fn whatever_happens_to_links_each_receiver_gets_each_event_once_and_in_order() {
    let (mut cuts, mut full, mut holes, mut without_room, mut duplicates) = (0, 0, 0, 0, 0);
    each_seed(|seed| {
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.step());
        world.finish();
        for (at, receiver) in world.receivers.iter_mut().enumerate() {
            if receiver.nacks > 0 {
                // What is given back comes later.
                receiver.taken.sort_unstable();
            }
            assert_eq!(receiver.taken, world.owed[at], "receiver {at}");
            assert_eq!(receiver.replay.used(Custody::Transit), (0, 0));
        }
        let shared: Vec<u64> = world
            .receivers
            .iter()
            .flat_map(|receiver| receiver.shared.iter().copied())
            .collect();
        let distinct: BTreeSet<u64> = shared.iter().copied().collect();
        assert_eq!(shared.len(), distinct.len(), "two of a group got one event");
        assert_eq!(distinct, world.grouped);
        let totals = world.told.check(world.now);
        assert!(totals.reliable > 0 && totals.receipts > 0, "{totals}");
        cuts += world.cuts;
        full += world.full;
        holes += world.holes;
        without_room += world.without_room;
        duplicates += world.duplicates;
    });
    for happened in [cuts, full, holes, without_room, duplicates] {
        assert!(
            happened > 0,
            "{cuts} {full} {holes} {without_room} {duplicates}"
        );
    }
}

#[test]
fn what_is_settled_together_may_be_of_several_classes() {
    let mut replay = replay(0, 1);
    for (number, class) in (0..).zip([Priority::Normal, Priority::High, Priority::Normal]) {
        let offer = Offer {
            payload: number,
            count: 2,
            bytes: 2,
            class,
            ttl: None,
            custody: Custody::Own,
            owed: vec![LOCAL],
            group: None,
            attempt: 0,
            upstream: None,
            receipts: None,
        };
        replay.offer(Instant::ZERO, offer).unwrap();
    }
    let settled = |first, last| ReplayInput::Settled {
        to: LOCAL,
        first: DeliveryId::new(first),
        last: DeliveryId::new(last),
        outcome: Outcome::Acked,
    };
    replay.handle_input(Instant::ZERO, settled(1, 2));
    assert_eq!(replay.owed_to(LOCAL), 4);
    // The first of these ids is not owed any more.
    replay.handle_input(Instant::ZERO, settled(2, 6));
    assert_eq!(replay.owed_to(LOCAL), 0);
    assert_eq!(replay.used(Custody::Own), (0, 0));
}
