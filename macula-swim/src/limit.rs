//! A limit on accusations that comes before their signatures are checked.

use std::collections::BTreeMap;
use std::time::Duration;

use macula_wire::message::Update;
use macula_wire::{Body, Instant, NodeId};

use crate::Config;
use crate::peers::Allowance;
use crate::verify::updates_mut;

/// How many accusers are counted within a second; the accusations of more are refused.
const MAX_ACCUSERS: usize = 16_384;

/// How many accusations a peer may bring, by whoever made them: `max_accusations` a second of each accuser.
///
/// An honest accuser makes a few, and copies of them come a few times; a forger could make a node check signatures for
/// as long as it likes. Whoever feeds a [`Swim`](crate::Swim) keeps one for each link and calls [`retain`](Self::retain)
/// before [`verify`](crate::verify()): a link's limit can be used up by its own peer only, who may name accusers that
/// have not said anything, but whose first wrong signature gives it away.
#[derive(Debug)]
pub struct AccusationLimit {
    max: u32,
    since: Option<Instant>,
    /// Whether something was over the limit since then.
    over: bool,
    /// What is left of each accuser's share of the second that began at `since`.
    accusers: BTreeMap<NodeId, Allowance>,
}

/// What was over an [`AccusationLimit`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Excess {
    /// How many accusations were removed.
    pub count: usize,
    /// Whether they are the first within a second, so that a log has one line for all of them.
    pub is_first: bool,
}

impl AccusationLimit {
    /// The limit that `config` sets, of which nothing is used up.
    #[must_use]
    pub const fn new(config: &Config) -> Self {
        Self {
            max: config.max_accusations,
            since: None,
            over: false,
            accusers: BTreeMap::new(),
        }
    }

    /// Removes from a message what is over the limit, and says what that was. Records stay.
    pub fn retain(&mut self, now: Instant, body: &mut Body) -> Excess {
        let Some(updates) = updates_mut(body) else {
            return Excess::default();
        };
        let is_past = |since: Instant| now.saturating_since(since) >= Duration::from_secs(1);
        if self.since.is_none_or(is_past) {
            self.since = Some(now);
            self.over = false;
            self.accusers.clear();
        }
        let before = updates.len();
        updates.retain(|update| match update {
            Update::Suspect(signed) | Update::Dead(signed) => {
                self.take(now, signed.accusation.accuser)
            }
            Update::Record(_) | _ => true,
        });
        let count = before.saturating_sub(updates.len());
        let is_first = count > 0 && !self.over;
        self.over |= is_first;
        Excess { count, is_first }
    }

    fn take(&mut self, now: Instant, accuser: NodeId) -> bool {
        let full = self.accusers.len() >= MAX_ACCUSERS && !self.accusers.contains_key(&accuser);
        if full {
            return false;
        }
        let allowance = self.accusers.entry(accuser).or_default();
        allowance.take(now, self.max)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use macula_testkit::node_id;
    use macula_wire::message::{Accusation, SignedAccusation, SwimGossip};
    use macula_wire::{Epoch, Incarnation, Signature};

    use super::*;

    fn by(accuser: usize, count: u64) -> Vec<Update> {
        let of = |number| {
            Update::Suspect(Arc::new(SignedAccusation {
                accusation: Accusation {
                    subject: node_id(0),
                    epoch: Epoch::new(number),
                    incarnation: Incarnation::new(0),
                    accuser: node_id(accuser),
                },
                signature: Signature::from_bytes([0; 64]),
            }))
        };
        (0..count).map(of).collect()
    }

    fn limit(max_accusations: u32) -> AccusationLimit {
        AccusationLimit::new(&Config {
            max_accusations,
            ..Config::default()
        })
    }

    #[test]
    fn each_accuser_has_its_own_share_of_a_second() {
        let mut limit = limit(10);
        let mut removed = |millis, updates: Vec<Update>| {
            let mut body = SwimGossip { updates }.into();
            let excess = limit.retain(Instant::from_millis(millis), &mut body);
            (excess.count, excess.is_first)
        };
        assert_eq!(removed(5, by(1, 8)), (0, false));
        assert_eq!(removed(6, by(1, 8)), (6, true));
        assert_eq!(removed(6, by(2, 10)), (0, false), "the twin");
        assert_eq!(removed(1_004, by(1, 8)), (8, false));
        assert_eq!(removed(1_005, by(1, 10)), (0, false), "a second later");
        assert_eq!(removed(1_005, by(1, 1)), (1, true));
    }

    #[test]
    fn accusers_are_bounded() {
        let mut limit = limit(10);
        let now = Instant::ZERO;
        for accuser in 0..MAX_ACCUSERS {
            let updates = by(accuser, 1);
            let excess = limit.retain(now, &mut SwimGossip { updates }.into());
            assert_eq!(excess, Excess::default());
        }
        let mut more = |accuser| {
            let updates = by(accuser, 1);
            limit.retain(now, &mut SwimGossip { updates }.into()).count
        };
        assert_eq!((more(MAX_ACCUSERS), more(0)), (1, 0));
        assert_eq!(limit.accusers.len(), MAX_ACCUSERS);
    }
}
