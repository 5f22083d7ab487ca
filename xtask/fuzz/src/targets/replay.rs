//! Events that are kept: whatever receivers say, each receipt adds up and comes once, and nothing stays behind.

use std::collections::BTreeSet;
use std::time::Duration;

use macula_pubsub::{
    Custody, Destination, GroupOffer, LocalId, Offer, Outcome, ReceiptId, Replay, ReplayConfig,
    ReplayInput, ReplayOutput, SessionId,
};
use macula_wire::message::{
    Balance, DeliveryRange, DeliveryRefusal, EventAck, Priority, RefusalCause, Resend,
};
use macula_wire::{ChannelRun, DeliveryId, Instant, Machine, NodeId, Random};

const RUN: ChannelRun = ChannelRun::new(7);
/// Destinations of all kinds.
const DESTINATIONS: u8 = 9;
const MAX_EVENTS: usize = 24;

struct Buffer {
    replay: Replay<u64>,
    now: Instant,
    /// The receipts that are being made, by the places of their events.
    open: BTreeSet<(ReceiptId, u32)>,
}

fn destination(number: u8) -> Destination {
    match number % DESTINATIONS {
        number @ 0..=2 => Destination::Local(LocalId::new(u64::from(number))),
        number @ 3..=5 => Destination::Session(SessionId::new(u64::from(number))),
        number => Destination::Member(NodeId::from_bytes([number; 32])),
    }
}

fn class(number: u8) -> Priority {
    if number & 1 == 0 {
        Priority::Normal
    } else {
        Priority::High
    }
}

/// Input: steps of 4 bytes: what happens, to whom, and two numbers.
pub fn machine(data: &[u8]) {
    let mut config = ReplayConfig::default();
    config.max_events = MAX_EVENTS;
    config.max_transit_events = MAX_EVENTS;
    config.lease = Duration::from_secs(1);
    config.max_groups = 2;
    let own = NodeId::from_bytes([9; 32]);
    let mut buffer = Buffer {
        replay: Replay::new(config, own, RUN, Random::new(1), Instant::ZERO),
        now: Instant::ZERO,
        open: BTreeSet::new(),
    };
    let (steps, _rest) = data.as_chunks::<4>();
    for step in steps.iter().take(512) {
        buffer.step(*step);
        buffer.drain();
        let (events, _bytes) = buffer.replay.used(Custody::Own);
        assert!(events <= MAX_EVENTS, "{events} events");
    }
    for number in 0..DESTINATIONS {
        buffer.input(ReplayInput::Gone(destination(number)));
        buffer.drain();
    }
    for custody in [Custody::Own, Custody::Transit] {
        assert_eq!(
            buffer.replay.used(custody),
            (0, 0),
            "something stays behind"
        );
    }
    assert!(buffer.open.is_empty(), "a receipt does not come");
    assert_eq!(buffer.replay.open_receipts(), 0);
}

impl Buffer {
    fn input(&mut self, input: ReplayInput) {
        self.replay.handle_input(self.now, input);
    }

    fn step(&mut self, [what, whom, one, two]: [u8; 4]) {
        let to = destination(whom);
        let first = DeliveryId::new(u64::from(one));
        let last = DeliveryId::new(u64::from(one).saturating_add(u64::from(two % 8)));
        let class = class(whom >> 4);
        match what % 12 {
            0 | 1 => self.offer(whom, one, two),
            2 => self.input(ReplayInput::Up(to)),
            3 => self.input(ReplayInput::Down(to)),
            4 => self.input(ReplayInput::Lost(to)),
            5 => self.input(ReplayInput::Gone(to)),
            6 => {
                let range = DeliveryRange { first, last };
                let refused = DeliveryRefusal {
                    range,
                    cause: [
                        RefusalCause::Gone,
                        RefusalCause::Expired,
                        RefusalCause::Rejected,
                    ][usize::from(two % 3)],
                };
                let ack = EventAck {
                    run: RUN,
                    class,
                    upto: first,
                    acked: Vec::new(),
                    refused: if two & 0x80 == 0 {
                        Vec::new()
                    } else {
                        vec![refused]
                    },
                };
                self.input(ReplayInput::Ack(to, ack));
            }
            7 => {
                let resend = Resend {
                    run: RUN,
                    class,
                    after: first,
                };
                self.input(ReplayInput::Resend(to, resend));
            }
            8 => {
                let outcome =
                    [Outcome::Acked, Outcome::Gone, Outcome::Rejected][usize::from(two % 3)];
                self.input(ReplayInput::Settled {
                    to,
                    first,
                    last,
                    outcome,
                });
            }
            9 => self.input(ReplayInput::Retry {
                to,
                id: first,
                delay: Duration::from_millis(u64::from(two)),
                max_deliver: u32::from(two % 4),
            }),
            10 => {
                while let Some(transmit) = self.replay.next(to, class) {
                    assert!(transmit.count > 0 && transmit.prev < transmit.first);
                }
            }
            _ => {
                self.now = self.now + Duration::from_millis(u64::from(one).saturating_mul(10));
                self.replay.handle_timeout(self.now);
            }
        }
    }

    fn offer(&mut self, whom: u8, one: u8, two: u8) {
        let is_group = two & 1 == 1;
        let several: Vec<Destination> = (0..DESTINATIONS)
            .filter(|number| one >> (number % 8) & 1 == 1)
            .map(destination)
            .collect();
        let custody = if whom & 0x80 == 0 {
            Custody::Own
        } else {
            Custody::Transit
        };
        let count = if is_group {
            1
        } else {
            u32::from(two >> 1 & 3).max(1)
        };
        let receipts = (custody == Custody::Own).then(|| self.replay.begin_receipts(count));
        let offer = Offer {
            payload: u64::from(one),
            count,
            bytes: usize::from(two),
            class: class(whom >> 4),
            ttl: (two & 0x40 != 0).then(|| Duration::from_millis(u64::from(one))),
            custody,
            owed: several.clone(),
            group: is_group.then(|| GroupOffer {
                name: format!("g{}", two >> 1 & 3),
                balance: [Balance::RoundRobin, Balance::Sticky, Balance::LeastInflight]
                    [usize::from(whom % 3)],
                candidates: several,
                key: u64::from(one),
                max_deliver: u32::from(two >> 3 & 3),
                chosen: (two & 0x20 != 0).then(|| destination(one)),
            }),
            attempt: 0,
            upstream: None,
            receipts: receipts.map(|id| (id, 0)),
        };
        // What is refused is owed to nobody, and its receipt says so.
        self.replay.offer(self.now, offer).ok();
        if let Some(id) = receipts {
            self.open.extend((0..count).map(|place| (id, place)));
            self.replay.close_receipts(id);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.replay.poll_output() {
            if let ReplayOutput::Receipts {
                id,
                first,
                last,
                matched,
                acked,
                expired,
                dropped,
            } = output
            {
                assert_eq!(matched, acked + expired + dropped);
                for place in first..=last {
                    assert!(self.open.remove(&(id, place)), "a receipt comes twice");
                }
            }
        }
    }
}
