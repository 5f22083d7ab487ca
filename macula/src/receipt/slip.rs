//! Where it is put down what becomes of events that left together, and where that is waited for.
//!
//! A batch has one slip, however many of its events somebody waits for, and most of its events share what becomes of them: it
//! is put down by ranges, and no event needs anything of its own.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Outcomes;

/// The receipts of a batch, for whoever learns of them. Dropped, it says that nothing more is going to be known.
#[derive(Debug, Default)]
pub(crate) struct Slip(Arc<Shared>);

/// The receipts of consecutive events of a batch, for whoever waits for them. Each event is claimed once.
#[derive(Debug)]
pub(crate) struct Claim {
    shared: Arc<Shared>,
    /// The place of the first event that is waited for.
    at: u32,
    left: u32,
}

/// What becomes of the events is never going to be known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Abandoned;

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Ascending by place; those that follow each other and are alike are one.
    known: Vec<Known>,
    /// Who waits, by the place of the first event that is waited for: at most one for each event.
    waiting: BTreeMap<u32, Waker>,
    is_over: bool,
}

/// What became of the events at `first..=last`.
#[derive(Clone, Copy, Debug)]
struct Known {
    first: u32,
    last: u32,
    outcomes: Outcomes,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slip {
    /// A slip for a single event, and the right to its receipt.
    pub(crate) fn single() -> (Self, Claim) {
        let slip = Self::default();
        let claim = slip.claim(0, 1);
        (slip, claim)
    }

    /// The right to the receipts of `count` events from the place `at` on, which nobody else has.
    pub(crate) fn claim(&self, at: u32, count: u32) -> Claim {
        Claim {
            shared: Arc::clone(&self.0),
            at,
            left: count,
        }
    }

    /// Puts down what became of each of the events at `first..=last`: once for each place, and in any order.
    pub(crate) fn put_down(&self, first: u32, last: u32, outcomes: Outcomes) {
        let woken = {
            let mut state = self.0.lock();
            state.learn(Known {
                first,
                last,
                outcomes,
            });
            let mut woken = state.waiting.split_off(&first);
            let beyond = last.checked_add(1).map(|beyond| woken.split_off(&beyond));
            state.waiting.extend(beyond.into_iter().flatten());
            woken
        };
        woken.into_values().for_each(Waker::wake);
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        let woken = {
            let mut state = self.0.lock();
            state.is_over = true;
            std::mem::take(&mut state.waiting)
        };
        woken.into_values().for_each(Waker::wake);
    }
}

impl State {
    fn learn(&mut self, known: Known) {
        let at = self.known.partition_point(|one| one.first < known.first);
        let before = at.checked_sub(1).and_then(|at| self.known.get_mut(at));
        match before {
            Some(before) if before.joins(&known) => before.last = known.last,
            _ => self.known.insert(at, known),
        }
    }

    /// What is known of the event at a place, and of those behind it.
    fn at(&self, place: u32) -> Option<Known> {
        let at = self.known.partition_point(|one| one.last < place);
        self.known.get(at).copied().filter(|one| one.first <= place)
    }
}

impl Known {
    /// Whether `next` goes on where this ends, and says the same.
    fn joins(&self, next: &Self) -> bool {
        self.outcomes == next.outcomes && self.last.checked_add(1) == Some(next.first)
    }
}

impl Claim {
    /// For how many events it is still waited.
    pub(crate) const fn left(&self) -> u32 {
        self.left
    }

    /// Waits until all is known of the next event, and returns it, with the number of events of which the same is known, at
    /// least 1. They are not waited for any more. `None` if there is none left. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Result<(u32, Outcomes), Abandoned>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Result<(u32, Outcomes), Abandoned>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut state = self.shared.lock();
        let Some(known) = state.at(self.at) else {
            if state.is_over {
                self.left = 0;
                return Poll::Ready(Some(Err(Abandoned)));
            }
            match state.waiting.get_mut(&self.at) {
                Some(waker) => waker.clone_from(cx.waker()),
                None => drop(state.waiting.insert(self.at, cx.waker().clone())),
            }
            return Poll::Pending;
        };
        drop(state);
        let more = known.last.saturating_sub(self.at);
        let count = more.saturating_add(1).min(self.left);
        self.at = self.at.saturating_add(count);
        self.left = self.left.saturating_sub(count);
        Poll::Ready(Some(Ok((count, known.outcomes))))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn outcomes(acked: u32) -> Outcomes {
        Outcomes {
            matched: 3,
            acked,
            expired: 0,
            dropped: 3_u32.saturating_sub(acked),
        }
    }

    type Next = Poll<Option<Result<(u32, Outcomes), Abandoned>>>;

    fn poll(claim: &mut Claim, woken: &Arc<Woken>) -> Next {
        let waker = Waker::from(Arc::clone(woken));
        pin!(claim.next()).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn each_event_is_told_to_its_own_claim_and_wakes_nobody_else() {
        let slip = Slip::default();
        let (one, others) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let (mut first, mut rest) = (slip.claim(0, 1), slip.claim(1, 3));
        assert_eq!(poll(&mut first, &one), Poll::Pending);
        assert_eq!(poll(&mut rest, &others), Poll::Pending);
        slip.put_down(0, 0, outcomes(3));
        let counts = || {
            (
                one.0.load(Ordering::Relaxed),
                others.0.load(Ordering::Relaxed),
            )
        };
        assert_eq!(counts(), (1, 0));
        assert_eq!(
            poll(&mut first, &one),
            Poll::Ready(Some(Ok((1, outcomes(3)))))
        );
        assert_eq!(poll(&mut first, &one), Poll::Ready(None));
        // What comes behind the one that is waited for wakes nobody.
        slip.put_down(3, 3, outcomes(3));
        assert_eq!(counts(), (1, 0));
        slip.put_down(1, 2, outcomes(3));
        assert_eq!(counts(), (1, 1));
        let mut told = 0;
        while let Poll::Ready(Some(Ok((count, same)))) = poll(&mut rest, &others) {
            assert_eq!(same, outcomes(3));
            told += count;
        }
        assert_eq!((told, rest.left), (3, 0));
    }

    #[test]
    fn what_is_never_known_is_told_as_that() {
        let slip = Slip::default();
        let woken = Arc::new(Woken::default());
        let mut claim = slip.claim(0, 2);
        assert_eq!(poll(&mut claim, &woken), Poll::Pending);
        slip.put_down(0, 0, outcomes(1));
        drop(slip);
        assert_eq!(
            poll(&mut claim, &woken),
            Poll::Ready(Some(Ok((1, outcomes(1)))))
        );
        assert_eq!(poll(&mut claim, &woken), Poll::Ready(Some(Err(Abandoned))));
        assert_eq!(poll(&mut claim, &woken), Poll::Ready(None));
    }

    proptest! {
        #[test]
        fn ranges_say_of_each_event_what_was_put_down(
            cuts in prop::collection::btree_set(1..60_u32, 0..20),
            figures in prop::collection::vec(0..3_u32, 21),
            order in any::<prop::sample::Index>(),
            claims in prop::collection::btree_set(1..60_u32, 0..10),
        ) {
            let parts = |cuts: &std::collections::BTreeSet<u32>| {
                let begins = std::iter::once(0).chain(cuts.iter().copied());
                let ends = cuts.iter().copied().chain([60]);
                begins.zip(ends).collect::<Vec<_>>()
            };
            let slip = Slip::default();
            let mut ranges: Vec<_> = parts(&cuts).into_iter().zip(figures).collect();
            let naive: Vec<u32> = ranges.iter()
                .flat_map(|((begin, end), acked)| (*begin..*end).map(|_| *acked))
                .collect();
            let turn = order.index(ranges.len());
            ranges.rotate_left(turn);
            ranges.iter().for_each(|((begin, end), acked)| slip.put_down(*begin, end.saturating_sub(1), outcomes(*acked)));
            let woken = Arc::new(Woken::default());
            let mut told = Vec::new();
            for (begin, end) in parts(&claims) {
                let mut claim = slip.claim(begin, u32::saturating_sub(end, begin));
                while let Poll::Ready(Some(next)) = poll(&mut claim, &woken) {
                    let (count, outcomes) = next.unwrap();
                    told.extend((0..count).map(|_| outcomes.acked));
                }
            }
            prop_assert_eq!(told, naive);
        }
    }
}
