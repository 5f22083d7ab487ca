//! What applications would write down of a run, for the checker of histories that scenarios with processes use too.
//!
//! The run chooses at random who is owed an event, so each choice is a topic of its own: `m.5` is for receivers 0 and 2,
//! `g.5` for one of the group of the two.

use std::collections::BTreeMap;
use std::ops::Range;

use macula_pubsub::ReceiptId;
use macula_testkit::history::{Did, History, Limits, Totals};
use macula_wire::Instant;

/// Everybody has been subscribed for so long when the run begins, in microseconds.
const BEGIN: u64 = 10_000_000;
const WRITER: &str = "w";

/// An event: its topic, and its place there.
struct Known {
    topic: String,
    sequence: u64,
    subscription: u32,
}

pub(super) struct Told {
    history: History,
    events: BTreeMap<u64, Known>,
    next: BTreeMap<String, u64>,
    /// The event of each place in receipts.
    receipts: BTreeMap<(ReceiptId, u32), u64>,
}

impl Told {
    /// Receivers who subscribe to every topic that is for them.
    pub(super) fn new(receivers: usize) -> Self {
        let mut history = History::new();
        history.push_text(0, WRITER, Did::Attached { node: "n" });
        for at in 0..receivers {
            let (name, node) = (receiver(at), format!("n{at}"));
            history.push_text(0, &name, Did::Attached { node: &node });
            for mask in (1..1_u32 << receivers).filter(|mask| mask & (1 << at) != 0) {
                for (kind, group) in [("m", None), ("g", Some("g"))] {
                    let pattern = format!("{kind}.{mask}");
                    let subscription = subscription(mask, group.is_some());
                    let subscribe = Did::Subscribe {
                        subscription,
                        pattern: pattern.as_str(),
                        group,
                        unordered: false,
                    };
                    history.push_text(0, &name, subscribe);
                    history.push_text(0, &name, Did::Subscribed { subscription });
                }
            }
        }
        Self {
            history,
            events: BTreeMap::new(),
            next: BTreeMap::new(),
            receipts: BTreeMap::new(),
        }
    }

    /// Events were accepted that these receivers are owed, or one of them; with a receipt of each.
    pub(super) fn published(
        &mut self,
        now: Instant,
        numbers: Range<u64>,
        (members, is_group): (&[usize], bool),
        receipts: ReceiptId,
    ) {
        let mask = members.iter().fold(0, |mask, at| mask | 1_u32 << at);
        let topic = format!("{}.{mask}", if is_group { "g" } else { "m" });
        for (place, number) in (0..).zip(numbers) {
            self.receipts.insert((receipts, place), number);
            let publish = Did::Publish {
                topic: topic.as_str(),
                number,
                qos: 1,
                wait_ms: None,
                receipt: true,
            };
            let next = self.next.entry(topic.clone()).or_insert(0);
            let known = Known {
                topic: topic.clone(),
                sequence: *next,
                subscription: subscription(mask, is_group),
            };
            *next += 1;
            self.events.insert(number, known);
            self.history.push_text(at(now), WRITER, publish);
            let accepted = Did::Accepted { number };
            self.history.push_text(at(now), WRITER, accepted);
        }
    }

    /// An application was handed an event.
    pub(super) fn handed(&mut self, now: Instant, who: usize, number: u64, attempt: u32) {
        let known = &self.events[&number];
        let delivered = Did::Delivered {
            subscription: known.subscription,
            publisher: "n",
            epoch: 1,
            topic: &known.topic,
            sequence: known.sequence,
            by: WRITER,
            number,
            again: attempt > 0,
        };
        self.history.push_text(at(now), &receiver(who), delivered);
    }

    pub(super) fn receipt(
        &mut self,
        now: Instant,
        place: (ReceiptId, u32),
        matched: u32,
        acked: u32,
    ) {
        let Some(number) = self.receipts.remove(&place) else {
            return;
        };
        let (matched, acked) = (u64::from(matched), u64::from(acked));
        let receipt = Did::Receipt {
            number,
            matched,
            acked,
            expired: 0,
            dropped: 0,
        };
        self.history.push_text(at(now), WRITER, receipt);
    }

    /// Fails if a promise was broken.
    pub(super) fn check(mut self, now: Instant) -> Totals {
        self.history.push_text(at(now), "world", Did::Quiet);
        let report = self.history.check(&Limits::default());
        assert!(report.is_kept(), "{}", report.explain(&self.history));
        report.totals
    }
}

fn receiver(at: usize) -> String {
    format!("r{at}")
}

fn subscription(mask: u32, is_group: bool) -> u32 {
    if is_group { mask + 100 } else { mask }
}

fn at(now: Instant) -> u64 {
    let since = now.saturating_since(Instant::ZERO).as_micros();
    BEGIN + u64::try_from(since).unwrap()
}
