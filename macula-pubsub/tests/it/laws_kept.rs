//! The six laws, on both ends of channels.

use std::time::Duration;

use macula_pubsub::{
    Custody, Destination, GroupOffer, Intake, IntakeConfig, IntakeInput, LocalId, Offer, Outcome,
    Replay, ReplayConfig, ReplayInput,
};
use macula_testkit::laws::{self, Subject};
use macula_testkit::node_id;
use macula_wire::message::{Balance, Deliver, DeliveryRange, EventAck, Priority, Resend};
use macula_wire::{ChannelRun, DeliveryId, Instant, Machine, Random};
use proptest::prelude::*;

const CLASS: Priority = Priority::High;
const OUTCOMES: [Outcome; 4] = [
    Outcome::Acked,
    Outcome::Expired,
    Outcome::Gone,
    Outcome::Rejected,
];

fn run() -> ChannelRun {
    ChannelRun::new(3)
}

fn to(at: u64) -> Destination {
    match at {
        0 | 1 => Destination::Local(LocalId::new(at)),
        _ => Destination::Member(node_id(usize::try_from(at).unwrap())),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Offer(u32, u64, bool, Option<u16>),
    Up(u64),
    Down(u64),
    Lost(u64),
    Gone(u64),
    Ack(u64, u64, u64),
    Resend(u64, u64),
    Settled(u64, u64, u64, usize),
    Retry(u64, u64, u16, u32),
    Next(u64),
}

fn steps() -> impl Strategy<Value = Step> + Clone {
    let at = || 0_u64..5;
    let id = || 0_u64..12;
    prop_oneof![
        6 => (1_u32..4, 0_u64..32, any::<bool>(), prop::option::of(0_u16..200))
            .prop_map(|(count, mask, shared, ttl)| Step::Offer(count, mask, shared, ttl)),
        3 => at().prop_map(Step::Up),
        1 => at().prop_map(Step::Down),
        1 => at().prop_map(Step::Lost),
        1 => at().prop_map(Step::Gone),
        3 => (at(), id(), id()).prop_map(|(at, upto, more)| Step::Ack(at, upto, more)),
        2 => (at(), id()).prop_map(|(at, after)| Step::Resend(at, after)),
        2 => (at(), id(), 0_u64..3, 0_usize..4)
            .prop_map(|(at, first, more, outcome)| Step::Settled(at, first, more, outcome)),
        2 => (at(), id(), 0_u16..100, 0_u32..3)
            .prop_map(|(at, id, delay, max)| Step::Retry(at, id, delay, max)),
        4 => at().prop_map(Step::Next),
    ]
}

struct Replays;

impl Subject for Replays {
    type Machine = Replay<u32>;
    type Step = Step;

    fn create(&self, seed: u64, now: Instant) -> Replay<u32> {
        let mut config = ReplayConfig::default();
        config.max_events = 8;
        config.lease = Duration::from_millis(300);
        Replay::new(config, node_id(0), run(), Random::new(seed), now)
    }

    fn apply(&self, machine: &mut Replay<u32>, now: Instant, step: &Step) {
        let input = match *step {
            Step::Offer(count, mask, is_shared, ttl) => {
                let all = (0..5).filter(|at| mask >> at & 1 == 1).map(to).collect();
                let receipt = machine.begin_receipts(count);
                // It may be refused; the laws ask only that it is refused alike.
                let _ = machine.offer(now, offer(count, all, is_shared, ttl, receipt));
                return machine.close_receipts(receipt);
            }
            Step::Next(at) => {
                drop(machine.next(to(at), CLASS));
                return;
            }
            Step::Up(at) => ReplayInput::Up(to(at)),
            Step::Down(at) => ReplayInput::Down(to(at)),
            Step::Lost(at) => ReplayInput::Lost(to(at)),
            Step::Gone(at) => ReplayInput::Gone(to(at)),
            Step::Ack(at, upto, more) => ReplayInput::Ack(to(at), ack(upto, more)),
            Step::Resend(at, after) => {
                let (run, class, after) = (run(), CLASS, DeliveryId::new(after));
                ReplayInput::Resend(to(at), Resend { run, class, after })
            }
            Step::Settled(at, first, more, outcome) => ReplayInput::Settled {
                to: to(at),
                first: DeliveryId::new(first),
                last: DeliveryId::new(first + more),
                outcome: OUTCOMES[outcome],
            },
            Step::Retry(at, id, delay, max_deliver) => ReplayInput::Retry {
                to: to(at),
                id: DeliveryId::new(id),
                delay: Duration::from_millis(u64::from(delay)),
                max_deliver,
            },
        };
        machine.handle_input(now, input);
    }

    fn max_outputs(&self) -> usize {
        // All that is kept may end at once: eight events, each with a receipt, a dead letter and a place to go on.
        64
    }

    fn observe(&self, machine: &Replay<u32>) -> String {
        let owed: Vec<u64> = (0..5).map(|at| machine.owed_to(to(at))).collect();
        let counts = (
            machine.used(Custody::Own),
            machine.open_receipts(),
            machine.next_id(),
        );
        format!("{counts:?} {owed:?}")
    }
}

fn offer(
    count: u32,
    all: Vec<Destination>,
    is_shared: bool,
    ttl: Option<u16>,
    receipt: macula_pubsub::ReceiptId,
) -> Offer<u32> {
    let group = is_shared.then(|| GroupOffer {
        name: "g".into(),
        balance: Balance::LeastInflight,
        candidates: all.clone(),
        key: 1,
        max_deliver: 2,
        chosen: None,
    });
    Offer {
        payload: count,
        count,
        bytes: 10,
        class: CLASS,
        ttl: ttl.map(|ttl| Duration::from_millis(u64::from(ttl))),
        custody: Custody::Own,
        owed: if is_shared { Vec::new() } else { all },
        group,
        attempt: 0,
        upstream: None,
        receipts: Some((receipt, 0)),
    }
}

fn ack(upto: u64, more: u64) -> EventAck {
    let range = DeliveryRange {
        first: DeliveryId::new(upto + 2),
        last: DeliveryId::new(upto + 2 + more),
    };
    EventAck {
        run: run(),
        class: CLASS,
        upto: DeliveryId::new(upto),
        acked: if more.is_multiple_of(2) {
            vec![range]
        } else {
            Vec::new()
        },
        refused: Vec::new(),
    }
}

#[test]
fn the_replay_buffer_keeps_the_laws() {
    laws::check(&Replays, steps());
}

#[derive(Clone, Debug)]
enum Word {
    Take(usize, u64, u64, u32, bool, u64),
    Settled(usize, u64, u64, usize),
    Room,
    Up(usize),
    Gone(usize),
}

fn words() -> impl Strategy<Value = Word> + Clone {
    let peer = || 1_usize..3;
    prop_oneof![
        6 => (peer(), 0_u64..10, 1_u64..3, 1_u32..4, any::<bool>(), 0_u64..2).prop_map(
            |(peer, prev, more, count, room, run)| Word::Take(peer, prev, more, count, room, run)
        ),
        3 => (peer(), 0_u64..12, 0_u64..3, 0_usize..4)
            .prop_map(|(peer, first, more, outcome)| Word::Settled(peer, first, more, outcome)),
        1 => Just(Word::Room),
        1 => peer().prop_map(Word::Up),
        1 => peer().prop_map(Word::Gone),
    ]
}

struct Intakes;

impl Subject for Intakes {
    type Machine = Intake;
    type Step = Word;

    fn create(&self, _: u64, now: Instant) -> Intake {
        let mut config = IntakeConfig::default();
        config.max_channels = 2;
        config.max_refused = 3;
        Intake::new(config, now)
    }

    fn apply(&self, machine: &mut Intake, now: Instant, word: &Word) {
        let input = match *word {
            Word::Take(peer, prev, more, count, has_room, later) => {
                let deliver = Deliver {
                    run: ChannelRun::new(3 + later),
                    prev: DeliveryId::new(prev),
                    first: DeliveryId::new(prev + more),
                    count,
                    floor: DeliveryId::new(prev / 2),
                    group: None,
                    attempt: 0,
                };
                let events = usize::try_from(count).unwrap();
                let _ = machine.take(now, node_id(peer), CLASS, &deliver, events, has_room);
                return;
            }
            Word::Settled(peer, first, more, outcome) => IntakeInput::Settled {
                peer: node_id(peer),
                class: CLASS,
                run: run(),
                first: DeliveryId::new(first),
                last: DeliveryId::new(first + more),
                outcome: OUTCOMES[outcome],
            },
            Word::Room => IntakeInput::Room,
            Word::Up(peer) => IntakeInput::Up(node_id(peer)),
            Word::Gone(peer) => IntakeInput::Gone(node_id(peer)),
        };
        machine.handle_input(now, input);
    }

    fn max_outputs(&self) -> usize {
        // For each channel of a peer an acknowledgement and what is lacking.
        8
    }

    fn observe(&self, machine: &Intake) -> String {
        let each = (1..3).map(|peer| machine.position(node_id(peer), CLASS));
        format!("{} {:?}", machine.channels(), each.collect::<Vec<_>>())
    }
}

#[test]
fn the_intake_keeps_the_laws() {
    laws::check(&Intakes, words());
}
