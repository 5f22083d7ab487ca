//! What became of messages.

use macula_testkit::NodeIndex;
use macula_wire::Instant;

use crate::report::Figures;
use crate::statistics::{Sample, number};

/// One message, and whom it reached.
#[derive(Debug)]
pub(super) struct Message {
    sent: Instant,
    /// Whom it reached, as a bit for each node.
    reached: Vec<u64>,
    count: usize,
    /// How often somebody was handed it again.
    again: usize,
    /// Batches that arrived, known ones included.
    pub(super) payloads: usize,
    /// The most links that it passed to anybody, and when the last got it.
    farthest: u8,
    last: Instant,
}

impl Message {
    /// One that is being sent to `nodes` nodes by one of them.
    pub(super) fn new(nodes: usize, sender: NodeIndex, now: Instant) -> Self {
        let mut message = Self {
            sent: now,
            reached: vec![0; nodes.div_ceil(64)],
            count: 0,
            again: 0,
            payloads: 0,
            farthest: 0,
            last: now,
        };
        message.delivered(sender, 0, now);
        message
    }

    pub(super) fn delivered(&mut self, node: NodeIndex, distance: u8, now: Instant) {
        let at = node.get();
        let bit = 1_u64 << (at % 64);
        let Some(word) = self.reached.get_mut(at / 64) else {
            return;
        };
        if *word & bit != 0 {
            self.again = self.again.saturating_add(1);
            return;
        }
        *word |= bit;
        self.count = self.count.saturating_add(1);
        self.farthest = self.farthest.max(distance);
        self.last = self.last.max(now);
    }

    /// How many of `nodes` it has reached.
    pub(super) fn reached_of(&self, nodes: &[NodeIndex]) -> usize {
        let has = |node: &&NodeIndex| {
            let word = self.reached.get(node.get() / 64);
            word.is_some_and(|word| word >> (node.get() % 64) & 1 == 1)
        };
        nodes.iter().filter(has).count()
    }

    fn last_s(&self) -> f64 {
        self.last.saturating_since(self.sent).as_secs_f64()
    }

    /// How many batches arrived for each of those that were needed, less one.
    fn redundancy(&self) -> f64 {
        let needed = number(self.count.saturating_sub(1));
        number(self.payloads) / needed.max(1.0) - 1.0
    }
}

/// The names under which some messages are measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) ldh: &'static str,
    pub(super) rmr: &'static str,
    pub(super) last: &'static str,
}

/// Of all messages.
pub(super) const ALL: Names = Names {
    ldh: "ldh",
    rmr: "rmr",
    last: "last_delivery_s",
};
/// Of the first of each sender.
pub(super) const FIRST: Names = Names {
    ldh: "first.ldh",
    rmr: "first.rmr",
    last: "first.last_delivery_s",
};

/// What messages were like, in the mean.
pub(super) fn measures(messages: &[&Message], names: Names, figures: &mut Figures) {
    let of = |value: fn(&Message) -> f64| -> Sample {
        messages.iter().map(|message| value(message)).collect()
    };
    figures.add(names.ldh, of(|message| f64::from(message.farthest)).mean());
    figures.add(names.rmr, of(Message::redundancy).mean());
    figures.add(names.last, of(Message::last_s).mean());
}

/// The worst of messages, and what must not be.
pub(super) fn extremes(messages: &[&Message], figures: &mut Figures) {
    let most = |value: fn(&Message) -> f64| {
        let all: Sample = messages.iter().map(|message| value(message)).collect();
        all.quantile(1.0)
    };
    figures.add("ldh_max", most(|message| f64::from(message.farthest)));
    figures.add("last_delivery_max_s", most(Message::last_s));
    let again = messages.iter().map(|message| message.again).sum();
    figures.count("delivered_twice", again);
}
