//! What comes ahead of its turn, against a set of all that was handed over.

use std::collections::BTreeMap;
use std::ops::Range;

use macula_pubsub::Ahead;
use macula_testkit::node_id;
use macula_wire::{Epoch, Sequence};
use proptest::prelude::*;

use crate::common::{at, topic};

#[derive(Clone, Debug)]
enum Step {
    /// Comes ahead of its turn: so far behind what comes next, and so many.
    Early(u64, u64),
    /// So many come in their turn, or are missing.
    Turn(u64, bool),
    /// The publisher begins anew.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        5 => (1_u64..12, 1_u64..4).prop_map(|(ahead, count)| Step::Early(ahead, count)),
        4 => (1_u64..6, prop::bool::weighted(0.2)).prop_map(|(count, lost)| Step::Turn(count, lost)),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec((0_usize..3, step), 1..120)
}

/// One publisher as a naive reader follows it.
#[derive(Default)]
struct Naive {
    epoch: u64,
    next: u64,
    /// By sequence of the present run: how often it was handed over, and how often told missing.
    seen: BTreeMap<u64, (u32, u32)>,
}

fn range(from: u64, count: u64) -> Range<Sequence> {
    Sequence::new(from)..Sequence::new(from + count)
}

fn numbers(ranges: &[Range<Sequence>]) -> Vec<u64> {
    let each = ranges.iter().flat_map(|one| one.start.get()..one.end.get());
    each.collect()
}

proptest! {
    /// Each event that comes is handed over once, at the first time that it comes, and each that does not is told missing
    /// once; whatever the bound, which decides only what waits for its turn.
    #[test]
    fn each_is_handed_over_once_or_told_missing_once(steps in steps(), max in 0_usize..40) {
        let mut ahead = Ahead::new(max);
        let mut naive: [Naive; 3] = Default::default();
        let news = topic("news");
        for (of, step) in steps {
            let (publisher, naive) = (node_id(of), &mut naive[of]);
            let epoch = Epoch::new(naive.epoch);
            match step {
                Step::Early(far, count) => {
                    let from = naive.next + far;
                    let events = range(from, count);
                    let full = ahead.len();
                    let found = numbers(&ahead.take(at(0), publisher, epoch, &news, events));
                    let new: Vec<u64> = (from..from + count)
                        .filter(|number| naive.seen.get(number).is_none_or(|seen| seen.0 == 0))
                        .collect();
                    prop_assert!(found == new || (found.is_empty() && full + 2 > max), "{found:?} {new:?}");
                    for number in found {
                        naive.seen.entry(number).or_default().0 += 1;
                    }
                }
                Step::Turn(count, is_lost) => {
                    let events = range(naive.next, count);
                    for number in numbers(&ahead.pass(publisher, epoch, &news, events)) {
                        let seen = naive.seen.entry(number).or_default();
                        if is_lost { seen.1 += 1 } else { seen.0 += 1 }
                    }
                    for number in naive.next..naive.next + count {
                        let seen = naive.seen.get(&number).copied().unwrap_or_default();
                        prop_assert_eq!(seen.0 + seen.1, 1, "{}", number);
                    }
                    naive.next += count;
                }
                Step::Restart => {
                    *naive = Naive { epoch: naive.epoch + 1, ..Naive::default() };
                }
            }
            prop_assert!(ahead.len() <= max);
            let mut end = naive.seen.iter().filter(|(number, seen)| **number >= naive.next && seen.0 > 0);
            let end = end.next_back().map(|(number, _)| Sequence::new(number + 1));
            prop_assert_eq!(ahead.end(publisher, Epoch::new(naive.epoch), &news), end);
        }
        // Nothing stays once the turn of everything has come.
        for (of, naive) in naive.iter().enumerate() {
            let events = range(naive.next, 100);
            drop(ahead.pass(node_id(of), Epoch::new(naive.epoch), &news, events));
        }
        prop_assert!(ahead.is_empty());
        prop_assert_eq!(ahead.len(), 0);
    }
}

#[test]
fn what_ended_long_ago_makes_room() {
    let mut ahead = Ahead::new(1);
    let (news, epoch) = (topic("news"), Epoch::new(1));
    let mut take = |seconds: u64, of| {
        let taken = ahead.take(at(seconds * 1_000), node_id(of), epoch, &news, range(5, 1));
        numbers(&taken)
    };
    assert_eq!(take(0, 1), [5]);
    assert!(take(599, 2).is_empty(), "no room: it comes in its turn");
    assert_eq!(take(600, 2), [5]);
    assert!(take(601, 1).is_empty());
}

#[test]
fn an_earlier_run_is_left_alone() {
    let mut ahead = Ahead::new(8);
    let news = topic("news");
    let mut take = |epoch, from| {
        numbers(&ahead.take(at(0), node_id(1), Epoch::new(epoch), &news, range(from, 1)))
    };
    assert_eq!(take(2, 5), [5]);
    assert!(take(1, 7).is_empty(), "it is over");
    assert!(take(2, 5).is_empty());
    let passed = ahead.pass(node_id(1), Epoch::new(1), &news, range(5, 1));
    assert_eq!(numbers(&passed), [5], "another one of that number");
    assert_eq!(ahead.len(), 1);
}
