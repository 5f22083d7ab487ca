//! Events: who is owed them, and what is new of them.

use std::collections::{BTreeMap, BTreeSet};

use macula_pubsub::{Acceptance, Destination, Forwarder, ForwarderConfig, LocalId, Missing, Table};
use macula_wire::{Epoch, Instant, NodeId, Pattern, Sequence, Topic};

/// The table finds what a match of every pattern by itself finds.
///
/// Input: a topic, then patterns, one a line.
pub fn table(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let mut lines = text.lines();
    let Ok(topic) = Topic::new(lines.next().unwrap_or_default()) else {
        return;
    };
    let patterns = lines.filter_map(|line| Pattern::new(line).ok());
    // Seven subscribers, so that some have several patterns.
    let entries: Vec<(Pattern, Destination)> = (0_u64..)
        .zip(patterns)
        .map(|(number, pattern)| (pattern, Destination::Local(LocalId::new(number % 7))))
        .collect();
    let matching = entries
        .iter()
        .filter(|(pattern, _to)| pattern.matches(&topic));
    let expected: BTreeSet<Destination> = matching.map(|(_pattern, to)| *to).collect();
    let found = Table::new(1, entries.clone()).matches(&topic);
    assert!(found.iter().eq(&expected), "{found:?} {expected:?}");
}

/// No event is delivered twice or out of order, and each that is left out is told of, once.
///
/// Input: steps of 4 bytes: topic, epoch and kind; how many events; the sequence.
pub fn forwarder(data: &[u8]) {
    let forwarder = Forwarder::new(&ForwarderConfig::default());
    let publisher = NodeId::from_bytes([9; 32]);
    let mut model = Model::default();
    let (steps, _rest) = data.as_chunks::<4>();
    for [choice, count, high, low] in steps {
        let topic =
            Topic::new(["a", "a.b", "c", "c.d.e"][usize::from(choice & 3)]).expect("a topic");
        let epoch = u64::from(choice >> 2 & 7);
        let base = u64::from(u16::from_be_bytes([*high, *low]));
        let now = Instant::ZERO;
        if choice & 0x80 == 0 {
            let count = u64::from(count % 16) + 1;
            let answer = forwarder.accept(
                now,
                publisher,
                Epoch::new(epoch),
                &topic,
                Sequence::new(base),
                count,
            );
            model.accept(epoch, &topic, base, count, answer);
        } else {
            let sequence = Sequence::new(base);
            let missing = forwarder.announced(now, publisher, Epoch::new(epoch), &topic, sequence);
            assert_eq!(missing, model.announced(epoch, &topic, base));
        }
    }
}

/// What a correct forwarder knows of one publisher.
#[derive(Default)]
struct Model {
    epoch: Option<u64>,
    /// The next sequence of each topic that is followed.
    next: BTreeMap<Topic, u64>,
}

impl Model {
    /// Whether `epoch` is current; a later one ends what was followed.
    fn enter(&mut self, epoch: u64) -> bool {
        if self.epoch.is_none_or(|known| known < epoch) {
            self.epoch = Some(epoch);
            self.next.clear();
        }
        self.epoch == Some(epoch)
    }

    fn accept(&mut self, epoch: u64, topic: &Topic, base: u64, count: u64, answer: Acceptance) {
        let current = self.enter(epoch);
        let next = self.next.get(topic).copied().unwrap_or(base);
        let end = base + count;
        match answer {
            Acceptance::Stale => assert!(!current),
            Acceptance::Duplicate => assert!(current && end <= next),
            Acceptance::Accepted { skip, gap, .. } => {
                assert!(current && end > next);
                assert_eq!(skip, next.saturating_sub(base));
                assert_eq!(gap, missing(next, base));
                self.next.insert(topic.clone(), end);
            }
        }
    }

    fn announced(&mut self, epoch: u64, topic: &Topic, base: u64) -> Option<Missing> {
        if !self.enter(epoch) {
            return None;
        }
        let next = self.next.entry(topic.clone()).or_insert(base);
        let missing = missing(*next, base);
        *next = base.max(*next);
        missing
    }
}

fn missing(from: u64, to: u64) -> Option<Missing> {
    (from < to).then(|| Missing {
        from: Sequence::new(from),
        to: Sequence::new(to),
    })
}
