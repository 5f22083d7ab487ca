//! What a subscriber without order was handed ahead of its turn.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use macula_wire::{Epoch, Instant, NodeId, Sequence, Topic};

use crate::ids::Ids;

/// After so long without anything ahead of its turn a stream is forgotten if another one needs room: what it lacked has come
/// or was given up, unless its publisher was lost in between.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// Remembers which events one subscription was handed before earlier ones of their publisher and topic had come.
///
/// Everything comes once more in its turn, as an event or among those that are missing. So each event is handed over once, and
/// each that is missing is told once, if what comes ahead passes through [`take`](Self::take), and what comes in its turn
/// through [`pass`](Self::pass).
#[derive(Debug)]
pub struct Ahead {
    max_ranges: usize,
    ranges: usize,
    streams: BTreeMap<(NodeId, Topic), Stream>,
}

/// What was handed over of one publisher's run of a topic, and when the latest of it was.
#[derive(Debug)]
struct Stream {
    epoch: Epoch,
    at: Instant,
    early: Ids,
}

impl Ahead {
    /// Remembers nothing, and at most `max_ranges` ranges of sequences later.
    #[must_use]
    pub const fn new(max_ranges: usize) -> Self {
        Self {
            max_ranges,
            ranges: 0,
            streams: BTreeMap::new(),
        }
    }

    /// What of `events` may be handed over ahead of its turn, ascending: what was not handed over before. Where there is no room
    /// to remember it, nothing: it comes in its turn.
    #[must_use]
    pub fn take(
        &mut self,
        now: Instant,
        publisher: NodeId,
        epoch: Epoch,
        topic: &Topic,
        events: Range<Sequence>,
    ) -> Vec<Range<Sequence>> {
        let Some((first, last)) = ends(&events) else {
            return Vec::new();
        };
        let key = (publisher, topic.clone());
        match self.streams.get(&key) {
            Some(known) if known.epoch > epoch => return Vec::new(),
            Some(known) if known.epoch < epoch => self.forget(&key),
            Some(_) | None => {}
        }
        let known = self.streams.get(&key);
        let new = known.map_or_else(
            || Ids::row(first, last),
            |known| without(&known.early, first, last),
        );
        // Each range that is new stands beside others, or joins them.
        let more = new.ranges().count();
        if new.is_empty() || !self.has_room(now, more, &key) {
            return Vec::new();
        }
        let stream = self.streams.entry(key).or_insert(Stream {
            epoch,
            at: now,
            early: Ids::none(),
        });
        stream.at = stream.at.max(now);
        let before = stream.early.ranges().count();
        stream.early.add(first, last);
        let after = stream.early.ranges().count();
        self.ranges = self.ranges.saturating_sub(before).saturating_add(after);
        as_ranges(&new)
    }

    /// What of `events`, whose turn it is, was not handed over ahead of it, ascending. Whatever lies before their end has had
    /// its turn and is forgotten.
    #[must_use]
    pub fn pass(
        &mut self,
        publisher: NodeId,
        epoch: Epoch,
        topic: &Topic,
        events: Range<Sequence>,
    ) -> Vec<Range<Sequence>> {
        let Some((first, last)) = ends(&events) else {
            return Vec::new();
        };
        let key = (publisher, topic.clone());
        let Some(stream) = self.streams.get_mut(&key) else {
            return vec![events];
        };
        if stream.epoch != epoch {
            if stream.epoch < epoch {
                self.forget(&key);
            }
            return vec![events];
        }
        let left = without(&stream.early, first, last);
        let before = stream.early.ranges().count();
        stream.early.remove(0, last);
        let after = stream.early.ranges().count();
        self.ranges = self.ranges.saturating_sub(before).saturating_add(after);
        if after == 0 {
            self.streams.remove(&key);
        }
        as_ranges(&left)
    }

    /// The first sequence behind all that was handed over ahead of its turn, of a publisher's run of a topic; `None` if its
    /// turn has come for all of that.
    #[must_use]
    pub fn end(&self, publisher: NodeId, epoch: Epoch, topic: &Topic) -> Option<Sequence> {
        let stream = self.streams.get(&(publisher, topic.clone()))?;
        let (_, last) = stream.early.ranges().last()?;
        (stream.epoch == epoch).then(|| Sequence::new(last).next())
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// How many ranges are remembered.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ranges
    }

    /// Whether `more` ranges find room, for which streams are forgotten that ended long ago.
    fn has_room(&mut self, now: Instant, more: usize, but: &(NodeId, Topic)) -> bool {
        let fits = |ranges: usize, max| ranges.saturating_add(more) <= max;
        if !fits(self.ranges, self.max_ranges) {
            let old = self.streams.iter().filter(|(key, stream)| {
                *key != but && now.saturating_since(stream.at) >= FORGOTTEN_AFTER
            });
            let old: Vec<_> = old.map(|(key, _)| key.clone()).collect();
            for key in old {
                self.forget(&key);
            }
        }
        fits(self.ranges, self.max_ranges)
    }

    fn forget(&mut self, key: &(NodeId, Topic)) {
        if let Some(gone) = self.streams.remove(key) {
            self.ranges = self.ranges.saturating_sub(gone.early.ranges().count());
        }
    }
}

/// The first and the last of a range that is not empty.
fn ends(events: &Range<Sequence>) -> Option<(u64, u64)> {
    let last = events.end.get().checked_sub(1)?;
    (events.start.get() <= last).then_some((events.start.get(), last))
}

/// What of `first..=last` is not among `early`.
fn without(early: &Ids, first: u64, last: u64) -> Ids {
    let mut left = Ids::row(first, last);
    for (from, to) in early.ranges() {
        left.remove(from, to);
    }
    left
}

fn as_ranges(ids: &Ids) -> Vec<Range<Sequence>> {
    let range = |(first, last)| Sequence::new(first)..Sequence::new(last).next();
    ids.ranges().map(range).collect()
}
