//! Who has shown that it keeps a record, by naming it.

use std::num::NonZeroU64;
use std::time::Duration;

use macula_wire::{Instant, NodeId};

/// How many of them are remembered: the latest. With fewer than have to name a record nobody would ever be content.
const REMEMBERED: usize = 3;

/// Those that named a record to this node lately, each once, by the first eight bytes of their ids: there are as many of
/// these as records.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Namers([(Instant, Option<NonZeroU64>); REMEMBERED]);

/// Never zero, so that an empty place takes no more room than one that is taken.
fn mark(node: &NodeId) -> Option<NonZeroU64> {
    let head = node.as_bytes().first_chunk();
    let head = head.map_or(0, |head| u64::from_be_bytes(*head));
    NonZeroU64::new(head.max(1))
}

impl Namers {
    /// A node named the record.
    pub(crate) fn add(&mut self, now: Instant, node: &NodeId) {
        let mark = mark(node);
        let known = self.0.iter_mut().find(|(_, known)| *known == mark);
        // An empty place is the oldest.
        let place = match known {
            Some(known) => Some(known),
            None => self.0.iter_mut().min_by_key(|(at, mark)| mark.map(|_| *at)),
        };
        if let Some(place) = place {
            *place = (now, mark);
        }
    }

    /// How many of `nodes` named the record less than `within` ago.
    pub(crate) fn count<'a>(
        &self,
        now: Instant,
        within: Duration,
        nodes: impl Iterator<Item = &'a NodeId>,
    ) -> usize {
        let named = |node: &NodeId| {
            let mark = mark(node);
            let mut latest = self.0.iter();
            latest.any(|(at, named)| *named == mark && now < *at + within)
        };
        nodes.filter(|node| named(node)).count()
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    #[test]
    fn the_latest_of_the_right_ones_count() {
        let at = |seconds: u64| Instant::from_millis(seconds * 1_000);
        let hour = Duration::from_secs(3_600);
        let all: Vec<NodeId> = (0..6).map(node_id).collect();
        let mut namers = Namers::default();
        assert_eq!(namers.count(at(0), hour, all.iter()), 0);
        namers.add(at(1), &all[0]);
        namers.add(at(2), &all[0]);
        namers.add(at(3), &all[1]);
        assert_eq!(namers.count(at(4), hour, all.iter()), 2, "each once");
        assert_eq!(namers.count(at(4), hour, all[1..].iter()), 1);
        assert_eq!(namers.count(at(3_602), hour, all.iter()), 1, "not for ever");
        namers.add(at(4), &all[2]);
        namers.add(at(5), &all[3]);
        assert_eq!(namers.count(at(6), hour, all.iter()), 3);
        assert_eq!(namers.count(at(6), hour, all[..1].iter()), 0, "the oldest");
    }
}
