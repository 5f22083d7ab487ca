//! Receipts of events that were published together, counted by ranges.
//!
//! Such events mostly share what becomes of them. So what is counted is counted for ranges of them, which are cut apart only
//! where it differs, and told by ranges.

use super::{Outcome, ReceiptId, Replay, ReplayOutput};

/// The receipts of consecutive events, by their places from 0.
#[derive(Clone, Debug)]
pub(super) struct Sheet {
    /// Ascending, the first at 0. Each ends where the next begins, and differs from it.
    parts: Vec<Part>,
    /// How many events there are.
    count: u32,
    /// Whether nothing more is going to be matched.
    is_closed: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Part {
    first: u32,
    /// What is known so far of each of the events; `None` once it was told.
    tally: Option<Tally>,
}

/// What became of one event.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    pub(super) matched: u32,
    pub(super) acked: u32,
    pub(super) expired: u32,
    pub(super) dropped: u32,
}

/// Of the events at these places, all is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ended {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) tally: Tally,
}

impl Sheet {
    pub(super) fn new(count: u32) -> Self {
        Self {
            parts: vec![Part {
                first: 0,
                tally: Some(Tally::default()),
            }],
            count,
            is_closed: false,
        }
    }

    /// So many more destinations are owed each of the events at `first..=last`.
    pub(super) fn expect(&mut self, first: u32, last: u32, matched: u32) {
        self.change(first, last, |tally| {
            tally.matched = tally.matched.saturating_add(matched);
        });
    }

    /// Each of the events at `first..=last` has come to its end at one destination.
    pub(super) fn count(&mut self, first: u32, last: u32, outcome: Outcome) {
        self.change(first, last, |tally| tally.count(outcome));
    }

    /// Nothing more is going to be expected.
    pub(super) const fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether all was told.
    pub(super) fn is_over(&self) -> bool {
        self.parts.iter().all(|part| part.tally.is_none())
    }

    /// What has come to its end and was not told.
    pub(super) fn ended(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        if !self.is_closed {
            return ended;
        }
        // From the last one on, so that the end of each is known.
        let mut next = self.count;
        for part in self.parts.iter_mut().rev() {
            let last = next.saturating_sub(1);
            next = part.first;
            if let Some(tally) = part.tally.take_if(|tally| tally.is_ended()) {
                let first = part.first;
                ended.push(Ended { first, last, tally });
            }
        }
        ended.reverse();
        if !ended.is_empty() {
            self.join();
        }
        ended
    }

    fn change(&mut self, first: u32, last: u32, act: impl Fn(&mut Tally)) {
        let from = self.cut(first);
        let to = self.cut(last.saturating_add(1));
        for part in self.parts.get_mut(from..to).unwrap_or_default() {
            debug_assert!(part.tally.is_some(), "what was told does not change");
            part.tally.as_mut().map(&act);
        }
        self.join();
    }

    /// Sees to it that a part begins at a place, and says which one; behind the last place, how many there are.
    fn cut(&mut self, at: u32) -> usize {
        if at >= self.count {
            return self.parts.len();
        }
        let index = self.parts.partition_point(|part| part.first < at);
        let before = index
            .checked_sub(1)
            .and_then(|before| self.parts.get(before));
        let begins = self.parts.get(index).is_some_and(|part| part.first == at);
        if let (false, Some(before)) = (begins, before) {
            let part = Part {
                first: at,
                ..*before
            };
            self.parts.insert(index, part);
        }
        index
    }

    /// Makes one of neighbours that are alike.
    fn join(&mut self) {
        self.parts
            .dedup_by(|next, before| next.tally == before.tally);
    }
}

impl Tally {
    const fn count(&mut self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Acked => &mut self.acked,
            Outcome::Expired => &mut self.expired,
            Outcome::Gone | Outcome::Rejected => &mut self.dropped,
        };
        *counter = counter.saturating_add(1);
    }

    const fn is_ended(&self) -> bool {
        let ended = self
            .acked
            .saturating_add(self.expired)
            .saturating_add(self.dropped);
        ended >= self.matched
    }
}

impl<T: Clone> Replay<T> {
    /// Begins the receipts of `count` events that are published together, at least 1, to be named in their offers and then
    /// [closed](Self::close_receipts).
    pub fn begin_receipts(&mut self, count: u32) -> ReceiptId {
        let id = ReceiptId(self.next_receipt);
        self.next_receipt = self.next_receipt.saturating_add(1);
        self.receipts.insert(id, Sheet::new(count.max(1)));
        id
    }

    /// Says that no further offer names the receipts. What becomes of each of the events is put out once, when all is known
    /// of it: those that end together and alike in one output.
    pub fn close_receipts(&mut self, id: ReceiptId) {
        if let Some(sheet) = self.receipts.get_mut(&id) {
            sheet.close();
        }
        self.complete(id);
    }

    /// How many receipts are being made, those of events that were published together as one.
    #[must_use]
    pub fn open_receipts(&self) -> usize {
        self.receipts.len()
    }

    /// Puts out what is known for good.
    pub(super) fn complete(&mut self, id: ReceiptId) {
        let Some(sheet) = self.receipts.get_mut(&id) else {
            return;
        };
        for Ended { first, last, tally } in sheet.ended() {
            self.outputs.push_back(ReplayOutput::Receipts {
                id,
                first,
                last,
                matched: tally.matched,
                acked: tally.acked,
                expired: tally.expired,
                dropped: tally.dropped,
            });
        }
        if sheet.is_over() {
            self.receipts.remove(&id);
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "the naive model counts small numbers"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OUTCOMES: [Outcome; 4] = [
        Outcome::Acked,
        Outcome::Expired,
        Outcome::Gone,
        Outcome::Rejected,
    ];

    /// Each event by itself.
    struct Naive {
        each: Vec<Option<Tally>>,
        is_closed: bool,
    }

    impl Naive {
        fn ended(&mut self) -> Vec<(u32, Tally)> {
            let mut ended = Vec::new();
            for (at, one) in (0..).zip(&mut self.each) {
                if self.is_closed
                    && let Some(tally) =
                        one.take_if(|one| one.acked + one.expired + one.dropped == one.matched)
                {
                    ended.push((at, tally));
                }
            }
            ended
        }
    }

    proptest! {
        #[test]
        fn ranges_say_of_each_event_what_counting_each_says(
            count in 1..40_u32,
            matched in prop::collection::vec((0..40_u32, 0..40_u32, 0..3_u32), 0..4),
            closes_after in 0..20_usize,
            steps in prop::collection::vec((0..40_u32, 0..40_u32, 0..4_usize), 0..60),
        ) {
            let mut sheet = Sheet::new(count);
            let mut naive = Naive { each: vec![Some(Tally::default()); count as usize], is_closed: false };
            let range = |first: u32, more: u32| {
                let first = first % count;
                (first, (first + more).min(count - 1))
            };
            for (first, more, matched) in matched {
                let (first, last) = range(first, more);
                sheet.expect(first, last, matched);
                for at in first..=last {
                    naive.each[at as usize].as_mut().unwrap().matched += matched;
                }
            }
            let check = |sheet: &mut Sheet, naive: &mut Naive| -> Result<(), TestCaseError> {
                let ended = sheet.ended();
                let apart = ended.iter().zip(ended.iter().skip(1)).all(|(one, next)| {
                    one.last + 1 < next.first || one.tally != next.tally
                });
                prop_assert!(apart, "{:?} could be told together", ended);
                let each: Vec<(u32, Tally)> = ended.iter()
                    .flat_map(|ended| (ended.first..=ended.last).map(|at| (at, ended.tally)))
                    .collect();
                prop_assert_eq!(each, naive.ended());
                prop_assert_eq!(sheet.is_over(), naive.each.iter().all(Option::is_none));
                Ok(())
            };
            for (step, (first, more, outcome)) in steps.into_iter().enumerate() {
                if step == closes_after {
                    sheet.close();
                    naive.is_closed = true;
                    check(&mut sheet, &mut naive)?;
                }
                let (first, last) = range(first, more);
                // Only what was expected and has not ended can end: the rows of such places.
                let is_due = |one: &Option<Tally>| one.is_some_and(|one| {
                    one.acked + one.expired + one.dropped < one.matched
                });
                let due: Vec<u32> = (first..=last).filter(|at| is_due(&naive.each[*at as usize])).collect();
                for row in due.chunk_by(|one, next| one + 1 == *next) {
                    sheet.count(row[0], row[row.len() - 1], OUTCOMES[outcome]);
                    for at in row {
                        naive.each[*at as usize].as_mut().unwrap().count(OUTCOMES[outcome]);
                    }
                }
                check(&mut sheet, &mut naive)?;
            }
        }
    }

    #[test]
    fn events_that_share_their_fate_are_one_part() {
        let mut sheet = Sheet::new(4_096);
        sheet.expect(0, 4_095, 2);
        sheet.close();
        for first in (0..4_096).step_by(64) {
            sheet.count(first, first + 63, Outcome::Acked);
            assert!(sheet.parts.len() <= 2, "{}", sheet.parts.len());
        }
        sheet.count(0, 4_095, Outcome::Expired);
        let tally = Tally {
            matched: 2,
            acked: 1,
            expired: 1,
            dropped: 0,
        };
        let (first, last) = (0, 4_095);
        assert_eq!(sheet.ended(), [Ended { first, last, tally }]);
        assert!(sheet.is_over());
    }
}
