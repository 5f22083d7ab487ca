//! Which events of groups were taken, so that whoever takes over from a publisher does not have them handed over again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use macula_wire::message::Priority;
use macula_wire::{ChannelRun, DeliveryId, Epoch, Instant, NodeId, Sequence, Topic};

use crate::{Outcome, Upstream};

/// How long a settled event is remembered.
const WINDOW: Duration = Duration::from_secs(300);

/// An event that one of a group was chosen for.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "names an event and a group")]
pub struct ShareKey {
    /// Who published it.
    pub publisher: NodeId,
    /// In which run.
    pub epoch: Epoch,
    /// Its topic.
    pub topic: Topic,
    /// Its place there.
    pub sequence: Sequence,
    /// The group.
    pub group: String,
}

/// What is known of an event of a group that comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever receives has to act on each answer"
)]
pub enum Share {
    /// Nobody here has it: hand it over.
    New,
    /// Somebody here has it; whoever sent it is told what becomes of it as well.
    Held,
    /// It was settled here so.
    Settled(Outcome),
}

/// The events of groups that were taken here, by their publishers' names for them and not by their senders' ids.
///
/// A settled one is remembered for 5 minutes, and of all at most as many as [`new`](Self::new) was told, beyond which the
/// oldest are forgotten. What is not settled is bounded by the room for it.
#[derive(Debug)]
pub struct Shares {
    max_settled: usize,
    known: BTreeMap<ShareKey, State>,
    /// What is not settled, by where it came from first.
    held: BTreeMap<Place, ShareKey>,
    settled: VecDeque<(Instant, ShareKey)>,
}

type Place = (NodeId, Priority, ChannelRun, DeliveryId);

#[derive(Debug)]
enum State {
    /// By these it came as well.
    Held(Vec<Upstream>),
    Settled(Outcome),
}

const fn place(upstream: &Upstream) -> Place {
    (upstream.peer, upstream.class, upstream.run, upstream.first)
}

impl Shares {
    /// Remembers at most so many that are settled.
    #[must_use]
    pub const fn new(max_settled: usize) -> Self {
        Self {
            max_settled,
            known: BTreeMap::new(),
            held: BTreeMap::new(),
            settled: VecDeque::new(),
        }
    }

    /// An event came by `upstream`.
    pub fn take(&mut self, key: ShareKey, upstream: Upstream) -> Share {
        match self.known.get_mut(&key) {
            Some(State::Settled(outcome)) => Share::Settled(*outcome),
            Some(State::Held(also)) => {
                // One that comes by the same channel under a new id says so itself; few are there ever.
                also.push(upstream);
                Share::Held
            }
            None => {
                self.held.insert(place(&upstream), key.clone());
                self.known.insert(key, State::Held(Vec::new()));
                Share::New
            }
        }
    }

    /// The event that came by this way first is settled. By which ways it came as well.
    pub fn settled(&mut self, now: Instant, first: &Upstream, outcome: Outcome) -> Vec<Upstream> {
        let Some(key) = self.held.remove(&place(first)) else {
            return Vec::new();
        };
        let also = match self.known.remove(&key) {
            Some(State::Held(also)) => also,
            Some(State::Settled(_)) | None => Vec::new(),
        };
        // What nobody here wanted any more may come again, when somebody does.
        if outcome != Outcome::Gone {
            self.known.insert(key.clone(), State::Settled(outcome));
            self.settled.push_back((now, key));
        }
        let oldest = now - WINDOW;
        while self.settled.len() > self.max_settled
            || self.settled.front().is_some_and(|(at, _)| *at < oldest)
        {
            if let Some((_, key)) = self.settled.pop_front() {
                self.known.remove(&key);
            }
        }
        also
    }

    /// Whether the event was taken here, and is held or remembered.
    #[must_use]
    pub fn has(&self, key: &ShareKey) -> bool {
        self.known.contains_key(key)
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use macula_wire::Instant;

    use super::*;

    fn key(sequence: u64) -> ShareKey {
        ShareKey {
            publisher: NodeId::from_bytes([1; 32]),
            epoch: Epoch::new(1),
            topic: Topic::new("a.b").unwrap(),
            sequence: Sequence::new(sequence),
            group: "g".into(),
        }
    }

    fn by(peer: u8, id: u64) -> Upstream {
        Upstream {
            peer: NodeId::from_bytes([peer; 32]),
            class: Priority::Normal,
            run: ChannelRun::new(1),
            first: DeliveryId::new(id),
        }
    }

    const NOW: Instant = Instant::from_millis(1);

    #[test]
    fn what_is_held_is_handed_over_once_and_told_to_all_who_sent_it() {
        let mut shares = Shares::new(8);
        assert_eq!(shares.take(key(1), by(1, 7)), Share::New);
        assert_eq!(shares.take(key(1), by(2, 9)), Share::Held);
        assert_eq!(shares.take(key(2), by(2, 10)), Share::New);
        let also = shares.settled(NOW, &by(1, 7), Outcome::Acked);
        assert_eq!(also, [by(2, 9)]);
        let told = shares.take(key(1), by(3, 1));
        assert_eq!(told, Share::Settled(Outcome::Acked));
        assert_eq!(shares.settled(NOW, &by(1, 7), Outcome::Acked), []);
    }

    #[test]
    fn what_nobody_wanted_is_new_when_it_comes_again() {
        let mut shares = Shares::new(8);
        assert_eq!(shares.take(key(1), by(1, 7)), Share::New);
        assert_eq!(shares.settled(NOW, &by(1, 7), Outcome::Gone), []);
        assert!(shares.is_empty());
        assert_eq!(shares.take(key(1), by(2, 1)), Share::New);
    }

    #[test]
    fn the_oldest_are_forgotten_by_number_and_by_time() {
        let mut shares = Shares::new(2);
        for sequence in 0..3 {
            shares.take(key(sequence), by(1, sequence));
            shares.settled(NOW, &by(1, sequence), Outcome::Acked);
        }
        assert_eq!(shares.len(), 2);
        assert_eq!(shares.take(key(0), by(2, 1)), Share::New);
        let later = NOW + WINDOW + Duration::from_millis(1);
        shares.settled(later, &by(2, 1), Outcome::Rejected);
        assert_eq!(shares.len(), 1);
        let told = shares.take(key(0), by(3, 1));
        assert_eq!(told, Share::Settled(Outcome::Rejected));
    }
}
